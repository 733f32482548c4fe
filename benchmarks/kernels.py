"""python -m benchmarks.kernels [--isa NAME]: GEMM and convolution steps on one core, beside the FMA peak measured in the same rounds.

Shapes are those of the fixed set's networks. Prints GFLOP/s of the direct algorithm and the share of the peak, medians of interleaved
rounds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asymo import _core
from asymo.bench.report import Row, table

ROUNDS, SECONDS = 9, 0.02

PEAK_FLAGS = {
    "avx512": ["-mavx512f", "-mfma", "-mprefer-vector-width=512", "-DLANES=16", '-DKEEP="v"'],
    "avx2": ["-mavx2", "-mfma", "-DLANES=8", '-DKEEP="x"'],
    "neon": ["-DLANES=4", '-DKEEP="w"'],
}

GEMM = [
    (56, 128, 256), (784, 128, 1152), (196, 256, 2304), (49, 512, 4608), (3136, 64, 64), (3136, 64, 576), (49, 2048, 512), (196, 512, 512),
    (49, 1024, 1024), (128, 1536, 384), (12544, 96, 16), (3136, 24, 144), (1, 4096, 9216), (1, 2048, 2048),
]  # fmt: skip
"""m, n, k."""

CONV = [
    (56, 64, 64, 3, 1),
    (28, 128, 128, 3, 1),
    (14, 256, 256, 3, 1),
    (7, 512, 512, 3, 1),
    (28, 128, 256, 3, 2),
    (224, 3, 64, 7, 2),
    (224, 3, 32, 3, 2),
]
"""Pixels a side, channels in, channels out, kernel, stride."""


def peak(isa: str, folder: Path) -> Callable[[], float]:
    """A call that does FMAs for a moment and returns GFLOP/s."""
    library = folder / "fmapeak.so"
    source = Path(__file__).parent / "fmapeak.c"
    subprocess.check_call(["cc", "-O3", "-ffp-contract=fast", "-shared", "-fPIC", *PEAK_FLAGS[isa], str(source), "-o", str(library)])
    function = ctypes.CDLL(str(library)).fmapeak
    function.restype = ctypes.c_int64
    sink = ctypes.c_float()

    def run() -> float:
        begin = time.perf_counter_ns()
        flops = function(ctypes.c_int64(2_000_000), ctypes.byref(sink))
        return float(flops / (time.perf_counter_ns() - begin))

    return run


def step(kind: str, args: dict[str, Any], operands: list[np.ndarray | None], flops: float, pool: _core.Pool) -> Callable[[], float]:
    """A call that runs the step for a moment and returns GFLOP/s."""
    program = _core.Program(1)
    program.add(kind, args, [(-1 if o is None else i, 0) for i, o in enumerate(operands)], serial=True)
    slots = _core.Slots(len(operands))
    for i, operand in enumerate(operands):
        if operand is not None:
            slots[i] = operand
    program.run(pool, slots)

    def run() -> float:
        count, begin = 0, time.perf_counter_ns()
        while (passed := time.perf_counter_ns() - begin) < SECONDS * 1e9 or count == 0:
            program.run(pool, slots)
            count += 1
        return flops * count / passed

    return run


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Aligned random numbers."""
    array = _core.aligned_floats(int(np.prod(shape))).reshape(shape)
    array[...] = rng.standard_normal(shape, np.float32)
    return array


def gemm(rng: np.random.Generator, m: int, n: int, k: int, pool: _core.Pool) -> Callable[[], float]:
    args = {"m": m, "n": n, "k": k, "lda": k, "ldc": n, "batch": (1, 1, 1)}
    packed = _core.gemm_pack(floats(rng, k, n))
    return step("gemm", args, [floats(rng, m, k), packed, floats(rng, n), None, None, floats(rng, m, n)], 2.0 * m * n * k, pool)


def conv(rng: np.random.Generator, side: int, c: int, n: int, kernel: int, stride: int, pool: _core.Pool) -> Callable[[], float]:
    pad, out = kernel // 2, (side + 2 * (kernel // 2) - kernel) // stride + 1
    args = {
        "batch": 1, "groups": 1, "c": c, "n": n, "in": (1, side, side), "out": (1, out, out), "kernel": (1, kernel, kernel),
        "stride": (1, stride, stride), "dilation": (1, 1, 1), "pad": (0, pad, pad), "x_batch": side * side * c, "y_batch": out * out * n,
        "x_stride": (side * side * c, side * c, c), "y_stride": (out * out * n, out * n, n),
    }  # fmt: skip
    packed = _core.gemm_pack(floats(rng, kernel * kernel * c, n))
    operands = [floats(rng, side, side, c), packed, floats(rng, n), None, None, floats(rng, out, out, n)]
    return step("conv", args, operands, 2.0 * out * out * n * kernel * kernel * c, pool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isa", default=_core.isa_name(), choices=[i for i in _core.isas() if i in PEAK_FLAGS])
    isa = parser.parse_args().isa
    _core.select_isa(isa)
    rng = np.random.default_rng(0)
    pool = _core.Pool([min(os.sched_getaffinity(0))])
    calls: dict[str, Callable[[], float]] = {f"gemm {m} x {n} x {k}": gemm(rng, m, n, k, pool) for m, n, k in GEMM}
    calls |= {f"conv {s}x{s}, {c} -> {n}, {k}x{k} / {d}": conv(rng, s, c, n, k, d, pool) for s, c, n, k, d in CONV}
    rates: dict[str, list[float]] = {name: [] for name in calls}
    shares: dict[str, list[float]] = {name: [] for name in calls}
    with tempfile.TemporaryDirectory() as folder:
        fma = peak(isa, Path(folder))
        peaks = []
        for _ in range(ROUNDS):
            for name, call in calls.items():
                before = fma()
                rates[name].append(call())
                peaks.append((before + fma()) / 2)
                shares[name].append(rates[name][-1] / peaks[-1])
    rows: list[Row] = [
        {"step": name, "GFLOP/s": float(np.median(rates[name])), "% of peak": 100 * float(np.median(shares[name]))} for name in calls
    ]
    print(table(rows, "markdown", f"{isa}, one core, FMA peak {np.median(peaks):.1f} GFLOP/s"))


if __name__ == "__main__":
    main()
