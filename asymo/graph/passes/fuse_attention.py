"""Recognises scaled dot-product attention.

Requires: concrete shapes, before MatMul becomes asymo::MatMul.
Does: Softmax(scale Q K^T + mask) V -> asymo::Attention. scale is the product of the numbers by which Q, K and the scores are multiplied and
  divided; the mask broadcasts over the scores. What moves no element between the memory of Q, K, V, mask and the products (Transpose,
  Reshape, Slice, Split, ...), and a Transpose of the result, become strides, so heads are read from where a projection wrote them and
  written where the next one reads.
Ensures: nothing more. Patterns whose rows are not contiguous in memory, or whose batch needs more than three strides, stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import factors, is_op, made_by, rewrite, sweep
from asymo.graph.view import View, view_of, whole
from asymo.ops import axis_of, given
from asymo.ops.attention import Strided, step_args
from asymo.ops.transpose import permutation
from asymo.plan import strides
from asymo.plan.lower import Cache
from asymo.plan.plan import Args

Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """scale q k + mask, with k of shape (..., depth, keys); shape: that of the sum."""

    q: Value
    k: Value
    scale: float
    mask: Value | None
    shape: Ints


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "Softmax")]:
        changed |= _fuse(graph, node)
    return changed


def _fuse(graph: Graph, softmax: Node) -> bool:
    weights = given(softmax.outputs)
    product = graph.only_user(weights)
    scores = scores_of(graph, given(softmax.inputs))
    if scores is None or not is_op(product, "MatMul") or product.inputs[0] is not weights or weights.dtype != np.float32:
        return False
    rank, v = len(weights.shape), given(product.inputs, 1)
    if axis_of(softmax, int(softmax.attrs.get("axis", -1)), rank) != rank - 1 or len(v.shape) < 2 or 0 in weights.shape:
        return False
    y, perm = result_of(graph, given(product.outputs))
    found = arguments(scores, v, given(product.outputs).shape, y.shape, perm)
    if found is None:
        return False
    views, args = found
    shape, bases, offsets = y.shape, [None if x is None else x.base for x in views], [0 if x is None else x.offset for x in views]
    if y is not product.outputs[0]:
        transpose = y.producer
        assert transpose is not None
        transpose.set_inputs([])
        graph.nodes.remove(transpose)
        product.outputs[0] = y
        y.producer = product
    rewrite(graph, product, "Attention", bases, {"args": args, "offsets": offsets, "shape": shape}, domain="asymo")
    sweep(graph, [softmax])
    return True


def scores_of(graph: Graph, value: Value) -> Scores | None:
    """What softmax is taken of, if it is scale Q K^T + mask that nobody else sees."""
    if graph.only_user(value) is None:
        return None
    add, mask, sum = made_by(value, "Add"), None, value
    if add is not None:
        parts = [given(add.inputs), given(add.inputs, 1)]
        products = [v for v in parts if _product(v) is not None and v.shape == value.shape]
        if len(products) != 1:
            return None
        value = products[0]
        mask = parts[1 - parts.index(value)]
        if graph.only_user(value) is not add or mask.dtype != np.float32 or mask.shape[-1:] != value.shape[-1:]:
            return None
    found = _product(value)
    if found is None:
        return None
    product, scale = found
    q, k = given(product.inputs), given(product.inputs, 1)
    if len(q.shape) < 2 or len(k.shape) < 2:
        return None
    (q, q_scale), (k, k_scale) = without_numbers(q), without_numbers(k)
    return Scores(q, k, scale * q_scale * k_scale, mask, sum.shape)


def _product(value: Value) -> tuple[Node, float] | None:
    """(MatMul, number) when the value is a MatMul that nobody else sees times a number."""
    found, number, nodes = factors(value)
    product = made_by(found[0], "MatMul") if len(found) == 1 else None
    return None if product is None or (nodes and len(found[0].users) != 1) else (product, number)


def without_numbers(value: Value) -> tuple[Value, float]:
    """The value as another one of its shape times a number."""
    found, number, _ = factors(value)
    return (found[0], number) if len(found) == 1 and found[0].shape == value.shape else (value, 1.0)


def result_of(graph: Graph, value: Value) -> tuple[Value, Ints]:
    """(the value to write, its axes in those of the product): behind a Transpose that keeps rows whole, if that is all that reads it."""
    user = graph.only_user(value)
    if is_op(user, "Transpose"):
        perm = permutation(user, len(value.shape))
        if perm[-1] == len(perm) - 1:
            return given(user.outputs), perm
    return value, tuple(range(len(value.shape)))


def by_rows(value: Value) -> View:
    """A view whose rows are contiguous."""
    view = view_of(value)
    return view if view.strides[-1] == 1 or view.shape[-1] == 1 else whole(value)


def arguments(scores: Scores, value: Value, shape: Ints, y_shape: Ints, perm: Ints) -> tuple[list[View | None], Args] | None:
    """(views of Q, K, V and the mask, the step's arguments) of an attention whose product has this shape and is written through perm."""
    q, k, v = by_rows(scores.q), view_of(scores.k), by_rows(value)
    mask = None if scores.mask is None else by_rows(scores.mask)
    depth, keys = k.shape[-2:]
    if scores.shape[:-2] != shape[:-2] or (k.strides[-2] != 1 and depth > 1):
        return None
    y_strides = [0] * len(shape)
    for axis, step in zip(perm, strides.dense(y_shape), strict=True):
        y_strides[axis] = step
    args = step_args(
        strided(q), Strided((*k.shape[:-2], keys, depth), (*k.strides[:-2], k.strides[-1], 1)), strided(v),
        None if mask is None else Strided(whole_rank(mask.shape, 1, len(shape)), whole_rank(mask.strides, 0, len(shape))),
        Strided(shape, tuple(y_strides)), scores.scale,
    )  # fmt: skip
    return None if args is None else ([q, k, v, mask], args)


def strided(view: View) -> Strided:
    return Strided(view.shape, view.strides)


def whole_rank(axes: Ints, missing: int, rank: int) -> Ints:
    return (missing,) * (rank - len(axes)) + axes
