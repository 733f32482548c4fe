"""The copy and fill steps against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from _guard import guarded, guarded_copy
from _steps import run_step

Array = npt.NDArray[Any]
DTYPES = {1: np.uint8, 2: np.uint16, 4: np.float32, 8: np.int64, 16: np.complex128}


def copy(source: Array, target: Array, *, unit_rows: int = 3, **how: int) -> None:
    """target[...] = source, for views of any strides."""
    size = target.itemsize
    pad = [0] * (8 - target.ndim)
    args = {
        "size_bytes": size,
        "rank": target.ndim,
        "shape": [*target.shape, *pad],
        "src_stride": [*(s // size for s in np.broadcast_to(source, target.shape).strides), *pad],
        "dst_stride": [*(s // size for s in target.strides), *pad],
        "unit_rows": unit_rows,
    }
    run_step("copy", args, [source, target], **how)


def numbers(shape: int | tuple[int, ...], size: int) -> Array:
    """Different bits in every element."""
    count = int(np.prod(shape))
    return np.arange(1, count + 1).astype(DTYPES[size]).reshape(shape)


@pytest.mark.parametrize("size", DTYPES)
@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (3, 5), (8, 8), (16, 16), (17, 33), (64, 49), (5, 100), (100, 5), (31, 64)])
def test_transpose(size: int, rows: int, cols: int, isa: str) -> None:
    x = guarded_copy(numbers((rows, cols), size))
    for at in ("begin", "end"):
        y = guarded((cols, rows), DTYPES[size], at)
        copy(x.T, y, unit_rows=7)
        np.testing.assert_array_equal(y, x.T)
    z = guarded((rows, cols), DTYPES[size])
    copy(y, z.T, unit_rows=100)
    np.testing.assert_array_equal(z, x)


@pytest.mark.parametrize("size", DTYPES)
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2), (3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1)])
@pytest.mark.parametrize("unit_rows", [1, 4, 1000])
def test_permutations(size: int, axes: tuple[int, ...], unit_rows: int, isa: str) -> None:
    x = numbers((2, 19, 7, 17), size)
    source = x.transpose(axes)
    y = np.zeros(source.shape, DTYPES[size])
    copy(source, y, unit_rows=unit_rows, workers=2)
    np.testing.assert_array_equal(y, source)


@pytest.mark.parametrize("size", DTYPES)
def test_any_strides(size: int) -> None:
    x = numbers((6, 10, 14), size)
    repeated = [np.broadcast_to(x[:, :1, :], x.shape), np.broadcast_to(x[:, :, :1], x.shape)]
    for source in (x[::2, ::-1, 1::3], x[::-1, 3:4, ::-2], *repeated, x[2], x[1, 3]):
        base = np.zeros(tuple(2 * n + 1 for n in source.shape), DTYPES[size])
        target = base[tuple(slice(1, None, 2) for _ in source.shape)]
        copy(source, target, unit_rows=2)
        np.testing.assert_array_equal(target, source)
        assert np.count_nonzero(base) == source.size
        dense = np.zeros(source.shape, DTYPES[size])
        copy(source, dense)
        np.testing.assert_array_equal(dense, source)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 3)])
def test_nothing_to_copy(shape: tuple[int, ...]) -> None:
    y = np.zeros(shape, np.float32)
    copy(np.zeros(shape, np.float32), y)


def test_no_dimension() -> None:
    y = np.zeros((), np.float32)
    copy(np.array(7, np.float32), y)
    assert y == 7


def test_eight_dimensions() -> None:
    x = numbers((2, 3, 1, 2, 2, 3, 1, 2), 4)
    source = x.transpose(7, 5, 3, 1, 0, 2, 4, 6)
    y = np.zeros(source.shape, np.float32)
    copy(source, y)
    np.testing.assert_array_equal(y, source)


@pytest.mark.parametrize("size", DTYPES)
@pytest.mark.parametrize(("count", "unit_size"), [(1, 1), (3, 2), (1000, 10_000), (5001, 700), (0, 5)])
def test_fill(size: int, count: int, unit_size: int) -> None:
    pattern = numbers(3, size)[2:]
    y = guarded(count, DTYPES[size])
    run_step("fill", {"size_bytes": size, "count": count, "unit_size": unit_size}, [pattern, y], workers=2)
    np.testing.assert_array_equal(y, np.full(count, pattern[0]))
