"""Depthwise convolution against numpy in float64."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from _nhwc import CANARY, Nhwc, bits, every_isa, filled, using_isa
from _steps import run_step
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo._core import lib

CHANNELS = [1, 3, 7, 15, 16, 17, 33, 100]


@dataclass(frozen=True)
class Case:
    channels: int
    size: tuple[int, int] = (9, 11)
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (1, 1)
    pad_end: tuple[int, int] = (1, 1)
    batch: int = 1

    @property
    def out(self) -> tuple[int, int]:
        return tuple(
            (self.size[i] + self.pad[i] + self.pad_end[i] - (self.kernel[i] - 1) * self.dilation[i] - 1) // self.stride[i] + 1
            for i in (0, 1)
        )


@dataclass
class Tensors:
    x: np.ndarray
    w: np.ndarray
    bias: np.ndarray | None = None
    r: np.ndarray | None = None


def tensors(case: Case, rng: np.random.Generator, *, bias: bool = True, residual: bool = False) -> Tensors:
    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    c = case.channels
    return Tensors(
        draw(case.batch, *case.size, c),
        draw(*case.kernel, c),
        draw(c) if bias else None,
        draw(case.batch, *case.out, c) if residual else None,
    )


def expected(case: Case, t: Tensors, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[np.ndarray, np.ndarray]:
    """The result in float64, and a bound of the rounding error of a chain of fused multiply-adds."""
    padded = np.pad(t.x.astype(np.float64), [(0, 0), *zip(case.pad, case.pad_end, strict=True), (0, 0)])
    y = np.zeros((case.batch, *case.out, case.channels)) + (0 if t.bias is None else t.bias)
    size = np.abs(y)
    for kh, kw in itertools.product(*map(range, case.kernel)):
        first = kh * case.dilation[0], kw * case.dilation[1]
        rows, columns = (slice(f, f + s * (o - 1) + 1, s) for f, s, o in zip(first, case.stride, case.out, strict=True))
        term = padded[:, rows, columns] * t.w[kh, kw].astype(np.float64)
        y += term
        size += np.abs(term)
    if t.r is not None:
        y += t.r
        size += np.abs(t.r)
    return np.clip(y, *bounds), size * (np.prod(case.kernel) + 2) * 2.0**-24


def run(
    case: Case,
    t: Tensors,
    *,
    unit_rows: int = 1,
    unit_c: int | None = None,
    workers: int = 1,
    pixel: int | None = None,
    at: str = "end",
    act: int = 0,
    p: float = 0,
    q: float = 0,
) -> np.ndarray:
    """The step's output; fails when anything outside it changed."""
    x, y = filled(t.x, pixel, at), Nhwc((case.batch, *case.out, case.channels), pixel, gap=CANARY, at=at)
    w = filled(t.w, None, at)
    bias = None if t.bias is None else filled(t.bias, None, at)
    r = None if t.r is None else filled(t.r, pixel, at)
    args = {
        "batch": case.batch,
        "channels": case.channels,
        "in": case.size,
        "out": case.out,
        "kernel": case.kernel,
        "stride": case.stride,
        "dilation": case.dilation,
        "pad": case.pad,
        "x_batch": x.strides[0],
        "y_batch": y.strides[0],
        "r_batch": r.strides[0] if r else 0,
        "x_stride": x.strides[1:],
        "y_stride": y.strides[1:],
        "r_stride": r.strides[1:] if r else (0, 0),
        "unit_rows": unit_rows,
        "unit_c": unit_c or case.channels,
        "act": act,
        "p": p,
        "q": q,
    }
    run_step("dwconv", args, [x.flat, w.flat, bias and bias.flat, r and r.flat, None, y.flat], workers=workers)
    assert (y.gaps == CANARY).all()
    return y.array.copy()


def check(case: Case, t: Tensors, y: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> None:
    want, error = expected(case, t, bounds)
    assert (np.abs(y - want) <= error).all()


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (1, 4), (1, 3), (3, 1), (2, 7)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1), (1, 3)])
def test_values(isa: str, channels: int, kernel: tuple[int, int], stride: tuple[int, int], rng: np.random.Generator) -> None:
    pad = (kernel[0] // 2, kernel[1] // 2)
    case = Case(channels, (8, 23), kernel, stride, pad=pad, pad_end=pad)
    t = tensors(case, rng)
    check(case, t, run(case, t))


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_shape_on_every_isa(data: st.DataObject) -> None:
    small = st.integers(1, 3)
    pairs = st.tuples(small, small)
    kernel = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    dilation = data.draw(pairs)
    pad, pad_end = (data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6))) for _ in range(2))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [max(1, reach[i] - pad[i] - pad_end[i]) for i in (0, 1)]
    size = tuple(data.draw(st.integers(n, n + 11)) for n in least)
    case = Case(
        data.draw(st.sampled_from([1, 5, 16, 19, 40])), size, kernel, data.draw(pairs), dilation, pad, pad_end, data.draw(st.integers(1, 2))
    )
    t = tensors(
        case, np.random.default_rng(data.draw(st.integers(0, 99))), bias=data.draw(st.booleans()), residual=data.draw(st.booleans())
    )
    results = []
    for name in every_isa():
        with using_isa(name):
            results.append(run(case, t, pixel=case.channels + 3))
    check(case, t, results[0])
    for result in results[1:]:
        np.testing.assert_array_equal(bits(result), bits(results[0]))


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("pixels", "taps", "dilation", "pad"), [(16, 1, 1, 0), (17, 5, 1, 2), (47, 129, 1, 0), (129, 7, 2, 3), (300, 300, 1, 9)]
)
def test_one_channel(pixels: int, taps: int, dilation: int, pad: int, stride: int, rng: np.random.Generator) -> None:
    """Vectors of pixels, on every instruction set and at either guard page, dense and not."""
    width = (pixels - 1) * stride + (taps - 1) * dilation + 1
    case = Case(1, (4, width), (2, taps), (1, stride), (1, dilation), (1, pad), (0, pad), 2)
    t = tensors(case, rng, residual=taps != 7)
    results = []
    for name in every_isa():
        with using_isa(name):
            results += [run(case, t, pixel=pixel, at=at) for pixel in (None, 3) for at in ("begin", "end")]
            assert (run(case, t, act=lib.ASYMO_ACT_CLIP, p=-0.5, q=1.5) == np.clip(results[0], -0.5, 1.5)).all()
            leaky = np.where(results[0] < 0, results[0] * np.float32(0.25), results[0])
            np.testing.assert_array_equal(run(case, t, act=lib.ASYMO_ACT_LEAKY_RELU, p=0.25), leaky)
    check(case, t, results[0])
    for result in results[1:]:
        np.testing.assert_array_equal(bits(result), bits(results[0]))


@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((4, 2), (1, 2))])
def test_any_split_gives_the_same_bits(isa: str, kernel: tuple[int, int], stride: tuple[int, int], rng: np.random.Generator) -> None:
    case = Case(50, (13, 17), kernel, stride, batch=2)
    t = tensors(case, rng, residual=True)
    whole = run(case, t, unit_rows=100)
    for unit_rows, unit_c, workers in [(1, 16, 1), (2, 50, 2), (3, 7, 3), (5, 32, 2)]:
        split = run(case, t, unit_rows=unit_rows, unit_c=unit_c, workers=workers)
        np.testing.assert_array_equal(bits(split), bits(whole))


@pytest.mark.parametrize("at", ["begin", "end"])
@pytest.mark.parametrize("channels", CHANNELS)
def test_touches_nothing_outside(isa: str, channels: int, at: str, rng: np.random.Generator) -> None:
    for pixel in (None, 101):
        for stride in ((1, 1), (2, 2)):
            case = Case(channels, (6, 13), stride=stride, pad=(0, 1), pad_end=(2, 0))
            t = tensors(case, rng, residual=True)
            check(case, t, run(case, t, pixel=pixel, at=at))


def test_clip_and_residual(isa: str, rng: np.random.Generator) -> None:
    case = Case(35)
    t = tensors(case, rng, residual=True)
    check(case, t, run(case, t, act=lib.ASYMO_ACT_CLIP, p=-0.5, q=1.5), (-0.5, 1.5))
    check(case, t, run(case, t, act=lib.ASYMO_ACT_CLIP, p=0, q=np.inf), (0, np.inf))


def test_not_a_number_passes_the_bounds_and_infinity_stays(isa: str, rng: np.random.Generator) -> None:
    case = Case(20)
    t = tensors(case, rng)
    t.x[0, 4, 5, 3] = np.nan
    t.x[0, 4, 5, 4] = np.inf
    t.w[..., 4] = 1
    y = run(case, t, act=lib.ASYMO_ACT_CLIP, p=0, q=np.inf)
    seen = np.zeros(y.shape, bool)
    seen[0, 3:6, 4:7, 3] = True
    np.testing.assert_array_equal(np.isnan(y), seen)
    assert (y[0, 3:6, 4:7, 4] == np.inf).all()


def test_a_tap_in_the_padding_is_left_out(isa: str, rng: np.random.Generator) -> None:
    case = Case(20, (4, 9))
    t = tensors(case, rng)
    t.w[0] = np.inf
    y = run(case, t)
    assert np.isfinite(y[:, 0]).all()
    assert not np.isfinite(y[:, 1:]).any()
