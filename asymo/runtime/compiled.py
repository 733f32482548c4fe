"""`.asymo` files: a model whose graph is optimised, whose weights are packed and whose plans are made, for machines without `onnx`.

`compile_model` writes one, `CompiledModel` is what a session runs when it is given one. The container is `archive.py`, the text form of
graphs and plans `encode.py`. The document:

    {"asymo": version, "model": what the model says of itself, "graph": after the LOAD passes,
     "arrays": [[ONNX number of the dtype, shape, number in the archive, null when left out, or the strings]],
     "targets": [{"isa", "panel", "machine", "derived": [[key, [source arrays], array]], "plans": [plan]}]}

`derived` is the planner's cache (`Cache.derive`): what was computed from which arrays under which key. A session that has to plan anew, for
other shapes or other cores, finds its packed weights there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from asymo import _core, ops
from asymo.cost import speeds
from asymo.cost.speeds import Machine
from asymo.errors import AsymoError, MissingWeightsError, ModelError, UnsupportedError
from asymo.graph.absent import Absent
from asymo.graph.dtypes import dtype_of, number_of
from asymo.graph.infer import Waiting, subgraphs
from asymo.graph.ir import Graph, Node
from asymo.onnx import host, is_installed
from asymo.onnx.files import Files
from asymo.onnx.reader import ModelMeta, NodeArg
from asymo.plan import layout
from asymo.plan.lower import Cache
from asymo.plan.plan import Plan
from asymo.plan.planner import plan
from asymo.record import NamedTuple
from asymo.runtime import archive, encode
from asymo.runtime.digest import sha256
from asymo.runtime.model import Model
from asymo.runtime.planning import types_for
from asymo.runtime.stage import bind, split

Shapes = Mapping[str, Sequence[int]]

WEIGHTS = ("auto", "keep", "drop")

SMALL = 1 << 14
"""Bytes: arrays up to this size are always kept. Patterns look into scales and biases; of large arrays they see type and shape."""

# ---- writing


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
    model = Model(source)
    is_fixed = all(type is not None and type.is_concrete for _, type in model.inputs)
    drafts = [_draft(model, machine, shapes, allow_host) for machine in machines]
    is_whole = all(len(draft.plans) == len(shapes) for draft in drafts)
    table = _Table()
    document: dict[str, Any] = {
        "asymo": _core.VERSION,
        "model": _meta_to_json(model.meta),
        "graph": encode.graph_to_json(model.graph, table.store),
        "targets": [draft.to_json(table) for draft in drafts],
    }
    if weights == "drop" or (weights == "auto" and is_fixed and is_whole):
        table.drop([draft.sources for draft in drafts], [a for draft in drafts for p in draft.plans for a in p.constants])
    metadata = {"asymo": _core.VERSION, "isa": ",".join(m.isa for m in machines), "graph": model.graph.name}

    def write() -> int:
        return archive.write(target, {**document, "arrays": table.to_json()}, table.unique, metadata)

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
        derived = []
        for key, sources, array in self.cache.entries():  # in the order in which they were made: sources come first
            if all(table.holds(a) for a in sources):
                derived.append([repr(key), [table.store(a) for a in sources], table.store(array)])
        machine = json.loads(speeds.dump(self.machine))
        return {"isa": self.machine.isa, "panel": self.machine.geometry[1], "machine": machine, "derived": derived, "plans": plans}


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


# ---- reading


class CompiledModel(Model):
    """An opened `.asymo` file. Its graph is read when somebody plans anew."""

    def __init__(self, source: str | bytes | os.PathLike[str], verify: bool = False, isa: str | None = None) -> None:
        """verify: read all of it and compare the weights with their hash. isa: whose plans and weights to take (None: those for the
        instruction set in use; with others the model can be planned, not run).

        Raises ModelError, naming the file, what is wrong and the remedy, for a file that is broken or of another version; UnsupportedError
        for one that was made for other instruction sets."""
        self.files = Files()
        self.archive = archive.Archive(source, self.files)
        if verify:
            self.archive.verify()
        self._document = self.archive.document
        self.cache = self._derived = _Derived()
        with self._reading():
            if self._document["asymo"] != _core.VERSION:
                raise ModelError(
                    f"{self.archive.name} was made by Asymo {self._document['asymo']}, this is {_core.VERSION}, whose plans and packed "
                    "weights may differ: make it again with `asymo compile`"
                )
            self._arrays: list[np.ndarray | None] = [None] * len(self._document["arrays"])
            self._target = self._pick(self._document["targets"], isa or _core.isa_name())
            self.meta = _meta(self._document["model"])
            graph = self._document["graph"]
            declared = [graph["values"][i] for i in graph["inputs"]]
            self.inputs = tuple((name, encode.type_from_json(type)) for name, type, _ in declared)
            self._machine = speeds.parse(json.dumps(self._target["machine"]), "its machine")
            self._plans = {tuple(tuple(port[2]) for port in p["inputs"]): p for p in self._target["plans"]}

    @property
    def isas(self) -> tuple[str, ...]:
        """Instruction sets that the file was made for."""
        return tuple(str(target["isa"]) for target in self._document["targets"])

    @cached_property
    def graph(self) -> Graph:  # type: ignore[override]
        """The model behind the LOAD passes; fills the cache with what was derived from its weights."""
        self.cache.evaluate = host.evaluate if is_installed() else None  # elsewhere kernels compute what could be folded
        with self._reading():
            graph = encode.graph_from_json(self._document["graph"], self._fetch)
            for key, sources, array in self._target["derived"]:
                self._derived.keep(str(key), [self._fetch(i) for i in sources], self._fetch(array))
            return graph

    def ready_plan(self, shapes: Sequence[tuple[int, ...]], machine: Machine) -> Plan | None:
        """The plan for these input shapes that was made for such cores: as many of each type, with the same kernels. Their speeds may be
        others; the scheduler learns what each core really does."""
        found = self._plans.get(tuple(shapes))
        if found is None or _crew(machine) != _crew(self._machine):
            return None
        with self._reading():
            return encode.plan_from_json(found, self._fetch, self._machine)

    def host_step(self, node: Node) -> Callable[[Sequence[Any]], Sequence[Any]]:
        """As for ONNX models, where the package onnx is there."""
        if not is_installed():
            raise UnsupportedError(
                f"{node.where} has no kernel for these types, and onnx.reference cannot run it here, because the package onnx is missing: "
                "install onnx, or take the operator out of the model and compile it again"
            )
        return host.HostStep(node)

    def _pick(self, targets: Sequence[Any], isa: str) -> Any:
        """The target whose weights the kernels of `isa` can read: its own, else one with the same panels."""
        panel = _core.geometry_of(isa)[1]
        for target in sorted(targets, key=lambda t: bool(t["isa"] != isa)):
            if target["panel"] == panel:
                return target
        made = ", ".join(f"{t['isa']} (panels of {t['panel']} columns)" for t in targets)
        raise UnsupportedError(
            f"{self.archive.name} was compiled for {made}; this process uses {isa}, whose packed weights have panels of {panel} columns: "
            f"compile the model with --isa {isa}"
        )

    def _fetch(self, number: int) -> np.ndarray:
        if type(number) is not int or not 0 <= number < len(self._arrays):
            raise ValueError(f"{number!r} is no array")
        array = self._arrays[number]
        if array is None:
            array = self._arrays[number] = self._read(number, *self._document["arrays"][number])
        return array

    def _read(self, number: int, type_number: int, shape: Sequence[int], place: Any) -> np.ndarray:
        dtype, dims = dtype_of(type_number), tuple(shape)
        if any(type(d) is not int or d < 0 for d in dims):
            raise ValueError(f"{dims!r} is no shape")
        if place is None:
            return Absent(dims, dtype, f"{self.archive.name}, array {number} {dtype}{dims}")
        if isinstance(place, list):
            if len(place) != prod(dims):
                raise ValueError(f"{len(place)} strings for the shape {dims}")
            texts = np.empty(len(place), object)
            texts[:] = place
            return texts.reshape(dims)
        return self.archive.array(place, dtype, dims)

    def _reading(self) -> _Reading:
        return _Reading(self.archive)


class _Reading:
    """Turns what a malformed document raises into the archive's error."""

    def __init__(self, opened: archive.Archive) -> None:
        self._archive = opened

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, AsymoError) and self._archive.name in str(error):
            return
        if isinstance(error, (AsymoError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)):
            raise self._archive.error(f"its document is malformed ({type(error).__name__}: {error})") from error


class _Derived(Cache):
    """A cache that begins with what a file holds. A key is its text: that is how it was written."""

    def keep(self, key: str, sources: Sequence[np.ndarray], array: np.ndarray) -> None:
        self._arrays[key, tuple(id(a) for a in sources)] = (tuple(sources), array)

    def derive(self, key: Hashable, sources: Sequence[np.ndarray], make: Callable[..., np.ndarray]) -> np.ndarray:
        text = repr(key)
        if (text, tuple(id(a) for a in sources)) not in self._arrays:
            for source in sources:
                if isinstance(source, Absent):
                    raise source.missing()
        return super().derive(text, sources, make)

    def settle(self, array: np.ndarray) -> np.ndarray:
        if isinstance(array, Absent) and (repr("settle"), (id(array),)) not in self._arrays:
            return array  # an operand that no step may read in the end
        return super().settle(array)


def _crew(machine: Machine) -> tuple[Any, ...]:
    """What a plan's sharing depends on, and its tiles."""
    return machine.isa, machine.geometry, [(t.cores, t.in_order) for t in machine.types]


def _meta_to_json(meta: ModelMeta) -> dict[str, Any]:
    args = {key: [arg._asdict() for arg in getattr(meta, key)] for key in ("inputs", "outputs")}
    return {**meta._asdict(), **args}


def _meta(document: Any) -> ModelMeta:
    args = {key: tuple(NodeArg(**arg) for arg in document[key]) for key in ("inputs", "outputs")}
    return ModelMeta(**{**document, **args, "overridable": tuple(document["overridable"])})
