"""The rule by which workers take chunks of an interval, driven through any interleaving of claims and steals."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asymo._core import ffi, lib

MOST = 2**24 - 1
parts = st.floats(0, 1)
turns = st.lists(st.tuples(st.booleans(), parts, st.integers(1, 50)), max_size=60)


def take(word: int, steals: bool, part: float, least: int) -> tuple[int, int, int]:
    """(the word after, begin and end of the chunk)."""
    chunk = ffi.new("asymo_chunk *")
    word = (lib.asymo_sched_steal if steals else lib.asymo_sched_claim)(word, part, least, chunk)
    return word, chunk.begin, chunk.end


def ends(word: int) -> tuple[int, int, int]:
    return word >> 48, word & MOST, word >> 24 & MOST


@given(tag=st.integers(0, 2**16 - 1), begin=st.integers(0, 300), size=st.integers(0, 300), turns=turns)
def test_each_unit_is_taken_once(tag: int, begin: int, size: int, turns: list[tuple[bool, float, int]]) -> None:
    word, taken = lib.asymo_sched_range(tag, begin, begin + size), []
    for steals, part, least in [*turns, *[(False, 0.0, 1)] * (size + 1)]:
        _, front, back = ends(word)
        word, first, last = take(word, steals, part, least)
        assert last - first == min(back - front, max(least, int((back - front) * part)))
        assert ends(word) == ((tag, front, first) if steals else (tag, last, back))
        taken += range(first, last)
    assert sorted(taken) == list(range(begin, begin + size))


@given(begin=st.integers(0, MOST), end=st.integers(0, MOST), steals=st.booleans(), part=parts, least=st.integers(1, MOST))
def test_words_up_to_the_largest(begin: int, end: int, steals: bool, part: float, least: int) -> None:
    begin, end = sorted((begin, end))
    word, first, last = take(lib.asymo_sched_range(0xFFFF, begin, end), steals, part, least)
    n = min(end - begin, max(least, int((end - begin) * part)))
    assert (first, last) == ((end - n, end) if steals else (begin, begin + n))
    assert ends(word) == ((0xFFFF, begin, end - n) if steals else (0xFFFF, begin + n, end))
