"""Writes `.asymo` files: reads an ONNX model, plans it for each machine, packs its weights, and leaves out what is not needed any more.

The container is `archive.py`, the text form of graphs and plans `encode.py`, the document that of `compiled.py`, which reads it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from asymo import _core, ops
from asymo.cost.speeds import Machine
from asymo.errors import MissingWeightsError, UnsupportedError
from asymo.graph.dtypes import number_of
from asymo.graph.infer import Waiting, subgraphs
from asymo.graph.ir import Node
from asymo.onnx import host
from asymo.onnx.reader import ModelMeta
from asymo.plan import layout
from asymo.plan.lower import Cache
from asymo.plan.plan import Plan
from asymo.plan.planner import plan
from asymo.record import NamedTuple
from asymo.runtime import archive, encode
from asymo.runtime.compiled import CompiledModel
from asymo.runtime.digest import sha256
from asymo.runtime.model import Model
from asymo.runtime.planning import types_for
from asymo.runtime.stage import bind, split

Shapes = Mapping[str, Sequence[int]]

WEIGHTS = ("auto", "keep", "drop")

SMALL = 1 << 14
"""Bytes: arrays up to this size are always kept. Patterns look into scales and biases; of large arrays they see type and shape."""


class Compiled(NamedTuple):
    """What `compile_model` has written. plans: for each machine and each set of shapes; fewer where a part of a model can only be planned
    when it runs. left_out: bytes of weights that are there in packed form only."""

    nbytes: int
    plans: int
    left_out: int


def compile_model(
    source: str | bytes | os.PathLike[str],
    target: str | os.PathLike[str],
    machines: Sequence[Machine],
    shapes: Sequence[Shapes] = ({},),
    *,
    weights: str = "auto",
    allow_host: bool = False,
) -> Compiled:
    """Compiles an ONNX model to the file `target`.

    Args:
        machines: what to pack and plan for, one for each instruction set.
        shapes: sets of input shapes to plan for; symbolic dimensions of which nothing is said are 1.
        weights: "keep" the weights as they were beside the packed ones, so that any shapes can be planned for; "drop" those that are
            packed; "auto": drop them where the model's input shapes are fixed. None is dropped unless these shapes can be planned for
            other cores without them.
        allow_host: write models with host steps, too, which need the package onnx where they run.

    Raises UnsupportedError naming a node that only the host can run, and what `reader.read` and `planning.types_for` raise.
    """
    model = Model(source, defers=False)
    is_fixed = all(type is not None and type.is_concrete for _, type in model.inputs)
    drafts = [_draft(model, machine, shapes, allow_host) for machine in machines]
    is_whole = all(len(draft.plans) == len(shapes) for draft in drafts)
    table = _Table()
    document: dict[str, Any] = {
        "asymo": _core.VERSION,
        "model": _meta_to_json(model.meta),
        "inputs": [[name, encode.type_to_json(type)] for name, type in model.inputs],
        "targets": [draft.to_json(table) for draft in drafts],
    }
    graph = {"graph": encode.graph_to_json(model.graph, table.store), "derived": [draft.derived(table) for draft in drafts]}
    if weights == "drop" or (weights == "auto" and is_fixed and is_whole):
        table.drop([draft.sources for draft in drafts], [a for draft in drafts for p in draft.plans for a in p.constants])
    metadata = {"asymo": _core.VERSION, "isa": ",".join(m.isa for m in machines), "graph": model.graph.name}

    def write() -> int:
        return archive.write(target, {"document": {**document, "arrays": table.to_json()}, "graph": graph}, table.unique, metadata)

    nbytes = write()
    if table.dropped and not _can_plan(target, machines, shapes):
        table.keep()
        nbytes = write()
    return Compiled(nbytes, sum(len(d.plans) for d in drafts), table.dropped)


def _can_plan(file: str | os.PathLike[str], machines: Sequence[Machine], shapes: Sequence[Shapes]) -> bool:
    """Whether the file has what planning these shapes for other cores takes: for one core of each machine."""
    for machine in machines:
        model = CompiledModel(file, isa=machine.isa)
        for wanted in shapes:
            graph = bind(model.graph, types_for(model.inputs, wanted))
            split(graph, model.cache)
            try:
                plan(graph, model.cache, machine.restrict({machine.types[0].name: 1}))
            except MissingWeightsError:
                return False
    return True


class _Table:
    """The arrays of a document, by identity; those with equal elements are stored once."""

    def __init__(self) -> None:
        self.unique: list[np.ndarray] = []
        self.dropped = 0
        self._arrays: list[np.ndarray] = []
        self._numbers: dict[int, int] = {}
        self._left_out: set[int] = set()

    def store(self, array: np.ndarray) -> int:
        number = self._numbers.setdefault(id(array), len(self._arrays))
        if number == len(self._arrays):
            self._arrays.append(array)
        return number

    def holds(self, array: np.ndarray) -> bool:
        return id(array) in self._numbers

    def drop(self, sources: Sequence[set[int]], operands: Sequence[np.ndarray]) -> None:
        """Leaves out what every target derives something from and no plan reads. sources: ids of arrays, one set a target."""
        read = {id(a) for a in operands}
        for array in self._arrays:
            if array.nbytes > SMALL and id(array) not in read and all(id(array) in s for s in sources):
                self._left_out.add(id(array))
                self.dropped += array.nbytes

    def keep(self) -> None:
        """Leaves out nothing."""
        self._left_out.clear()
        self.dropped = 0

    def to_json(self) -> list[Any]:
        places: dict[str, int] = {}
        self.unique = []
        rows: list[Any] = []
        for array in self._arrays:
            if array.dtype == object:
                texts = [s.decode() if isinstance(s, bytes) else str(s) for s in array.reshape(-1)]
                rows.append([number_of(array.dtype), list(array.shape), texts])
                continue
            place = None
            if id(array) not in self._left_out:
                key = sha256(array.tobytes()) + array.dtype.char
                place = places.setdefault(key, len(self.unique))
                if place == len(self.unique):
                    self.unique.append(array)
            rows.append([number_of(array.dtype), list(array.shape), place])
        return rows


class _Draft(NamedTuple):
    """One target: its plans and what they derived."""

    machine: Machine
    plans: list[Plan]
    cache: Cache

    @property
    def sources(self) -> set[int]:
        return {id(a) for _, sources, _ in self.cache.entries() for a in sources}

    def to_json(self, table: _Table) -> Any:
        plans = [encode.plan_to_json(p, table.store) for p in self.plans]
        types = [[t.cores, t.in_order] for t in self.machine.types]
        return {"isa": self.machine.isa, "geometry": list(self.machine.geometry), "types": types, "plans": plans}

    def derived(self, table: _Table) -> list[Any]:
        """What was derived from arrays that the table holds, in the order in which it was made: sources come first."""
        return [
            [repr(key), [table.store(a) for a in sources], table.store(array)]
            for key, sources, array in self.cache.entries()
            if all(table.holds(a) for a in sources)
        ]


def _draft(model: Model, machine: Machine, shapes: Sequence[Shapes], allow_host: bool) -> _Draft:
    cache = Cache(host.evaluate)
    plans = []
    with layout.packing_for(machine.geometry[1]):
        for wanted in shapes:
            graph = bind(model.graph, types_for(model.inputs, wanted))
            outputs = len(graph.outputs)
            waiting, _ = split(graph, cache)
            if not allow_host:
                _need_no_host(waiting)
            is_whole = not waiting.nodes and len(graph.outputs) == outputs
            made = plan(graph, cache, machine)
            if is_whole:
                plans.append(made)
    return _Draft(machine, plans, cache)


def _need_no_host(waiting: Waiting) -> None:
    """UnsupportedError when a node that waits can only be run by onnx.reference."""
    hosted = set(waiting.host)
    for node in _walk(waiting.nodes):
        if node in hosted or (ops.find(node.domain, node.op) is None and (node.domain, node.op) != ("", "If")):
            raise UnsupportedError(
                f"{node.where} has no kernel for these types: onnx.reference would have to run it, and a compiled model is to run without "
                "the package onnx. Leave the operator out of the model; or compile with --allow-host, and install onnx where the file runs"
            )


def _walk(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _walk(graph.nodes)


def _meta_to_json(meta: ModelMeta) -> dict[str, Any]:
    args = {key: [arg._asdict() for arg in getattr(meta, key)] for key in ("inputs", "outputs")}
    return {**meta._asdict(), **args}
