"""Pooling against numpy in float64."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from _guard import guarded
from _nhwc import CANARY, Nhwc, bits, every_isa, filled, using_isa
from _steps import run_step
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo._core import lib

CHANNELS = [1, 3, 7, 15, 16, 17, 33, 100]
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    channels: int
    size: Triple = (1, 9, 11)
    kernel: Triple = (1, 3, 3)
    stride: Triple = (1, 2, 2)
    dilation: Triple = (1, 1, 1)
    pad: Triple = (0, 1, 1)
    pad_end: Triple = (0, 1, 1)
    ceil: bool = False
    batch: int = 1

    @property
    def out(self) -> Triple:
        result = []
        for i in range(3):
            room = self.size[i] + self.pad[i] + self.pad_end[i] - (self.kernel[i] - 1) * self.dilation[i] - 1
            n = (-(-room // self.stride[i]) if self.ceil else room // self.stride[i]) + 1
            if self.ceil and (n - 1) * self.stride[i] >= self.size[i] + self.pad[i]:
                n -= 1
            result.append(n)
        return tuple(result)


def windows(case: Case, x: np.ndarray) -> Any:
    """(output position, cells [n, channels] in float64, their positions, cells inside the padded input) of every window."""
    for b, *o in itertools.product(range(case.batch), *map(range, case.out)):
        places, counted = [], 0
        for k in itertools.product(*map(range, case.kernel)):
            at = [o[i] * case.stride[i] - case.pad[i] + k[i] * case.dilation[i] for i in range(3)]
            counted += all(at[i] < case.size[i] + case.pad_end[i] for i in range(3))
            if all(0 <= at[i] < case.size[i] for i in range(3)):
                places.append(tuple(at))
        cells = np.array([x[(b, *place)] for place in places], np.float64).reshape(-1, case.channels)
        yield (b, *o), cells, places, counted


def run(
    case: Case,
    x: np.ndarray,
    mode: int,
    *,
    include_pad: bool = False,
    p: float = 2,
    column_major: bool = False,
    with_index: bool = False,
    pixel: int | None = None,
    at: str = "end",
    workers: int = 1,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Y and, with_index, the indices; fails when anything outside them changed."""
    source, y = filled(x, pixel, at), Nhwc((case.batch, *case.out, case.channels), pixel, gap=CANARY, at=at)
    index = Nhwc((case.batch, *case.out, case.channels), pixel, gap=-77, dtype=np.int64, at=at) if with_index else None
    args = {
        "mode": mode,
        "batch": case.batch,
        "channels": case.channels,
        "in": case.size,
        "out": case.out,
        "kernel": case.kernel,
        "stride": case.stride,
        "dilation": case.dilation,
        "pad": case.pad,
        "pad_end": case.pad_end,
        "x_batch": source.strides[0],
        "y_batch": y.strides[0],
        "x_stride": source.strides[1:],
        "y_stride": y.strides[1:],
        "include_pad": include_pad,
        "column_major": column_major,
        "p": p,
    }
    run_step("pool", args, [source.flat, y.flat, index and index.flat], workers=workers)
    assert (y.gaps == CANARY).all()
    assert index is None or (index.gaps == -77).all()
    return y.array.copy(), index and index.array.copy()


def draw(case: Case, rng: np.random.Generator) -> np.ndarray:
    """Few distinct values, so that a window has equal cells."""
    return (rng.integers(-9, 9, (case.batch, *case.size, case.channels)) / 8).astype(np.float32)


def check_max(case: Case, x: np.ndarray, y: np.ndarray) -> None:
    for at, cells, _, _ in windows(case, x):
        np.testing.assert_array_equal(y[at], cells.max(0, initial=-np.inf))


def check_index(case: Case, x: np.ndarray, index: np.ndarray, column_major: bool) -> None:
    shape = (case.batch, case.channels, *case.size)
    for at, cells, places, _ in windows(case, x):
        for c in range(case.channels):
            if not places:
                assert index[at][c] == -1
                continue
            first, *place = at[0], *places[int(np.argmax(cells[:, c]))]
            spatial = np.ravel_multi_index(place, case.size, order="F" if column_major else "C")
            assert index[at][c] == (first * case.channels + c) * np.prod(shape[2:]) + spatial


def check_average(case: Case, x: np.ndarray, y: np.ndarray, include_pad: bool) -> None:
    for at, cells, places, counted in windows(case, x):
        count = counted if include_pad else len(places)
        if count:
            np.testing.assert_allclose(y[at], cells.sum(0) / count, rtol=2e-7, atol=len(places) * 2e-7)


def check_lp(case: Case, x: np.ndarray, y: np.ndarray, p: int) -> None:
    for at, cells, places, _ in windows(case, x):
        np.testing.assert_allclose(y[at], (np.abs(cells) ** p).sum(0) ** (1 / p), rtol=(len(places) + p + 2) * 2.0**-24)


SHAPES = [
    Case(1),
    Case(1, (1, 1, 13), (1, 1, 3), (1, 1, 2), pad=(0, 0, 1), pad_end=(0, 0, 1)),
    Case(1, (5, 6, 7), (2, 3, 2), (2, 1, 2), pad=(1, 0, 1), pad_end=(0, 2, 1)),
    Case(1, (1, 10, 12), (1, 3, 2), (1, 2, 3), (1, 2, 3), ceil=True),
    Case(1, (1, 6, 6), (1, 6, 6), (1, 1, 1), pad=(0, 0, 0), pad_end=(0, 0, 0), batch=2),
]


def shapes() -> Any:
    return pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s.size)))


@pytest.mark.parametrize("channels", CHANNELS)
@shapes()
def test_values(isa: str, shape: Case, channels: int, rng: np.random.Generator) -> None:
    case = Case(**{**shape.__dict__, "channels": channels})
    x = draw(case, rng)
    check_max(case, x, run(case, x, lib.ASYMO_POOL_MAX)[0])
    for include_pad in (False, True):
        check_average(case, x, run(case, x, lib.ASYMO_POOL_AVERAGE, include_pad=include_pad)[0], include_pad)
    for p in (1, 2, 3, 7):
        check_lp(case, x, run(case, x, lib.ASYMO_POOL_LP, p=p)[0], p)


@pytest.mark.parametrize("column_major", [False, True])
@shapes()
def test_index_of_the_first_largest(isa: str, shape: Case, column_major: bool, rng: np.random.Generator) -> None:
    case = Case(**{**shape.__dict__, "channels": 19})
    x = draw(case, rng)
    y, index = run(case, x, lib.ASYMO_POOL_MAX, with_index=True, column_major=column_major, pixel=23)
    check_max(case, x, y)
    check_index(case, x, index, column_major)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape_on_every_isa(data: st.DataObject) -> None:
    def triple(low: int, high: int) -> Triple:
        return data.draw(st.tuples(*[st.integers(low, high)] * 3))

    kernel, dilation, pad, pad_end = triple(1, 3), triple(1, 2), triple(0, 3), triple(0, 3)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [max(1, reach[i] - pad[i] - pad_end[i]) for i in range(3)]
    size = tuple(data.draw(st.integers(n, n + 5)) for n in least)
    case = Case(data.draw(st.sampled_from([1, 5, 16, 19])), size, kernel, triple(1, 3), dilation, pad, pad_end, data.draw(st.booleans()), 1)
    x = draw(case, np.random.default_rng(data.draw(st.integers(0, 99))))
    include_pad = data.draw(st.booleans())
    results = []
    for name in every_isa():
        with using_isa(name):
            largest, index = run(case, x, lib.ASYMO_POOL_MAX, with_index=True)
            average, _ = run(case, x, lib.ASYMO_POOL_AVERAGE, include_pad=include_pad)
            cubic, _ = run(case, x, lib.ASYMO_POOL_LP, p=3)
            results.append((largest, index, average, cubic))
    largest, index, average, cubic = results[0]
    check_max(case, x, largest)
    check_index(case, x, index, False)
    check_average(case, x, average, include_pad)
    check_lp(case, x, cubic, 3)
    for other in results[1:]:
        np.testing.assert_array_equal(other[1], index)
        for mine, first in zip(other[:1] + other[2:], (largest, average, cubic), strict=True):
            np.testing.assert_array_equal(bits(mine), bits(first))


@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_touches_nothing_outside(isa: str, channels: int, at: str, rng: np.random.Generator) -> None:
    for pixel in (None, 101):
        case = Case(channels, batch=2)
        x = draw(case, rng)
        y, index = run(case, x, lib.ASYMO_POOL_MAX, with_index=True, pixel=pixel, at=at)
        check_max(case, x, y)
        check_index(case, x, index, False)
        check_average(case, x, run(case, x, lib.ASYMO_POOL_AVERAGE, pixel=pixel, at=at, workers=2)[0], False)


def test_not_a_number_is_the_largest(isa: str) -> None:
    """As numpy, and unlike a chain of hardware maxima: it stays whatever follows it."""
    case = Case(18, (1, 1, 4), (1, 1, 4), (1, 1, 1), pad=(0, 0, 0), pad_end=(0, 0, 0))
    for place in range(4):
        x = np.arange(4 * 18, dtype=np.float32).reshape(1, 1, 1, 4, 18)
        x[..., place:, :] = np.nan
        y, index = run(case, x, lib.ASYMO_POOL_MAX, with_index=True)
        assert np.isnan(y).all()
        assert (index.ravel() == np.arange(18) * 4 + place).all()
        x[..., place + 1 :, :] = 1e9
        y, _ = run(case, x, lib.ASYMO_POOL_MAX)
        assert np.isnan(y).all()


def test_a_window_of_minus_infinity_has_an_index(isa: str) -> None:
    case = Case(3, (1, 1, 2), (1, 1, 2), (1, 1, 1), pad=(0, 0, 0), pad_end=(0, 0, 0))
    x = np.full((1, 1, 1, 2, 3), -np.inf, np.float32)
    y, index = run(case, x, lib.ASYMO_POOL_MAX, with_index=True)
    assert (y == -np.inf).all()
    assert index.ravel().tolist() == [0, 2, 4]


def test_lp_of_extreme_values(isa: str) -> None:
    case = Case(4, (1, 1, 1), (1, 1, 1), (1, 1, 1), pad=(0, 0, 0), pad_end=(0, 0, 0))
    x = guarded((1, 1, 1, 1, 4))
    x[...] = [0, 1e-12, 3e12, np.inf]
    y, _ = run(case, x, lib.ASYMO_POOL_LP, p=3)
    np.testing.assert_allclose(y.ravel(), x.ravel(), rtol=1e-6)
