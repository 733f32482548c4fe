"""The step norm against numpy in float64. X is [outer, reduce, groups, inner] in memory."""

import numpy as np
import pytest
from _everywhere import run_everywhere, same_bits
from _steps import run_step

Shape = tuple[int, int, int, int, int, int]
# outer, groups, reduce, inner, inner_reduced, param
LAYER = [(3, 1, 1, n, 1, 0) for n in (1, 15, 16, 17, 384, 1000)] + [(3, 1, 384, 1, 0, 0), (2, 1, 7, 13, 1, 0)]
INSTANCE = [(2, 1, 49, 67, 0, 1), (1, 1, 300, 3, 0, 1), (2, 1, 1, 16, 0, 1), (2, 1, 33, 130, 0, 1), (2, 1, 20, 1, 0, 1)]
GROUP = [(2, 4, 21, 8, 1, 1), (1, 3, 10, 17, 1, 1), (2, 5, 30, 1, 1, 1), (2, 1, 12, 20, 1, 1), (2, 3, 11, 5, 0, 1)]
ODD = [(2, 3, 11, 5, 1, 0), (2, 1, 11, 5, 0, 0), (2, 3, 11, 1, 1, 0)]


def oracle(
    x: np.ndarray, shape: Shape, rms: int, eps: float, scale: np.ndarray | None, bias: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    outer, groups, reduce, inner, inner_reduced, param = shape
    axes = (1, 3) if inner_reduced else (1,)
    x = x.astype(np.float64).reshape(outer, reduce, groups, inner)
    mean = 0 * x.mean(axes, keepdims=True) if rms else x.mean(axes, keepdims=True)
    inv = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)
    y = (x - mean) * inv
    view = (1, 1, groups, inner) if param else (1, reduce, 1, inner if inner_reduced else 1)
    y = y if scale is None else y * scale.reshape(view)
    return y if bias is None else y + bias.reshape(view), mean, inv


def param_size(shape: Shape) -> int:
    _, groups, reduce, inner, inner_reduced, param = shape
    return groups * inner if param else reduce * inner if inner_reduced else reduce


def arguments(shape: Shape, rms: int = 0, eps: float = 1e-5) -> dict[str, float]:
    return dict(zip(("outer", "groups", "reduce", "inner", "inner_reduced", "param"), shape, strict=True)) | {"rms": rms, "eps": eps}


@pytest.mark.parametrize("shape", LAYER + INSTANCE + GROUP + ODD, ids=str)
@pytest.mark.parametrize("rms", [0, 1])
@pytest.mark.parametrize("affine", ["", "scale", "bias", "scale bias"])
def test_norm(shape: Shape, rms: int, affine: str, rng: np.random.Generator) -> None:
    outer, groups, reduce, inner, inner_reduced, _ = shape
    x = (2 * rng.standard_normal(outer * groups * reduce * inner) + 1).astype(np.float32)
    scale, bias = (rng.standard_normal(param_size(shape)).astype(np.float32) if name in affine else None for name in ("scale", "bias"))
    stats = outer * groups * (1 if inner_reduced else inner)
    operands = [x, scale, bias, (x.shape, np.float32), ((stats,), np.float32), ((stats,), np.float32)]
    y, mean, inv = run_everywhere("norm", arguments(shape, rms), operands)
    expected, expected_mean, expected_inv = oracle(x, shape, rms, 1e-5, scale, bias)
    np.testing.assert_allclose(mean, expected_mean.ravel(), rtol=1e-6, atol=1e-6)
    if reduce * (inner if inner_reduced else 1) == 1 and not rms:
        assert np.all(x != 0)
        assert np.all(y == (0 if bias is None else np.broadcast_to(bias, (outer, bias.size)).ravel()))
        return  # one element is its own mean
    np.testing.assert_allclose(inv, expected_inv.ravel(), rtol=2e-6)
    np.testing.assert_allclose(y, expected.ravel(), rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("n", [5, 48, 77])
def test_rows_and_columns_have_the_same_bits(n: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, n)).astype(np.float32)
    by_rows = run_everywhere("norm", arguments((3, 1, 1, n, 1, 0)), [x, None, None, (x.shape, np.float32)])[0]
    columns = np.ascontiguousarray(x.T)
    by_columns = run_everywhere("norm", arguments((1, 1, n, 3, 0, 1)), [columns, None, None, (columns.shape, np.float32)])[0]
    assert same_bits(by_rows, np.ascontiguousarray(by_columns.T))


@pytest.mark.parametrize("shape", [LAYER[4], INSTANCE[0], GROUP[0]], ids=str)
def test_in_place(shape: Shape, rng: np.random.Generator) -> None:
    x = rng.standard_normal(shape[0] * shape[1] * shape[2] * shape[3]).astype(np.float32)
    expected = run_everywhere("norm", arguments(shape), [x, None, None, (x.shape, np.float32)])[0]
    run_step("norm", arguments(shape), [x, None, None, x])
    assert same_bits(x, expected)


def test_a_large_mean_does_not_eat_the_variance(rng: np.random.Generator) -> None:
    """Two passes: sum(x^2) - n mean^2 would have nothing left here."""
    x = (4096 + rng.integers(-1, 2, (2, 512))).astype(np.float32)
    shape = (2, 1, 1, 512, 1, 0)
    y = run_everywhere("norm", arguments(shape), [x, None, None, (x.shape, np.float32)])[0]
    np.testing.assert_allclose(y, oracle(x, shape, 0, 1e-5, None, None)[0].reshape(2, 512), atol=2e-3)


def test_nan_stays_in_its_own_group(rng: np.random.Generator) -> None:
    for shape in (LAYER[4], INSTANCE[0], GROUP[0]):
        x = rng.standard_normal(shape[0] * shape[1] * shape[2] * shape[3]).astype(np.float32)
        x[7] = np.nan
        y = run_everywhere("norm", arguments(shape), [x, None, None, (x.shape, np.float32)])[0]
        np.testing.assert_array_equal(np.isnan(y), np.isnan(oracle(x, shape, 0, 1e-5, None, None)[0]).ravel())
