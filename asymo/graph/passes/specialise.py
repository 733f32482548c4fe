"""Rewrites ONNX's operators as the forms that are lowered.

Requires: concrete shapes. Every node is native.
Does: Conv, ConvTranspose, MaxPool, AveragePool, LpPool, InstanceNormalization, GroupNormalization, LRN -> asymo::Conv, ConvTranspose, Pool,
  GroupNorm, LRN with explicit pads and channels_last = 0 (the layout pass turns them); global pools -> ReduceMean, ReduceMax, ReduceL1,
  ReduceL2; MatMul, Gemm -> asymo::MatMul; BatchNormalization -> Mul, Add; Resize -> asymo::Resample, one an axis.
Ensures: none of these operators is left.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from asymo.graph.build import ints, scalar
from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import emit, rewrite
from asymo.ops.window import transposed_geometry, window
from asymo.plan.lower import Cache


def conv(graph: Graph, node: Node, cache: Cache) -> None:
    x, w = node.inputs[:2]
    assert x is not None
    assert w is not None
    attrs = {**window(node, x.shape[2:], w.shape[2:]).attrs(), "group": int(node.attrs.get("group", 1)), "channels_last": 0}
    rewrite(graph, node, "Conv", node.inputs, attrs, "asymo")


def conv_transpose(graph: Graph, node: Node, cache: Cache) -> None:
    x, w = node.inputs[:2]
    assert x is not None
    assert w is not None
    begin, out = transposed_geometry(node, x.shape[2:], w.shape[2:])
    rank = len(out)
    attrs = {
        "kernel_shape": list(w.shape[2:]),
        "strides": list(node.attrs.get("strides") or [1] * rank),
        "dilations": list(node.attrs.get("dilations") or [1] * rank),
        "begin": list(begin),
        "output_shape": list(out),
        "group": int(node.attrs.get("group", 1)),
        "channels_last": 0,
    }
    rewrite(graph, node, "ConvTranspose", node.inputs, attrs, "asymo")


def pool(graph: Graph, node: Node, cache: Cache) -> None:
    x = node.inputs[0]
    assert x is not None
    attrs = {
        "mode": {"MaxPool": "max", "AveragePool": "average", "LpPool": "lp"}[node.op],
        **window(node, x.shape[2:], tuple(node.attrs["kernel_shape"])).attrs(),
        "ceil_mode": int(node.attrs.get("ceil_mode", 0)),
        "count_include_pad": int(node.attrs.get("count_include_pad", 0)),
        "storage_order": int(node.attrs.get("storage_order", 0)),
        "p": int(node.attrs.get("p", 2)),
        "channels_last": 0,
    }
    rewrite(graph, node, "Pool", node.inputs, attrs, "asymo")


def global_pool(graph: Graph, node: Node, cache: Cache) -> None:
    x = node.inputs[0]
    assert x is not None
    p = int(node.attrs.get("p", 2))
    if node.op == "GlobalLpPool" and p > 2:
        rank = len(x.shape) - 2
        attrs = {"kernel_shape": list(x.shape[2:]), "strides": [1] * rank, "dilations": [1] * rank, "pads": [0] * (2 * rank)}
        rewrite(graph, node, "Pool", [x], {"mode": "lp", **attrs, "p": p, "channels_last": 0}, "asymo")
        return
    op = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax", "GlobalLpPool": f"ReduceL{p}"}[node.op]
    rewrite(graph, node, op, [x, ints(graph, range(2, len(x.shape)), "axes")], {"keepdims": 1})


def group_norm(graph: Graph, node: Node, cache: Cache) -> None:
    x, scale, bias = node.inputs
    assert x is not None
    assert scale is not None
    assert bias is not None
    channels = x.shape[1]
    groups = int(node.attrs.get("num_groups", channels))
    if node.attrs.get("param_per_group"):
        scale, bias = (spread(graph, node, v, groups, channels) for v in (scale, bias))
    attrs = {"groups": groups, "epsilon": float(node.attrs.get("epsilon", 1e-5)), "channels_last": 0}
    rewrite(graph, node, "GroupNorm", [x, scale, bias], attrs, "asymo")


def spread(graph: Graph, anchor: Node, value: Value, groups: int, channels: int) -> Value:
    """A number per group as one per channel."""
    column = emit(graph, anchor, "Reshape", [value, ints(graph, [groups, 1])])
    wide = emit(graph, anchor, "Expand", [column, ints(graph, [groups, channels // groups])])
    return emit(graph, anchor, "Reshape", [wide, ints(graph, [channels])])


def lrn(graph: Graph, node: Node, cache: Cache) -> None:
    rewrite(graph, node, "LRN", node.inputs, {**node.attrs, "channels_last": 0}, "asymo")


def matmul(graph: Graph, node: Node, cache: Cache) -> None:
    rewrite(graph, node, "MatMul", node.inputs, {}, "asymo")


def gemm(graph: Graph, node: Node, cache: Cache) -> None:
    """alpha goes into constant weights, else into the epilogue; C becomes bias or residual where its shape allows."""
    a, b, c = node.input(0), node.input(1), node.input(2)
    y = node.outputs[0]
    assert a is not None
    assert b is not None
    assert y is not None
    alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
    m, n = y.shape
    attrs: dict[str, object] = {"trans_b": int(node.attrs.get("transB", 0))}
    if node.attrs.get("transA"):
        a = emit(graph, node, "Transpose", [a], {"perm": [1, 0]})
    if alpha != 1 and b.const is not None:
        scaled = cache.derive(("gemm alpha", alpha), [b.const], lambda w: w * np.float32(alpha))
        b, alpha = graph.constant(scaled, b.name), 1.0
    if c is not None and beta == 0:
        c = None
    if c is not None and beta != 1:
        if c.const is not None:
            c = graph.constant(cache.derive(("gemm beta", beta), [c.const], lambda v: v * np.float32(beta)), c.name)
        else:
            c = emit(graph, node, "Mul", [c, scalar(graph, beta)])
    if alpha != 1:
        attrs.update(act="linear", p=alpha, q=0.0)
    elif c is not None and c.const is not None and c.const.size in (1, n) and (c.const.size == 1 or c.const.shape[-1] == n):
        bias = cache.derive(("gemm bias", n), [c.const], lambda v: np.ascontiguousarray(np.broadcast_to(v.reshape(-1), (n,))))
        rewrite(graph, node, "MatMul", [a, b, graph.constant(bias, c.name)], attrs, "asymo")
        return
    elif c is not None and c.shape == (n,):
        rewrite(graph, node, "MatMul", [a, b, c], attrs, "asymo")
        return
    elif c is not None and c.shape == (m, n):
        rewrite(graph, node, "MatMul", [a, b, None, c], attrs, "asymo")
        return
    if c is None:
        rewrite(graph, node, "MatMul", [a, b], attrs, "asymo")
    else:
        product = emit(graph, node, "MatMul", [a, b], attrs, domain="asymo")
        rewrite(graph, node, "Add", [product, c], {})


def batchnorm(graph: Graph, node: Node, cache: Cache) -> None:
    """Parameters that are no constants; split_batchnorm has done the others."""
    x, *rest = node.inputs
    assert x is not None
    eps = float(node.attrs.get("epsilon", 1e-5))
    shape = (x.shape[1], *(1 for _ in x.shape[2:]))
    scale, bias, mean, var = rest
    assert scale is not None
    assert bias is not None
    assert mean is not None
    assert var is not None
    deviation = emit(graph, node, "Sqrt", [emit(graph, node, "Add", [var, scalar(graph, eps)])])
    flat = emit(graph, node, "Div", [scale, deviation])
    low = emit(graph, node, "Sub", [bias, emit(graph, node, "Mul", [mean, flat])])
    f, s = (emit(graph, node, "Reshape", [v, ints(graph, shape)]) for v in (flat, low))
    rewrite(graph, node, "Add", [emit(graph, node, "Mul", [x, f]), s], {})


def resample(graph: Graph, node: Node, cache: Cache) -> None:
    """Axes that shrink most go first: the others have less to do then."""
    from asymo.ops import resize  # few models resample

    x = node.inputs[0]
    assert x is not None
    rule, axes = resize.rule_of(node), resize.axes_of(node, x.shape)
    outside = None
    value = x
    for axis in sorted(axes, key=lambda a: a.out / max(a.inp, 1)):
        index, weights = resize.table(rule, axis)
        inputs = [value, graph.constant(index, "index"), None if weights is None else graph.constant(weights, "weights")]
        value = emit(graph, node, "Resample", inputs, {"axis": axis.axis}, domain="asymo")
        mask = resize.extrapolated(rule, axis)
        if mask is not None:
            mask = mask.reshape((-1, *(1 for _ in x.shape[axis.axis + 1 :])))
            outside = mask if outside is None else outside | mask
    if outside is None:
        rewrite(graph, node, "Identity", [value], {})
    else:
        fill = scalar(graph, float(node.attrs.get("extrapolation_value", 0.0)))
        rewrite(graph, node, "Where", [graph.constant(outside, "outside"), fill, value], {})


RULES: dict[str, Callable[[Graph, Node, Cache], None]] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": pool,
    "AveragePool": pool,
    "LpPool": pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": global_pool,
    "GlobalLpPool": global_pool,
    "InstanceNormalization": group_norm,
    "GroupNormalization": group_norm,
    "LRN": lrn,
    "MatMul": matmul,
    "Gemm": gemm,
    "BatchNormalization": batchnorm,
    "Resize": resample,
}


def run(graph: Graph, cache: Cache) -> bool:
    found = [node for node in graph.nodes if node.domain == "" and node.op in RULES]
    for node in found:
        RULES[node.op](graph, node, cache)
    return bool(found)


def ensures(graph: Graph) -> None:
    assert not any(node.domain == "" and node.op in RULES for node in graph.nodes)
