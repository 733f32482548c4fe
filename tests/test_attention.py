"""The step attention against numpy in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from _everywhere import run_everywhere, same_bits

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    batch: tuple[int, int, int]
    rows: int
    keys: int
    depth: int
    width: int
    unit_rows: int = 14
    mask: str = ""
    scale: float = 0.125


CASES = {
    "one": Case((1, 1, 1), 1, 1, 1, 1),
    "heads": Case((1, 2, 3), 33, 40, 32, 32, mask="keys"),
    "odd": Case((2, 1, 3), 17, 37, 19, 35, unit_rows=5, mask="all"),
    "long": Case((1, 1, 2), 9, 300, 8, 64, unit_rows=100, mask="heads"),
    "one query": Case((1, 4, 1), 1, 129, 64, 64, unit_rows=1),
    "one key": Case((1, 1, 2), 29, 1, 5, 3, mask="all"),
    "steep": Case((1, 1, 1), 20, 50, 16, 16, scale=9.0),
    "units of one row": Case((1, 1, 2), 31, 16, 16, 16, unit_rows=1, mask="rows"),
}


def strided(rng: np.random.Generator, batch: tuple[int, ...], rows: int, width: int) -> tuple[Array, tuple[int, ...], int]:
    """A tensor with its rows side by side, as a projection leaves them, its strides over the batch and its row stride."""
    b0, b1, b2 = batch
    x = rng.standard_normal((b0, rows, b1, b2, width)).astype(np.float32)
    return x, (rows * b1 * b2 * width, b2 * width, width), b1 * b2 * width


def by_entry(x: Array) -> Array:
    return x.astype(np.float64).transpose(0, 2, 3, 1, 4)


def masks(rng: np.random.Generator, case: Case) -> tuple[Array | None, tuple[int, ...], int]:
    b0, b1, b2 = case.batch
    shape = {
        "": (), "keys": (b0, 1, 1, 1, case.keys), "rows": (1, 1, 1, case.rows, case.keys), "heads": (1, b1, b2, 1, case.keys),
        "all": (b0, b1, b2, case.rows, case.keys),
    }[case.mask]  # fmt: skip
    if not shape:
        return None, (0, 0, 0), 0
    x = np.where(rng.random(shape) < 0.3, -1e4, rng.standard_normal(shape)).astype(np.float32)
    x[..., 0] = 0.5
    strides = [0 if n == 1 else s // 4 for n, s in zip(shape, x.strides, strict=True)]
    return x, tuple(strides[:3]), strides[3]


def setting(case: Case, rng: np.random.Generator) -> tuple[dict[str, Any], list[Any]]:
    q, q_stride, q_row = strided(rng, case.batch, case.rows, case.depth)
    k, k_stride, k_row = strided(rng, case.batch, case.keys, case.depth)
    v, v_stride, v_row = strided(rng, case.batch, case.keys, case.width)
    y, y_stride, y_row = strided(rng, case.batch, case.rows, case.width)
    mask, mask_stride, mask_row = masks(rng, case)
    args = {
        "batch": case.batch, "rows": case.rows, "keys": case.keys, "depth": case.depth, "width": case.width, "q_stride": q_stride,
        "k_stride": k_stride, "v_stride": v_stride, "mask_stride": mask_stride, "y_stride": y_stride, "q_row": q_row, "k_row": k_row,
        "v_row": v_row, "mask_row": mask_row, "y_row": y_row, "unit_rows": case.unit_rows, "idle": 0, "scale": case.scale,
    }  # fmt: skip
    return args, [q, k, v, mask, (y.shape, np.float32)]


def oracle(case: Case, q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    with np.errstate(invalid="ignore"):
        z = case.scale * by_entry(q) @ by_entry(k).swapaxes(-1, -2) + (0 if mask is None else mask)
        w = np.exp(z - z.max(-1, keepdims=True))
        return (w @ by_entry(v) / w.sum(-1, keepdims=True)).transpose(0, 3, 1, 2, 4)


@pytest.mark.parametrize("name", CASES)
def test_against_numpy(name: str, rng: np.random.Generator) -> None:
    case = CASES[name]
    args, operands = setting(case, rng)
    y = run_everywhere("attention", args, operands)[0]
    np.testing.assert_allclose(y, oracle(case, *operands[:4]), rtol=2e-5, atol=4e-6)


@pytest.mark.parametrize("unit_rows", [1, 3, 14, 40])
def test_units_do_not_change_bits(unit_rows: int, rng: np.random.Generator) -> None:
    args, operands = setting(CASES["heads"], rng)
    first = run_everywhere("attention", args, operands)[0]
    assert same_bits(run_everywhere("attention", {**args, "unit_rows": unit_rows}, operands)[0], first)


def test_not_finite(rng: np.random.Generator) -> None:
    """A key masked by -inf weighs nothing, whatever it holds but NaN; NaN and a query whose keys are all masked give NaN."""
    case = CASES["odd"]
    args, operands = setting(case, rng)
    q, mask = operands[0], operands[3]
    mask[0, 0, 0, 3, 5:] = -np.inf
    mask[0, 0, 1, 4] = -np.inf
    q[1, 2, 0, 0, 7] = np.nan
    y, expected = run_everywhere("attention", args, operands)[0], oracle(case, *operands[:4])
    assert np.isnan(expected).any()
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=4e-6)


def test_a_query_without_keys(rng: np.random.Generator) -> None:
    """With idle it gives 0 where it would be NaN."""
    args, operands = setting(CASES["odd"], rng)
    operands[3][0, 0, 1, 4] = -np.inf
    nan, zero = (run_everywhere("attention", {**args, "idle": idle}, operands)[0] for idle in (0, 1))
    assert np.isnan(nan[0, 4, 0, 1]).all()
    assert not zero[0, 4, 0, 1].any()
    assert same_bits(zero[~np.isnan(nan)], nan[~np.isnan(nan)])
