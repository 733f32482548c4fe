"""Concat and Split (ONNX 13: Concat; 18: Split)."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, all_given, axis_of, given, known_ints, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import cut, is_movable, join
from asymo.plan.strides import dense


@operator("Concat")
class Concat(Operator):
    """The inputs one after the other along `axis`."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        types = all_given(inputs)
        first = types[0]
        if "axis" not in node.attrs:
            raise ModelError(f"{node.where}: attribute 'axis' is missing")
        axis = axis_of(node, node.attrs["axis"], first.rank)
        for x in types:
            if x.dtype != first.dtype or x.rank != first.rank or any(
                a != b for i, (a, b) in enumerate(zip(x.dims, first.dims, strict=True)) if i != axis
            ):  # fmt: skip
                raise ModelError(f"{node.where}: {x.dtype}{x.dims} cannot be joined to {first.dtype}{first.dims} along axis {axis}")
        return [TensorType(first.dtype, (*first.dims[:axis], sum(x.dims[axis] for x in types), *first.dims[axis + 1 :]))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [np.concatenate(all_given(arrays), node.attrs["axis"])]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        y = lo.output(given(node.outputs))
        axis = node.attrs["axis"] % len(y.shape)
        at, inner = 0, prod(y.shape[axis + 1 :])
        for value in all_given(node.inputs):
            x = lo.input(value)
            join(lo, x, y, at * inner)
            at += x.shape[axis]

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        cases: list[tuple[list[tuple[int, ...]], int]] = [
            ([(2, 3, 4), (2, 5, 4)], 1), ([(2, 3), (1, 3), (4, 3)], 0), ([(2, 3, 5, 7), (2, 3, 5, 1), (2, 3, 5, 16)], -1),
            ([(3,), (0,), (5,)], 0), ([(2, 4)], 1), ([(1, 65, 33), (1, 70, 33)], 1),
        ]  # fmt: skip
        for shapes, axis in cases:
            yield Example([rng.standard_normal(s).astype(np.float32) for s in shapes], {"axis": axis})
        for dtype in (np.bool_, np.int64, np.float16):
            yield Example([rng.integers(0, 2, (3, n)).astype(dtype) for n in (2, 5)], {"axis": 1}, constant=(1,))


@operator("Split")
class Split(Operator):
    """Pieces along `axis`: of the lengths in the second input, or `num_outputs` equal ones, the last shorter."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if "split" in node.attrs:
            node.set_input(1, graph.constant(np.asarray(node.attrs.pop("split"), np.int64), "split"))
        if node.input(1) is None:
            node.attrs.setdefault("num_outputs", len(node.outputs))

    def _lengths(self, node: Node, size: int) -> tuple[int, ...]:
        lengths = known_ints(node, 1)
        if lengths is None:
            parts = node.attrs.get("num_outputs", len(node.outputs))
            step = -(-size // parts)
            lengths = tuple(max(0, min(step, size - i * step)) for i in range(parts))
        if sum(lengths) != size or min(lengths) < 0 or len(lengths) < len(node.outputs):
            raise ModelError(f"{node.where}: lengths {lengths} do not make up the {size} entries of the axis")
        return lengths

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        axis = axis_of(node, node.attrs.get("axis", 0), x.rank)
        lengths = self._lengths(node, x.dims[axis])
        return [TensorType(x.dtype, (*x.dims[:axis], n, *x.dims[axis + 1 :])) for n in lengths[: len(node.outputs)]]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        axis = node.attrs.get("axis", 0)
        ends = np.cumsum(self._lengths(node, given(arrays).shape[axis]))
        return [np.ascontiguousarray(a) for a in np.split(given(arrays), ends[:-1], axis)][: len(node.outputs)]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        x = lo.input(given(node.inputs))
        axis = node.attrs.get("axis", 0) % len(x.shape)
        at, inner = 0, prod(x.shape[axis + 1 :])
        for value, length in zip(node.outputs, self._lengths(node, x.shape[axis]), strict=False):
            part = x.at(at * inner)
            at += length
            if value is None or not (value.users or lo.graph.is_output(value)):
                continue
            if prod(x.shape[:axis]) == 1:
                lo.alias(value, part)
            else:
                y = lo.output(value)
                cut(lo, part, y, dense(x.shape))

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, 7, 5)).astype(np.float32)
        yield Example([x, np.array([3, 4])], {"axis": 1}, outputs=2, constant=(1,))
        yield Example([x, np.array([1, 0, 4])], {"axis": -1}, outputs=3, constant=(1,))
        yield Example([x], {"axis": 1, "num_outputs": 3}, outputs=3)
        yield Example([x], {}, outputs=2, opset=13)
        yield Example([x], {"axis": 2, "split": [2, 3]}, outputs=2, opset=11)
        yield Example([x.astype(np.int64)], {"axis": 0, "num_outputs": 2}, outputs=2)
