"""Strides: pure functions that turn a view of a tensor into the fewest dimensions a step has to loop over."""

from __future__ import annotations

from collections.abc import Sequence

Ints = tuple[int, ...]


def dense(shape: Sequence[int]) -> Ints:
    """Row-major strides in elements."""
    strides, step = [0] * len(shape), 1
    for i in range(len(shape) - 1, -1, -1):
        strides[i] = step
        step *= shape[i]
    return tuple(strides)


def broadcast(shape: Sequence[int], out: Sequence[int]) -> Ints:
    """Strides with which a dense tensor of `shape` is read over `out`, its numpy broadcast: 0 where it repeats."""
    strides = dense(shape)
    lead = len(out) - len(shape)
    return (0,) * lead + tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))


def collapse(shape: Sequence[int], *strides: Sequence[int]) -> tuple[Ints, ...]:
    """The same walk with the fewest dimensions: those of size 1 go, neighbours that every operand steps through evenly become one.

    Returns (shape, *strides); a single element has shape (1,). No dimension may be 0.
    """
    dims: list[list[int]] = []  # [size, stride of operand 0, stride of operand 1, ...], outermost first
    for size, *steps in zip(shape, *strides, strict=True):
        if size == 1:
            continue
        if dims and all(outer == inner * size for outer, inner in zip(dims[-1][1:], steps, strict=True)):
            dims[-1] = [dims[-1][0] * size, *steps]
        else:
            dims.append([size, *steps])
    if not dims:
        return ((1,), *((0,) for _ in strides))
    return tuple(zip(*dims, strict=True))


def reshape(shape: Sequence[int], strides: Sequence[int], new: Sequence[int]) -> Ints | None:
    """Strides with which the elements of a view, in their order, are seen with another shape; None where no strides do that. Neither shape
    has a dimension of 0."""
    sizes, steps = collapse(shape, strides)
    result: list[int] = []
    at, left, step = len(sizes), 1, 0
    for size in reversed(new):
        if size > 1 and left == 1:
            at -= 1
            left, step = sizes[at], steps[at]
        if left % size:
            return None
        result.append(step)
        left, step = left // size, step * size
    return tuple(reversed(result))
