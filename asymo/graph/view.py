"""Views: what a value is of the memory of another one, when all that lies between them moves no element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from asymo.graph.ir import Node, Value
from asymo.ops import given
from asymo.ops.slice import ranges
from asymo.ops.transpose import permutation
from asymo.plan import strides

Ints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Element i of the value is element offset + i . strides of `base`, which is dense."""

    base: Value
    offset: int
    shape: Ints
    strides: Ints


def whole(value: Value) -> View:
    return View(value, 0, value.shape, strides.dense(value.shape))


def view_of(value: Value) -> View:
    """The value as a view of the value that is furthest back. Needs concrete shapes."""
    node = value.producer
    look = _LOOKS.get(node.op) if node is not None and node.domain == "" else None
    if node is None or look is None or prod(value.shape) == 0:
        return whole(value)
    return look(node, view_of(given(node.inputs)), value) or whole(value)


def _transpose(node: Node, x: View, value: Value) -> View:
    perm = permutation(node, len(x.shape))
    return View(x.base, x.offset, value.shape, tuple(x.strides[p] for p in perm))


def _reshape(node: Node, x: View, value: Value) -> View | None:
    steps = strides.reshape(x.shape, x.strides, value.shape)
    return None if steps is None else View(x.base, x.offset, value.shape, steps)


def _slice(node: Node, x: View, value: Value) -> View | None:
    if any(v is not None and v.const is None for v in node.inputs[1:]):
        return None
    kept = ranges(node, x.shape)
    first = sum(r.start * s for r, s in zip(kept, x.strides, strict=True))
    return View(x.base, x.offset + first, value.shape, tuple(r.step * s for r, s in zip(kept, x.strides, strict=True)))


def _split(node: Node, x: View, value: Value) -> View:
    axis = node.attrs.get("axis", 0) % len(x.shape)
    before = node.outputs[: node.outputs.index(value)]
    first = sum(v.shape[axis] for v in before if v is not None)
    return View(x.base, x.offset + first * x.strides[axis], value.shape, x.strides)


def _gather(node: Node, x: View, value: Value) -> View | None:
    """One entry of an axis."""
    index = given(node.inputs, 1).const
    if index is None or index.ndim > 0:
        return None
    axis = node.attrs.get("axis", 0) % len(x.shape)
    first = int(index) % x.shape[axis] * x.strides[axis]
    return View(x.base, x.offset + first, value.shape, x.strides[:axis] + x.strides[axis + 1 :])


_LOOKS: dict[str, Callable[[Node, View, Value], View | None]] = {
    "Transpose": _transpose,
    "Reshape": _reshape, "Flatten": _reshape, "Squeeze": _reshape, "Unsqueeze": _reshape, "Identity": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
}  # fmt: skip
