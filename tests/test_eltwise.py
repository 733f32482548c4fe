"""The eltwise step against numpy in float64: every instruction, broadcasting, types, aliasing, and the same bits for any split."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from _guard import guarded, guarded_copy
from _steps import run_step
from asymo._asymo import ffi, lib

Array = npt.NDArray[Any]
OPS = {ffi.string(lib.asymo_eltwise_op_name(i)).decode(): i for i in range(lib.asymo_eltwise_op_count())}
CONTROL = {"load", "imm", "store", "act"}
ARITY = {name: lib.asymo_eltwise_op_arity(i) for name, i in OPS.items()}
TYPES = [np.float32, np.float64, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.bool_]

erf = np.vectorize(math.erf)
REFERENCE: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "fma": lambda a, b, c: a * b + c,
    "min": np.minimum,
    "max": np.maximum,
    "pow": np.power,
    "fmod": np.fmod,
    "mod": np.mod,
    "prelu": lambda a, b: np.where(a < 0, a * b, a),
    "select": lambda a, b, c: np.where(a != 0, b, c),
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "rsqrt": lambda a: 1 / np.sqrt(a),
    "reciprocal": lambda a: 1 / a,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "trunc": np.trunc,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "erf": lambda a: erf(a),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "not": np.logical_not,
    "isnan": np.isnan,
    "isinf": np.isinf,
}


def dtype_number(dtype: npt.DTypeLike) -> int:
    """The asymo_dtype of a numpy type."""
    kind = np.dtype(dtype)
    return int(lib.ASYMO_BOOL if kind == np.bool_ else getattr(lib, f"ASYMO_{kind.kind.upper()}{8 * kind.itemsize}"))


def strides_of(array: Array, shape: Sequence[int]) -> list[int]:
    """Element strides of array broadcast to shape."""
    return [s // array.itemsize for s in np.broadcast_to(array, shape).strides]


def run(
    code: Sequence[tuple[Any, ...]],
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    imm: Sequence[float] = (),
    *,
    unit_size: int = 1000,
    **how: int,
) -> None:
    """Runs rows of (name, dst, a, b, c) over arrays of any strides."""
    shape = outputs[0].shape
    rows = np.array([[OPS[name], *operands, *[0] * (4 - len(operands))] for name, *operands in code], np.int32)
    strides = np.array([strides_of(x, shape) for x in [*inputs, *outputs]], np.int64).reshape(len(inputs) + len(outputs), len(shape))
    args = {
        "rank": len(shape),
        "shape": [*shape, *[1] * (8 - len(shape))],
        "n_in": len(inputs),
        "n_out": len(outputs),
        "n_code": len(rows),
        "in_type": sum(dtype_number(x.dtype) << 4 * i for i, x in enumerate(inputs)),
        "out_type": sum(dtype_number(y.dtype) << 4 * i for i, y in enumerate(outputs)),
        "unit_size": unit_size,
    }
    with np.errstate(all="ignore"):
        run_step("eltwise", args, [rows, np.array([*imm, 0, 0], np.float32), strides, *inputs, *outputs], **how)


def apply(name: str, *inputs: Array, out: Array | None = None, **how: int) -> Array:
    """One instruction over inputs."""
    n = len(inputs)
    y = np.full(np.broadcast_shapes(*(x.shape for x in inputs)), np.nan, np.float32) if out is None else out
    loads = [("load", i, i) for i in range(n)]
    run([*loads, (name, n, *range(n)), ("store", 0, n)], inputs, [y], **how)
    return y


def assert_near(y: Array, expected: Array, relative: float) -> None:
    expected = np.asarray(expected, np.float64)
    with np.errstate(all="ignore"):
        single = expected.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(single))
    special = ~np.isfinite(single)
    np.testing.assert_array_equal(y[special], single[special])
    np.testing.assert_allclose(y[~special], expected[~special], rtol=relative, atol=1e-44)


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, -7.25], np.float32)


@pytest.mark.parametrize("name", [name for name in OPS if name not in CONTROL])
def test_every_instruction(name: str, isa: str, rng: np.random.Generator) -> None:
    n = ARITY[name]
    grid = np.meshgrid(*[SPECIAL] * n)
    inputs = [np.concatenate([g.ravel(), rng.normal(0, 3, 555).astype(np.float32)]) for g in grid]
    if name == "fma":  # float64 holds a * b but not the sum: leave the sums that cancel
        inputs = [np.abs(x) for x in inputs]
    y = apply(name, *inputs)
    with np.errstate(all="ignore"):
        expected = REFERENCE[name](*[x.astype(np.float64) for x in inputs])
    assert_near(y, expected, 5e-7)


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 255, 256, 257, 1000, 4099])
def test_sizes_touch_nothing_else(size: int, isa: str, rng: np.random.Generator) -> None:
    a, b = (guarded_copy(rng.normal(size=size).astype(np.float32)) for _ in range(2))
    y = guarded(size)
    apply("sub", a, b, out=y, unit_size=100)
    np.testing.assert_array_equal(y, a - b)
    run([("load", 3, 0), ("imm", 2, 0), ("mul", 3, 3, 2), ("act", 3, 3, lib.ASYMO_ACT_CLIP, 1), ("store", 0, 3)], [a], [y], [2.5, -1, 1.5])
    np.testing.assert_array_equal(y, np.clip(a * np.float32(2.5), -1, np.float32(1.5)))


@pytest.mark.parametrize(
    "shapes",
    [
        [(7, 5), (5,)],
        [(7, 5), (7, 1)],
        [(3, 1, 300), (1, 4, 1)],
        [(2, 3, 5, 7), (3, 1, 1), (2, 1, 5, 7)],
        [(), ()],
        [(1,), (5, 3)],
        [(2, 70), (70,)],
        [(2, 1, 3, 1, 2, 1, 2, 3), (1, 2, 1, 2, 1, 2, 1, 1)],
        [(0, 3), (3,)],
    ],
)
@pytest.mark.parametrize("unit_size", [1, 17, 10_000])
def test_broadcasting(shapes: list[tuple[int, ...]], unit_size: int, isa: str, rng: np.random.Generator) -> None:
    inputs = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    y = np.full(np.broadcast_shapes(*shapes), np.nan, np.float32)
    code: list[tuple[Any, ...]] = [("load", 0, 0)]
    for i in range(1, len(inputs)):
        code += [("load", 1, i), ("add", 0, 0, 1)]
    run([*code, ("store", 0, 0)], inputs, [y], unit_size=unit_size)
    np.testing.assert_array_equal(y, sum(inputs[1:], inputs[0]))


def test_strided_operands(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(11, 26)).astype(np.float32)
    base = np.full((13, 23), np.nan, np.float32)
    y = base[1:12, 2:15]
    run([("load", 0, 0), ("load", 1, 1), ("mul", 0, 0, 1), ("store", 0, 0)], [x[:, ::2], x[::-1, 25:12:-1]], [y], unit_size=7)
    np.testing.assert_array_equal(y, x[:, ::2] * x[::-1, 25:12:-1])
    assert np.isnan(base).sum() == base.size - y.size
    columns = np.full((26, 11), np.nan, np.float32)
    run([("load", 0, 0), ("neg", 1, 0), ("store", 0, 1)], [x], [columns.T])
    np.testing.assert_array_equal(columns, -x.T)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(600,), (40, 9)])
def test_types(dtype: npt.DTypeLike, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    x = rng.integers(0, 2 if dtype == np.bool_ else 100, shape).astype(dtype)
    y = np.zeros(shape, dtype)
    run([("load", 0, 0), ("store", 0, 0)], [x], [y])
    np.testing.assert_array_equal(y, x)
    odd = x[..., ::3]
    target = np.zeros((*shape[:-1], 2 * odd.shape[-1]), dtype)[..., ::2]
    run([("load", 0, 0), ("imm", 1, 0), ("add", 0, 0, 1), ("store", 0, 0)], [odd], [target], [1.0])
    np.testing.assert_array_equal(target, (odd.astype(np.float64) + 1).astype(dtype))


@pytest.mark.parametrize("dtype", [t for t in TYPES if np.dtype(t).kind in "iu"])
def test_store_saturates(dtype: type[np.integer[Any]]) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 2.9, -2.9], np.float32)
    y = np.zeros(7, dtype)
    run([("load", 0, 0), ("store", 0, 0)], [x], [y])
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    assert y.tolist() == [0, high, low, high, low, 2, max(low, -2)]


@pytest.mark.parametrize("unit_size", [5, 333])
def test_in_place(unit_size: int, isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(9, 101)).astype(np.float32)
    scale = rng.normal(size=(101,)).astype(np.float32)
    y = x.copy()
    code = [("load", 0, 0), ("load", 1, 1), ("mul", 2, 0, 1), ("add", 2, 2, 0), ("load", 3, 0), ("sub", 2, 2, 3), ("store", 0, 2)]
    run(code, [y, scale], [y], unit_size=unit_size)
    np.testing.assert_array_equal(y, (x * scale + x) - x)


def test_two_outputs_one_in_place(isa: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=700).astype(np.float32)
    y, copy = x.copy(), np.zeros_like(x)
    run([("load", 0, 0), ("neg", 1, 0), ("store", 0, 1), ("store", 1, 0)], [y], [y, copy], unit_size=100)
    np.testing.assert_array_equal(y, -x)
    np.testing.assert_array_equal(copy, x)


def test_comparison_writes_bool(isa: str, rng: np.random.Generator) -> None:
    a, b = rng.integers(-3, 3, (2, 50, 7)).astype(np.int64)
    y = np.zeros((50, 7), np.bool_)
    apply("less", a, b, out=y)
    np.testing.assert_array_equal(y, a < b)


def gelu(x: Array, _p: float, _q: float) -> Array:
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


ACTS: dict[str, Callable[[Array, float, float], Array]] = {
    "NONE": lambda x, p, q: x,
    "CLIP": lambda x, p, q: np.minimum(np.maximum(x, p), q),
    "LEAKY_RELU": lambda x, p, q: np.where(x < 0, p * x, x),
    "SIGMOID": lambda x, p, q: 1 / (1 + np.exp(-x)),
    "TANH": lambda x, p, q: np.tanh(x),
    "SILU": lambda x, p, q: x / (1 + np.exp(-p * x)),
    "HARD_SIGMOID": lambda x, p, q: np.clip(p * x + q, 0, 1),
    "HARD_SWISH": lambda x, p, q: p * x * np.clip(x / 6 + 0.5, 0, 1) + q,
    "GELU_ERF": gelu,
    "GELU_TANH": lambda x, p, q: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "ELU": lambda x, p, q: np.where(x < 0, p * np.expm1(x), x),
    "AFFINE": lambda x, p, q: p * np.tanh(q * x),
    "SOFTSIGN": lambda x, p, q: x / (1 + np.abs(x)),
    "SOFTPLUS": lambda x, p, q: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
    "LINEAR": lambda x, p, q: p * x + q,
    "THRESHOLDED": lambda x, p, q: np.where(x > p, x, 0),
}


def test_every_activation_is_here() -> None:
    names = {name.removeprefix("ASYMO_ACT_") for name in dir(lib) if name.startswith("ASYMO_ACT_")}
    assert names == {*ACTS, "PRELU"}
    assert set(REFERENCE) | CONTROL == set(OPS)


@pytest.mark.parametrize("kind", ACTS)
def test_activations(kind: str, isa: str, rng: np.random.Generator) -> None:
    x = np.concatenate([np.linspace(-12, 12, 501), rng.normal(size=100), [0.0, 100.0, np.nan]]).astype(np.float32)
    p, q = 0.2, 0.6
    y = np.zeros_like(x)
    run([("load", 0, 0), ("act", 1, 0, getattr(lib, f"ASYMO_ACT_{kind}"), 0), ("store", 0, 1)], [x], [y], [p, q])
    expected = ACTS[kind](x.astype(np.float64), float(np.float32(p)), float(np.float32(q)))
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-6)


def test_gelu_tanh_does_not_cancel(isa: str) -> None:
    """Written as it is defined, nothing is left of it below -5."""
    x = np.linspace(-6, 6, 1201).astype(np.float32)
    y = np.zeros_like(x)
    run([("load", 0, 0), ("act", 1, 0, lib.ASYMO_ACT_GELU_TANH, 0), ("store", 0, 1)], [x], [y], [0.0, 0.0])
    wide = x.astype(np.float64)
    exact = wide / (1 + np.exp(-2 * math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))
    np.testing.assert_allclose(y, exact, rtol=4e-6, atol=0)


def chain(x: Array, b: Array, **how: int) -> Array:
    """A chain through most instructions."""
    unary = ["exp", "tanh", "sigmoid", "erf", "sin", "cosh", "atan", "sinh", "asinh"]
    code: list[tuple[Any, ...]] = [("load", 0, 0), ("load", 1, 1), ("abs", 2, 0), ("pow", 2, 2, 1)]
    for i, name in enumerate(unary):
        code += [(name, 3, 0), ("imm", 4, i), ("fma", 2, 3, 4, 2)]
    y = np.full_like(x, np.nan)
    run([*code, ("cos", 2, 2), ("store", 0, 2)], [x, b], [y], np.linspace(0.1, 0.9, len(unary)).tolist(), **how)
    return y


def test_same_bits_on_every_isa_and_for_every_split(rng: np.random.Generator) -> None:
    from asymo import _core

    x, b = rng.normal(0, 4, (31, 97)).astype(np.float32), rng.normal(size=(97,)).astype(np.float32)
    results = {}
    before = _core.isa_name()
    for name in _core.isas():
        _core.select_isa(name)
        for unit_size in (1, 16, 100, 5000):
            for workers in (1, 2):
                results[name, unit_size, workers] = chain(x, b, unit_size=unit_size, workers=workers)
    _core.select_isa(before)
    assert not np.isnan(results["portable", 1, 1]).any()
    assert len({y.tobytes() for y in results.values()}) == 1
