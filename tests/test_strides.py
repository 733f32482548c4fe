"""Strides: collapsed walks visit the same elements in the same order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asymo.plan.strides import broadcast, collapse, dense, reshape


def visit(shape: tuple[int, ...], strides: tuple[int, ...]) -> list[int]:
    """Offsets in row-major order."""
    return [int(np.dot(index, strides)) for index in np.ndindex(*shape)]


@st.composite
def walks(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """A shape, with strides of a transposed dense tensor, of a broadcast one, and any."""
    rank = draw(st.integers(0, 5))
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank)))
    perm = draw(st.permutations(range(rank)))
    base = dense([shape[p] for p in perm])
    transposed = tuple(base[perm.index(i)] for i in range(rank))
    repeated = broadcast([n if draw(st.booleans()) else 1 for n in shape], shape)
    anyhow = tuple(draw(st.lists(st.integers(-9, 9), min_size=rank, max_size=rank)))
    return shape, [transposed, repeated, anyhow][: draw(st.integers(1, 3))]


@given(walks())
def test_collapse_visits_the_same(walk: tuple[tuple[int, ...], list[tuple[int, ...]]]) -> None:
    shape, strides = walk
    short, *collapsed = collapse(shape, *strides)
    for before, after in zip(strides, collapsed, strict=True):
        assert visit(shape, before) == visit(short, after)
    assert len(short) <= max(len(shape), 1)
    assert 1 not in short or short == (1,)


def test_collapse_of_dense_is_one_dimension() -> None:
    assert collapse((2, 3, 4), dense((2, 3, 4)), dense((2, 3, 4))) == ((24,), (1,), (1,))
    assert collapse((2, 3, 4), dense((2, 3, 4)), broadcast((4,), (2, 3, 4))) == ((6, 4), (4, 1), (0, 1))
    assert collapse((), ()) == ((1,), (0,))


@given(st.lists(st.integers(1, 4), max_size=4), st.integers(0, 2))
def test_broadcast_reads_what_numpy_reads(dims: list[int], lead: int) -> None:
    shape = tuple(1 if i % 2 else n for i, n in enumerate(dims))
    out = (3,) * lead + tuple(dims)
    x = np.arange(int(np.prod(shape))).reshape(shape)
    assert visit(out, broadcast(shape, out)) == np.broadcast_to(x, out).ravel().tolist()


@given(walks(), st.data())
def test_reshape_visits_the_same_or_nothing(walk: tuple[tuple[int, ...], list[tuple[int, ...]]], data: st.DataObject) -> None:
    """A new shape of as many elements: the old one with axes joined, and with axes of one element put in."""
    shape, (steps, *_) = walk
    new, left = [], int(np.prod(shape))
    while left > 1:
        new.append(data.draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= new[-1]
    seen = reshape(shape, steps, new)
    if seen is not None:
        assert visit(tuple(new), seen) == visit(shape, steps)
    if steps == dense(shape):
        assert seen is not None


def test_reshape_needs_even_steps() -> None:
    assert reshape((2, 6), (6, 1), (2, 3, 2)) == (6, 2, 1)
    assert reshape((6, 2), (1, 6), (3, 2, 2)) == (2, 1, 6)
    assert reshape((2, 6), (1, 2), (12,)) is None
    assert reshape((2, 3), (7, 1), (3, 2)) is None
