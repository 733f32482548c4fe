"""Constants and shape arithmetic: Constant, ConstantOfShape, Shape, Size, Range."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, given, given_ints, known, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import fill, is_movable


class Folded(Operator):
    """An operator whose output is known as soon as it can be inferred, so that it is always folded."""

    def is_native(self, node: Node) -> bool:
        return given(node.outputs).dtype.kind != "O"

    def value(self, node: Node) -> np.ndarray:
        """The output."""
        raise NotImplementedError

    def lower(self, node: Node, lo: Lowering) -> None:
        lo.alias(given(node.outputs), lo.const(self.value(node)))


@operator("Constant")
class Constant(Folded):
    """The value of its one attribute."""

    def value(self, node: Node) -> np.ndarray:
        for name, dtype in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64), ("value_ints", np.int64)):
            if name in node.attrs:
                return np.asarray(node.attrs[name], dtype)
        for name in ("value_string", "value_strings"):
            if name in node.attrs:
                return np.asarray(node.attrs[name], object)
        value = node.attrs.get("value")
        if not isinstance(value, np.ndarray):
            raise ModelError(f"{node.where}: has no dense value")
        return value

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        value = self.value(node)
        return [TensorType(value.dtype, value.shape)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [self.value(node)]

    def examples(self) -> Iterator[Example]:
        yield Example([], {"value": np.arange(6, dtype=np.float32).reshape(2, 3)})
        yield Example([], {"value_float": 2.5})
        yield Example([], {"value_ints": [3, 4]})


@operator("ConstantOfShape")
class ConstantOfShape(Operator):
    """One value, everywhere."""

    @staticmethod
    def _element(node: Node) -> np.ndarray:
        return np.asarray(node.attrs.get("value", np.zeros(1, np.float32))).reshape(1)

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        shape = given_ints(node, 0)
        if min(shape, default=0) < 0:
            raise ModelError(f"{node.where}: shape {shape} has a negative dimension")
        return [TensorType(self._element(node).dtype, shape)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [np.full(tuple(int(d) for d in given(arrays)), self._element(node))]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.outputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        fill(lo, lo.output(given(node.outputs)), self._element(node))

    def examples(self) -> Iterator[Example]:
        yield Example([np.array([3, 5])], {"value": np.array([2.5], np.float32)}, constant=(0,))
        yield Example([np.array([4])], {}, constant=(0,))
        yield Example([np.array([2, 0])], {"value": np.array([7])}, constant=(0,))
        yield Example([np.array([300, 70])], {"value": np.array([True])}, constant=(0,))


@operator("Shape")
class ShapeOf(Folded):
    """The shape of X, or a part of it."""

    def value(self, node: Node) -> np.ndarray:
        return self._part(node, given(node.inputs).shape)

    @staticmethod
    def _part(node: Node, shape: tuple[int, ...]) -> np.ndarray:
        return np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end", len(shape))], np.int64)

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(np.dtype(np.int64), self._part(node, given(inputs).dims).shape)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [self._part(node, given(arrays).shape)]

    def examples(self) -> Iterator[Example]:
        x = np.zeros((3, 4, 5), np.float32)
        yield Example([x])
        yield Example([x], {"start": 1})
        yield Example([x], {"start": -2, "end": -1})


@operator("Size")
class SizeOf(Folded):
    """The number of elements of X."""

    def value(self, node: Node) -> np.ndarray:
        return np.array(prod(given(node.inputs).shape), np.int64)

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(np.dtype(np.int64), ())]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [np.array(given(arrays).size, np.int64)]

    def examples(self) -> Iterator[Example]:
        yield Example([np.zeros((3, 4), np.float32)])


@operator("Range")
class Range(Folded):
    """start, start + delta, ... below (above) limit."""

    def count(self, node: Node) -> int:
        start, limit, delta = (known(node, i).reshape(()).item() for i in range(3))
        try:
            return max(0, ceil((limit - start) / delta)) if delta else 0
        except (ValueError, OverflowError):
            raise ModelError(f"{node.where}: start {start}, limit {limit}, delta {delta} give no number of elements") from None

    def value(self, node: Node) -> np.ndarray:
        start, delta = known(node, 0).reshape(()), known(node, 2).reshape(())
        return np.asarray(start + np.arange(self.count(node)).astype(start.dtype) * delta, start.dtype)

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(known(node, 0).dtype, (self.count(node),))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [self.value(node)]

    def examples(self) -> Iterator[Example]:
        yield Example([np.array(1), np.array(10), np.array(3)], constant=(0, 1, 2))
        yield Example([np.array(5.0, np.float32), np.array(-1.0, np.float32), np.array(-1.5, np.float32)], constant=(0, 1, 2))
        yield Example([np.array(3), np.array(3), np.array(1)], constant=(0, 1, 2))
