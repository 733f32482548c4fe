"""Reductions: the ten Reduce operators, ArgMax and ArgMin.

X is [outer, reduce, inner] around one block of reduced axes; several blocks are reduced one after the other, the last one first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

import numpy as np

from asymo.graph.build import ints
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, axis_of, given, known_ints, operator
from asymo.ops.matmul import F32, all_f32
from asymo.plan.lower import Lowering
from asymo.plan.plan import Args
from asymo.plan.tensor import Tensor

Ints = tuple[int, ...]

SUM, MEAN, MAX, MIN, PROD, L1, L2, SUM_SQUARE, LOG_SUM, LOG_SUM_EXP = range(10)
"""asymo_reduce_kind."""

KINDS = {
    # operator          (first blocks, further blocks, last block), result over nothing
    "ReduceSum": ((SUM, SUM, SUM), 0.0),
    "ReduceMean": ((MEAN, MEAN, MEAN), np.nan),
    "ReduceMax": ((MAX, MAX, MAX), -np.inf),
    "ReduceMin": ((MIN, MIN, MIN), np.inf),
    "ReduceProd": ((PROD, PROD, PROD), 1.0),
    "ReduceL1": ((L1, SUM, SUM), 0.0),
    "ReduceL2": ((L2, L2, L2), 0.0),
    "ReduceSumSquare": ((SUM_SQUARE, SUM, SUM), 0.0),
    "ReduceLogSum": ((SUM, SUM, LOG_SUM), -np.inf),
    "ReduceLogSumExp": ((LOG_SUM_EXP, LOG_SUM_EXP, LOG_SUM_EXP), -np.inf),
}

EVALUATE: dict[str, Callable[..., np.ndarray]] = {"ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min, "ReduceProd": np.prod}


def axes_of(node: Node, rank: int) -> Ints:
    """The reduced axes, ascending; all of them when none are given, unless noop_with_empty_axes."""
    axes = known_ints(node, 1)
    if not axes:
        return () if node.attrs.get("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({axis_of(node, a, rank) for a in axes}))


def without(shape: Ints, axes: Ints, keepdims: bool) -> Ints:
    return tuple(1 if i in axes else d for i, d in enumerate(shape) if keepdims or i not in axes)


def blocks(shape: Ints, axes: Ints) -> list[tuple[bool, int]]:
    """(is reduced, size) of the runs of neighbouring axes, those of size 1 left out."""
    runs: list[tuple[bool, int]] = []
    for i, size in enumerate(shape):
        reduced = i in axes
        if size == 1:
            continue
        if runs and runs[-1][0] == reduced:
            runs[-1] = (reduced, runs[-1][1] * size)
        else:
            runs.append((reduced, size))
    return runs


@operator(*KINDS)
class Reduce(Operator):
    """See the module's docstring. Axes are input 1 since opset 18 (13 for ReduceSum); before they were an attribute."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if "axes" in node.attrs:
            node.set_input(1, ints(graph, node.attrs.pop("axes"), "axes"))

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        shape = without(x.dims, axes_of(node, x.rank), bool(node.attrs.get("keepdims", 1)))
        return [TensorType(x.dtype, shape)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        x = given(arrays)
        if self.name not in EVALUATE or x.size == 0 or x.dtype.kind not in "iu":
            return None
        reduced = EVALUATE[self.name](x, axis=axes_of(node, x.ndim), keepdims=bool(node.attrs.get("keepdims", 1)))
        return [np.asarray(reduced, x.dtype)]

    def is_native(self, node: Node) -> bool:
        return node.inputs[0] is not None and node.inputs[0].dtype == F32

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        if 0 in y.shape:
            return
        kinds, nothing = KINDS[self.name]
        if 0 in x.shape:
            pattern = lo.derive(("reduce nothing", self.name), [], lambda: np.full(1, nothing, np.float32))
            lo.emit("fill", {"size_bytes": 4, "count": prod(y.shape), "unit_size": max(1, prod(y.shape))}, [pattern, y])
            return
        runs = blocks(x.shape, axes_of(node, len(x.shape)))
        todo = sum(reduced for reduced, _ in runs)
        if todo == 0:  # every element by itself
            self._emit(lo, x, y, kinds[2] if kinds[2] != SUM else kinds[0], 1, 1, prod(x.shape))
            return
        total = todo
        while todo:
            last = max(i for i, (reduced, _) in enumerate(runs) if reduced)
            outer, size, inner = prod(d for _, d in runs[:last]), runs[last][1], prod(d for _, d in runs[last + 1 :])
            kind = kinds[0] if todo == total else kinds[1]
            if todo == 1 and kinds[2] == LOG_SUM:
                kind = LOG_SUM
            target = y if todo == 1 else lo.temp((outer * inner,))
            self._emit(lo, x, target, kind, outer, size, inner)
            x = target
            runs = [*runs[:last], *runs[last + 1 :]]
            todo -= 1

    @staticmethod
    def _emit(lo: Lowering, x: Tensor, y: Tensor, kind: int, outer: int, size: int, inner: int) -> None:
        args: Args = {
            "mode": kind, "outer": outer, "reduce": size, "inner": inner, "outer_stride": size * inner, "reduce_stride": inner,
        }  # fmt: skip
        lo.emit("reduce", args, [x, y])

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(15)
        positive = self.name == "ReduceLogSum"
        cases: list[tuple[tuple[int, ...], list[int] | None]] = [
            ((3, 7), [1]), ((3, 37), [-1]), ((2, 5, 33), [1]), ((2, 5, 33), [0, 2]), ((2, 3, 4, 5), [0, 2]), ((2, 3, 4, 5), [1, 2, 3]),
            ((2, 3, 4, 5), None), ((129,), [0]), ((2, 1, 3), [1]), ((1, 9, 1, 17), [2, 1]), ((2, 0, 3), [1]), ((2, 3, 2, 3, 2), [0, 2, 4]),
        ]  # fmt: skip
        for shape, axes in cases:
            if 0 in shape and self.name == "ReduceMean":
                continue  # numpy warns; tests/test_ops.py has warnings as errors
            x = rng.standard_normal(shape).astype(np.float32)
            x = np.abs(x) + np.float32(0.1) if positive else x
            inputs: list[np.ndarray | None] = [x] if axes is None else [x, np.array(axes, np.int64)]
            constant = () if axes is None else (1,)
            yield Example(inputs, {"keepdims": 0}, constant=constant)
            yield Example(inputs, {}, constant=constant)
        x = np.abs(rng.standard_normal((3, 4))).astype(np.float32)
        yield Example([x, np.array([], np.int64)], {"noop_with_empty_axes": 1}, constant=(1,))
        yield Example([x, np.array([], np.int64)], {}, constant=(1,))


@operator("ArgMax", "ArgMin")
class ArgReduce(Operator):
    """Index of the largest or smallest element along an axis."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        axis = axis_of(node, int(node.attrs.get("axis", 0)), x.rank)
        shape = without(x.dims, (axis,), bool(node.attrs.get("keepdims", 1)))
        return [TensorType(np.dtype(np.int64), shape)]

    def is_native(self, node: Node) -> bool:
        return all_f32(node)

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        if 0 in y.shape:
            return
        axis = axis_of(node, int(node.attrs.get("axis", 0)), len(x.shape))
        args: Args = {
            "largest": int(self.name == "ArgMax"), "select_last": int(node.attrs.get("select_last_index", 0)),
            "outer": prod(x.shape[:axis]), "reduce": x.shape[axis] if x.shape else 1, "inner": prod(x.shape[axis + 1 :]),
        }  # fmt: skip
        lo.emit("argreduce", args, [x, y])

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(16)
        for shape, axis in [((3, 7), 1), ((3, 37), -1), ((2, 5, 33), 1), ((2, 5, 33), 0), ((129,), 0)]:
            x = np.round(2 * rng.standard_normal(shape)).astype(np.float32)
            for attrs in ({}, {"keepdims": 0}, {"select_last_index": 1}):
                yield Example([x], {"axis": axis, **attrs})
