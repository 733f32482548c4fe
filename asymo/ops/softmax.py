"""Softmax and LogSoftmax: X as [outer, reduce, inner] around the axis. Before opset 13 they meant the flattened matrix."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from asymo.graph.build import before
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, axis_of, given, operator
from asymo.ops.matmul import all_f32
from asymo.plan.lower import Lowering


@operator("Softmax", "LogSoftmax")
class Softmax(Operator):
    """ONNX Softmax and LogSoftmax."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if node.opset >= 13:
            return
        axis = int(node.attrs.get("axis", 1))
        x = given(node.inputs)
        if axis == -1 or (x.type is not None and x.type.shape is not None and axis == x.type.rank - 1):
            node.attrs = {"axis": -1}
            return
        shape = before(graph, node, "Shape", [x])
        matrix = before(graph, node, "Flatten", [x], {"axis": axis})
        soft = before(graph, node, node.op, [matrix], {"axis": -1}, name=node.name)
        node.op, node.attrs = "Reshape", {}
        node.set_inputs([soft, shape])

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        axis_of(node, int(node.attrs.get("axis", -1)), x.rank)
        return [x]

    def is_native(self, node: Node) -> bool:
        return all_f32(node)

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        if 0 in x.shape:
            return
        axis = axis_of(node, int(node.attrs.get("axis", -1)), len(x.shape))
        outer, reduce, inner = prod(x.shape[:axis]), prod(x.shape[axis : axis + 1]), prod(x.shape[axis + 1 :])
        lo.emit("softmax", {"log": int(self.name == "LogSoftmax"), "outer": outer, "reduce": reduce, "inner": inner}, [x, y])

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(7)
        for shape, axis in [((3, 7), 1), ((3, 37), -1), ((2, 5, 33), 1), ((2, 5, 33), 0), ((1, 1), -1), ((129,), 0), ((2, 3, 4, 19), 2)]:
            yield Example([(4 * rng.standard_normal(shape)).astype(np.float32)], {"axis": axis})
        yield Example([(10 * rng.standard_normal((3, 100))).astype(np.float32)])
        # onnx.reference knows the new meaning only; tests/test_fusions.py has the old one
        yield Example([rng.standard_normal((2, 4)).astype(np.float32)], {}, opset=11)
