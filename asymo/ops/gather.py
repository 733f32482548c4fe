"""Gather (ONNX 13)."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, all_given, axis_of, given, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import copy, is_movable
from asymo.plan.opcodes import dtype_code


@operator("Gather")
class Gather(Operator):
    """Y[o, i, j] = X[o, index[i], j]; a negative index counts from the end."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, index = all_given(inputs)
        axis = axis_of(node, node.attrs.get("axis", 0), x.rank)
        return [TensorType(x.dtype, (*x.dims[:axis], *index.dims, *x.dims[axis + 1 :]))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        x, index = all_given(arrays)
        axis = node.attrs.get("axis", 0)
        self._check(node, index, x.shape[axis])
        return [np.take(x, index.astype(np.int64), axis)]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype) and given(node.inputs, 1).dtype in (np.int32, np.int64)

    def lower(self, node: Node, lo: Lowering) -> None:
        x, index = map(lo.input, all_given(node.inputs))
        axis = node.attrs.get("axis", 0) % len(x.shape)
        outer, length, inner = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
        count = prod(index.shape)
        constant = given(node.inputs, 1).const
        if constant is not None:
            self._check(node, constant, length)
        if constant is not None and count == 1:
            row = x.at(int(constant.item()) % length * inner)
            if outer == 1:
                lo.alias(given(node.outputs), row)
            else:
                y = lo.output(given(node.outputs))
                copy(lo, row, y, (outer, inner), (length * inner, 1), (inner, 1))
            return
        y = lo.output(given(node.outputs))
        if prod(y.shape):
            args = {"outer": outer, "axis": length, "count": count, "inner_bytes": inner * x.dtype.itemsize}
            lo.emit("gather", {**args, "index_type": dtype_code(index.dtype)}, [x, index, y])

    @staticmethod
    def _check(node: Node, index: np.ndarray, length: int) -> None:
        if index.size and not (-length <= index.min() and index.max() < length):
            raise ModelError(f"{node.where}: indices {index.min()} to {index.max()} are outside an axis of length {length}")

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((5, 7, 3)).astype(np.float32)
        for axis in (0, 1, -1):
            n = x.shape[axis]
            yield Example([x, rng.integers(-n, n, (2, 4))], {"axis": axis})
            yield Example([x, rng.integers(-n, n, 3).astype(np.int32)], {"axis": axis}, constant=(1,))
            yield Example([x, np.array(-1)], {"axis": axis}, constant=(1,))
        yield Example([x, np.array(2)])
        yield Example([x, np.zeros((0, 2), np.int64)])
        yield Example([(x > 0), rng.integers(0, 5, 6)])
        yield Example([rng.standard_normal((50, 33)).astype(np.float64), rng.integers(0, 50, (1, 17))])
