"""The gather step against numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from _guard import guarded, guarded_copy
from _steps import run_step
from asymo._asymo import lib


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
@pytest.mark.parametrize(("outer", "axis", "count", "inner"), [(1, 10, 7, 1), (3, 5, 11, 1), (2, 4, 9, 13), (1, 100, 1, 64), (2, 3, 0, 5)])
@pytest.mark.parametrize("workers", [1, 2])
def test_gather(
    index_dtype: npt.DTypeLike, dtype: npt.DTypeLike, outer: int, axis: int, count: int, inner: int, workers: int, rng: np.random.Generator
) -> None:
    x = guarded_copy(rng.integers(0, 100, (outer, axis, inner)).astype(dtype))
    index = guarded_copy(rng.integers(-axis, axis, count).astype(index_dtype))
    y = guarded((outer, count, inner), dtype)
    args = {
        "outer": outer,
        "axis": axis,
        "count": count,
        "inner_bytes": inner * x.itemsize,
        "index_type": lib.ASYMO_I32 if index_dtype == np.int32 else lib.ASYMO_I64,
    }
    run_step("gather", args, [x, index, y], workers=workers)
    np.testing.assert_array_equal(y, x[:, index.astype(int)])
