"""The rule by which workers take chunks, driven through any interleaving of claims and steals."""

from __future__ import annotations

from typing import Any

import pytest
from _compile import compile_c
from cffi import FFI
from hypothesis import given
from hypothesis import strategies as st

MOST = 2**32 - 1

ffi = FFI()
ffi.cdef(
    """
    typedef struct { int64_t begin, end; } asymo_chunk;
    uint64_t range_make(int64_t begin, int64_t end);
    uint64_t range_take(int32_t steals, uint64_t range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk);
    int32_t range_take_atomically(int32_t steals, uint64_t *range, int64_t sharers, int64_t min_chunk, asymo_chunk *chunk);
    """
)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Any:
    target = compile_c(tmp_path_factory.mktemp("range") / "range.so", ["tests/sched/range.c"], "-O2", "-shared", "-fPIC")
    return ffi.dlopen(str(target))


turns = st.lists(st.tuples(st.booleans(), st.integers(1, 16), st.integers(1, 50)), max_size=60)


@given(begin=st.integers(0, 300), size=st.integers(0, 300), turns=turns)
def test_each_unit_is_taken_once(lib: Any, begin: int, size: int, turns: list[tuple[bool, int, int]]) -> None:
    word, chunk, taken = lib.range_make(begin, begin + size), ffi.new("asymo_chunk *"), []
    for steals, sharers, min_chunk in [*turns, *[(False, 1, 1)] * (size + 1)]:
        left = (word >> 32) - (word & MOST)
        word = lib.range_take(steals, word, sharers, min_chunk, chunk)
        n = chunk.end - chunk.begin
        assert n == min(left, max(min_chunk, left // (2 * sharers)))
        assert not n or chunk.end == ((word >> 32) + n if steals else word & MOST)
        taken += range(chunk.begin, chunk.end)
    assert sorted(taken) == list(range(begin, begin + size))


@given(begin=st.integers(0, MOST), end=st.integers(0, MOST), steals=st.booleans(), min_chunk=st.integers(1, MOST))
def test_words_up_to_the_largest(lib: Any, begin: int, end: int, steals: bool, min_chunk: int) -> None:
    begin, end = sorted((begin, end))
    chunk = ffi.new("asymo_chunk *")
    word = lib.range_take(steals, lib.range_make(begin, end), 1, min_chunk, chunk)
    n = min(end - begin, max(min_chunk, (end - begin) // 2))
    assert (chunk.begin, chunk.end) == ((end - n, end) if steals else (begin, begin + n))
    assert (word & MOST, word >> 32) == ((begin, end - n) if steals else (begin + n, end))


@given(size=st.integers(0, 100), turns=turns)
def test_the_atomic_form_applies_the_same_rule(lib: Any, size: int, turns: list[tuple[bool, int, int]]) -> None:
    word, chunk = ffi.new("uint64_t *", lib.range_make(0, size)), ffi.new("asymo_chunk *")
    expected = ffi.new("asymo_chunk *")
    for steals, sharers, min_chunk in turns:
        before = word[0]
        taken = lib.range_take_atomically(steals, word, sharers, min_chunk, chunk)
        if before >> 32 == before & MOST:
            assert not taken
            assert word[0] == before
        else:
            assert taken
            assert word[0] == lib.range_take(steals, before, sharers, min_chunk, expected)
            assert (chunk.begin, chunk.end) == (expected.begin, expected.end)
