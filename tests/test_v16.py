"""Every v16 function of every vector header this machine can run, against numpy.

The names are those of v16_portable.h, the specification.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import numpy.typing as npt
import pytest

from asymo import _core

ROOT = Path(__file__).resolve().parent.parent
SIMD = ROOT / "csrc/kernels/simd"
ROWS = re.findall(r'^ASYMO_ISA\(\w+,\s*(\w+),\s*\w+,.*?"(.*)"\)', (ROOT / "csrc/common/isa.inc").read_text(), re.M)
FLAGS = {name: flags.split() for name, flags in ROWS}
SIGNATURE = re.compile(r"^V16_FN (\w+) (\w+)\(([^)]*)\)", re.M)
TYPES = {"v16": "float", "w16": "int32_t", "m16": "uint8_t"}

Array = npt.NDArray[Any]


def functions(header: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """name -> (result type, argument types) of every function named v16_, w16_ or m16_."""
    found = {}
    for result, name, arguments in SIGNATURE.findall((SIMD / header).read_text()):
        if re.match(r"[vwm]16_", name) and name != "v16_first":
            found[name] = (result, tuple(re.sub(r"\s*\w+$", "", a.strip()) for a in arguments.split(",") if a.strip() != "void"))
    return found


SPECIFICATION = functions("v16_portable.h")
MEMORY = {name for name in SPECIFICATION if re.search(r"_(load|store)(_n|_8)?$", name)}
LANES = [name for name in SPECIFICATION if name not in MEMORY and not name.endswith("_set1") and name != "v16_zero"]


def wrapper(name: str) -> str:
    """void t_<name>(out, a, b, c, n): loads the operands, calls the function, stores the result. Conditions travel as floats 0 and 1."""
    result, arguments = SPECIFICATION[name]
    load = {"v16": "v16_load({})", "w16": "w16_load({})", "m16": "v16_ne(v16_load({}), v16_zero())", "int": "(int)n"}
    call = f"{name}({', '.join(load[t].format('abc'[i]) for i, t in enumerate(arguments))})"
    store = {
        "v16": f"v16_store(out, {call})",
        "w16": f"w16_store(out, {call})",
        "m16": f"v16_store(out, v16_select({call}, v16_set1(1.0f), v16_zero()))",
        "int": f"*(int32_t *)out = {call}",
    }
    head = f"void t_{name}(void *out, const void *a, const void *b, const void *c, int64_t n)"
    return f"{head} {{ (void)a, (void)b, (void)c, (void)n; {store[result]}; }}\n"


REDUCTIONS = ("add", "mul", "max", "min")


@pytest.fixture(scope="module", params=_core.isas())
def v16(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The header of one instruction set, compiled with a C function around each of its own."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    work = tmp_path_factory.mktemp(f"v16_{request.param}")
    body = "".join(wrapper(name) for name in LANES)
    body += "".join(f"float t_{n}(const float *a) {{ return v16_reduce_{n}(v16_load(a)); }}\n" for n in REDUCTIONS)
    body += """
void t_load_n(float *out, const float *p, int64_t n) { v16_store(out, v16_load_n(p, n)); }
void t_store_n(float *p, const float *a, int64_t n) { v16_store_n(p, v16_load(a), n); }
void t_load_8(float *out, const float *p) { v16_store(out, v16_load_8(p)); }
void t_store_8(float *p, const float *a) { v16_store_8(p, v16_load(a)); }
void t_set1(float *out, int32_t *whole, float a, int32_t b) { v16_store(out, v16_set1(a)); w16_store(whole, w16_set1(b)); }
void t_zero(float *out) { v16_store(out, v16_zero()); }
"""
    source = work / "t.c"
    source.write_text(f'#define ASYMO_VEC_{request.param.upper()}\n#include "{SIMD / "v16.h"}"\n{body}')
    target = work / "t.so"
    flags = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", *FLAGS[request.param]]
    subprocess.run([compiler, *flags, str(source), "-o", str(target), "-lm"], check=True)
    ffi = cffi.FFI()
    ffi.cdef(re.sub(r" \{.*\}", ";", body))
    return ffi, ffi.dlopen(str(target))


@pytest.mark.parametrize("header", ["v16_avx2.h", "v16_avx512.h", "v16_neon.h"])
def test_every_header_has_the_same_functions(header: str) -> None:
    assert functions(header) == SPECIFICATION


def wrap(x: Array) -> Array:
    return (x.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


REFERENCE: dict[str, Callable[..., Any]] = {
    "v16_add": np.add,
    "v16_sub": np.subtract,
    "v16_mul": np.multiply,
    "v16_div": np.divide,
    "v16_sqrt": np.sqrt,
    "v16_abs": np.abs,
    "v16_neg": np.negative,
    "v16_copysign": np.copysign,
    "v16_max": lambda a, b: np.where(a > b, a, b),
    "v16_min": lambda a, b: np.where(a < b, a, b),
    "v16_nan_max": lambda a, b: np.where((a > b) | np.isnan(a), a, b),
    "v16_nan_min": lambda a, b: np.where((a < b) | np.isnan(a), a, b),
    "v16_round": np.rint,
    "v16_floor": np.floor,
    "v16_ceil": np.ceil,
    "v16_trunc": np.trunc,
    "v16_lt": np.less,
    "v16_le": np.less_equal,
    "v16_eq": np.equal,
    "v16_ne": np.not_equal,
    "m16_and": lambda a, b: (a != 0) & (b != 0),
    "m16_or": lambda a, b: (a != 0) | (b != 0),
    "m16_not": lambda a: a == 0,
    "v16_select": lambda m, a, b: np.where(m != 0, a, b),
    "v16_from_w16": lambda a: a.astype(np.float32),
    "w16_bits": lambda a: a.view(np.int32),
    "v16_bits": lambda a: a.view(np.float32),
    "w16_add": lambda a, b: wrap(a.astype(np.int64) + b),
    "w16_sub": lambda a, b: wrap(a.astype(np.int64) - b),
    "w16_and": np.bitwise_and,
    "w16_or": np.bitwise_or,
}
SPECIAL = np.array([0, -0.0, 1, -1, 0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, 8388609, 0.49999997], np.float32)


def call(v16: Any, name: str, *operands: Array, n: int = 0) -> Array:
    ffi, lib = v16
    out = np.zeros(16, np.float32 if SPECIFICATION[name][0] in ("v16", "m16") else np.int32)
    pointers = [ffi.from_buffer(x) for x in operands] + [ffi.NULL] * (3 - len(operands))
    getattr(lib, f"t_{name}")(ffi.from_buffer(out), *pointers, n)
    return out


def operands_of(name: str, rng: np.random.Generator) -> list[list[Array]]:
    """Operands of several calls: all pairs of special values, and random bits."""
    types = [t for t in SPECIFICATION[name][1] if t != "int"]
    rounds = []
    for turn in range(40):
        row = []
        for position, t in enumerate(types):
            if t == "m16":
                row.append(rng.integers(0, 2, 16).astype(np.float32))
            elif t == "w16":
                row.append(rng.integers(-(2**31), 2**31, 16).astype(np.int32))
            elif turn < 16:
                row.append(np.roll(SPECIAL, turn * position))
            else:
                row.append(
                    rng.integers(-(2**31), 2**31, 16).astype(np.int32).view(np.float32)
                    if turn % 2
                    else rng.normal(0, 99, 16).astype(np.float32)
                )
        rounds.append(row)
    return rounds


@pytest.mark.parametrize("name", [name for name in LANES if name in REFERENCE])
def test_lanes(name: str, v16: Any, rng: np.random.Generator) -> None:
    for operands in operands_of(name, rng):
        with np.errstate(all="ignore"):
            expected = np.asarray(REFERENCE[name](*operands))
        y = call(v16, name, *operands)
        assert expected.dtype in (y.dtype, np.bool_)
        np.testing.assert_array_equal(y, expected)
        if y.dtype == np.float32:
            real = ~np.isnan(expected.astype(np.float32))
            np.testing.assert_array_equal(np.signbit(y)[real], np.signbit(expected.astype(np.float32))[real])


def test_the_rest_of_the_functions_has_a_test_of_its_own() -> None:
    assert set(LANES) - set(REFERENCE) == {"v16_between", "v16_fma", "m16_any", "w16_from_v16", "w16_shl", "w16_shr"}


@pytest.mark.parametrize(("low", "high"), [(0, np.inf), (-0.0, 6), (0, 1), (-1, 0), (-np.inf, 1e-40), (2, -2), (-np.inf, np.inf)])
def test_between(low: float, high: float, v16: Any) -> None:
    y = call(v16, "v16_between", SPECIAL, *(np.full(16, bound, np.float32) for bound in (low, high)))
    above = np.where(np.float32(low) > SPECIAL, np.float32(low), SPECIAL)
    expected = np.where(np.float32(high) < above, np.float32(high), above)
    np.testing.assert_array_equal(y, expected)
    real = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(y)[real], np.signbit(expected)[real])


def test_fma_rounds_once(v16: Any, rng: np.random.Generator) -> None:
    from fractions import Fraction

    a = rng.normal(size=16).astype(np.float32)
    b = rng.normal(size=16).astype(np.float32)
    c = (-a * b).astype(np.float32)
    y = call(v16, "v16_fma", a, b, c)
    exact = [float(Fraction(float(p)) * Fraction(float(q)) + Fraction(float(r))) for p, q, r in zip(a, b, c, strict=True)]
    assert any(exact)
    np.testing.assert_array_equal(y, np.array(exact, np.float32))


def test_integers(v16: Any, rng: np.random.Generator) -> None:
    x = rng.integers(-(2**31), 2**31, 16).astype(np.int32)
    for n in range(32):
        np.testing.assert_array_equal(call(v16, "w16_shl", x, n=n), wrap(x.astype(np.int64) << n))
        np.testing.assert_array_equal(call(v16, "w16_shr", x, n=n), x >> n)
    whole = np.array([0, -0.0, 1, -1, 2**31 - 128, -(2**31), 16777217, -8388608, *range(-4, 4)], np.float32)
    np.testing.assert_array_equal(call(v16, "w16_from_v16", whole), whole.astype(np.int32))


def test_any(v16: Any) -> None:
    assert call(v16, "m16_any", np.zeros(16, np.float32))[0] == 0
    for i in range(16):
        assert call(v16, "m16_any", np.eye(16, dtype=np.float32)[i])[0] != 0


def test_memory(v16: Any) -> None:
    from _guard import guarded

    ffi, lib = v16
    out, whole = np.zeros(16, np.float32), np.zeros(16, np.int32)
    lib.t_set1(ffi.from_buffer("float[]", out), ffi.from_buffer("int32_t[]", whole), 2.5, -7)
    assert (out == 2.5).all()
    assert (whole == -7).all()
    lib.t_zero(ffi.from_buffer("float[]", out))
    assert not out.any()
    for n in range(17):
        x = guarded(max(n, 1))[:n]
        x[:] = np.arange(1, n + 1)
        lib.t_load_n(ffi.from_buffer("float[]", out), ffi.cast("float *", x.__array_interface__["data"][0]), n)
        np.testing.assert_array_equal(out, np.concatenate([x, np.zeros(16 - n, np.float32)]))
        x[:] = 0
        lib.t_store_n(
            ffi.cast("float *", x.__array_interface__["data"][0]), ffi.from_buffer("float[]", np.arange(5, 21, dtype=np.float32)), n
        )
        np.testing.assert_array_equal(x, np.arange(5, 5 + n))


def test_memory_of_half_a_vector(v16: Any) -> None:
    from _guard import guarded

    ffi, lib = v16
    out, x = np.ones(16, np.float32), guarded(8)
    at = ffi.cast("float *", x.__array_interface__["data"][0])
    x[:] = np.arange(1, 9)
    lib.t_load_8(ffi.from_buffer("float[]", out), at)
    np.testing.assert_array_equal(out, np.concatenate([x, np.zeros(8, np.float32)]))
    lib.t_store_8(at, ffi.from_buffer("float[]", np.arange(5, 21, dtype=np.float32)))
    np.testing.assert_array_equal(x, np.arange(5, 13))


def tree(x: Array, op: Callable[[Array, Array], Array]) -> Any:
    while len(x) > 1:
        x = op(x[: len(x) // 2], x[len(x) // 2 :])
    return x[0]


def test_reductions_follow_the_tree(v16: Any, rng: np.random.Generator) -> None:
    ffi, lib = v16
    for _ in range(20):
        x = rng.normal(0, 1000, 16).astype(np.float32)
        for name, op in zip(REDUCTIONS, (np.add, np.multiply, np.maximum, np.minimum), strict=True):
            assert getattr(lib, f"t_{name}")(ffi.from_buffer("float[]", x)) == tree(x, op)
        x[rng.integers(16)] = np.nan
        for name in REDUCTIONS:
            assert np.isnan(getattr(lib, f"t_{name}")(ffi.from_buffer("float[]", x)))


CROSS = shutil.which("aarch64-linux-gnu-gcc")
QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")

HASH_MAIN = r"""
#include <stdio.h>
#include "@ROOT@/csrc/kernels/simd/v16.h"
#include "@ROOT@/csrc/kernels/eltwise/act_body.h"
typedef v16 fn(v16);
#define WRAP(name) static v16 f_##name(v16 x) { return v16_##name(x); }
@WRAPS@
static v16 f_pow(v16 x) { return v16_pow(v16_abs(x), v16_set1(1.7f)); }
static void hash(const char *name, fn *f) {
    uint64_t h = 1469598103934665603ull;
    for (uint64_t u = 0; u < 0x100000000ull; u += 16 * 99991ull) {
        int32_t x[16], y[16];
        for (int i = 0; i < 16; i++) x[i] = (int32_t)(uint32_t)(u + 99991u * (uint32_t)i);
        w16_store(y, w16_bits(f(v16_bits(w16_load(x)))));
        for (int i = 0; i < 16; i++) h = (h ^ (uint32_t)((y[i] & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : y[i])) * 1099511628211ull;
    }
    printf("%s %016llx\n", name, (unsigned long long)h);
}
int main(void) {
    @CALLS@
    return 0;
}
"""


@pytest.mark.skipif(platform.machine() != "x86_64" or not CROSS or not QEMU, reason="needs x86-64, aarch64-linux-gnu-gcc and qemu-aarch64")
def test_neon_has_the_bits_of_portable(tmp_path: Path) -> None:
    names = re.findall(r"^V16_FN v16 v16_(\w+)\(v16 x\)", (SIMD / "v16_math.h").read_text(), re.M)
    assert len(names) > 15
    text = HASH_MAIN.replace("@ROOT@", str(ROOT)).replace("@WRAPS@", "\n".join(f"WRAP({n})" for n in names))
    text = text.replace("@CALLS@", "".join(f'hash("{n}", f_{n});' for n in [*names, "pow"]))
    outputs = []
    for name, compiler, prefix in (("portable", "gcc", []), ("neon", CROSS, [QEMU])):
        source, binary = tmp_path / f"{name}.c", tmp_path / name
        source.write_text(f"#define ASYMO_VEC_{name.upper()}\n{text}")
        subprocess.run([compiler, "-std=gnu11", "-O1", "-ffp-contract=off", "-static", str(source), "-o", str(binary), "-lm"], check=True)
        outputs.append(subprocess.run([*prefix, str(binary)], check=True, capture_output=True, text=True).stdout)
    assert outputs[0] == outputs[1]
    assert outputs[0].count("\n") == len(names) + 1
