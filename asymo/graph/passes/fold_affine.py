"""Folds a per-channel y = k x + d into the weights before it.

Requires: constants folded. Does: where a Conv, ConvTranspose, Gemm or BatchNormalization with constant weights feeds nothing but a
BatchNormalization (inference), or a Mul, Div, Add or Sub by constants of one number per channel, the weights take that over. Computed in
float64, rounded once per folded node. Ensures: no such pair is left.

Where the cache defers, a Conv's W' is left to packing (graph/scaled.py).

    W' = k W (per output channel),  b' = k b + d,  BatchNormalization: k = scale / sqrt(var + epsilon), d = B - k mean
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.scaled import Scaled, ScaledValue
from asymo.ops import given, known
from asymo.plan.layout import product
from asymo.plan.lower import Cache

_SOURCES = {"Conv", "ConvTranspose", "Gemm", "BatchNormalization"}
_TARGETS = {"BatchNormalization", "Mul", "Div", "Add", "Sub"}

Affine = tuple[np.ndarray | None, np.ndarray | None]
"""k and d in float64, one number per channel; None for k = 1 and d = 0."""


def run(graph: Graph, cache: Cache) -> bool:
    removed: list[Node] = []
    for node in graph.nodes:
        if node.op in _TARGETS and (source := _source(graph, node)) is not None:
            _fold(graph, source, node, cache)
            removed.append(node)
    graph.remove_all(removed)
    return bool(removed)


def _source(graph: Graph, node: Node) -> Node | None:
    """The node whose weights can take `node` over."""
    if node.domain or not _has_one_output(node):
        return None
    for index in (0, 1) if node.op in ("Mul", "Add") else (0,):
        value = node.input(index)
        source = value.producer if value is not None and graph.only_user(value) is node else None
        if source is None or source.domain or source.op not in _SOURCES:
            continue
        if (channels := _channels(source)) is not None and _is_affine(node, 1 - index, channels, _rank(source)):
            return source
    return None


def _channels(source: Node) -> int | None:
    """Output channels of a source whose weights are constant fp32; None when it cannot take anything over."""
    weights = [v for v in source.inputs[1:] if v is not None]
    if not _has_one_output(source) or any(not v.is_const or v.dtype != np.float32 for v in weights):
        return None
    shape = weights[0].shape
    match source.op:
        case "Conv":
            return shape[0]
        case "ConvTranspose":
            return int(shape[1] * source.attrs.get("group", 1))
        case "Gemm":
            channels = shape[0 if source.attrs.get("transB", 0) else 1]
            c = source.input(2)
            is_row = c is None or (c.const is not None and c.const.size in (1, channels) and c.const.shape[-1:] in ((), (1,), (channels,)))
            return channels if is_row else None
    return None if source.attrs.get("training_mode", 0) else shape[0]


def _rank(source: Node) -> int | None:
    """Rank of the source's output, None when nothing tells (channels are then on axis 1 of an unknown rank)."""
    if source.op == "BatchNormalization":
        type = given(source.inputs).type
        return len(type.shape) if type is not None and type.shape is not None else None
    return len(given(source.inputs, 1).shape)


def _is_affine(node: Node, other: int, channels: int, rank: int | None) -> bool:
    if node.op == "BatchNormalization":
        consts = [v.const if v is not None else None for v in node.inputs[1:]]
        return not node.attrs.get("training_mode", 0) and len(consts) == 4 and all(c is not None and c.shape == (channels,) for c in consts)
    value = node.input(other)
    c = value.const if value is not None else None
    if c is None or c.dtype != np.float32:
        return False
    if rank is None:  # (C, 1, 1, ...) would sit on another axis if the rank were not what it seems
        return c.size == 1 and c.ndim <= 1
    if c.ndim > rank:
        return False
    shape = (1,) * (rank - c.ndim) + c.shape
    return all(d == 1 or (i == 1 and d == channels) for i, d in enumerate(shape))


def _has_one_output(node: Node) -> bool:
    return all(v is None or not v.users for v in node.outputs[1:])


def _affine(node: Node, source: Value, channels: int) -> tuple[list[np.ndarray], Callable[..., Affine]]:
    """The arrays that `node` reads and the function that makes k and d of them."""
    if node.op == "BatchNormalization":
        epsilon = node.attrs.get("epsilon", 1e-5)

        def normalise(scale: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray) -> Affine:
            k = scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)
            return k, b - k * mean

        return [known(node, i) for i in range(1, len(node.inputs))], normalise
    constant = node.inputs[1 if node.inputs[0] is source else 0]
    assert constant is not None and constant.const is not None

    def wide(c: np.ndarray) -> np.ndarray:
        return np.broadcast_to(c.astype(np.float64).reshape(-1), (channels,))

    makers: dict[str, Callable[[np.ndarray], Affine]] = {
        "Mul": lambda c: (wide(c), None),
        "Div": lambda c: (1.0 / wide(c), None),
        "Add": lambda c: (None, wide(c)),
        "Sub": lambda c: (None, -wide(c)),
    }
    return [constant.const], makers[node.op]


def _fold(graph: Graph, source: Node, node: Node, cache: Cache) -> None:
    channels = _channels(source)
    out = source.outputs[0]
    assert channels is not None and out is not None
    constants, affine = _affine(node, out, channels)
    n = len(constants)
    key = ("affine", source.op, tuple(sorted((k, str(v)) for k, v in source.attrs.items())), node.op, node.attrs.get("epsilon"))
    w, b = source.inputs[1], source.input(2)
    assert w is not None
    biases = [b.const] if b is not None and b.const is not None else []

    def factor(*arrays: np.ndarray) -> np.ndarray:
        k, _ = affine(*arrays)
        assert k is not None
        return np.ascontiguousarray(k)

    def new_weights(*arrays: np.ndarray) -> np.ndarray:
        return _scale(source, arrays[n], factor(*arrays[:n]))

    def scaled() -> Value:
        array = known(source, 1)
        if source.op == "Conv" and cache.defers:
            return ScaledValue(graph.fresh_name(w.name), Scaled(array, cache.derive((*key, "factor"), constants, factor)))
        return graph.constant(cache.derive((*key, "weights"), [*constants, array], new_weights), w.name)

    def new_bias(*arrays: np.ndarray) -> np.ndarray:
        k, d = affine(*arrays[:n])
        old = np.float64(0.0) if len(arrays) == n else arrays[n].astype(np.float64).reshape(-1)
        if source.op == "Gemm":
            old = old * source.attrs.get("beta", 1.0)
        result = (old if k is None else old * k) + (0.0 if d is None else d)
        return np.broadcast_to(result, (channels,)).astype(np.float32)

    if node.op not in ("Add", "Sub"):
        source.set_input(1, scaled())
    source.set_input(2, graph.constant(cache.derive((*key, "bias"), [*constants, *biases], new_bias), b.name if b else f"{w.name}.bias"))
    if source.op == "Gemm":
        source.attrs["beta"] = 1.0
    target = node.outputs[0]
    assert target is not None
    _take_over(source, node, target)


def _take_over(source: Node, node: Node, target: Value) -> None:
    """The source makes `target` itself, so that outputs of the graph keep their names."""
    node.set_inputs([])
    node.outputs = []
    source.outputs = [target]
    target.producer = source


def _scale(source: Node, w: np.ndarray, k: np.ndarray) -> np.ndarray:
    """w with each output channel multiplied."""
    if source.op == "ConvTranspose":  # (C, M / g, ...), input channels grouped
        groups = source.attrs.get("group", 1)
        split = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
        return product(split, k.reshape(groups, 1, w.shape[1], *(1,) * (w.ndim - 2))).reshape(w.shape)
    if source.op == "Gemm":
        return product(w, k[:, None] if source.attrs.get("transB", 0) else k)
    return product(w, k.reshape(-1, *(1,) * (w.ndim - 1)))


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        assert node.op not in _TARGETS or _source(graph, node) is None, f"{node} is not folded"
