"""asymo::ChannelShuffle: channel g * (C / groups) + c of X becomes channel c * groups + g of Y. attrs groups, axis (of the channels)."""

from __future__ import annotations

from math import prod

from asymo.graph.ir import Node, TensorType
from asymo.ops import Operator, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import copy


@operator("ChannelShuffle", domain="asymo")
class ChannelShuffle(Operator):
    """See the module's docstring."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [inputs[0]]

    def lower(self, node: Node, lo: Lowering) -> None:
        assert node.outputs[0] is not None
        x, y = lo.input(node.inputs[0]), lo.output(node.outputs[0])
        assert x is not None
        assert y is not None
        if 0 in x.shape:
            return
        axis, groups = node.attrs["axis"], node.attrs["groups"]
        outer, each, inner = prod(x.shape[:axis]), x.shape[axis] // groups, prod(x.shape[axis + 1 :])
        size = each * groups * inner
        copy(lo, x, y, (outer, each, groups, inner), (size, inner, each * inner, 1), (size, groups * inner, inner, 1))
