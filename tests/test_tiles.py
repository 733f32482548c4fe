"""Unit sizes: properties that hold for every shape, register tile and number of cores."""

from __future__ import annotations

import pytest
from _machines import gemm, machine
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.cost import steps
from asymo.plan import tiles
from asymo.plan.plan import Args
from asymo.plan.share import Sharer
from asymo.plan.tiles import Fitter, Target, ceil_div

sizes = st.integers(1, 5000)
targets = st.builds(
    lambda tile, l2, cores: Target(*tile, l2, (cores,)),
    st.sampled_from([(14, 32), (6, 16), (8, 8), (8, 12), (4, 8)]),
    st.sampled_from([64 << 10, 256 << 10, 1 << 20]),
    st.integers(1, 16),
)


@settings(deadline=None)
@given(sizes, sizes, sizes, targets, st.integers(1, 12))
def test_gemm(m: int, n: int, k: int, target: Target, entries: int) -> None:
    found = list(tiles.gemm_candidates(m, n, k, target, entries))
    assert found
    for c in found:
        unit_m, unit_n = c["unit_m"], c["unit_n"]
        assert unit_m % target.mr == 0
        assert unit_n % target.nr == 0
        assert c["n_fastest"] in (0, 1)
        assert target.mr <= unit_m < m + target.mr
        assert target.nr <= unit_n < n + target.nr
        assert unit_m == target.mr or 4 * k * unit_m <= target.l2_bytes // 2
        assert unit_n == target.nr or 4 * k * unit_n <= target.l2_bytes // 2


def test_overlapping_rows_make_tall_units() -> None:
    """A 3 x 3 convolution of 7 x 7 pixels, 512 channels: 49 rows of 4608 floats lie on 25088 floats of memory."""
    target = Target(8, 8, 512 << 10, (4, 8))
    tall = max(c["unit_m"] for c in tiles.gemm_candidates(49, 512, 4608, target, row=25088 / 49))
    assert tall == 56
    assert max(c["unit_m"] for c in tiles.gemm_candidates(49, 512, 4608, target)) == 8


@settings(deadline=None)
@given(st.integers(1, 4), st.tuples(sizes, sizes), sizes, st.sampled_from([(3, 3), (5, 5), (1, 9)]), sizes, targets)
def test_dwconv(batch: int, out: tuple[int, int], channels: int, kernel: tuple[int, int], width: int, target: Target) -> None:
    for c in tiles.dwconv_candidates(batch, out, channels, kernel, width, target):
        assert 1 <= c["unit_rows"] <= out[0]
        assert c["unit_c"] == channels or c["unit_c"] % tiles.LANES == 0
        assert 1 <= c["unit_c"] <= channels


@settings(deadline=None)
@given(sizes, sizes, sizes, st.sampled_from([16, 36]), targets)
def test_winograd(count: int, c: int, n: int, products: int, target: Target) -> None:
    for candidate in tiles.winograd_candidates(count, c, n, products, target):
        unit = candidate["unit_tiles"]
        assert 1 <= unit <= count
        assert candidate["unit_n"] % target.nr == 0
        assert candidate["unit_n"] < n + target.nr
        bytes_of_tile = 4 * products * (c + min(n, 128))
        assert unit <= tiles.SPILL * target.mr or bytes_of_tile * unit <= tiles.SPILL * target.l2_bytes


def test_winograd_where_it_pays() -> None:
    """The shapes measured in docs/kernels-conv.md: large images, few weights, and neither."""

    def chosen(kernel: int, *shapes: tuple[int, int, int], batch: int = 1) -> list[int]:
        return [tiles.winograd_tile((kernel, kernel), c, n, (size, size), batch) for size, c, n in shapes]

    assert chosen(3, (224, 64, 64), (56, 64, 64), (28, 128, 128), (28, 512, 512), (56, 16, 16)) == [4] * 5
    assert chosen(3, (14, 256, 256), (14, 512, 512), (7, 512, 512)) == [4, 4, 2]
    assert chosen(3, (3, 512, 512), (32, 1, 16), (224, 3, 64), (1, 64, 64)) == [0] * 4
    assert chosen(3, (7, 512, 512), batch=16) == [4]
    assert chosen(5, (27, 64, 192), (14, 128, 128), (35, 48, 64)) == [2] * 3
    assert chosen(5, (56, 16, 16), (112, 8, 8), (224, 3, 32)) == [0] * 3
    assert chosen(7, (56, 64, 64)) == [0]
    assert tiles.winograd_tile((1, 3), 64, 64, (56, 56), 1) == 0


def test_channels_are_cut_where_rows_are_few() -> None:
    """7 rows of 960 channels for 8 cores: a unit for each of them and more, in whole vectors."""
    found = list(tiles.dwconv_candidates(1, (7, 7), 960, (3, 3), 7, Target(8, 8, 512 << 10, (4, 8))))
    assert max(ceil_div(7, c["unit_rows"]) * ceil_div(960, c["unit_c"]) for c in found) >= 50
    assert all(c["unit_c"] % tiles.LANES == 0 for c in found)


@settings(deadline=None)
@given(sizes, sizes, st.sampled_from([1, 16, 256]), targets)
def test_finer(whole: int, most: int, multiple: int, target: Target) -> None:
    most *= multiple
    found = [c["unit_size"] for c in tiles.finer_candidates("unit_size", whole, most, multiple, target)]
    assert found[0] == min(most, ceil_div(ceil_div(whole, target.crews[0] if len(target.crews) > 1 else target.cores), multiple) * multiple)
    assert all(size % multiple == 0 and 0 < size <= most for size in found)


@settings(deadline=None)
@given(sizes, sizes, targets)
def test_inner(outer: int, inner: int, target: Target) -> None:
    for c in tiles.inner_candidates(outer, inner, target):
        assert 1 <= c["unit_inner"] <= inner
        assert c["unit_inner"] == inner or c["unit_inner"] % tiles.LANES == 0


@settings(deadline=None)
@given(sizes, targets)
def test_rnn_and_rows(size: int, target: Target) -> None:
    assert all(c["unit_n"] % tiles.LANES == 0 and c["unit_n"] > 0 for c in tiles.rnn_candidates(size, target))
    assert all(1 <= c["unit_rows"] <= size for c in tiles.row_candidates(size, target))


def units_of(shape: tuple[int, int, int], *cores: tuple[int, float]) -> tuple[int, Args]:
    there = machine(*cores)
    args = Fitter(Sharer(there)).fit("gemm", gemm(*shape))
    return steps.units("gemm", args, there), args


def test_one_core_has_large_units() -> None:
    """Nobody waits for anybody: only the caches bound them."""
    units, args = units_of((784, 256, 1152), (1, 20e9))
    assert units == ceil_div(784, args["unit_m"]) * ceil_div(256, args["unit_n"])
    assert 4 * 1152 * (args["unit_m"] + 8) > (256 << 10) // 2


def test_many_cores_have_small_ones() -> None:
    alone, few, many = (units_of((784, 256, 256), *cores)[0] for cores in ([(1, 20e9)], [(2, 20e9)], [(4, 20e9), (4, 6e9)]))
    assert alone < few < many
    assert many >= 4 * 8


@settings(deadline=None, max_examples=30)
@given(*[st.integers(1, 600)] * 3, st.sampled_from([((4, 20e9), (4, 6e9)), ((1, 30e9), (3, 20e9), (4, 6e9)), ((2, 20e9),)]))
def test_no_size_that_was_left_untimed_is_quicker(m: int, n: int, k: int, cores: tuple[tuple[int, float], ...]) -> None:
    sharer = Sharer(machine(*cores))
    fitter, args = Fitter(sharer), gemm(m, n, k)

    def seconds(args: Args) -> float:
        sketch = sharer.sketch("gemm", args)
        return sketch.seconds() + tiles.lateness(sketch.seconds() * fitter.target.cores / sketch.units, sketch.seconds())

    every = [seconds({**args, **c}) for c in tiles.CANDIDATES["gemm"](args, fitter.target)]
    assert seconds(fitter.fit("gemm", args)) <= min(every) * (1 + tiles.GAIN)


@pytest.mark.parametrize("shape", [(784, 256, 1152), (3136, 64, 64), (196, 512, 128), (49, 512, 2304)])
def test_the_last_unit_is_short_against_the_step(shape: tuple[int, int, int]) -> None:
    there = machine((1, 20e9), (1, 5e9))
    sharer = Sharer(there)
    args = Fitter(sharer).fit("gemm", gemm(*shape))
    finest = ceil_div(shape[0], 8) * ceil_div(shape[1], 8)
    step = sharer.decide("gemm", args).option
    assert step.unit_s[1] <= 0.15 * step.seconds or steps.units("gemm", args, there) == finest


def test_a_row_vector_splits_over_columns() -> None:
    units, args = units_of((1, 4096, 4096), (4, 20e9))
    assert args["unit_m"] == 8
    assert units >= 16


def test_kinds_that_choose_for_themselves_stay_as_they_are() -> None:
    args: Args = {"size_bytes": 4, "count": 1000, "unit_size": 100}
    assert Fitter(Sharer(machine((4, 20e9)))).fit("fill", args) is args
