"""The steps reduce and argreduce against numpy in float64."""

import numpy as np
import pytest
from _everywhere import run_everywhere, same_bits

MODES = ["sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum", "log_sum_exp"]
SHAPES = [
    (1, 1, 1),
    (3, 1, 5),
    (2, 15, 1),
    (2, 16, 1),
    (3, 17, 1),
    (1, 1000, 1),
    (2, 49, 67),
    (1, 33, 16),
    (3, 7, 130),
    (1, 50, 3),
    (2, 257, 2),
]


def oracle(mode: str, x: np.ndarray, axis: int = 1) -> np.ndarray:
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        if mode == "log_sum_exp":
            top = x.max(axis, keepdims=True, initial=-np.inf)
            top = np.where(np.isfinite(top), top, 0)
            return np.log(np.exp(x - top).sum(axis)) + top.squeeze(axis)
        return {
            "sum": lambda: x.sum(axis),
            "mean": lambda: x.sum(axis) / x.shape[axis],
            "max": lambda: x.max(axis, initial=-np.inf),
            "min": lambda: x.min(axis, initial=np.inf),
            "prod": lambda: x.prod(axis),
            "l1": lambda: np.abs(x).sum(axis),
            "l2": lambda: np.sqrt((x * x).sum(axis)),
            "sum_square": lambda: (x * x).sum(axis),
            "log_sum": lambda: np.log(x.sum(axis)),
        }[mode]()


def reduce(mode: str, x: np.ndarray, shape: tuple[int, int, int], strides: tuple[int, int], unit_inner: int) -> np.ndarray:
    outer, n, inner = shape
    args = {"mode": MODES.index(mode), "outer": outer, "reduce": n, "inner": inner}
    args |= {"outer_stride": strides[0], "reduce_stride": strides[1], "unit_inner": unit_inner}
    return run_everywhere("reduce", args, [x, ((outer, inner), np.float32)])[0]


def numbers(rng: np.random.Generator, mode: str, shape: tuple[int, ...]) -> np.ndarray:
    if mode in ("log_sum", "prod"):
        return rng.uniform(0.7, 1.4, shape).astype(np.float32)
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reduce(mode: str, shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    _, n, inner = shape
    x = numbers(rng, mode, shape)
    y = reduce(mode, x, shape, (n * inner, inner), unit_inner=37)
    size = 1 if mode in ("mean", "max", "min", "log_sum", "log_sum_exp") else oracle("l1", x)
    if mode == "prod":
        size = n * np.abs(oracle(mode, x))
    if mode == "sum_square":
        size = oracle(mode, x)
    assert np.all(np.abs(y - oracle(mode, x)) <= 3e-7 * np.maximum(1, size) * max(1, np.log2(n)))
    if mode in ("max", "min"):
        assert np.array_equal(y, oracle(mode, x))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", [1, 15, 16, 49, 300])
def test_bits_do_not_depend_on_the_layout(mode: str, n: int, rng: np.random.Generator) -> None:
    """Rows, columns, and columns one at a time give one result."""
    x = numbers(rng, mode, (5, n))
    by_rows = reduce(mode, x, (5, n, 1), (n, 1), 1).reshape(5)
    by_columns = reduce(mode, np.ascontiguousarray(x.T), (1, n, 5), (n * 5, 5), 3).reshape(5)
    by_strides = reduce(mode, np.ascontiguousarray(x.T), (5, n, 1), (1, 5), 1).reshape(5)
    assert same_bits(by_rows, by_columns)
    assert same_bits(by_rows, by_strides)


def test_the_sum_has_sixteen_lanes_and_a_tree(rng: np.random.Generator) -> None:
    """The order the design states, spelled out in numpy float32."""
    x = (rng.standard_normal(16 * 9) * 10.0 ** rng.integers(-3, 4, 16 * 9)).astype(np.float32)
    lanes = np.zeros(16, np.float32)
    for row in x.reshape(9, 16):
        lanes += row
    for step in (8, 4, 2, 1):
        lanes = lanes[:step] + lanes[step : 2 * step]
    assert reduce("sum", x, (1, x.size, 1), (x.size, 1), 1)[0, 0] == lanes[0]


@pytest.mark.parametrize("mode", MODES)
def test_padded_rows_are_not_read(mode: str, rng: np.random.Generator) -> None:
    outer, n, inner = 2, 19, 21
    wide = np.full((outer, n, inner + 2), np.nan, np.float32)
    wide[:, :, :inner] = numbers(rng, mode, (outer, n, inner))
    x = wide.reshape(-1)[:-2]
    y = reduce(mode, x, (outer, n, inner), (n * (inner + 2), inner + 2), 16)
    np.testing.assert_allclose(y, oracle(mode, wide[:, :, :inner]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inner", [1, 3])
def test_nothing_to_reduce(mode: str, inner: int) -> None:
    y = reduce(mode, np.zeros((2, 0, inner), np.float32), (2, 0, inner), (0, inner), 64)
    np.testing.assert_array_equal(y, oracle(mode, np.zeros((2, 0, inner))))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("inner", [1, 3])
@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_not_finite(mode: str, inner: int, n: int, special: float, rng: np.random.Generator) -> None:
    for at in (0, n // 2, n - 1):
        x = numbers(rng, mode, (1, n, inner))
        x[0, at, 0] = special
        y = reduce(mode, x, (1, n, inner), (n * inner, inner), 64)
        np.testing.assert_allclose(y, oracle(mode, x), rtol=1e-5)


def test_log_sum_exp_of_large_and_of_nothing() -> None:
    x = np.array([[1000, 1001, 999, -500], [-np.inf] * 4, [-1000, -1001, -2000, -np.inf]], np.float32)
    y = reduce("log_sum_exp", x, (3, 4, 1), (4, 1), 1).reshape(3)
    np.testing.assert_allclose(y, oracle("log_sum_exp", x), rtol=1e-6)


# ---- argreduce


def argreduce(x: np.ndarray, largest: bool, last: bool) -> np.ndarray:
    outer, n, inner = x.shape
    args = {"largest": int(largest), "select_last": int(last), "outer": outer, "reduce": n, "inner": inner}
    return run_everywhere("argreduce", args, [x, ((outer, inner), np.int64)])[0]


def arg_oracle(x: np.ndarray, largest: bool, last: bool) -> np.ndarray:
    pick = np.argmax if largest else np.argmin
    return x.shape[1] - 1 - pick(x[:, ::-1], axis=1) if last else pick(x, axis=1)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("values", ["many", "few", "nan"])
def test_argreduce(largest: bool, last: bool, shape: tuple[int, int, int], values: str, rng: np.random.Generator) -> None:
    x = rng.standard_normal(shape).astype(np.float32) if values == "many" else rng.integers(-2, 3, shape).astype(np.float32)
    if values == "nan":
        x[rng.random(shape) < 0.02] = np.nan
        x[x == 0] = np.where(rng.random(np.count_nonzero(x == 0)) < 0.5, -0.0, 0.0)
    np.testing.assert_array_equal(argreduce(x, largest, last), arg_oracle(x, largest, last))
