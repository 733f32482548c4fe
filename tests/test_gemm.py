"""The GEMM micro-kernels, packing, and the steps gemm and gemm_pack, against numpy in float64."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from _guard import guarded, guarded_copy
from _steps import run_step
from asymo._asymo import ffi, lib

from asymo import _core

EPS = float(np.finfo(np.float32).eps)
NONE, CLIP, LEAKY_RELU, PRELU, SIGMOID = lib.ASYMO_ACT_NONE, lib.ASYMO_ACT_CLIP, lib.ASYMO_ACT_LEAKY_RELU, lib.ASYMO_ACT_PRELU, 4
SIZES = [(1, 1, 1), (1, 33, 7), (1, 300, 64), (2, 129, 5), (3, 70, 31), (4, 97, 8), (5, 16, 9), (6, 17, 3), (13, 40, 23), (14, 32, 16)]
SIZES += [(15, 31, 64), (28, 64, 37), (29, 65, 1), (49, 100, 130), (61, 48, 600), (300, 5, 13), (257, 33, 12)]


def rows() -> list[Any]:
    return [lib.asymo_gemm_row_at(i) for i in range(lib.asymo_gemm_row_count())]


def symbol(row: Any) -> str:
    return ffi.string(row.symbol).decode()


@pytest.mark.parametrize("row", rows(), ids=symbol)
def test_name_tells_the_row(row: Any) -> None:
    match = re.fullmatch(r"asymo_f32_gemm_ukr_(\d+)x(\d+)k(\d+)__([a-z0-9]+?)(_inorder)?", symbol(row))
    assert match, symbol(row)
    assert [int(g) for g in match.groups()[:3]] == [row.mr, row.nr, row.kr]
    assert match[4] == ffi.string(lib.asymo_isa_name(row.isa)).decode()
    assert (match[5] is not None) == (row.core == 1)


def test_every_instruction_set_has_one_layout_and_a_kernel_for_any_core() -> None:
    for isa in range(lib.asymo_isa_count()):
        of_isa = [row for row in rows() if row.isa == isa]
        assert [row.core for row in of_isa].count(0) == 1
        assert len({(row.nr, row.kr) for row in of_isa}) == 1
        if lib.asymo_isa_is_supported(isa):
            assert all(row.bound for row in of_isa)


def panels(b: np.ndarray, nr: int) -> np.ndarray:
    """The packed form of B[k, n] by numpy."""
    k, n = b.shape
    wide = np.zeros((k, -(-n // nr) * nr), np.float32)
    wide[:, :n] = b
    return wide.reshape(k, -1, nr).transpose(1, 0, 2).ravel()


@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 32), (17, 33), (64, 31), (5, 100), (33, 16)])
@pytest.mark.parametrize("order", ["rows", "columns", "strided"])
def test_pack(isa: str, rng: np.random.Generator, k: int, n: int, order: str) -> None:
    b = rng.standard_normal((k, n)).astype(np.float32)
    if order == "rows":
        source = guarded_copy(b)
    elif order == "columns":
        source = guarded_copy(b.T.copy()).T
    else:
        source = rng.standard_normal((k, 3, n, 2)).astype(np.float32)[:, 1, :, 1]
        b = source.copy()
    packed = _core.gemm_pack(source)
    np.testing.assert_array_equal(packed, panels(b, _core.gemm_geometry()[1]))


@pytest.mark.parametrize(("k", "n"), [(1, 1), (17, 33), (127, 7), (128, 32), (300, 50)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pack_multiplies_columns(isa: str, rng: np.random.Generator, k: int, n: int, order: Any) -> None:
    b = guarded_copy(np.array(rng.standard_normal((k, n)), np.float32, order=order).reshape(-1, order="A")).reshape((k, n), order=order)
    factor = guarded_copy(rng.standard_normal(n))
    scaled = (b.astype(np.float64) * factor).astype(np.float32)
    np.testing.assert_array_equal(_core.gemm_pack(b, factor), panels(scaled, _core.gemm_geometry()[1]))


def gemm(
    a: np.ndarray,
    packed: np.ndarray,
    n: int,
    bias: np.ndarray | None = None,
    r: np.ndarray | None = None,
    slope: np.ndarray | None = None,
    c: np.ndarray | None = None,
    act: int = NONE,
    p: float = 0.0,
    q: float = 0.0,
    unit: tuple[int, int] = (0, 0),
    n_fastest: int = 1,
    workers: int = 1,
) -> np.ndarray:
    """One GEMM on 2-D arrays that may have a row stride."""
    m, k = a.shape
    c = np.full((m, n), np.nan, np.float32) if c is None else c
    args = {"m": m, "n": n, "k": k, "lda": a.strides[0] // 4, "ldc": c.strides[0] // 4, "ldr": 0 if r is None else r.strides[0] // 4}
    args |= {"batch": (1, 1, 1), "unit_m": unit[0], "unit_n": unit[1], "n_fastest": n_fastest, "act": act, "p": p, "q": q}
    run_step("gemm", args, [a, packed, bias, r, slope, c], workers=workers)
    return c


def assert_close(c: np.ndarray, a: np.ndarray, b: np.ndarray, bias: Any = 0.0, r: Any = 0.0, act: Any = lambda x: x) -> None:
    """c against float64, within the worst rounding of one fp32 accumulator (and a few ULP of the activation)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    bound = EPS * (a.shape[-1] + 4) * (np.abs(a) @ np.abs(b) + np.abs(bias) + np.abs(r) + 1e-30)
    difference = np.abs(c - act(a @ b + bias + r))
    assert (difference <= bound).all(), f"worst excess {np.nanmax(difference / bound)}"


def operands(rng: np.random.Generator, m: int, n: int, k: int) -> tuple[np.ndarray, ...]:
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n), (n,), (m, n)))


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_gemm(isa: str, rng: np.random.Generator, m: int, n: int, k: int) -> None:
    a, b, bias, r = operands(rng, m, n, k)
    packed = _core.gemm_pack(b)
    assert_close(gemm(a, packed, n), a, b)
    c = gemm(a, packed, n, bias, r, act=CLIP, p=0.0, q=np.inf)
    assert_close(c, a, b, bias, r, lambda x: np.maximum(x, 0))
    c = gemm(a, packed, n, bias, act=CLIP, p=-0.5, q=1.5)
    assert_close(c, a, b, bias, act=lambda x: np.clip(x, -0.5, 1.5))


@pytest.mark.parametrize("m", range(1, 31))
def test_every_row_count(isa: str, rng: np.random.Generator, m: int) -> None:
    for n in (3, 16, 19, 32, 165):
        a, b, bias, r = operands(rng, m, n, 21)
        assert_close(gemm(a, _core.gemm_pack(b), n, bias, r), a, b, bias, r)


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
@pytest.mark.parametrize("at", ["begin", "end"])
def test_gemm_touches_nothing_else(isa: str, rng: np.random.Generator, m: int, n: int, k: int, at: Any) -> None:
    a, b, bias, r = operands(rng, m, n, k)
    packed = _core.gemm_pack(b)
    expected = gemm(a, packed, n, bias, r)
    c = gemm(*(guarded_copy(x, at) for x in (a, packed)), n, guarded_copy(bias, at), guarded_copy(r, at), c=guarded((m, n), at=at))
    np.testing.assert_array_equal(c, expected)


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_strides_and_canaries(isa: str, rng: np.random.Generator, m: int, n: int, k: int) -> None:
    a, b, bias, r = operands(rng, m, n, k)
    packed = _core.gemm_pack(b)
    wide_a, wide_r, wide_c = (np.full((m, size + 11), np.nan, np.float32) for size in (k, n, n))
    wide_a[:, 5 : 5 + k], wide_r[:, 2 : 2 + n] = a, r
    gemm(wide_a[:, 5 : 5 + k], packed, n, bias, wide_r[:, 2 : 2 + n], c=wide_c[:, 3 : 3 + n])
    np.testing.assert_array_equal(wide_c[:, 3 : 3 + n], gemm(a, packed, n, bias, r))
    wide_c[:, 3 : 3 + n] = np.nan
    assert np.isnan(wide_c).all()


@pytest.mark.parametrize(("m", "n", "k"), [(5, 19, 7), (20, 70, 1100), (1, 5, 3)])
def test_padding_lanes_do_not_matter(isa: str, rng: np.random.Generator, m: int, n: int, k: int) -> None:
    a, b, bias, r = operands(rng, m, n, k)
    packed = _core.gemm_pack(b)
    expected = gemm(a, packed, n, bias, r)
    nr = _core.gemm_geometry()[1]
    packed.reshape(-1, k, nr)[-1, :, (n - 1) % nr + 1 :] = np.nan
    np.testing.assert_array_equal(gemm(a, packed, n, bias, r), expected)


def test_not_a_number_passes_the_clamp(isa: str, rng: np.random.Generator) -> None:
    a, b, _, _ = operands(rng, 9, 37, 6)
    a[3, 2] = np.nan
    c = gemm(a, _core.gemm_pack(b), 37, act=CLIP, p=0.0, q=6.0)
    assert np.isnan(c[3]).all()
    assert not np.isnan(np.delete(c, 3, 0)).any()


def test_residual_in_place(isa: str, rng: np.random.Generator) -> None:
    for k in (5, 700, 2500):
        a, b, bias, r = operands(rng, 40, 50, k)
        packed = _core.gemm_pack(b)
        expected = gemm(a, packed, 50, bias, r)
        np.testing.assert_array_equal(gemm(a, packed, 50, bias, r, c=r), expected)


@pytest.mark.parametrize("lda", [1024, 2048, 4096, 8209])
def test_aliasing_rows(isa: str, rng: np.random.Generator, lda: int) -> None:
    for m, n, k in ((31, 40, 1024), (300, 9, 77)):
        a, b, bias, r = operands(rng, m, n, k)
        wide = np.full((m, lda), np.nan, np.float32)
        wide[:, :k] = a
        np.testing.assert_array_equal(gemm(wide[:, :k], _core.gemm_pack(b), n, bias, r), gemm(a, _core.gemm_pack(b), n, bias, r))


@pytest.mark.parametrize(("m", "n", "k"), [(1, 300, 64), (61, 150, 90), (300, 70, 33), (40, 64, 2100)])
def test_same_bits_for_every_split_and_instruction_set(rng: np.random.Generator, m: int, n: int, k: int) -> None:
    a, b, bias, r = operands(rng, m, n, k)
    bits = set()
    before = _core.isa_name()
    for isa in _core.isas():
        _core.select_isa(isa)
        packed = _core.gemm_pack(b)
        for unit in ((0, 0), (1, 1), (7, 64), (14, 32), (100, 40)):
            for n_fastest, workers in ((0, 1), (1, 1), (1, 3), (0, 2)):
                if unit == (1, 1) and workers > 1:
                    continue
                bits.add(gemm(a, packed, n, bias, r, unit=unit, n_fastest=n_fastest, workers=workers).tobytes())
    _core.select_isa(before)
    assert len(bits) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_batch_broadcasts(isa: str, rng: np.random.Generator, workers: int) -> None:
    m, n, k, nr = 10, 20, 15, _core.gemm_geometry()[1]
    a = rng.standard_normal((2, 1, 4, m, k)).astype(np.float32)
    b = rng.standard_normal((1, 3, 4, k, n)).astype(np.float32)
    r = rng.standard_normal((2, 3, 1, m, n)).astype(np.float32)
    packed = np.concatenate([panels(x, nr) for x in b.reshape(-1, k, n)])
    size = _core.gemm_packed_size(k, n)
    c = np.full((2, 3, 4, m, n), np.nan, np.float32)
    args = {"m": m, "n": n, "k": k, "lda": k, "ldc": n, "ldr": n, "batch": (2, 3, 4), "unit_m": 4, "unit_n": 7, "n_fastest": 1}
    args |= {"a_stride": (4 * m * k, 0, m * k), "b_stride": (0, 4 * size, size), "c_stride": (12 * m * n, 4 * m * n, m * n)}
    args |= {"r_stride": (3 * m * n, m * n, 0)}
    run_step("gemm", args, [a, packed, None, r, None, c], workers=workers)
    assert_close(c, a, b, r=r)


@pytest.mark.parametrize("transposed", [False, True])
def test_gemm_pack_step(isa: str, rng: np.random.Generator, transposed: bool) -> None:
    k, n, nr = 23, 41, _core.gemm_geometry()[1]
    b = rng.standard_normal((2, 3, k, n)).astype(np.float32)
    source = guarded_copy(b.swapaxes(2, 3)) if transposed else guarded_copy(b)
    args = {"k": k, "n": n, "k_stride": 1 if transposed else n, "n_stride": k if transposed else 1, "batch": (1, 2, 3)}
    args["b_stride"] = (0, 3 * k * n, k * n)
    packed = guarded(6 * _core.gemm_packed_size(k, n))
    packed[:] = np.nan
    run_step("gemm_pack", args, [source, packed], workers=2)
    np.testing.assert_array_equal(packed, np.concatenate([panels(x, nr) for x in b.reshape(-1, k, n)]))


@pytest.mark.parametrize(("m", "n", "k"), [(1, 70, 9), (30, 45, 20)])
def test_activations(isa: str, rng: np.random.Generator, m: int, n: int, k: int) -> None:
    a, b, bias, r = operands(rng, m, n, k)
    packed, slope = _core.gemm_pack(b), rng.standard_normal(n).astype(np.float32)
    wide = np.full((m, n + 9), np.nan, np.float32)
    c = gemm(a, packed, n, bias, r, slope, c=wide[:, 4 : 4 + n], act=PRELU, unit=(16, 32))
    assert np.isnan(wide[:, :4]).all()
    assert np.isnan(wide[:, 4 + n :]).all()
    x = gemm(a, packed, n, bias, r).astype(np.float64)
    np.testing.assert_allclose(c, np.where(x < 0, x * slope, x), rtol=4 * EPS)
    np.testing.assert_allclose(gemm(a, packed, n, bias, r, act=LEAKY_RELU, p=0.1), np.where(x < 0, 0.1 * x, x), rtol=4 * EPS)
    np.testing.assert_allclose(gemm(a, packed, n, bias, r, act=SIGMOID), 1 / (1 + np.exp(-x)), rtol=32 * EPS, atol=1e-30)


def test_empty(isa: str) -> None:
    empty = np.zeros((0, 3), np.float32)
    assert gemm(empty, _core.gemm_pack(np.ones((3, 4), np.float32)), 4).shape == (0, 4)
    b = np.zeros((0, 4), np.float32)
    np.testing.assert_array_equal(
        gemm(np.zeros((5, 0), np.float32), np.zeros(1, np.float32), 4, np.arange(4, dtype=np.float32)),
        np.tile(np.arange(4, dtype=np.float32), (5, 1)),
    )
    assert _core.gemm_packed_size(*b.shape) == 0
