"""Plans of a model for a machine that need not be this one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from asymo._core import gemm_geometry, isa_name
from asymo.cost.speeds import Machine
from asymo.errors import InvalidArgumentError
from asymo.graph.ir import TensorType
from asymo.plan.plan import Plan
from asymo.plan.planner import plan
from asymo.runtime.model import Model
from asymo.runtime.stage import bind, split


def plan_for(path: str | bytes | os.PathLike[str], machine: Machine, shapes: Mapping[str, Sequence[int]] | None = None) -> Plan:
    """The plan of a model for these cores: what a session on them would run first.

    shapes: of inputs with symbolic dimensions, which are 1 where nothing is said. Packed weights are left out when the machine's kernels
    are not this one's; such a plan can be read and simulated, not run. Where only a part of a model can be planned before it has run
    (docs/architecture.md, stages), the plan is that part's.

    Raises InvalidArgumentError for a name that is no input or a shape that does not fit.
    """
    model = Model(path)
    bound = bind(model.graph, types_for(model.inputs, shapes or {}))
    split(bound, model.cache)
    is_ours = (machine.isa, machine.geometry) == (isa_name(), gemm_geometry()[:2])
    return plan(bound, model.cache, machine, packs=is_ours)


def types_for(inputs: Sequence[tuple[str, TensorType | None]], shapes: Mapping[str, Sequence[int]]) -> list[TensorType]:
    """The concrete types of a model's inputs. shapes: of those with symbolic dimensions, which are 1 where nothing is said; the name "" is
    that of the only input.

    Raises InvalidArgumentError for a name that is no input or a shape that does not fit."""
    wanted = {inputs[0][0] if name == "" and len(inputs) == 1 else name: shape for name, shape in shapes.items()}
    types = []
    for name, type in inputs:
        if type is None or (type.shape is None and name not in wanted):
            raise InvalidArgumentError(f"input {name!r} has no shape of its own: give one")
        declared = type.shape if type.shape is not None else tuple(wanted[name])
        dims = tuple(wanted.pop(name, [d if isinstance(d, int) else 1 for d in declared]))
        if len(dims) != len(declared) or any(isinstance(d, int) and d != s for d, s in zip(declared, dims, strict=True)):
            raise InvalidArgumentError(f"input {name!r}: shape {dims} does not fit {declared}")
        types.append(TensorType(type.dtype, dims))
    if wanted:
        raise InvalidArgumentError(f"the model has no input {next(iter(wanted))!r}; it has {', '.join(name for name, _ in inputs)}")
    return types
