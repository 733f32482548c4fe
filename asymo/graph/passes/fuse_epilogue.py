"""Fuses what follows a convolution or matrix product into it.

Requires: concrete shapes; asymo::Conv, ConvTranspose, MatMul (pass specialise), channels first; patterns already one node (fuse_gelu, ...).
Does: takes up into the product, in this order and each at most once: Mul by a constant per output channel (into constant weights), Add of a
  constant per output channel (bias), Add of a tensor of the output's shape (residual), an activation with constant parameters; for
  MatMul also Mul and Div by one number; behind HardSwish also Mul and Add by numbers (the learnable affine blocks of PP-LCNet). The
  product moves to the place of the last node it swallows, where all its inputs exist.
Ensures: no activation is the only user of a product that has none yet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import is_op, per_channel, scalar_of, split_scalar
from asymo.ops import given
from asymo.ops.epilogue import BIAS, RESIDUAL, SLOPE
from asymo.plan.lower import Cache

PRODUCTS = ("Conv", "ConvTranspose", "MatMul")
Activation = tuple[str, float, float]


def clip(node: Node) -> Activation | None:
    bounds = []
    for index, missing in ((1, -np.inf), (2, np.inf)):
        value = node.input(index)
        bound = missing if value is None else scalar_of(value)
        if bound is None:
            return None
        bounds.append(float(bound))
    return "clip", bounds[0], bounds[1]


def gelu(node: Node) -> Activation:
    return ("gelu_tanh" if node.attrs.get("approximate", "none") in ("tanh", b"tanh") else "gelu_erf"), 0.0, 0.0


ACTIVATIONS: dict[str, Callable[[Node], Activation | None]] = {
    "Relu": lambda n: ("clip", 0.0, float("inf")),
    "Clip": clip,
    "LeakyRelu": lambda n: ("leaky_relu", n.attrs.get("alpha", 0.01), 0.0),
    "Sigmoid": lambda n: ("sigmoid", 0.0, 0.0),
    "Tanh": lambda n: ("tanh", 0.0, 0.0),
    "Swish": lambda n: ("silu", n.attrs.get("alpha", 1.0), 0.0),
    "HardSigmoid": lambda n: ("hard_sigmoid", n.attrs.get("alpha", 0.2), n.attrs.get("beta", 0.5)),
    "HardSwish": lambda n: ("hard_swish", 1.0, 0.0),
    "Gelu": gelu,
    "Elu": lambda n: ("elu", n.attrs.get("alpha", 1.0), 0.0),
    "Softplus": lambda n: ("softplus", 0.0, 0.0),
    "Softsign": lambda n: ("softsign", 0.0, 0.0),
    "ThresholdedRelu": lambda n: ("thresholded", n.attrs.get("alpha", 1.0), 0.0),
}


def run(graph: Graph, cache: Cache) -> bool:
    dead: set[Node] = set()
    order: dict[Node, int] = {}
    result: list[Node | None] = []
    for node in graph.nodes:
        order[node] = len(result)
        result.append(node)
        for product in _candidates(graph, node, order):
            if _absorb(graph, cache, product, node):
                result[order[product]] = None
                order[product] = len(result) - 1
                result[-1] = product
                dead.add(node)
                break
    graph.nodes = [n for n in result if n is not None]
    return bool(dead)


def _candidates(graph: Graph, node: Node, order: dict[Node, int]) -> list[Node]:
    """Products that only this node uses, the latest first."""
    found = {
        v.producer
        for v in node.inputs
        if v is not None and is_op(v.producer, *PRODUCTS, domain="asymo") and v.producer in order and graph.only_user(v) is node
    }
    return sorted(found, key=lambda p: -order[p])


def _absorb(graph: Graph, cache: Cache, product: Node, node: Node) -> bool:
    """Takes `node` into `product` when it can; the product then makes the node's output."""
    value, y = given(product.outputs), given(node.outputs)
    if node.domain != "" or value.shape != y.shape or y.dtype != np.float32:
        return False
    if product.attrs.get("act", "none") != "none":
        if not _after_activation(product, node):
            return False
    elif node.op in ACTIVATIONS or node.op == "PRelu":
        if not _activation(graph, cache, product, node):
            return False
    elif node.op in ("Add", "Mul", "Div", "Sub"):
        other = node.inputs[1] if node.inputs[0] is value else node.inputs[0]
        if other is None or other is value or other.dtype != np.float32:
            return False
        rule = {"Add": _add, "Mul": _mul, "Div": _div, "Sub": _sub}[node.op]
        if not rule(graph, cache, product, node, other):
            return False
    else:
        return False
    node.set_inputs([])
    product.outputs[0] = y
    y.producer = product
    return True


def channels_of(product: Node) -> tuple[int, int]:
    """(axis, size) of the output channels."""
    y = given(product.outputs)
    axis = len(y.shape) - 1 if product.op == "MatMul" else 1
    return axis, y.shape[axis]


def has_columns(product: Node) -> bool:
    """Whether the last axis of a MatMul's output is N (a vector as B has none)."""
    return product.op != "MatMul" or len(given(product.inputs, 1).shape) > 1


def _channel_constant(product: Node, other: Value) -> np.ndarray | None:
    axis, channels = channels_of(product) if given(product.outputs).shape else (0, 0)
    if not has_columns(product) or not channels:
        return None
    return per_channel(other, len(given(product.outputs).shape), axis, channels)


def _add(graph: Graph, cache: Cache, product: Node, node: Node, other: Value) -> bool:
    if product.input(RESIDUAL) is not None:
        return False
    found, old = _channel_constant(product, other), product.input(BIAS)
    if found is not None and (old is None or old.const is not None):
        _, n = channels_of(product)
        terms = [v.const for v in (old, other) if v is not None and v.const is not None]

        def total(*arrays: np.ndarray) -> np.ndarray:
            wide = [np.broadcast_to(a.reshape(-1), (n,)) for a in arrays]
            return np.ascontiguousarray(wide[0] + wide[1] if len(wide) > 1 else wide[0])

        bias = cache.derive(("bias", n), terms, total)
        product.set_input(BIAS, graph.constant(bias, other.name))
        return True
    row = given(product.outputs).shape[-1:]
    if old is None and product.op == "MatMul" and has_columns(product) and other.const is None and other.shape == row:
        product.set_input(BIAS, other)
        return True
    if other.shape == given(product.outputs).shape:
        product.set_input(RESIDUAL, other)
        return True
    return False


def _sub(graph: Graph, cache: Cache, product: Node, node: Node, other: Value) -> bool:
    """product - constant."""
    if node.inputs[1] is not other or _channel_constant(product, other) is None:
        return False
    assert other.const is not None
    negative = graph.constant(cache.derive("negative", [other.const], np.negative), other.name)
    return _add(graph, cache, product, node, negative)


def _mul(graph: Graph, cache: Cache, product: Node, node: Node, other: Value) -> bool:
    """Scales constant weights and bias; a product of two tensors takes one number as its activation."""
    if product.input(RESIDUAL) is not None:
        return False
    found, weight, bias = _channel_constant(product, other), product.inputs[1], product.input(BIAS)
    number = scalar_of(other)
    if found is None or weight is None:
        return False
    if weight.const is None or product.op == "MatMul":
        if number is None:
            return False
        product.attrs.update(act="linear", p=number, q=0.0)
        return True
    if bias is not None and bias.const is None:
        return False
    transposed, group = product.op == "ConvTranspose", int(product.attrs.get("group", 1))

    def weights(w: np.ndarray, factor: np.ndarray) -> np.ndarray:
        m = w.shape[1] * group if transposed else w.shape[0]
        wide = np.broadcast_to(factor.reshape(-1), (m,))
        if transposed:
            rows = np.repeat(wide.reshape(group, -1), w.shape[0] // group, axis=0)
            return np.asarray(w * rows.reshape(w.shape[:2] + (1,) * (w.ndim - 2)))
        return np.asarray(w * wide.reshape((m,) + (1,) * (w.ndim - 1)))

    assert other.const is not None
    product.set_input(1, graph.constant(cache.derive(("scaled", transposed, group), [weight.const, other.const], weights), weight.name))
    if bias is not None and bias.const is not None:
        scaled = cache.derive("scaled bias", [bias.const, other.const], lambda b, f: b * f.reshape(-1))
        product.set_input(BIAS, graph.constant(scaled, bias.name))
    return True


def _div(graph: Graph, cache: Cache, product: Node, node: Node, other: Value) -> bool:
    """A MatMul divided by one number."""
    number = scalar_of(other)
    if node.inputs[1] is not other or not number or product.op != "MatMul" or product.input(RESIDUAL) is not None:
        return False
    product.attrs.update(act="linear", p=1.0 / number, q=0.0)
    return True


def _after_activation(product: Node, node: Node) -> bool:
    """p hard_swish(x) + q takes up Mul and Add by one number."""
    if product.attrs["act"] != "hard_swish" or not is_op(node, "Mul", "Add"):
        return False
    split = split_scalar(node)
    if split is None:
        return False
    number, p, q = split[1], product.attrs["p"], product.attrs["q"]
    product.attrs.update({"p": p * number, "q": q * number} if node.op == "Mul" else {"q": q + number})
    return True


def _activation(graph: Graph, cache: Cache, product: Node, node: Node) -> bool:
    if node.op != "PRelu":
        found = ACTIVATIONS[node.op](node)
        if found is None:
            return False
        product.attrs.update(act=found[0], p=float(found[1]), q=float(found[2]))
        return True
    slope = node.inputs[1]
    if slope is None or node.inputs[0] is not product.outputs[0]:
        return False
    number, column = scalar_of(slope), _channel_constant(product, slope)
    if number is not None:
        product.attrs.update(act="leaky_relu", p=number, q=0.0)
        return True
    if column is None:
        return False
    assert slope.const is not None
    flat = cache.derive("slope", [slope.const], lambda s: np.ascontiguousarray(s.reshape(-1)))
    product.set_input(SLOPE, graph.constant(flat, slope.name))
    product.attrs.update(act="prelu", p=0.0, q=0.0)
    return True


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        if node.domain == "" and node.op in ACTIVATIONS and ACTIVATIONS[node.op](node) is not None:
            value = node.inputs[0]
            assert value is not None
            product = value.producer
            if is_op(product, *PRODUCTS, domain="asymo") and graph.only_user(value) is node:
                assert product.attrs.get("act", "none") != "none", f"{node} could have been fused"
