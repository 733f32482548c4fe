"""Cast and CastLike (ONNX 21) between bool, integers, float32 and float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from asymo.graph.dtypes import dtype_of
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, given, operator
from asymo.ops.eltwise import F32, Code, Elementwise, Operand, as_read, emit_typed
from asymo.plan import opcodes
from asymo.plan.lower import Lowering
from asymo.plan.move import is_movable


@operator("Cast")
class Cast(Elementwise):
    """C's conversion; to bool: not zero."""

    def result(self, node: Node, inputs: list[TensorType | None]) -> np.dtype:
        return dtype_of(node.attrs["to"])

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(self.result(node, inputs), given(inputs).dims)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        to = self.result(node, [TensorType(a.dtype, a.shape) for a in arrays if a is not None])
        if to.kind not in "biuf" or given(arrays).dtype.kind not in "biuf" or (to.kind == "f" and to.itemsize < 4):
            return None  # small floats saturate by rules of their own
        with np.errstate(invalid="ignore", over="ignore"):
            return [given(arrays).astype(to)]

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        x, y = given(node.inputs).dtype, given(node.outputs).dtype
        return operands[0] if y == F32 and as_read(x) else None

    def is_native(self, node: Node) -> bool:
        x, y = given(node.inputs).dtype, given(node.outputs).dtype
        return (x == y and is_movable(x)) or opcodes.has_typed("cast", (x,), y)

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y = given(node.inputs), given(node.outputs)
        if x.dtype == y.dtype:
            lo.alias(y, lo.input(x))
        else:
            emit_typed(lo, "cast", [lo.input(x)], lo.output(y))

    def examples(self) -> Iterator[Example]:
        number = {np.float32: 1, np.float64: 11, np.int32: 6, np.int64: 7, np.uint8: 2, np.bool_: 9, np.int8: 3, np.uint64: 13}
        x = np.random.default_rng(0).uniform(0, 100, (3, 5, 7))
        for source in (np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_):
            for to in number.values():
                yield Example([(x * (x > 20)).astype(source)], {"to": to})
        yield Example([np.array([-1.5, -0.0, 2.5, -100.9], np.float32)], {"to": 7})
        yield Example([np.array([2**40 + 1, -(2**62), 3])], {"to": 1})


@operator("CastLike")
class CastLike(Cast):
    """Cast to the type of the second input."""

    def result(self, node: Node, inputs: list[TensorType | None]) -> np.dtype:
        return given(inputs, 1).dtype

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        return None

    def examples(self) -> Iterator[Example]:
        yield Example([np.array([1.5, -2.5], np.float32), np.array([3])])
        yield Example([np.array([1, 0, 7]), np.array([1.0], np.float32)])
