"""asymo::ChannelShuffle: channel g * (C / groups) + c of X becomes channel c * groups + g of Y. attrs groups, axis (of the channels)."""

from __future__ import annotations

from math import prod

from asymo.graph.ir import Node, TensorType
from asymo.ops import Operator, given, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import copy


@operator("ChannelShuffle", domain="asymo")
class ChannelShuffle(Operator):
    """See the module's docstring."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [given(inputs)]

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        if 0 in x.shape:
            return
        axis, groups = node.attrs["axis"], node.attrs["groups"]
        outer, each, inner = prod(x.shape[:axis]), x.shape[axis] // groups, prod(x.shape[axis + 1 :])
        size = each * groups * inner
        copy(lo, x, y, (outer, each, groups, inner), (size, inner, each * inner, 1), (size, groups * inner, inner, 1))
