"""The end of a GEMM or convolution: bias, residual, activation; what asymo::Conv, ConvTranspose and MatMul share.

Attributes: act (a name of ACTS), p, q. Inputs after the two operands: bias, residual (the shape of the output), slope (for prelu).
"""

from __future__ import annotations

from asymo.graph.ir import Node
from asymo.plan.plan import Args

ACTS = (
    "none", "clip", "leaky_relu", "prelu", "sigmoid", "tanh", "silu", "hard_sigmoid", "hard_swish", "gelu_erf", "gelu_tanh", "elu",
    "affine", "softsign", "softplus", "linear", "thresholded",
)  # fmt: skip
"""Activations; the index is the value of asymo_act (csrc/asymo.h)."""

BIAS, RESIDUAL, SLOPE = 2, 3, 4


def act_args(node: Node) -> Args:
    """The activation fields of a step's arguments."""
    return {
        "act": ACTS.index(node.attrs.get("act", "none")),
        "p": float(node.attrs.get("p", 0.0)),
        "q": float(node.attrs.get("q", 0.0)),
    }
