"""asymo::Separable: a depthwise convolution with the pointwise ones around it, made by the pass fuse_separable.

  inputs   X, A as ONNX (e, c, 1, 1) or absent, its bias or absent, W (e, 1, kh, kw), its bias or absent, B (n, e, 1, 1) or absent, its bias
           or absent, residual (the shape of Y, only with B) or absent. Channels last; weights are constants.
  attrs    kernel_shape, strides, pads, dilations of the depthwise part; acts: (act, p, q) of the three parts, see ops/epilogue.py
What passes between the parts is never in memory as a whole; elements have the bits of three steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, given, operator
from asymo.ops.conv import depthwise_weights, pack_weights
from asymo.ops.epilogue import ACTS
from asymo.ops.window import window
from asymo.plan.lower import Lowering
from asymo.plan.plan import Args

X, A, A_BIAS, W, W_BIAS, B, B_BIAS, RESIDUAL = range(8)


def act_of(node: Node) -> tuple[str, float, float]:
    """(act, p, q) of an asymo::Conv."""
    return node.attrs.get("act", "none"), float(node.attrs.get("p", 0.0)), float(node.attrs.get("q", 0.0))


@operator("Separable", domain="asymo")
class Separable(Operator):
    """See the module's docstring."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, w = given(inputs), given(inputs, W)
        b = inputs[B] if len(inputs) > B else None
        out = window(node, x.dims[1:-1], w.dims[2:]).out
        return [TensorType(x.dtype, (x.dims[0], *out, (b or w).dims[0]))]

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        if 0 in y.shape:
            return
        w = given(node.inputs, W)
        batch, *dims, c = x.shape
        win = window(node, tuple(dims), w.shape[2:])
        acts: list[tuple[str, float, float]] = node.attrs["acts"]
        args: Args = {
            "batch": batch, "c": c, "e": w.shape[0], "n": y.shape[-1],
            "in": win.inp, "out": win.out, "kernel": win.kernel, "stride": win.stride, "dilation": win.dilation, "pad": win.begin,
            "expands": int(node.input(A) is not None), "projects": int(node.input(B) is not None),
            "adds": int(node.input(RESIDUAL) is not None),
            "act": tuple(ACTS.index(act) for act, _, _ in acts), "p": tuple(p for _, p, _ in acts), "q": tuple(q for _, _, q in acts),
        }  # fmt: skip
        packed: dict[int, Any] = {i: pack_weights(lo, v, 1) for i in (A, B) if (v := node.input(i)) is not None}
        packed[W] = depthwise_weights(lo, w, w.shape[0], w.shape[2] * w.shape[3])
        lo.emit("separable", args, [x, *(packed[i] if i in packed else lo.input(node.input(i)) for i in range(A, RESIDUAL + 1)), y])

    def examples(self) -> Iterator[Example]:
        return iter(())  # no ONNX node looks like this; tests/test_separable.py runs what the pass makes
