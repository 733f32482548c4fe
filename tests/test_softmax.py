"""The step softmax against numpy in float64."""

import numpy as np
import pytest
from _everywhere import run_everywhere, same_bits
from _steps import run_step

SHAPES = [(1, 1, 1), (3, 5, 1), (2, 16, 1), (5, 17, 1), (2, 1000, 1), (4, 128, 1), (2, 9, 70), (1, 33, 16), (3, 20, 3), (1, 2, 129)]


def oracle(x: np.ndarray, log: bool) -> np.ndarray:
    x = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        shifted = x - x.max(1, keepdims=True)
        sums = np.exp(shifted).sum(1, keepdims=True)
        return shifted - np.log(sums) if log else np.exp(shifted) / sums


def arguments(x: np.ndarray, log: bool) -> dict[str, int]:
    return {"log": int(log), "outer": x.shape[0], "reduce": x.shape[1], "inner": x.shape[2], "unit_inner": 37}


def softmax(x: np.ndarray, log: bool) -> np.ndarray:
    return run_everywhere("softmax", arguments(x, log), [x, (x.shape, np.float32)])[0]


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1, 40])
def test_softmax(log: bool, shape: tuple[int, int, int], scale: float, rng: np.random.Generator) -> None:
    x = (scale * rng.standard_normal(shape) + 3 * scale).astype(np.float32)
    y, expected = softmax(x, log), oracle(x, log)
    if log:
        np.testing.assert_allclose(y, expected, rtol=5e-7, atol=1e-6)
    else:
        rounding_of_the_difference = 6e-8 * np.ptp(x)
        np.testing.assert_allclose(y, expected, rtol=1e-6 + rounding_of_the_difference, atol=1e-37)


@pytest.mark.parametrize("log", [False, True])
def test_rows_and_columns_have_the_same_bits(log: bool, rng: np.random.Generator) -> None:
    x = rng.standard_normal((1, 83, 21)).astype(np.float32)
    by_columns = softmax(x, log)[0]
    by_rows = softmax(np.ascontiguousarray(x[0].T)[:, :, None], log)[:, :, 0].T
    assert same_bits(by_columns, np.ascontiguousarray(by_rows))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("shape", [(3, 50, 1), (2, 50, 19)])
def test_in_place(log: bool, shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    x = rng.standard_normal(shape).astype(np.float32)
    expected = softmax(x, log)
    run_step("softmax", arguments(x, log), [x, x])
    assert same_bits(x, expected)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("inner", [1, 3])
def test_not_finite(log: bool, inner: int, rng: np.random.Generator) -> None:
    """A masked position (-inf) has probability 0; NaN, +inf and an all masked row give NaN, as the formula says."""
    x = rng.standard_normal((5, 37, inner)).astype(np.float32)
    x[0, 20, 0] = x[1, 36, 0] = -np.inf
    x[2, 35, 0] = np.nan
    x[3, 0, 0] = np.inf
    x[4, :, 0] = -np.inf
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(softmax(x, log), oracle(x, log), rtol=2e-6, atol=1e-6)
