"""Views: which elements of an operand a step touches, and its arguments when the rows of that operand move apart.

A tensor of rows of `row` elements that becomes columns of a wider one (a part of a concatenation, say) has the same rows `pitch` elements
apart. Steps whose arguments hold strides can follow it there; nothing is copied then (plan/moves.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asymo.plan.plan import Args

Numbers = Mapping[str, Any]

_IMAGE: dict[str, dict[int, tuple[str, Callable[[Numbers], int]]]] = {
    "conv": {
        0: ("x", lambda a: a["c"] * a["groups"]),
        3: ("r", lambda a: a["n"] * a["groups"]),
        5: ("y", lambda a: a["n"] * a["groups"]),
    },
    "winograd": {0: ("x", lambda a: a["c"]), 3: ("r", lambda a: a["n"]), 5: ("y", lambda a: a["n"])},
    "dwconv": {0: ("x", lambda a: a["channels"]), 3: ("r", lambda a: a["channels"]), 5: ("y", lambda a: a["channels"])},
    "pool": {0: ("x", lambda a: a["channels"]), 1: ("y", lambda a: a["channels"])},
}
"""Step kind -> operand that is an image -> (the prefix of its strides, its channels)."""

_MATRIX = {0: ("lda", "k"), 3: ("ldr", "n"), 5: ("ldc", "n")}
"""Operand of a gemm -> (distance of its rows, elements of a row)."""

_COPIED = {0: "src_stride", 1: "dst_stride"}


def rows_of(kind: str, args: Numbers, operand: int) -> tuple[int, list[int]] | None:
    """(elements that lie side by side, strides between such rows) of an operand; None where a step's arguments do not say."""
    if kind == "gemm" and operand in _MATRIX:
        field, width = _MATRIX[operand]
        batch = args[{0: "a_stride", 3: "r_stride", 5: "c_stride"}[operand]]
        return args[width], [args[field], *(s for s, n in zip(batch, args["batch"], strict=True) if n > 1)]
    if operand in _IMAGE.get(kind, ()):
        prefix, channels = _IMAGE[kind][operand]
        return channels(args), [*args[f"{prefix}_stride"], args[f"{prefix}_batch"]]
    if kind == "copy" and operand in _COPIED:
        *outer, (width, step) = zip(args["shape"], args[_COPIED[operand]], strict=True)
        return (width, [stride for size, stride in outer if size > 1]) if step == 1 else None
    return None


def apart(kind: str, args: Args, operand: int, column: int, row: int, pitch: int) -> Args | None:
    """The arguments of a step when the rows of this operand, `row` elements one after the other so far, lie `pitch` apart. The step begins
    at `column` of a row. None when it cannot follow."""
    if row == pitch:
        return args
    if kind == "copy" and operand in _COPIED:
        return _copy_apart(args, _COPIED[operand], column, row, pitch)
    found = rows_of(kind, args, operand)
    if found is None or column + found[0] > row or any(s % row for s in found[1]):
        return None
    if kind == "gemm":
        field = _MATRIX[operand][0]
        return {**args, field: _scaled(args[field], row, pitch)} if args["batch"] == (1, 1, 1) else None
    prefix = _IMAGE[kind][operand][0]
    return {**args, **{name: _scaled(args[name], row, pitch) for name in (f"{prefix}_stride", f"{prefix}_batch")}}


def _scaled(stride: Any, row: int, pitch: int) -> Any:
    return tuple(s // row * pitch for s in stride) if isinstance(stride, tuple) else stride // row * pitch


def _copy_apart(args: Numbers, field: str, column: int, row: int, pitch: int) -> Args | None:
    """Dimensions that step by whole rows step further, those within a row stay; one that runs over the end of a row cannot."""
    reach, strides = column, []
    for size, stride in zip(args["shape"], args[field], strict=True):
        if stride < 0:
            return None
        if stride % row == 0:
            strides.append(stride // row * pitch)
        else:
            reach += (size - 1) * stride
            strides.append(stride)
    return {**args, field: tuple(strides)} if reach < row else None
