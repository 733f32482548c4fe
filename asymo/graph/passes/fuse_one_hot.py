"""Recognises the product of a one-hot encoding with a table.

Requires: concrete shapes, before MatMul becomes asymo::MatMul.
Does: MatMul(Cast(Equal(x, 0 1 2 ... n-1)), table) with one whole number x a row -> Gather of rows of the table. A number outside gets a row
  of zeros, of which the table has two more: x is clipped to -1 (the last row) and n.
Ensures: nothing more.
"""

from __future__ import annotations

import numpy as np

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import emit, is_op, made_by, rewrite, sweep
from asymo.ops import given
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "MatMul")]:
        changed |= _fuse(graph, cache, node)
    return changed


def _fuse(graph: Graph, cache: Cache, product: Node) -> bool:
    hot, table = given(product.inputs), given(product.inputs, 1).const
    if table is None or table.ndim != 2 or table.dtype != np.float32 or hot.dtype != np.float32 or len(hot.shape) < 2:
        return False
    x = encoded(hot, len(table))
    if x is None or not np.isfinite(table).all():  # 0 inf is NaN, in every row
        return False

    def bound(number: int) -> Value:
        return graph.constant(cache.derive(("number", number, x.dtype.str), [], lambda: np.array(number, x.dtype)), "bound")

    clipped = emit(graph, product, "Clip", [x, bound(-1), bound(len(table))])
    flat = cache.derive(("shape", hot.shape[:-1]), [], lambda: np.array(hot.shape[:-1], np.int64))
    index = emit(graph, product, "Reshape", [clipped, graph.constant(flat, "shape")])
    wide = cache.derive("two rows of zeros more", [table], lambda t: np.concatenate([t, np.zeros((2, t.shape[1]), t.dtype)]))
    rewrite(graph, product, "Gather", [graph.constant(wide, "table"), index], {"axis": 0})
    sweep(graph, [hot.producer] if hot.producer is not None else [])
    return True


def encoded(hot: Value, n: int) -> Value | None:
    """x of shape (..., 1) whose one-hot encoding over n numbers this value is."""
    cast = made_by(hot, "Cast")
    equal = made_by(cast.inputs[0], "Equal") if cast is not None else None
    if equal is None or hot.shape[-1] != n:
        return None
    for x, numbers in ((given(equal.inputs, i), given(equal.inputs, 1 - i).const) for i in (0, 1)):
        if numbers is not None and x.dtype in (np.int32, np.int64) and x.shape == (*hot.shape[:-1], 1):
            return x if numbers.size == n and np.array_equal(numbers.reshape(-1), np.arange(n)) else None
    return None
