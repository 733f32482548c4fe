"""Recognises LayerNormalization as exporters write it.

Requires: concrete shapes.
Does: with d = x - ReduceMean(x): d / Sqrt(ReduceMean(d^2) + eps), and Mul and Add of what has the shape of the normalised axes after it,
  -> LayerNormalization. The mean is over the last axes.
Ensures: nothing more.
"""

from __future__ import annotations

import numpy as np

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import is_op, is_scalar, made_by, rewrite, split_scalar, sweep
from asymo.ops.norm import trimmed
from asymo.ops.reduce import axes_of
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "Sqrt")]:
        changed |= _fuse(graph, cache, node)
    return changed


def _fuse(graph: Graph, cache: Cache, root: Node) -> bool:
    add = made_by(root.inputs[0], "Add")
    split = split_scalar(add) if add is not None else None
    if split is None:
        return False
    variance, eps = split
    outer = made_by(variance, "ReduceMean")
    square = made_by(outer.inputs[0], "Pow", "Mul") if outer is not None else None
    if outer is None or square is None:
        return False
    if not (square.inputs[1] is square.inputs[0] if square.op == "Mul" else is_scalar(square.inputs[1], 2)):
        return False
    centred = centre(square.inputs[0])
    if centred is None:
        return False
    x, axes = centred
    rank = len(x.shape)
    axis = rank - len(axes)
    if axes_of(outer, rank) != axes or axes != tuple(range(axis, rank)) or not outer.attrs.get("keepdims", 1) or not axes:
        return False
    deviation = root.outputs[0]
    assert deviation is not None
    top = graph.only_user(deviation)
    if not is_op(top, "Div") or top.inputs[1] is not deviation or centre(top.inputs[0]) != (x, axes):
        return False
    covered = [top]
    size = trimmed(x.shape[axis:])
    scale, top = parameter(graph, top, "Mul", size, rank)
    covered.append(top)
    bias, top = parameter(graph, top, "Add", size, rank)
    if scale is None:
        shape = x.shape[axis:]
        scale = graph.constant(cache.derive(("ones", shape), [], lambda: np.ones(shape, np.float32)), "ones")
    rewrite(graph, top, "LayerNormalization", [x, scale, bias], {"axis": axis, "epsilon": eps})
    sweep(graph, [n for n in reversed(covered) if n is not top] + [root])
    return True


def centre(value: Value | None) -> tuple[Value, tuple[int, ...]] | None:
    """(x, axes) of x - ReduceMean(x)."""
    sub = made_by(value, "Sub")
    if sub is None:
        return None
    x, mean = sub.inputs
    reduce = made_by(mean, "ReduceMean")
    if x is None or reduce is None or reduce.inputs[0] is not x or not reduce.attrs.get("keepdims", 1):
        return None
    return x, axes_of(reduce, len(x.shape))


def parameter(graph: Graph, node: Node, op: str, size: tuple[int, ...], rank: int) -> tuple[Value | None, Node]:
    """(the other operand, the node) when the one user of `node` is this operator with an operand of the normalised axes' shape."""
    y = node.outputs[0]
    assert y is not None
    user = graph.only_user(y)
    if is_op(user, op):
        assert user is not None
        other = next(v for v in user.inputs if v is not y)
        assert other is not None
        if other.dtype == np.float32 and len(other.shape) <= rank and trimmed(other.shape) == size and size:
            return other, user
    return None, node
