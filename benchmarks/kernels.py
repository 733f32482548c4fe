"""python -m benchmarks.kernels [--isa NAME] [--shapes SET] [--against NAME,...]: GEMM and convolution steps on one core.

Prints GFLOP/s of the direct algorithm and the share of the FMA peak, which is measured in the same rounds; medians of interleaved rounds,
geometric mean and least share. Rivals multiply the same matrices, one thread each: openblas (NumPy's), mkl (torch.mm), onednn (torch's
linear layer, weights reordered before). For them set OPENBLAS_NUM_THREADS=1.
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

Call = Callable[[], float]
"""Works for a moment and returns GFLOP/s."""

ROUNDS, SECONDS = 9, 0.01

PEAK_FLAGS = {
    "avx512": ["-mavx512f", "-mfma", "-mprefer-vector-width=512", "-DLANES=16", '-DKEEP="v"'],
    "avx2": ["-mavx2", "-mfma", "-DLANES=8", '-DKEEP="x"'],
    "neon": ["-DLANES=4", '-DKEEP="w"'],
}

NETWORKS = [
    (56, 128, 256), (784, 128, 1152), (196, 256, 2304), (49, 512, 4608), (3136, 64, 64), (3136, 64, 576), (49, 2048, 512), (196, 512, 512),
    (49, 1024, 1024), (128, 1536, 384), (12544, 96, 16), (3136, 24, 144), (1, 4096, 9216), (1, 2048, 2048),
]  # fmt: skip
"""m, n, k of products and convolutions in the fixed set's networks."""

MOBILENET = [
    (12544, 16, 32), (12544, 96, 16), (3136, 24, 96), (3136, 144, 24), (3136, 24, 144), (784, 32, 144), (784, 192, 32), (784, 32, 192),
    (196, 64, 192), (196, 384, 64), (196, 64, 384), (196, 96, 384), (196, 576, 96), (196, 96, 576), (49, 160, 576), (49, 960, 160),
    (49, 160, 960), (49, 320, 960), (49, 1280, 320),
]  # fmt: skip
"""The pointwise convolutions of MobileNetV2."""

GRID = [
    (256, 256, 256), (384, 384, 384), (512, 512, 512), (768, 768, 768), (1024, 1024, 1024), (1536, 1536, 1536), (256, 1024, 512),
    (1024, 256, 2048), (2048, 512, 256), (512, 2048, 1024), (257, 263, 269), (300, 300, 300), (333, 555, 777), (500, 600, 700),
    (1000, 1000, 1000), (1021, 509, 1013),
]  # fmt: skip
"""All at least 256; rows that alias in L1, round sizes, odd ones."""

SHAPES = {"networks": NETWORKS, "mobilenet": MOBILENET, "grid": GRID}

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


def peak(isa: str, folder: Path) -> Call:
    """A call that does FMAs for a moment and returns GFLOP/s."""
    library = folder / "fmapeak.so"
    source = Path(__file__).parent / "fmapeak.c"
    subprocess.check_call(["cc", "-O3", "-ffp-contract=fast", "-shared", "-fPIC", *PEAK_FLAGS[isa], str(source), "-o", str(library)])
    function = ctypes.CDLL(str(library)).fmapeak
    function.restype = ctypes.c_int64
    sink = ctypes.c_float()

    def run() -> float:
        begin = time.perf_counter_ns()
        flops = function(ctypes.c_int64(300_000), ctypes.byref(sink))
        return float(flops / (time.perf_counter_ns() - begin))

    return run


def repeated(work: Callable[[], object], flops: float) -> Call:
    """A call that repeats the work for a moment."""
    work()

    def run() -> float:
        count, begin = 0, time.perf_counter_ns()
        while (passed := time.perf_counter_ns() - begin) < SECONDS * 1e9 or count == 0:
            work()
            count += 1
        return flops * count / passed

    return run


def step(kind: str, args: dict[str, Any], operands: list[np.ndarray | None], flops: float, pool: _core.Pool) -> Call:
    """A call that runs the step."""
    program = _core.Program(1)
    program.add(kind, args, [(-1 if o is None else i, 0) for i, o in enumerate(operands)], serial=True)
    slots = _core.Slots(len(operands))
    for i, operand in enumerate(operands):
        if operand is not None:
            slots[i] = operand
    return repeated(lambda: program.run(pool, slots), flops)


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Aligned random numbers."""
    array = _core.aligned_floats(int(np.prod(shape))).reshape(shape)
    array[...] = rng.standard_normal(shape, np.float32)
    return array


def gemm(rng: np.random.Generator, m: int, n: int, k: int, pool: _core.Pool) -> Call:
    args = {"m": m, "n": n, "k": k, "lda": k, "ldc": n, "batch": (1, 1, 1)}
    packed = _core.gemm_pack(floats(rng, k, n))
    return step("gemm", args, [floats(rng, m, k), packed, floats(rng, n), None, None, floats(rng, m, n)], 2.0 * m * n * k, pool)


def conv(rng: np.random.Generator, side: int, c: int, n: int, kernel: int, stride: int, pool: _core.Pool) -> Call:
    pad, out = kernel // 2, (side + 2 * (kernel // 2) - kernel) // stride + 1
    args = {
        "batch": 1, "groups": 1, "c": c, "n": n, "in": (1, side, side), "out": (1, out, out), "kernel": (1, kernel, kernel),
        "stride": (1, stride, stride), "dilation": (1, 1, 1), "pad": (0, pad, pad), "x_batch": side * side * c, "y_batch": out * out * n,
        "x_stride": (side * side * c, side * c, c), "y_stride": (out * out * n, out * n, n),
    }  # fmt: skip
    packed = _core.gemm_pack(floats(rng, kernel * kernel * c, n))
    operands = [floats(rng, side, side, c), packed, floats(rng, n), None, None, floats(rng, out, out, n)]
    return step("conv", args, operands, 2.0 * out * out * n * kernel * kernel * c, pool)


def rival(name: str, rng: np.random.Generator, m: int, n: int, k: int) -> Call:
    """The same product by another library."""
    a, b, flops = floats(rng, m, k), floats(rng, k, n), 2.0 * m * n * k
    if name == "openblas":
        c = floats(rng, m, n)
        return repeated(lambda: np.matmul(a, b, out=c), flops)
    import torch

    torch.set_num_threads(1)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    if name == "mkl":
        z = torch.empty(m, n)
        return repeated(lambda: torch.mm(x, y, out=z), flops)
    linear, bias = torch.ops.mkldnn._linear_pointwise, torch.zeros(n)
    weights = torch.ops.mkldnn._reorder_linear_weight(y.T.contiguous(), m)
    return repeated(lambda: linear(x, weights, bias, "none", [], ""), flops)


def measured(cases: dict[str, dict[str, Call]], fma: Call) -> tuple[list[Row], float]:
    """Rows of the table, from rounds over all cases and, within a case, over its calls; and the median FMA peak."""
    rates: dict[tuple[str, str], list[float]] = {(case, who): [] for case, calls in cases.items() for who in calls}
    shares: dict[str, list[float]] = {case: [] for case in cases}
    peaks = []
    for _ in range(ROUNDS):
        for case, calls in cases.items():
            before = fma()
            for who, call in calls.items():
                rates[case, who].append(call())
                if who == "asymo":
                    peaks.append((before + fma()) / 2)
                    shares[case].append(rates[case, who][-1] / peaks[-1])
    rows: list[Row] = []
    for case, calls in cases.items():
        rows.append({"step": case, "% of peak": 100 * float(np.median(shares[case]))})
        rows[-1] |= {who: float(np.median(rates[case, who])) for who in calls}
    return rows, float(np.median(peaks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa", default=_core.isa_name(), choices=[i for i in _core.isas() if i in PEAK_FLAGS])
    parser.add_argument("--shapes", default="networks", choices=SHAPES)
    parser.add_argument("--against", default="", help="openblas, mkl, onednn")
    options = parser.parse_args()
    rivals = [name for name in options.against.split(",") if name]
    if rivals and os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        parser.error("--against compares single threads: set OPENBLAS_NUM_THREADS=1")
    _core.select_isa(options.isa)
    rng = np.random.default_rng(0)
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpu})
    pool = _core.Pool([cpu])
    cases: dict[str, dict[str, Call]] = {}
    for m, n, k in SHAPES[options.shapes]:
        cases[f"gemm {m} x {n} x {k}"] = {"asymo": gemm(rng, m, n, k, pool)} | {name: rival(name, rng, m, n, k) for name in rivals}
    if options.shapes == "networks":
        for s, c, n, k, d in CONV:
            cases[f"conv {s}x{s}, {c} -> {n}, {k}x{k} / {d}"] = {"asymo": conv(rng, s, c, n, k, d, pool)}
    with tempfile.TemporaryDirectory() as folder:
        rows, fma_peak = measured(cases, peak(options.isa, Path(folder)))
    print(table(rows, "markdown", f"{options.isa}, one core, GFLOP/s, FMA peak {fma_peak:.1f}"))
    found = [float(str(row["% of peak"])) for row in rows]
    print(f"\nshare of the peak: geometric mean {float(np.exp(np.mean(np.log(found)))):.1f} %, least {min(found):.1f} %")


if __name__ == "__main__":
    main()
