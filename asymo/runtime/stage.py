"""Stages: how a model that cannot be planned in one piece is run piece by piece.

A `Stage` is a graph whose input shapes are known. Making it plans all that can be planned (one native segment: one cffi call), lists
the host steps that can run then, and keeps the rest of the graph. Where a rest is left, the stage's successor depends on what the
run has shown: shapes of host results, elements that shapes depend on. Successors are cached by exactly these. Most models have one
stage and no rest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from asymo._core import Call, Pool, Program, Slots, aligned_empty
from asymo.cost.speeds import Machine
from asymo.graph.infer import Waiting, infer, subgraphs
from asymo.graph.ir import Graph, Node, TensorType
from asymo.onnx.files import Files
from asymo.plan.lower import Cache
from asymo.plan.plan import ARENA, Plan
from asymo.plan.planner import plan
from asymo.record import NamedTuple

Env = dict[str, Any]
"""Values by name: arrays, and Python objects for the sequences and optionals of host steps."""

SUCCESSORS = 8
"""Plans kept per stage (least recently used go first)."""


class Arena:
    """The memory between steps, shared by all plans of a session: they run one after the other."""

    def __init__(self) -> None:
        self.bytes = aligned_empty(0)

    def grow(self, nbytes: int) -> None:
        if self.bytes.nbytes < nbytes:
            self.bytes = aligned_empty(nbytes)


class Tools(NamedTuple):
    """What planning and running share over a session.

    machine: the cores of the pool's workers, its types theirs. host: makes the callable that runs a node on the host.
    files: what the model's constants may be views of."""

    machine: Machine
    pool: Pool
    cache: Cache
    host: Callable[[Node], Callable[[Sequence[Any]], Sequence[Any]]]
    files: Files
    arena: Arena


class Segment:
    """A plan, its program in C and the addresses it runs on."""

    def __init__(self, plan: Plan, pool: Pool, arena: Arena) -> None:
        self.plan = plan
        self._pool, self._arena = pool, arena
        self._program = Program(len(plan.steps), pool.workers)
        for step in plan.steps:
            refs = [(ref.slot, ref.offset_bytes) for ref in step.operands]
            self._program.add(step.kind, step.args, refs, step.sharing, step.horizon)
        self._slots = Slots(plan.slots)
        for i, array in enumerate(plan.constants):
            self._slots[1 + i] = array
        arena.grow(plan.arena_bytes)
        self._memory: np.ndarray | None = None
        self._call = Call(self._program, self._pool, self._slots, plan.first_input_slot)
        self._outputs = tuple((port.shape, port.dtype) for port in plan.outputs)

    def __call__(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """Runs the steps and returns new arrays. inputs: C-contiguous, of the plan's dtypes and shapes."""
        outputs = [np.empty(shape, dtype) for shape, dtype in self._outputs]
        if self._memory is not self._arena.bytes:
            self._use_arena()
        self._call(inputs + outputs)
        return outputs

    def into(self, inputs: list[np.ndarray], names: Sequence[str], targets: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The same, writing into an array of `targets` where its name, dtype and shape fit. names: those of the outputs."""
        outputs = []
        for name, (shape, dtype) in zip(names, self._outputs, strict=True):
            array = targets.get(name)
            outputs.append(array if array is not None and array.shape == shape and array.dtype == dtype else np.empty(shape, dtype))
        self._use_arena()
        self._call(inputs + outputs)
        return outputs

    def timed(self, inputs: list[np.ndarray], times_ns: np.ndarray) -> list[np.ndarray]:
        """The same as calling it, filling times_ns [steps][workers][2]."""
        outputs = [np.empty(shape, dtype) for shape, dtype in self._outputs]
        self._use_arena()
        first = self.plan.first_input_slot
        for slot, array in enumerate(inputs + outputs, first):
            self._slots[slot] = array
        self._program.run(self._pool, self._slots, times_ns=times_ns)
        for slot in range(first, self.plan.slots):
            self._slots.clear(slot)
        return outputs

    def learned(self) -> np.ndarray:
        """[steps][workers]: what a unit of each step has cost each worker, in some unit of time; 0: nobody knows."""
        return self._program.learned()

    def _use_arena(self) -> None:
        self._memory = self._slots[ARENA] = self._arena.bytes


class HostCall(NamedTuple):
    """One host step: the callable and the names of what it reads (None: absent) and writes."""

    node: Node
    call: Callable[[Sequence[Any]], Sequence[Any]]
    reads: tuple[str | None, ...]
    writes: tuple[str | None, ...]


class Stage:
    """One planned piece of a model, and the way on from it.

    inputs: names fed to the segment. outputs: names the segment computes. results: constants that are results as they are."""

    def __init__(self, graph: Graph, tools: Tools) -> None:
        """`graph` is this stage's own (it is rewritten) and its inputs have concrete types."""
        self._tools = tools
        tools.files.check()
        names_wanted = [v.name for v in graph.outputs]
        waiting, results = split(graph, tools.cache)
        self.results = {name: tools.cache.settle(constant) for name, constant in results.items()}
        self._successors: OrderedDict[Hashable, Stage] = OrderedDict()
        self._rest = self._make_rest(graph, waiting) if waiting.nodes else None

        self.inputs = tuple(v.name for v in graph.inputs)
        self.outputs = tuple(v.name for v in graph.outputs)
        self.segment = Segment(plan(graph, tools.cache, tools.machine), tools.pool, tools.arena)
        self.is_whole = self._rest is None and len(self.outputs) == len(names_wanted)
        """The segment alone gives all outputs of the graph, in its order."""

    @classmethod
    def of_plan(cls, plan: Plan, tools: Tools) -> Stage:
        """The one stage of a model whose plan is there already."""
        tools.files.check()
        stage = cls.__new__(cls)
        stage._tools, stage._successors, stage._rest, stage.results = tools, OrderedDict(), None, {}
        stage.inputs, stage.outputs = tuple(p.name for p in plan.inputs), tuple(p.name for p in plan.outputs)
        stage.segment = Segment(plan, tools.pool, tools.arena)
        stage.is_whole = True
        return stage

    def _make_rest(self, graph: Graph, waiting: Waiting) -> Rest:
        """Takes the waiting nodes over into a graph of their own; host steps that can run now are made."""
        tools = self._tools
        calls = []
        for node in waiting.host:
            _settle(node, tools.cache)
            reads = tuple(None if v is None else v.name for v in node.inputs)
            captured = tuple(v.name for sub in subgraphs(node) for v in sub.captures)
            calls.append(HostCall(node, tools.host(node), reads + captured, tuple(None if v is None else v.name for v in node.outputs)))
        hosted = set(waiting.host)
        nodes = [node for node in waiting.nodes if node not in hosted]
        return Rest(calls, nodes, tuple(v.name for v in waiting.values))

    @property
    def has_rest(self) -> bool:
        """Whether anything is left to do after the segment."""
        return self._rest is not None

    @property
    def successors(self) -> list[Stage]:
        """The stages that followed so far."""
        return list(self._successors.values())

    @property
    def host_calls(self) -> list[HostCall]:
        """The host steps that run after the segment."""
        return self._rest.calls if self._rest is not None else []

    def go_on(self, env: Env, outputs: Sequence[str]) -> Stage | None:
        """Runs the host steps and returns the stage that follows, None at the end. `outputs`: the model's output names."""
        rest = self._rest
        if rest is None:
            return None
        for host in rest.calls:
            results = host.call([None if name is None else env[name] for name in host.reads])
            for name, result in zip(host.writes, results, strict=False):
                if name is not None:
                    env[name] = result
        if not rest.nodes:
            return None
        key = rest.key(env)
        stage = self._successors.get(key)
        if stage is None:
            stage = self._successors[key] = Stage(rest.graph(env, outputs), self._tools)
            if len(self._successors) > SUCCESSORS:
                self._successors.popitem(last=False)
        else:
            self._successors.move_to_end(key)
        return stage


class Rest:
    """The part of a graph that waits. `needed`: names of values whose elements its planning depends on."""

    def __init__(self, calls: list[HostCall], nodes: list[Node], needed: tuple[str, ...]) -> None:
        self.calls = calls
        self.nodes = nodes
        self.needed = needed
        made = {v for node in nodes for v in node.outputs}
        used = [v for node in nodes for v in [*node.inputs, *(c for sub in subgraphs(node) for c in sub.captures)]]
        self._reads = [v for v in OrderedDict.fromkeys(used) if v is not None and v not in made and v.const is None]

    def key(self, env: Env) -> Hashable:
        """What the plan of the rest depends on."""
        shapes = tuple((a.shape, a.dtype.num) if isinstance(a := env[v.name], np.ndarray) else None for v in self._reads)
        return shapes, tuple(np.asarray(env[name]).tobytes() for name in self.needed)

    def graph(self, env: Env, outputs: Sequence[str]) -> Graph:
        """The rest as a graph whose inputs have the types, and where needed the values, that `env` shows."""
        graph = Graph("rest")
        graph.nodes = self.nodes
        graph.inputs = list(self._reads)
        wanted = set(outputs)
        graph.outputs = [v for node in self.nodes for v in node.outputs if v is not None and v.name in wanted]
        copy = graph.clone()
        for value in copy.inputs:
            array = env[value.name]
            is_tensor = isinstance(array, np.ndarray) and array.dtype != object
            value.type = TensorType(array.dtype, array.shape) if is_tensor else None
            if value.name in self.needed:
                value.const = np.array(array)
        copy.inputs = [v for v in copy.inputs if v.const is None]
        return copy


def _settle(node: Node, cache: Cache) -> None:
    """Takes the constants that a host step reads into memory of our own."""
    inner = [value for sub in subgraphs(node) for value in sub.constants()]
    for value in [*node.inputs, *inner]:
        if value is not None and value.const is not None and value.const.dtype != object:
            value.const = cache.settle(value.const)


def split(graph: Graph, cache: Cache) -> tuple[Waiting, dict[str, np.ndarray]]:
    """Infers, and leaves in `graph` the native part that can be planned now, its inputs and its outputs. Returns what waits, and the
    outputs that are constants."""
    wanted = list(graph.outputs)
    waiting = infer(graph, cache)
    for node in waiting.nodes:
        wanted += [v for v in node.inputs if v is not None]
        wanted += [v for sub in subgraphs(node) for v in sub.captures]
    wanted += waiting.values
    made = {v for node in graph.nodes for v in node.outputs if v is not None}
    wanted = list(OrderedDict.fromkeys(wanted))
    graph.outputs = [v for v in wanted if v in made]
    graph.inputs = [v for v in graph.inputs if v.type is not None]  # the others are no tensors: host steps read them
    return waiting, {v.name: v.const for v in wanted if v.const is not None}


def bind(graph: Graph, types: Sequence[TensorType]) -> Graph:
    """A clone of the model's graph whose inputs have these concrete types."""
    copy = graph.clone()
    for value, type in zip(copy.inputs, types, strict=True):
        value.type = type
    return copy
