"""Scales weights instead of images: Squeeze-Excite's product moves into the pointwise convolution behind it.

Requires: asymo::Conv, channels last. Does: where Y = Conv(X * S) is 1x1 with constant weights, S is one number per image and channel, and
nobody else reads the product, the convolution takes S as its scale and multiplies its weights by it, which are fewer than the pixels:
(x s) w = x (s w). Ensures: nothing more.
"""

from __future__ import annotations

from math import prod

import numpy as np

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import is_op, made_by
from asymo.graph.passes.fuse_separable import is_pointwise
from asymo.ops import given
from asymo.ops.conv import SCALE
from asymo.plan.lower import Cache

LEAST_PIXELS = 2
"""Pixels of an image for each output channel. Weights are scaled in pieces of a panel's width, which costs about as much as three times as
many elements of an image."""


def run(graph: Graph, cache: Cache) -> bool:
    gone: set[Node] = set()
    for node in graph.nodes:
        product = _product(graph, node)
        if product is not None:
            x, s = _parts(product) or (None, None)
            node.set_input(0, x)
            node.set_input(SCALE, s)
            gone.add(product)
    graph.remove_all(gone)
    return bool(gone)


def _product(graph: Graph, node: Node) -> Node | None:
    """The product that a convolution reads, when it can take over its scale."""
    if not is_pointwise(node) or node.input(SCALE) is not None:
        return None
    value = given(node.inputs)
    product, pixels = made_by(value, "Mul"), prod(value.shape[1:-1])
    alone = graph.only_user(value) is node and pixels >= LEAST_PIXELS * given(node.outputs).shape[-1]
    return product if product is not None and alone and _parts(product) is not None else None


def _parts(product: Node) -> tuple[Value, Value] | None:
    """(image, scale) of a product."""
    a, b = given(product.inputs), given(product.inputs, 1)
    n, *_, c = shape = given(product.outputs).shape
    scale = (n, *(1 for _ in shape[1:-1]), c)
    if not is_op(product, "Mul") or any(v.dtype != np.float32 or v.const is not None for v in (a, b)):
        return None
    return next(((x, s) for x, s in ((a, b), (b, a)) if x.shape == shape and s.shape == scale), None)
