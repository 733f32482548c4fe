"""Expand and Tile (ONNX 13)."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, broadcast, given, given_ints, operator
from asymo.plan import strides
from asymo.plan.lower import Lowering
from asymo.plan.move import copy, is_movable


@operator("Expand")
class Expand(Operator):
    """X broadcast against a shape."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(given(inputs).dtype, broadcast(node, given(inputs).dims, given_ints(node, 1)))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        shape = broadcast(node, given(arrays).shape, tuple(int(d) for d in given(arrays, 1)))
        return [np.ascontiguousarray(np.broadcast_to(given(arrays), shape))]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        x = lo.input(given(node.inputs))
        shape = given(node.outputs).shape
        if prod(shape) == prod(x.shape):
            lo.alias(given(node.outputs), x)
            return
        copy(lo, x, lo.output(given(node.outputs)), shape, strides.broadcast(x.shape, shape), strides.dense(shape))

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for shape, wanted in [((3, 1), (2, 3, 6)), ((1,), (5, 7)), ((3, 1, 5), (1, 4, 1)), ((4, 2), (4, 2)), ((), (3,)), ((1, 4), (0, 4))]:
            yield Example([rng.standard_normal(shape).astype(np.float32), np.array(wanted)], constant=(1,))
        yield Example([np.array([[True], [False]]), np.array([2, 9])], constant=(1,))


@operator("Tile")
class Tile(Operator):
    """X repeated along every axis."""

    def _repeats(self, node: Node, rank: int) -> tuple[int, ...]:
        repeats = given_ints(node, 1)
        if len(repeats) != rank or min(repeats, default=0) < 0:
            raise ModelError(f"{node.where}: repeats {repeats} do not fit a tensor of rank {rank}")
        return repeats

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        return [TensorType(x.dtype, tuple(n * r for n, r in zip(x.dims, self._repeats(node, x.rank), strict=True)))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [np.tile(given(arrays), self._repeats(node, given(arrays).ndim))]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        x = lo.input(given(node.inputs))
        repeats = self._repeats(node, len(x.shape))
        if prod(repeats) == 1:
            lo.alias(given(node.outputs), x)
            return
        y = lo.output(given(node.outputs))
        shape = [n for pair in zip(repeats, x.shape, strict=True) for n in pair]
        src = [s for stride in strides.dense(x.shape) for s in (0, stride)]
        copy(lo, x, y, shape, src, strides.dense(shape))

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for shape, repeats in [
            ((2, 3), (2, 1)),
            ((2, 3), (1, 3)),
            ((2, 1, 5), (3, 4, 2)),
            ((4,), (1,)),
            ((3,), (0,)),
            ((2, 2, 3, 2, 2), (2, 3, 2, 2, 2)),
        ]:
            yield Example([rng.standard_normal(shape).astype(np.float32), np.array(repeats)], constant=(1,))
        yield Example([rng.integers(0, 9, (3, 2)), np.array([2, 2])], constant=(1,))
