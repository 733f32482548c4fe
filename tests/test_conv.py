"""The step conv against a direct convolution by numpy in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from _guard import guarded, guarded_copy
from _steps import run_step
from asymo._asymo import lib
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo import _core

EPS = float(np.finfo(np.float32).eps)
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """One convolution; triples are depth, height, width."""

    size: Triple
    kernel: Triple
    c: int
    n: int
    batch: int = 1
    groups: int = 1
    stride: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    pad: Triple = (0, 0, 0)
    pad_end: Triple = (0, 0, 0)
    unit: tuple[int, int] = (0, 0)
    n_fastest: int = 1
    out: Triple = field(init=False)

    def __post_init__(self) -> None:
        span = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True)]
        out = [(s + a + b - w) // t + 1 for s, a, b, w, t in zip(self.size, self.pad, self.pad_end, span, self.stride, strict=True)]
        object.__setattr__(self, "out", tuple(out))


CASES = [
    Case((1, 7, 7), (1, 3, 3), 5, 9, pad=(0, 1, 1), pad_end=(0, 1, 1)),
    Case((1, 12, 13), (1, 3, 3), 24, 40, batch=2, stride=(1, 2, 2), pad=(0, 1, 1), pad_end=(0, 0, 1)),
    Case((1, 14, 14), (1, 1, 1), 20, 70),
    Case((1, 9, 11), (1, 1, 1), 17, 33, stride=(1, 2, 3)),
    Case((1, 16, 15), (1, 7, 7), 3, 16, stride=(1, 2, 2), pad=(0, 3, 3), pad_end=(0, 3, 3)),
    Case((1, 4, 3), (1, 5, 5), 1, 2, pad=(0, 4, 4), pad_end=(0, 4, 4)),
    Case((1, 1, 30), (1, 1, 5), 6, 7, dilation=(1, 1, 3), pad=(0, 0, 2), pad_end=(0, 0, 9)),
    Case((5, 6, 7), (3, 2, 3), 4, 10, batch=2, stride=(2, 1, 2), dilation=(1, 2, 1), pad=(1, 0, 2), pad_end=(2, 3, 0)),
    Case((1, 8, 8), (1, 3, 3), 6, 4, groups=3, pad=(0, 1, 1), pad_end=(0, 1, 1)),
    Case((1, 5, 5), (1, 3, 3), 1, 3, groups=7, batch=3, pad=(0, 1, 1), pad_end=(0, 1, 1)),
    Case((1, 2, 2), (1, 3, 3), 8200, 3, pad=(0, 1, 1), pad_end=(0, 1, 1)),
    Case((1, 3, 2), (1, 1, 3), 3000, 2, pad=(0, 0, 1), pad_end=(0, 0, 1)),
    Case((1, 40, 30), (1, 3, 3), 16, 8, pad=(0, 1, 1), pad_end=(0, 1, 1)),
]


def data(rng: np.random.Generator, case: Case) -> tuple[np.ndarray, ...]:
    """X [b, d, h, w, g c], W [g, kd, kh, kw, c, n], bias, R like Y."""
    channels = case.groups * case.n
    shapes = [(case.batch, *case.size, case.groups * case.c), (case.groups, *case.kernel, case.c, case.n), (channels,)]
    return tuple(rng.standard_normal(s).astype(np.float32) for s in [*shapes, (case.batch, *case.out, channels)])


def direct(case: Case, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The convolution in float64, window position by window position."""
    width = [(0, 0), *zip(case.pad, case.pad_end, strict=True), (0, 0)]
    x = np.pad(x.astype(np.float64), width)
    x = x.reshape(*x.shape[:4], case.groups, case.c)
    y = np.zeros((case.batch, *case.out, case.groups, case.n))
    for tap in np.ndindex(*case.kernel):
        at = [slice(t * d, t * d + s * (o - 1) + 1, s) for t, d, s, o in zip(tap, case.dilation, case.stride, case.out, strict=True)]
        y += np.einsum("bdhwgc,gcn->bdhwgn", x[(slice(None), *at)], w[(slice(None), *tap)].astype(np.float64))
    return y.reshape(*y.shape[:4], -1)


def pack(w: np.ndarray) -> np.ndarray:
    return np.concatenate([_core.gemm_pack(g.reshape(-1, g.shape[-1])) for g in w])


def strides(x: np.ndarray) -> dict[str, Any]:
    """Image, depth, row, pixel strides in elements."""
    b, d, h, w = (s // 4 for s in x.strides[:4])
    return {"batch": b, "stride": (d, h, w)}


def conv(
    case: Case,
    x: np.ndarray,
    packed: np.ndarray,
    bias: np.ndarray | None = None,
    r: np.ndarray | None = None,
    slope: np.ndarray | None = None,
    y: np.ndarray | None = None,
    act: int = 0,
    p: float = 0.0,
    q: float = 0.0,
    workers: int = 1,
) -> np.ndarray:
    y = np.full((case.batch, *case.out, case.groups * case.n), np.nan, np.float32) if y is None else y
    args: dict[str, Any] = {"batch": case.batch, "groups": case.groups, "c": case.c, "n": case.n, "in": case.size, "out": case.out}
    args |= {"kernel": case.kernel, "stride": case.stride, "dilation": case.dilation, "pad": case.pad, "act": act, "p": p, "q": q}
    args |= {"unit_m": case.unit[0], "unit_n": case.unit[1], "n_fastest": case.n_fastest}
    for name, array in (("x", x), ("y", y), ("r", r)):
        if array is not None:
            args |= {f"{name}_{key}": value for key, value in strides(array).items()}
    run_step("conv", args, [x, packed, bias, r, slope, y], workers=workers)
    return y


def assert_close(case: Case, y: np.ndarray, x: np.ndarray, w: np.ndarray, bias: Any = 0.0, r: Any = 0.0) -> None:
    """y against float64, within the worst rounding of one fp32 accumulator."""
    depth = int(np.prod(case.kernel)) * case.c
    bound = EPS * (depth + 4) * (direct(case, np.abs(x), np.abs(w)) + np.abs(bias) + np.abs(r) + 1e-30)
    assert (np.abs(y - (direct(case, x, w) + bias + r)) <= bound).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_conv(isa: str, rng: np.random.Generator, case: Case) -> None:
    x, w, bias, r = data(rng, case)
    packed = pack(w)
    assert_close(case, conv(case, x, packed), x, w)
    assert_close(case, conv(case, x, packed, bias, r), x, w, bias, r)
    relu = conv(case, x, packed, bias, r, act=lib.ASYMO_ACT_CLIP, p=0.0, q=np.inf)
    np.testing.assert_array_equal(relu, np.maximum(conv(case, x, packed, bias, r), 0))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("at", ["begin", "end"])
def test_conv_touches_nothing_else(isa: str, rng: np.random.Generator, case: Case, at: Any) -> None:
    x, w, bias, r = data(rng, case)
    expected = conv(case, x, pack(w), bias, r)
    y = guarded(expected.shape, at=at)
    conv(case, *(guarded_copy(v, at) for v in (x, pack(w), bias, r)), y=y)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_slices_of_wider_tensors(isa: str, rng: np.random.Generator, case: Case) -> None:
    """Pixel strides above the channel count, gaps between rows: X, R and Y are slices of wider tensors."""
    x, w, bias, r = data(rng, case)
    wide = []
    for v in (x, r, r):
        b, d, h, width, c = v.shape
        wide.append(np.full((b, d + 1, h + 2, width + 3, c + 5), np.nan, np.float32))
    inner = [v[:, :-1, 1:-1, 2:-1, 3:-2] for v in wide]
    inner[0][...], inner[1][...] = x, r
    conv(case, inner[0], pack(w), bias, inner[1], y=inner[2])
    np.testing.assert_array_equal(inner[2], conv(case, x, pack(w), bias, r))
    inner[2][...] = np.nan
    assert np.isnan(wide[2]).all()


def triples(low: int, high: int) -> st.SearchStrategy[Triple]:
    side = st.integers(low, high)
    return st.tuples(side, side, side)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rank = draw(st.integers(1, 3))

    def triple(low: int, high: int, missing: int) -> Triple:
        values = draw(triples(low, high))
        return (missing,) * (3 - rank) + values[3 - rank :]

    kernel, dilation, pad, pad_end = triple(1, 4, 1), triple(1, 3, 1), triple(0, 4, 0), triple(0, 4, 0)
    span = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    least = [max(1, s - a - b) for s, a, b in zip(span, pad, pad_end, strict=True)]
    size = tuple(low + extra for low, extra in zip(least, triple(0, 7, 0), strict=True))
    unit = (draw(st.integers(0, 40)), draw(st.integers(0, 70)))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    c, n = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    batch, n_fastest = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    return Case(size, kernel, c, n, batch, groups, triple(1, 3, 1), dilation, pad, pad_end, unit, n_fastest)  # type: ignore[arg-type]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(case=cases(), seed=st.integers(0, 2**32 - 1))
def test_any_convolution_has_the_same_bits_on_every_instruction_set(case: Case, seed: int) -> None:
    x, w, bias, r = data(np.random.default_rng(seed), case)
    before, bits = _core.isa_name(), set()
    for isa in _core.isas():
        _core.select_isa(isa)
        y = conv(case, x, pack(w), bias, r, workers=2)
        assert_close(case, y, x, w, bias, r)
        bits.add(y.tobytes())
    _core.select_isa(before)
    assert len(bits) == 1


@pytest.mark.parametrize("case", CASES[:9], ids=str)
def test_same_bits_for_every_split(isa: str, rng: np.random.Generator, case: Case) -> None:
    x, w, bias, r = data(rng, case)
    packed, bits = pack(w), set()
    for unit in ((0, 0), (1, 1), (5, 32), (14, 64), (33, 8)):
        for n_fastest, workers in ((0, 1), (1, 1), (1, 3)):
            split = Case(**{k: v for k, v in vars(case).items() if k not in ("out", "unit", "n_fastest")}, unit=unit, n_fastest=n_fastest)
            bits.add(conv(split, x, packed, bias, r, workers=workers).tobytes())
    assert len(bits) == 1


@pytest.mark.parametrize("case", CASES[:6], ids=str)
def test_activation_and_slope(isa: str, rng: np.random.Generator, case: Case) -> None:
    x, w, bias, r = data(rng, case)
    slope = rng.standard_normal(case.groups * case.n).astype(np.float32)
    before = conv(case, x, pack(w), bias, r).astype(np.float64)
    y = conv(case, x, pack(w), bias, r, slope, act=lib.ASYMO_ACT_PRELU)
    np.testing.assert_allclose(y, np.where(before < 0, before * slope, before), rtol=4 * EPS)
    y = conv(case, x, pack(w), bias, r, act=lib.ASYMO_ACT_TANH)
    np.testing.assert_allclose(y, np.tanh(before), rtol=32 * EPS, atol=1e-30)


def test_infinite_pixel_stays_in_its_windows(isa: str, rng: np.random.Generator) -> None:
    """An infinite pixel reaches the windows that hold it and no other."""
    case = Case((1, 6, 6), (1, 3, 3), 3, 5, pad=(0, 1, 1), pad_end=(0, 1, 1))
    x, w, _, _ = data(rng, case)
    x[0, 0, 2, 3, 1] = np.inf
    y = conv(case, x, pack(w))
    touched = np.zeros((6, 6), bool)
    touched[1:4, 2:5] = True
    assert (~np.isfinite(y[0, 0])).any(axis=-1)[touched].all()
    assert np.isfinite(y[0, 0][~touched]).all()


def test_empty_batch(isa: str, rng: np.random.Generator) -> None:
    case = Case((1, 6, 6), (1, 3, 3), 3, 5, batch=0)
    x, w, bias, r = data(rng, case)
    assert conv(case, x, pack(w), bias, r).shape == (0, 1, 4, 4, 5)
