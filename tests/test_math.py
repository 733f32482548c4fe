"""The functions of v16_math.h over the whole range of floats against float64: the error stays below what the header says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from asymo._asymo import lib
from test_eltwise import apply, run

Array = npt.NDArray[Any]
HEADER = (Path(__file__).resolve().parent.parent / "csrc/kernels/simd/v16_math.h").read_text()


def softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x: Array) -> Array:
    return np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))


ACTS = {"softplus": lib.ASYMO_ACT_SOFTPLUS, "silu": lib.ASYMO_ACT_SILU}
FUNCTIONS: dict[str, Callable[..., Array]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "softplus": softplus,
    "erf": np.vectorize(math.erf, otypes=[float]),
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
    "pow": np.power,
}


def bound(name: str) -> int:
    """What the header promises: the last "<n> ULP" before the function."""
    return int(re.findall(r"(\d) ULP", HEADER[: HEADER.index(f" v16_{name}(v16 x")])[-1])


def every_float(step: int) -> Array:
    """A float in every step, all exponents and both signs, with zeros, infinities, NaN and the ends of the denormals."""
    bits = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32)
    ends = np.array([0, 1, 0x007FFFFF, 0x00800000, 0x3F800000, 0x3F7FFFFF, 0x3F800001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000], np.uint32)
    return np.concatenate([bits, ends, ends | 0x80000000]).view(np.float32)


def ulp_error(y: Array, exact: Array) -> float:
    """Largest error in units of the result's last place; infinities, NaN and signs have to be the ones of the rounded result."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(rounded))
    real = ~np.isnan(rounded)
    np.testing.assert_array_equal(np.signbit(y)[real], np.signbit(rounded)[real])
    exact, y = exact[real], y[real].astype(np.float64)
    ceiling = float(np.finfo(np.float32).max)
    at_end = np.isinf(y) | (np.abs(exact) > ceiling)
    # Beyond the largest float a result may be either it or infinity, within one place.
    assert (np.abs(exact[at_end]) >= ceiling * (1 - 2.0**-23)).all()
    assert ((np.abs(y[at_end]) >= ceiling * (1 - 2.0**-22)) | ~np.isinf(exact[at_end])).all()
    inside = ~at_end
    _, exponent = np.frexp(np.maximum(np.abs(exact[inside]), 2.0**-126))
    return float((np.abs(y[inside] - exact[inside]) / np.exp2(exponent.astype(np.float64) - 24)).max())


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "pow"])
def test_whole_range(name: str, isa: str) -> None:
    x = every_float(77_777 if isa == "portable" else 7_919)
    y = np.zeros_like(x)
    if name in ACTS:
        run([("load", 0, 0), ("act", 1, 0, ACTS[name], 0), ("store", 0, 1)], [x], [y], [1.0])
    else:
        apply(name, x, out=y)
    with np.errstate(all="ignore"):
        exact = FUNCTIONS[name](x.astype(np.float64))
    if name == "silu":
        few = (x < -87) & np.isfinite(x)  # the header promises no more there than x times a denormal, one place off
        assert (np.abs(y[few] - exact[few]) <= 2.0**-148 * np.abs(x[few].astype(np.float64))).all()
        x, y, exact = x[~few], y[~few], exact[~few]
    assert ulp_error(y, exact) <= bound(name)


def test_pow(isa: str, rng: np.random.Generator) -> None:
    special = np.array([0, 1, 2, 3, 0.5, 1.5, 1e-40, 1e38, 2**24 + 2, 2**24 - 1, 1 + 2**-23, 1 - 2**-24, np.inf, np.nan], np.float32)
    special = np.concatenate([special, -special])
    a, b = (g.ravel() for g in np.meshgrid(special, special))
    wide = np.exp2(rng.uniform(-149, 128, 40_000)).astype(np.float32)
    near = np.exp2(rng.uniform(-1, 1, 40_000)).astype(np.float32)
    powers = (rng.uniform(-150, 128, 40_000) / np.maximum(np.abs(np.log2(wide)), 1)).astype(np.float32)
    x = np.concatenate([a, wide, near])
    y = np.concatenate([b, powers, rng.uniform(-160, 160, 40_000).astype(np.float32)])
    z = apply("pow", x, y)
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64))
    assert ulp_error(z, exact) <= bound("pow")


def test_against_many_digits(rng: np.random.Generator) -> None:
    """float64 is the oracle above; this checks the oracle's hard cases, large angles and cancellation, with mpmath."""
    import mpmath

    x = np.concatenate(
        [every_float(40_000_003), (np.arange(1, 300) * np.pi / 2).astype(np.float32), np.exp2(rng.uniform(20, 127, 200)).astype(np.float32)]
    )
    x = x[np.isfinite(x)]
    with mpmath.workprec(300):
        for name in ("sin", "cos", "tanh", "expm1"):
            domain = x[np.abs(x) < 80] if name == "expm1" else x
            exact = np.array([float(getattr(mpmath, name)(mpmath.mpf(float(v)))) for v in domain])
            if name != "cos":  # the others keep the sign of zero, which mpmath does not have
                exact = np.where(domain == 0, domain, exact)
            assert ulp_error(apply(name, domain), exact) <= bound(name)
