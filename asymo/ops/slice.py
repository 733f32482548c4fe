"""Slice (ONNX 13)."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, axis_of, given, given_ints, known_ints, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import cut, is_movable
from asymo.plan.strides import dense


def ranges(node: Node, shape: tuple[int, ...]) -> list[range]:
    """The indices that are kept of every axis. Raises NeedsValue."""
    starts, ends = given_ints(node, 1), given_ints(node, 2)
    axes, steps = known_ints(node, 3), known_ints(node, 4)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise ModelError(f"{node.where}: starts {starts}, ends {ends}, axes {axes} and steps {steps} do not fit together")
    kept = [range(n) for n in shape]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis_of(node, axis, len(shape))
        kept[axis] = range(*slice(start, end, step).indices(shape[axis]))
    return kept


@operator("Slice")
class Slice(Operator):
    """Y = X[start:end:step] along the given axes."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if node.opset < 10:
            for index, name in enumerate(("starts", "ends", "axes"), 1):
                if name in node.attrs:
                    node.set_input(index, graph.constant(np.asarray(node.attrs.pop(name), np.int64), name))

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(given(inputs).dtype, tuple(len(r) for r in ranges(node, given(inputs).dims)))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        x = given(arrays)
        for axis, kept in enumerate(ranges(node, x.shape)):
            if kept != range(x.shape[axis]):
                x = x.take(kept, axis)
        return [x]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        x = lo.input(given(node.inputs))
        kept = ranges(node, x.shape)
        strides = dense(x.shape)
        first = x.at(sum(r.start * s for r, s in zip(kept, strides, strict=True))) if all(kept) else x
        lengths = [len(r) for r in kept]
        outermost = next((i for i, n in enumerate(lengths) if n != 1), 0)
        if all(kept) and all(r == range(n) for r, n in zip(kept[outermost + 1 :], x.shape[outermost + 1 :], strict=True)) and (
            prod(lengths) == 1 or kept[outermost].step == 1
        ):  # fmt: skip
            lo.alias(given(node.outputs), first)
            return
        y = lo.output(given(node.outputs))
        cut(lo, first, y, [s * r.step for s, r in zip(strides, kept, strict=True)])

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((5, 7, 9)).astype(np.float32)

        def case(array: np.ndarray, *ints: list[int] | None) -> Example:
            return Example([array, *(None if i is None else np.array(i) for i in ints)], constant=tuple(range(1, 1 + len(ints))))

        yield case(x, [1, 2], [4, 6])
        yield case(x, [0], [3])
        yield case(x, [2], [3], [0])
        yield case(x[:1], [3], [4], [1])
        yield case(x, [-1, 8], [-100, 0], [0, 2], [-1, -3])
        yield case(x, [1], [1000], [-2], [2])
        yield case(x, [6], [2], [1])
        yield case(x, [2, 0], [5, 9], [0, 1], None)
        yield case((10 * x).astype(np.int32), [1], [-1], [2], [2])
        yield Example([x], {"starts": [1, -3], "ends": [4, 9], "axes": [0, 2]}, opset=9)
        yield Example([x], {"starts": [1], "ends": [4]}, opset=9)
