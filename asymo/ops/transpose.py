"""Transpose (ONNX 21: Transpose)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, given, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import copy, is_movable
from asymo.plan.strides import dense


def permutation(node: Node, rank: int) -> tuple[int, ...]:
    """The node's perm; reversed axes when it has none."""
    perm = tuple(int(p) + rank * (p < 0) for p in node.attrs.get("perm", range(rank - 1, -1, -1)))
    if sorted(perm) != list(range(rank)):
        raise ModelError(f"{node.where}: perm {perm} does not permute the axes of a tensor of rank {rank}")
    return perm


def moves_nothing(perm: Sequence[int], shape: Sequence[int]) -> bool:
    """Whether the transposed tensor is the same memory: axes longer than 1 keep their order."""
    long = [p for p in perm if shape[p] != 1]
    return long == sorted(long)


@operator("Transpose")
class Transpose(Operator):
    """Y[i[perm[0]], i[perm[1]], ...] = X[i]."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        return [TensorType(x.dtype, tuple(x.dims[p] for p in permutation(node, x.rank)))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [np.ascontiguousarray(given(arrays).transpose(permutation(node, given(arrays).ndim)))]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        x = lo.input(given(node.inputs))
        perm = permutation(node, len(x.shape))
        if moves_nothing(perm, x.shape) or 0 in x.shape:
            lo.alias(given(node.outputs), x)
            return
        y = lo.output(given(node.outputs))
        strides = dense(x.shape)
        copy(lo, x, y, y.shape, [strides[p] for p in perm], dense(y.shape))

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for shape, perm in [
            ((2, 3, 5, 7), (0, 2, 3, 1)), ((2, 5, 7, 3), (0, 3, 1, 2)), ((37, 41), (1, 0)), ((3, 4, 5), (2, 1, 0)), ((1, 1, 9), (2, 0, 1)),
            ((2, 3, 4, 5, 6), (4, 0, 3, 1, 2)), ((3, 0, 2), (1, 0, 2)), ((2, 1, 2, 2, 2, 3, 2, 2, 2), (8, 7, 6, 5, 4, 3, 2, 1, 0)),
            ((130, 260), (1, 0)), ((7, 131, 67), (0, 2, 1)),
        ]:  # fmt: skip
            yield Example([rng.standard_normal(shape).astype(np.float32)], {"perm": list(perm)})
        yield Example([rng.standard_normal((3, 5, 2)).astype(np.float64)])
        for dtype in (np.int8, np.uint16, np.int64, np.bool_, np.complex128):
            yield Example([rng.integers(0, 2, (5, 3, 4)).astype(dtype)], {"perm": [2, 0, 1]})
