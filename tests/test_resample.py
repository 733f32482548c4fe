"""The step resample against numpy in float64."""

import numpy as np
import pytest
from _everywhere import run_everywhere

SHAPES = [(1, 5, 9, 1), (2, 7, 3, 1), (3, 4, 8, 2), (2, 5, 5, 16), (1, 6, 11, 63), (2, 3, 4, 64), (1, 4, 6, 150)]


@pytest.mark.parametrize(("outer", "axis", "count", "inner"), SHAPES)
@pytest.mark.parametrize("taps", [1, 2, 4])
def test_weighted(outer: int, axis: int, count: int, inner: int, taps: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((outer, axis, inner)).astype(np.float32)
    index = rng.integers(0, axis, (count, taps)).astype(np.int32)
    w = rng.standard_normal((count, taps)).astype(np.float32)
    args = {"outer": outer, "axis": axis, "count": count, "inner": inner, "taps": taps}
    y = run_everywhere("resample", args, [x, index, w, ((outer, count, inner), np.float32)])[0]
    expected = np.einsum("it,oitj->oij", w.astype(np.float64), x[:, index].astype(np.float64))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("outer", "axis", "count", "inner"), SHAPES)
def test_nearest_copies(outer: int, axis: int, count: int, inner: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((outer, axis, inner)).astype(np.float32)
    index = rng.integers(0, axis, (count, 1)).astype(np.int32)
    args = {"outer": outer, "axis": axis, "count": count, "inner": inner, "taps": 1}
    y = run_everywhere("resample", args, [x, index, None, ((outer, count, inner), np.float32)])[0]
    assert np.array_equal(y, x[:, index[:, 0]])
