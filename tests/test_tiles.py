"""Unit sizes: properties that hold for every shape, register tile and worker count."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.plan import tiles

sizes = st.integers(1, 5000)
workers = st.integers(1, 16)
register_tiles = st.sampled_from([(14, 32), (6, 16), (8, 8), (8, 12), (4, 8)])


@settings(deadline=None)
@given(sizes, sizes, sizes, register_tiles, workers, st.integers(1, 12))
def test_gemm_units(m: int, n: int, k: int, tile: tuple[int, int], workers: int, entries: int) -> None:
    mr, nr = tile
    unit_m, unit_n, n_fastest = tiles.gemm_units(m, n, k, mr, nr, workers, entries)
    assert unit_m % mr == 0
    assert unit_n % nr == 0
    assert n_fastest in (0, 1)
    assert mr <= unit_m < m + mr
    assert nr <= unit_n < n + nr
    half = tiles.L2_BYTES // 2
    assert unit_m == mr or 4 * k * unit_m <= half
    assert unit_n == nr or 4 * k * unit_n <= half
    units = entries * tiles.ceil_div(m, unit_m) * tiles.ceil_div(n, unit_n)
    finest = entries * tiles.ceil_div(m, mr) * tiles.ceil_div(n, nr)
    wanted = tiles.wanted_units(2.0 * entries * m * n * k, workers)
    assert units >= min(wanted, finest) * 0.5  # evening out the last unit may cost some


@settings(deadline=None)
@given(st.integers(1, 4), st.tuples(sizes, sizes), sizes, st.sampled_from([(3, 3), (5, 5), (1, 9)]), sizes, workers)
def test_dwconv_units(batch: int, out: tuple[int, int], channels: int, kernel: tuple[int, int], width: int, workers: int) -> None:
    rows, unit_c = tiles.dwconv_units(batch, out, channels, kernel, width, workers)
    assert 1 <= rows <= out[0]
    assert unit_c == channels or unit_c % tiles.LANES == 0
    assert 1 <= unit_c <= channels


@settings(deadline=None)
@given(sizes, sizes, sizes, st.sampled_from([2, 4]), workers)
def test_winograd_units(count: int, c: int, n: int, tile: int, workers: int) -> None:
    unit = tiles.winograd_units(count, c, n, tile, workers)
    assert min(count, 5) <= unit <= count
    assert unit <= 8 or 4 * (tile + 2) ** 2 * (c + min(n, 128)) * unit <= tiles.L2_BYTES


def test_winograd_where_it_pays() -> None:
    """The shapes measured in docs/kernels-conv.md: large images, few weights, and neither."""
    assert [tiles.winograd_tile(c, c, (size, size), 1) for size, c in [(224, 64), (56, 64), (28, 128), (28, 512), (56, 16)]] == [4] * 5
    assert [tiles.winograd_tile(c, c, (size, size), 1) for size, c in [(14, 256), (14, 512)]] == [2, 2]
    assert [tiles.winograd_tile(c, n, (size, size), 1) for size, c, n in [(7, 512, 512), (32, 1, 16), (224, 3, 64), (1, 64, 64)]] == [0] * 4
    assert tiles.winograd_tile(512, 512, (7, 7), 16) == 4


@settings(deadline=None)
@given(sizes, sizes, sizes, workers)
def test_inner_units(outer: int, reduce: int, inner: int, workers: int) -> None:
    unit = tiles.inner_units(outer, reduce, inner, workers)
    assert 1 <= unit <= inner
    assert unit == inner or unit % tiles.LANES == 0


@settings(deadline=None)
@given(sizes, st.sampled_from([1, 3, 4]), st.integers(1, 8), workers)
def test_rnn_units(hidden: int, gates: int, batch: int, workers: int) -> None:
    unit = tiles.rnn_units(hidden, gates, batch, workers)
    assert unit % tiles.LANES == 0
    assert tiles.ceil_div(hidden, unit) <= workers


def test_tiny_steps_are_one_unit() -> None:
    assert tiles.gemm_units(1, 10, 64, 14, 32, 8)[:2] == (14, 32)
    assert tiles.row_units(100, 10.0, 8) == 100


def test_large_steps_have_units_for_all() -> None:
    unit_m, unit_n, _ = tiles.gemm_units(784, 256, 1152, 14, 32, 8)
    assert tiles.ceil_div(784, unit_m) * tiles.ceil_div(256, unit_n) >= 4 * 8


def test_a_row_vector_splits_over_columns() -> None:
    unit_m, unit_n, _ = tiles.gemm_units(1, 4096, 4096, 14, 32, 4)
    assert unit_m == 14
    assert tiles.ceil_div(4096, unit_n) >= 16
