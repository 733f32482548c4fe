"""Plans of a model for a machine that need not be this one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from asymo._core import gemm_geometry, isa_name
from asymo.cost.speeds import Machine
from asymo.errors import InvalidArgumentError
from asymo.graph import passes
from asymo.graph.ir import TensorType
from asymo.onnx import host, reader
from asymo.plan.lower import Cache
from asymo.plan.plan import Plan
from asymo.plan.planner import plan
from asymo.runtime.stage import bind, split


def plan_for(path: str | bytes | os.PathLike[str], machine: Machine, shapes: Mapping[str, Sequence[int]] | None = None) -> Plan:
    """The plan of a model for these cores: what a session on them would run first.

    shapes: of inputs with symbolic dimensions, which are 1 where nothing is said. Packed weights are left out when the machine's kernels
    are not this one's; such a plan can be read and simulated, not run. Where only a part of a model can be planned before it has run
    (docs/architecture.md, stages), the plan is that part's.

    Raises InvalidArgumentError for a name that is no input or a shape that does not fit.
    """
    graph, _ = reader.read(path)
    cache = Cache(host.evaluate)
    for module in passes.LOAD:
        module.run(graph, cache)
    wanted = dict(shapes or {})
    types = []
    for value in graph.inputs:
        type = value.type
        if type is None or type.shape is None:
            raise InvalidArgumentError(f"input {value.name!r} has no shape of its own: give one")
        dims = tuple(wanted.pop(value.name, [d if isinstance(d, int) else 1 for d in type.shape]))
        if len(dims) != len(type.shape) or any(isinstance(d, int) and d != s for d, s in zip(type.shape, dims, strict=True)):
            raise InvalidArgumentError(f"input {value.name!r}: shape {dims} does not fit {type.shape}")
        types.append(TensorType(type.dtype, dims))
    if wanted:
        raise InvalidArgumentError(f"the model has no input {next(iter(wanted))!r}; it has {', '.join(v.name for v in graph.inputs)}")
    bound = bind(graph, types)
    split(bound, cache)
    is_ours = (machine.isa, machine.geometry) == (isa_name(), gemm_geometry()[:2])
    return plan(bound, cache, machine, packs=is_ours)
