"""Winograd convolution against a direct convolution in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from _guard import guarded
from _nhwc import CANARY, Nhwc, bits, every_isa, filled, using_isa
from _steps import run_step
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo import _core
from asymo._core import ffi, lib


class Form(NamedTuple):
    """F(tile x tile, kernel x kernel)."""

    tile: int
    kernel: int


# Largest error over the largest output, measured to 512 channels: 1.2e-6, 4e-6 and 3e-6 (docs/kernels-conv.md). The bounds leave a factor.
ERROR = {Form(2, 3): 2e-6, Form(4, 3): 8e-6, Form(2, 5): 8e-6}
every_form = pytest.mark.parametrize("form", ERROR, ids=lambda form: f"F({form.tile}, {form.kernel})")


@dataclass(frozen=True)
class Case:
    form: Form
    c: int
    n: int
    size: tuple[int, int] = (9, 11)
    pad: tuple[int, int] = (1, 1)
    pad_end: tuple[int, int] = (1, 1)
    batch: int = 1

    @property
    def out(self) -> tuple[int, int]:
        return tuple(self.size[i] + self.pad[i] + self.pad_end[i] - self.form.kernel + 1 for i in (0, 1))


@dataclass
class Tensors:
    x: np.ndarray
    w: np.ndarray  # OIHW
    bias: np.ndarray | None
    r: np.ndarray | None


def tensors(case: Case, rng: np.random.Generator, *, bias: bool = True, residual: bool = False) -> Tensors:
    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return Tensors(
        draw(case.batch, *case.size, case.c),
        draw(case.n, case.c, case.form.kernel, case.form.kernel),
        draw(case.n) if bias else None,
        draw(case.batch, *case.out, case.n) if residual else None,
    )


def expected(case: Case, t: Tensors) -> np.ndarray:
    padded = np.pad(t.x.astype(np.float64), [(0, 0), *zip(case.pad, case.pad_end, strict=True), (0, 0)])
    y = np.zeros((case.batch, *case.out, case.n)) + (0 if t.bias is None else t.bias)
    for kh in range(case.form.kernel):
        for kw in range(case.form.kernel):
            y += padded[:, kh : kh + case.out[0], kw : kw + case.out[1]] @ t.w[:, :, kh, kw].T.astype(np.float64)
    return y if t.r is None else y + t.r


def packed(form: Form, w: np.ndarray) -> np.ndarray:
    n, c = w.shape[:2]
    result = guarded(lib.asymo_winograd_packed_size(*form, c, n))
    w = np.ascontiguousarray(w)
    lib.asymo_winograd_pack(*form, c, n, ffi.cast("float *", w.ctypes.data), ffi.NULL, ffi.cast("float *", result.ctypes.data))
    return result


def run(
    case: Case,
    t: Tensors,
    *,
    unit_tiles: int = 3,
    unit_n: int = 0,
    workers: int = 1,
    min_chunk: int = 1,
    pixel: int | None = None,
    at: str = "end",
    act: int = 0,
    p: float = 0,
    q: float = 0,
    slope: np.ndarray | None = None,
) -> np.ndarray:
    """The step's output; fails when anything outside it changed."""
    x, y = filled(t.x, pixel, at), Nhwc((case.batch, *case.out, case.n), pixel, gap=CANARY, at=at)
    bias = None if t.bias is None else filled(t.bias, None, at)
    r = None if t.r is None else filled(t.r, pixel, at)
    args = {
        "tile": case.form.tile,
        "kernel": (case.form.kernel, case.form.kernel),
        "batch": case.batch,
        "c": case.c,
        "n": case.n,
        "in": case.size,
        "out": case.out,
        "pad": case.pad,
        "x_batch": x.strides[0],
        "y_batch": y.strides[0],
        "r_batch": r.strides[0] if r else 0,
        "x_stride": x.strides[1:],
        "y_stride": y.strides[1:],
        "r_stride": r.strides[1:] if r else (0, 0),
        "unit_tiles": unit_tiles,
        "unit_n": unit_n,
        "act": act,
        "p": p,
        "q": q,
    }
    run_step(
        "winograd",
        args,
        [x.flat, packed(case.form, t.w), bias and bias.flat, r and r.flat, slope, y.flat],
        workers=workers,
        min_chunk=min_chunk,
    )
    assert (y.gaps == CANARY).all()
    return y.array.copy()


def check(case: Case, t: Tensors, y: np.ndarray) -> None:
    want = expected(case, t)
    assert np.abs(y - want).max() <= ERROR[case.form] * np.abs(want).max()


@every_form
@pytest.mark.parametrize("c", [1, 3, 7, 16, 33, 100])
@pytest.mark.parametrize("n", [1, 15, 17, 40, 130])
def test_values(isa: str, form: Form, c: int, n: int, rng: np.random.Generator) -> None:
    case = Case(form, c, n, batch=2)
    t = tensors(case, rng)
    check(case, t, run(case, t))


@every_form
@pytest.mark.parametrize("pad", [(0, 0), (1, 0), (2, 2), (3, 5)])
def test_every_border(isa: str, form: Form, pad: tuple[int, int], rng: np.random.Generator) -> None:
    for height, width in [(0, 0), (1, 6), (7, 2), (3, 5), (4, 0)]:
        case = Case(form, 5, 6, (height + form.kernel, width + form.kernel), pad, pad[::-1])
        t = tensors(case, rng, residual=True)
        check(case, t, run(case, t))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_shape_on_every_isa(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(list(ERROR)))
    pads = st.tuples(st.integers(0, 4), st.integers(0, 4))
    channels, size = st.sampled_from([1, 8, 19, 35]), st.tuples(st.integers(5, 12), st.integers(5, 12))
    case = Case(
        form, data.draw(channels), data.draw(channels), data.draw(size), data.draw(pads), data.draw(pads), data.draw(st.integers(1, 2))
    )
    t = tensors(
        case, np.random.default_rng(data.draw(st.integers(0, 99))), bias=data.draw(st.booleans()), residual=data.draw(st.booleans())
    )
    unit_tiles, unit_n = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 40))
    results = []
    for name in every_isa():
        with using_isa(name):
            results.append(run(case, t, pixel=37, unit_tiles=unit_tiles, unit_n=unit_n, workers=2))
    check(case, t, results[0])
    for result in results[1:]:
        np.testing.assert_array_equal(bits(result), bits(results[0]))


@every_form
def test_any_split_gives_the_same_bits(isa: str, form: Form, rng: np.random.Generator) -> None:
    case = Case(form, 20, 150, (13, 17), batch=2)
    t = tensors(case, rng, residual=True)
    whole = run(case, t, unit_tiles=1000)
    for unit_tiles, unit_n, workers in [(1, 0, 1), (5, 0, 2), (7, 150, 3), (28, 999, 2), (5, 1, 1), (999, 32, 2), (7, 64, 3), (0, 100, 2)]:
        y = run(case, t, unit_tiles=unit_tiles, unit_n=unit_n, workers=workers)
        np.testing.assert_array_equal(bits(y), bits(whole), err_msg=f"units of {unit_tiles} x {unit_n}, {workers} workers")


@every_form
def test_any_chunks_give_the_same_bits(isa: str, form: Form, rng: np.random.Generator) -> None:
    """Chunks that begin and end amid the channels of a block of tiles, or hold several blocks."""
    case = Case(form, 20, 150, (9, 11))
    t = tensors(case, rng)
    whole = run(case, t, unit_tiles=0)
    for min_chunk in range(1, 9):
        y = run(case, t, unit_tiles=2, unit_n=32, workers=3, min_chunk=min_chunk)
        np.testing.assert_array_equal(bits(y), bits(whole), err_msg=f"chunks of {min_chunk}")


def test_units(isa: str) -> None:
    """Blocks of tiles times blocks of channels; a channel block is whole panels."""
    nr = _core.gemm_geometry()[1]
    for unit_tiles, unit_n, units in [(0, 0, 1), (4, 0, 3), (0, nr, 5), (4, nr, 15), (4, nr + 1, 9), (5, 4 * nr + 1, 3), (12, 5 * nr, 1)]:
        args = {"tile": 2, "kernel": (3, 3), "batch": 2, "c": 3, "n": 4 * nr + 1, "out": (3, 6), "unit_tiles": unit_tiles, "unit_n": unit_n}
        assert _core.step_units("winograd", args) == units, (unit_tiles, unit_n)


@pytest.mark.parametrize("at", ["begin", "end"])
@every_form
@pytest.mark.parametrize("channels", [1, 3, 15, 16, 17, 33])
def test_touches_nothing_outside(isa: str, form: Form, channels: int, at: str, rng: np.random.Generator) -> None:
    for pixel in (None, 101):
        case = Case(form, channels, channels + 1, (6, 7), (0, 1), (2, 0))
        t = tensors(case, rng, residual=True)
        check(case, t, run(case, t, pixel=pixel, at=at))


@every_form
def test_activations(isa: str, form: Form, rng: np.random.Generator) -> None:
    case = Case(form, 6, 140)
    t = tensors(case, rng, residual=True)
    plain = run(case, t)
    np.testing.assert_array_equal(run(case, t, act=lib.ASYMO_ACT_CLIP, p=-1, q=2), np.clip(plain, -1, 2))
    slope = rng.standard_normal(case.n).astype(np.float32)
    np.testing.assert_array_equal(run(case, t, act=lib.ASYMO_ACT_PRELU, slope=slope), np.where(plain < 0, plain * slope, plain))


@every_form
def test_transformed_weights(isa: str, form: Form) -> None:
    """A unit weight in the centre gives back the input; elsewhere, the input moved."""
    kernel, reach = form.kernel, form.kernel // 2
    taps = kernel * kernel
    case = Case(form, 1, taps, (8, 8), (reach, reach), (reach, reach))
    t = Tensors(
        np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1), np.eye(taps, dtype=np.float32).reshape(taps, 1, kernel, kernel), None, None
    )
    y = run(case, t)
    padded = np.pad(t.x[0, :, :, 0], reach)
    for kh in range(kernel):
        for kw in range(kernel):
            np.testing.assert_allclose(y[0, :, :, kernel * kh + kw], padded[kh : kh + 8, kw : kw + 8], atol=1e-4)


@every_form
@pytest.mark.parametrize("n", [1, 7, 33])
def test_transformed_weights_times_a_factor(isa: str, form: Form, n: int, rng: np.random.Generator) -> None:
    """The same bits as of filters that NumPy has multiplied."""
    w, factor = rng.standard_normal((n, 5, form.kernel, form.kernel)).astype(np.float32), rng.standard_normal(n)
    scaled = (w * factor.reshape(n, 1, 1, 1)).astype(np.float32)
    np.testing.assert_array_equal(_core.winograd_pack(form.tile, w, factor), packed(form, scaled))
