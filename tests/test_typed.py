"""The typed step against numpy: every operation on every type, all casts, broadcasting, hostile operands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from _guard import guarded, guarded_copy
from _steps import run_step
from asymo._asymo import ffi, lib
from test_eltwise import TYPES, dtype_number, strides_of

Array = npt.NDArray[Any]
OPS = {ffi.string(lib.asymo_typed_op_name(i)).decode(): i for i in range(lib.asymo_typed_op_count())}
INTEGERS = [t for t in TYPES if np.dtype(t).kind in "iu"]


def python_power(a: Array, b: Array) -> Array:
    """Integer power; a negative exponent gives the real value cut to an integer, 0 for base 0."""

    bits = 8 * a.itemsize

    def one(x: int, e: int) -> int:
        return pow(x, abs(e), 2**bits) if e >= 0 or abs(x) == 1 else 0

    wide = [one(int(x), int(e)) for x, e in zip(a.ravel(), b.ravel(), strict=True)]
    return np.array(wide, object).astype(f"u{a.itemsize}").view(a.dtype).reshape(a.shape)


def power(a: Array, b: Array) -> Array:
    return python_power(a, b) if a.dtype.kind in "iu" else np.power(a, b)


def divide(a: Array, b: Array) -> Array:
    """Towards 0; by 0 it is 0."""
    if a.dtype.kind == "f":
        return a / b
    safe = np.where(b == 0, 1, b).astype(object)
    quotient = np.array(
        [abs(int(x)) // abs(int(y)) * (1 if (x < 0) == (y < 0) else -1) for x, y in zip(a.ravel(), safe.ravel(), strict=True)], object
    )
    bits = 8 * a.itemsize
    wrapped = (quotient % 2**bits).astype(f"u{a.itemsize}").view(a.dtype).reshape(a.shape)
    return np.where(b == 0, 0, wrapped).astype(a.dtype)


def shift(a: Array, b: Array, left: bool) -> Array:
    bits = 8 * a.itemsize
    big = (b < 0) | (b.astype(np.float64) >= bits)
    amount = np.where(big, 0, b).astype(a.dtype)
    moved = np.left_shift(a, amount) if left else np.right_shift(a, amount)
    gone = np.where((a < 0) & (not left), -1, 0).astype(a.dtype)
    return np.where(big, gone, moved)


REFERENCE: dict[str, Callable[..., Array]] = {
    "where": np.where,
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": divide,
    "mod": np.mod,
    "fmod": np.fmod,
    "pow": power,
    "min": np.minimum,
    "max": np.maximum,
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "bitwise_and": np.bitwise_and,
    "bitwise_or": np.bitwise_or,
    "bitwise_xor": np.bitwise_xor,
    "bitwise_not": np.bitwise_not,
    "shift_left": lambda a, b: shift(a, b, True),
    "shift_right": lambda a, b: shift(a, b, False),
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "not": np.logical_not,
    "equal": np.equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}
GIVES_BOOL = {"and", "or", "xor", "not", "equal", "less", "less_equal", "greater", "greater_equal"}


def run(name: str, inputs: Sequence[Array], y: Array, *, unit_size: int = 100, **how: int) -> None:
    strides = np.array([strides_of(x, y.shape) for x in [*inputs, y]], np.int64)
    args = {
        "op": OPS[name],
        "rank": y.ndim,
        "shape": [*y.shape, *[1] * (8 - y.ndim)],
        "n_in": len(inputs),
        "in_type": dtype_number(inputs[-1].dtype),
        "out_type": dtype_number(y.dtype),
        "unit_size": unit_size,
    }
    run_step("typed", args, [strides, *inputs, y], **how)


def supported(name: str, dtype: npt.DTypeLike, out: npt.DTypeLike) -> bool:
    return bool(lib.asymo_typed_is_supported(OPS[name], dtype_number(dtype), dtype_number(out)))


CASES = [(name, t) for name in OPS if name != "cast" for t in TYPES if supported(name, t, np.bool_ if name in GIVES_BOOL else t)]


def test_the_cases_are_all() -> None:
    assert set(REFERENCE) | {"cast"} == set(OPS)
    count = {name: sum(n == name for n, _ in CASES) for name in REFERENCE}
    for name, n in count.items():
        bits, logic = name.startswith(("bitwise", "shift")), name in ("and", "or", "xor", "not")
        assert n == (8 if bits else 1 if logic else 11 if name in ("where", "equal") else 10), name
    assert not supported("add", np.int32, np.int64)
    assert not lib.asymo_typed_is_supported(-1, 0, 0)
    assert not lib.asymo_typed_is_supported(2, 99, 99)


def values(dtype: npt.DTypeLike, n: int, rng: np.random.Generator) -> Array:
    """Small numbers, the ends of the range, and the awkward ones between."""
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return rng.integers(0, 2, n).astype(np.bool_)
    if kind.kind == "f":
        special = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -2.5]
        return np.concatenate([rng.normal(0, 4, n - len(special)), special]).astype(kind)[rng.permutation(n)]
    info = np.iinfo(kind)
    edges = np.array([info.min, info.max, 0, 1, info.max // 2, max(-1, info.min)], object).astype(kind)
    return np.concatenate([rng.integers(max(info.min, -9), 9, n - len(edges)).astype(kind), edges])[rng.permutation(n)]


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=[f"{name}-{np.dtype(t).name}" for name, t in CASES])
def test_every_operation(name: str, dtype: npt.DTypeLike, rng: np.random.Generator) -> None:
    arity, n = lib.asymo_typed_op_arity(OPS[name]), 701
    inputs = [guarded_copy(values(dtype, n, rng)) for _ in range(arity)]
    if name == "where":
        inputs[0] = rng.integers(0, 2, n).astype(np.bool_)
    with np.errstate(all="ignore"):
        expected = REFERENCE[name](*inputs)
        if name in ("mod", "fmod") and np.dtype(dtype).kind in "iu":
            expected = np.where(inputs[1] == 0, 0, expected)
    y = guarded(n, np.bool_ if name in GIVES_BOOL else dtype)
    run(name, inputs, y)
    if name == "pow" and np.dtype(dtype).kind == "f":
        np.testing.assert_allclose(y, expected, rtol=1e-6)
    else:
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_cast(source: npt.DTypeLike, target: npt.DTypeLike, rng: np.random.Generator) -> None:
    x = values(source, 300, rng)
    kind, out = np.dtype(source), np.dtype(target)
    with np.errstate(all="ignore"):
        expected = x.astype(target)
    if kind.kind == "f" and out.kind in "iu":
        info = np.iinfo(out)
        exact = [0 if np.isnan(v) else info.max if v >= info.max else info.min if v <= info.min else int(v) for v in x]
        expected = np.array(exact, object).astype(target)
    y = np.zeros(300, target)
    run("cast", [x], y, unit_size=37)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("shapes", [[(5, 7), (7,)], [(3, 1, 300), (1, 4, 1)], [(), ()], [(0, 3), (3,)], [(2, 3, 1, 2), (1, 1, 5, 1)]])
@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.float64])
@pytest.mark.parametrize("unit_size", [1, 13, 1000])
def test_broadcasting(shapes: list[tuple[int, ...]], dtype: npt.DTypeLike, unit_size: int, rng: np.random.Generator) -> None:
    a, b = (np.array(rng.integers(-50, 50, shape)).astype(dtype) for shape in shapes)
    shape = np.broadcast_shapes(*shapes)
    y = np.zeros(shape, dtype)
    run("sub", [a, b], y, unit_size=unit_size, workers=2)
    np.testing.assert_array_equal(y, a - b)
    if y.ndim > 1:
        z = np.zeros(shape[::-1], dtype).T
        run("sub", [a, b], z, unit_size=unit_size)
        np.testing.assert_array_equal(z, a - b)


def test_where_broadcasts_and_runs_in_place(rng: np.random.Generator) -> None:
    condition, a = np.array([True, False, True]), rng.integers(0, 9, (4, 3))
    y = a.copy()
    run("where", [condition, y, np.array([[-1]])], y)
    np.testing.assert_array_equal(y, np.where(condition, a, -1))
