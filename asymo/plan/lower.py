"""Lowering: operators emit steps into a `Lowering`, which then becomes a `Plan`.

An operator's `lower` asks for the tensors of its inputs (`lo.input`), makes those of its outputs (`lo.output`, or `lo.alias` when an output
is the same memory seen with another shape) and emits steps. Every tensor is dense and row-major in the shape its value has; a step
that can do more (strides) gets them as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol, overload

import numpy as np

from asymo.cost.speeds import Machine
from asymo.graph.absent import present
from asymo.graph.ir import Graph, Node, Value
from asymo.plan.access import Access, Region
from asymo.plan.arena import Lifetime, lengthen, place
from asymo.plan.horizon import columns, horizons, targets
from asymo.plan.moves import elide
from asymo.plan.plan import ABSENT, ARENA, Args, Plan, Port, Ref, Sharing, Step
from asymo.plan.share import Sharer
from asymo.plan.tensor import Buffer, Draft, Move, Tensor
from asymo.plan.tiles import Fitter

Emit = Callable[["Lowering", Tensor, Tensor, Sequence[int], Sequence[int], Sequence[int]], None]
"""Emits the steps of a move."""

RESIDUAL_STRIDE = {"gemm": "ldr", "conv": "r_batch", "dwconv": "r_batch", "winograd": "r_batch"}
"""Step kinds whose operand 3 is a residual, and the argument that is 0 without one: what a step costs follows from its arguments."""

Evaluate = Callable[[Node, list[np.ndarray | None]], Sequence[np.ndarray]]
"""Computes a node of constants on the host, where its operator has no `evaluate` of its own."""


class Mapped(Protocol):
    """Files that constants may be views of."""

    def holds(self, array: np.ndarray) -> bool: ...

    def release(self, array: np.ndarray) -> None:
        """The array is not needed for now: its memory can be given back."""


class Cache:
    """Arrays derived from constants (packed weights, folded scales, tables), kept over all plans of a session.

    `evaluate` is how constants are computed that need the host. `files`: where constants may lie that nobody owns. `defers`: whether passes
    may leave weights `Scaled`."""

    def __init__(self, evaluate: Evaluate | None = None, files: Mapped | None = None, defers: bool = False) -> None:
        self.evaluate = evaluate
        self.defers = defers
        self._files = files
        self._arrays: dict[tuple[Hashable, tuple[int, ...]], tuple[tuple[np.ndarray, ...], np.ndarray]] = {}

    def derive(self, key: Hashable, sources: Sequence[np.ndarray], make: Callable[..., np.ndarray]) -> np.ndarray:
        """`make(*sources)`, computed once for this key and these very arrays. They may be unaligned, or lie in a file:
        then they are released."""
        full = (key, tuple(id(a) for a in sources))
        if full not in self._arrays:
            self._arrays[full] = (tuple(sources), make(*sources))
            if self._files is not None:
                for array in sources:
                    self._files.release(array)
        return self._arrays[full][1]

    def settle(self, array: np.ndarray) -> np.ndarray:
        """The array as C can read it at any time: contiguous, aligned, and in memory that is ours."""
        if array.flags.c_contiguous and array.flags.aligned and not (self._files is not None and self._files.holds(array)):
            return array
        return self.derive("settle", [array], lambda a: np.array(a, order="C"))

    def entries(self) -> Iterator[tuple[Hashable, tuple[np.ndarray, ...], np.ndarray]]:
        """(key, sources, array) of everything that was derived, oldest first."""
        for (key, _), (sources, array) in self._arrays.items():
            yield key, sources, array


def constant_bytes(graph: Graph) -> int:
    """Bytes of the constants that a run reads."""
    values = {v for node in graph.nodes for v in node.inputs if v is not None and v.is_const}
    return sum(v.nbytes for v in values)


class Lowering:
    """Collects the steps of one graph. `machine` says which cores the plan is for: unit sizes and shares follow it, bits do not.

    packs False leaves derived constants (packed weights) out: such a plan can be read and simulated, not run. That is how a plan is made
    for a machine with other kernels than this one's."""

    def __init__(self, graph: Graph, cache: Cache, machine: Machine, packs: bool = True) -> None:
        self.graph = graph
        self.cache = cache
        self.machine = machine
        self._packs = packs
        self._sharer = Sharer(machine, constant_bytes(graph))
        self._fitter = Fitter(self._sharer)
        self._tensors: dict[Value, Tensor] = {}
        self._constants: dict[int, Tensor] = {}
        self._drafts: list[Draft] = []
        self._moves: list[Move] = []
        self._node: Node | None = None
        for i, value in enumerate(graph.inputs):
            self._tensors[value] = Tensor(Buffer(value.nbytes, input=i), 0, value.shape, value.dtype)

    # ---- what operators call

    @overload
    def input(self, value: Value) -> Tensor: ...
    @overload
    def input(self, value: None) -> None: ...
    @overload
    def input(self, value: Value | None) -> Tensor | None: ...
    def input(self, value: Value | None) -> Tensor | None:
        """The tensor of a node's input; None when the input is absent."""
        if value is None:
            return None
        if value not in self._tensors:
            assert value.const is not None, f"{value.name!r} is used before it is made"
            self._tensors[value] = self.const(value.const)
        return self._tensors[value]

    @overload
    def output(self, value: Value) -> Tensor: ...
    @overload
    def output(self, value: None) -> None: ...
    @overload
    def output(self, value: Value | None) -> Tensor | None: ...
    def output(self, value: Value | None) -> Tensor | None:
        """A new tensor for a node's output; None when nobody asked for the output."""
        if value is None:
            return None
        assert value.type is not None
        self._tensors[value] = self.temp(value.shape, value.dtype)
        return self._tensors[value]

    def alias(self, value: Value, tensor: Tensor) -> None:
        """The output is this memory, seen with the value's own shape (Reshape, Squeeze, a transpose that moves no element, ...)."""
        assert value.type is not None and value.type.dtype.itemsize == tensor.dtype.itemsize
        self._tensors[value] = Tensor(tensor.buffer, tensor.offset_bytes, value.shape, value.dtype)

    def temp(self, shape: tuple[int, ...], dtype: np.dtype | type = np.float32) -> Tensor:
        """Scratch memory between steps."""
        dtype = np.dtype(dtype)
        return Tensor(Buffer(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize), 0, tuple(shape), dtype)

    def const(self, array: np.ndarray) -> Tensor:
        """A constant operand."""
        array = self.cache.settle(array)
        if id(array) not in self._constants:
            self._constants[id(array)] = Tensor(Buffer(array.nbytes, array=array), 0, array.shape, array.dtype)
        return self._constants[id(array)]

    def derive(self, key: Hashable, sources: Sequence[np.ndarray], make: Callable[..., np.ndarray]) -> Tensor:
        """A constant computed from constants once per session, whatever the shapes: packed weights and the like."""
        if not self._packs:
            nbytes = sum(a.nbytes for a in sources)
            nothing = np.broadcast_to(np.zeros(1, np.uint8), nbytes)
            return Tensor(Buffer(nbytes, array=nothing), 0, nothing.shape, nothing.dtype)
        return self.const(self.cache.derive(key, sources, make))

    def packed_size(self, k: int, n: int) -> int:
        """Elements of B[k, n] packed for the machine's kernels."""
        nr = self.machine.geometry[1]
        return k * (-(-n // nr) * nr)

    def emit(self, kind: str, args: Args, operands: Sequence[Tensor | None]) -> None:
        """Appends a step. operands in the order of csrc/asymo.h; of the arguments the unit sizes are left out where `plan.tiles` finds
        them."""
        assert self._node is not None
        if kind in RESIDUAL_STRIDE and operands[3] is None:
            args = {**args, RESIDUAL_STRIDE[kind]: 0}
        self._drafts.append(Draft(kind, self._fitter.fit(kind, args), list(operands), self._node))

    def moved(self, source: Tensor, target: Tensor, shape: Sequence[int], src: Sequence[int], dst: Sequence[int], emit: Emit) -> None:
        """Emits target[i . dst] = source[i . src] by steps that fall away where nothing has to move (plan/moves.py)."""
        first = len(self._drafts)
        emit(self, source, target, shape, src, dst)
        self._moves.append(Move(source, target, shape, src, dst, self._drafts[first:]))

    # ---- what the planner calls

    def begin(self, node: Node) -> None:
        self._node = node

    def finish(self) -> Plan:
        """Gives every buffer its place and returns the plan."""
        outputs = self._claim_outputs()
        self._drafts = elide(self._drafts, self._moves, outputs)
        constants: list[np.ndarray] = []
        slots: dict[Buffer, int] = {}
        arena: dict[Buffer, Lifetime] = {}
        for index, draft in enumerate(self._drafts):
            for tensor in draft.operands:
                if tensor is None or tensor.buffer in outputs or tensor.buffer.input is not None:
                    continue
                if tensor.buffer.array is not None:
                    if tensor.buffer not in slots:
                        constants.append(present(tensor.buffer.array))
                        slots[tensor.buffer] = len(constants)
                elif tensor.buffer in arena:
                    arena[tensor.buffer] = arena[tensor.buffer]._replace(last=index)
                else:
                    arena[tensor.buffer] = Lifetime(tensor.buffer.nbytes, index, index)
        decisions = self._decide()
        lives = list(arena.values())
        if self.machine.cores > 1:
            lives = lengthen(lives, [ns for _, ns in decisions], self._fitter.target.l2_bytes)
        arena_bytes, offsets = place(lives)
        where = dict(zip(arena, offsets, strict=True))
        first_input = 1 + len(constants)
        first_output = first_input + len(self.graph.inputs)

        def ref(tensor: Tensor | None) -> Ref:
            if tensor is None:
                return ABSENT
            buffer = tensor.buffer
            if buffer in outputs:
                return Ref(first_output + outputs[buffer], tensor.offset_bytes)
            if buffer.input is not None:
                return Ref(first_input + buffer.input, tensor.offset_bytes)
            if buffer.array is not None:
                return Ref(slots[buffer], tensor.offset_bytes)
            return Ref(ARENA, where[buffer] + tensor.offset_bytes)

        def region(tensor: Tensor, rows: tuple[int, int] | None = None) -> Region:
            buffer = tensor.buffer
            begin = where.get(buffer, 0)
            whole = Region(first_output + outputs[buffer] if buffer in outputs else ARENA, begin, begin + buffer.nbytes)
            if rows is None or tensor.offset_bytes % rows[1] + rows[0] > rows[1]:
                return whole
            return whole._replace(pitch=rows[1], column=tensor.offset_bytes % rows[1], width=rows[0])

        def access(draft: Draft) -> Access:
            written = targets(draft.kind, draft.args, len(draft.operands))
            made = [
                (i in written, region(t, columns(draft.kind, draft.args, i)))
                for i, t in enumerate(draft.operands)
                if t is not None and t.buffer.is_writable
            ]
            return Access(tuple(r for is_target, r in made if not is_target), tuple(r for is_target, r in made if is_target))

        accesses = tuple(access(draft) for draft in self._drafts)
        steps = tuple(
            Step(d.kind, d.args, tuple(ref(t) for t in d.operands), d.node.name or next(v.name for v in d.node.outputs if v), d.node.op,
                 sharing, ns, horizon)
            for d, (sharing, ns), horizon in zip(self._drafts, decisions, horizons(accesses), strict=True)
        )  # fmt: skip
        return Plan(
            steps=steps,
            arena_bytes=arena_bytes,
            constants=tuple(constants),
            inputs=tuple(Port(v.name, v.dtype, v.shape) for v in self.graph.inputs),
            outputs=tuple(Port(v.name, v.dtype, v.shape) for v in self.graph.outputs),
            machine=self.machine,
            run_bytes=self._sharer.run_bytes,
            accesses=accesses,
        )

    def _decide(self) -> list[tuple[Sharing, float]]:
        """(sharing, predicted nanoseconds) of every step."""
        return [(d.sharing, 1e9 * d.option.seconds) for d in self._sharer.sequence([(d.kind, d.args) for d in self._drafts])]

    def _claim_outputs(self) -> dict[Buffer, int]:
        """Lets the caller's arrays be the memory of the outputs. An output that is an input, a constant, a part of a larger buffer or a
        second name of another output is copied there by a last step."""
        claimed: dict[Buffer, int] = {}
        for index, value in enumerate(self.graph.outputs):
            tensor = self.input(value)
            nbytes = value.nbytes
            if tensor.buffer.is_writable and tensor.offset_bytes == 0 and tensor.buffer.nbytes == nbytes and tensor.buffer not in claimed:
                claimed[tensor.buffer] = index
                continue
            target = self.temp(value.shape, value.dtype)
            claimed[target.buffer] = index
            if nbytes:
                self._node = value.producer or Node("Identity", [value], [Value(value.name, value.type)])
                self.copy(tensor, target)
        return claimed

    def copy(self, source: Tensor, target: Tensor) -> None:
        """Emits a plain copy of a dense tensor."""
        count = int(np.prod(target.shape, dtype=np.int64))
        rows = -(-count // 16384)
        shape, tail = (rows, 1, 16384), count - (rows - 1) * 16384
        if tail != 16384:  # the last row is shorter: two steps
            if rows > 1:
                self._copy_rows(source, target, (rows - 1, 1, 16384))
            done = (rows - 1) * 16384
            self._copy_rows(source.at(done), target.at(done), (1, 1, tail))
        else:
            self._copy_rows(source, target, shape)

    def _copy_rows(self, source: Tensor, target: Tensor, shape: tuple[int, int, int]) -> None:
        stride = (shape[2], shape[2], 1)
        size = target.dtype.itemsize
        args: Args = {"size_bytes": size, "rank": 3, "shape": shape, "src_stride": stride, "dst_stride": stride, "unit_rows": 1}
        self.emit("copy", args, [source, target])
