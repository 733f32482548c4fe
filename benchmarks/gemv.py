"""python -m benchmarks.gemv: products of one row with a matrix, beside a plain read of as many bytes.

A session runs a model of one MatMul, [1, k] by [k, n]. The read (readbytes.c) is of a block of the matrix's size, one part to each
thread. Prints GB/s of both and their quotient: medians of rounds over all sizes, product and read in turn. What fits
in a cache runs at the speed of the cache.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from asymo import InferenceSession, SessionOptions, _core
from asymo.bench.report import Row, table

ROUNDS, SECONDS = 9, 0.04
COLUMNS = 2048
MEBIBYTES = [1, 2, 4, 8, 16, 32, 64]

Rate = Callable[[], float]
"""Works for a moment and returns GB/s."""


def gemv(mebibytes: int, threads: int) -> Rate:
    """The product as a session runs it."""
    rng = np.random.default_rng(0)
    k = (mebibytes << 20) // 4 // COLUMNS
    weights = numpy_helper.from_array(rng.standard_normal((k, COLUMNS), np.float32), "w")
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n])] for name, n in (("x", k), ("y", COLUMNS)))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "gemv", inputs, outputs, [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = InferenceSession(model.SerializeToString(), SessionOptions(intra_op_num_threads=threads))
    feed = {"x": rng.standard_normal((1, k), np.float32)}
    session.run(None, feed)

    def run() -> float:
        count, begin = 0, time.perf_counter()
        while (passed := time.perf_counter() - begin) < SECONDS:
            session.run(None, feed)
            count += 1
        return count * (mebibytes << 20) / passed / 1e9

    return run


def build(folder: Path) -> ctypes.CDLL:
    source, library = Path(__file__).parent / "readbytes.c", folder / "readbytes.so"
    subprocess.check_call(["cc", "-O3", "-march=native", "-shared", "-fPIC", str(source), "-o", str(library)])
    return ctypes.CDLL(str(library))


def read(library: ctypes.CDLL, mebibytes: int, threads: int) -> Rate:
    """Reading alone: each thread, on a CPU of its own, reads its part again and again."""
    block = _core.aligned_empty(mebibytes << 20)
    block[:] = 1
    function = library.readbytes
    function.restype = ctypes.c_double
    cpus = sorted(os.sched_getaffinity(0))
    part = block.nbytes // threads

    def run() -> float:
        rates = [0.0] * threads

        def one(i: int) -> None:
            os.sched_setaffinity(0, {cpus[i]})
            begin = ctypes.c_void_p(_core.address(block) + i * part)
            rates[i] = function(begin, ctypes.c_int64(part), ctypes.c_double(SECONDS), ctypes.byref(ctypes.c_uint64()))

        readers = [threading.Thread(target=one, args=(i,)) for i in range(threads)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return sum(rates) / 1e9

    return run


def measured(library: ctypes.CDLL, threads: int) -> list[Row]:
    cases = {m: (gemv(m, threads), read(library, m, threads)) for m in MEBIBYTES}
    found = np.array([[[rate() for rate in pair] for pair in cases.values()] for _ in range(ROUNDS)])
    rows: list[Row] = []
    for i, m in enumerate(MEBIBYTES):
        ours, reads = found[:, i, 0], found[:, i, 1]
        share = 100 * float(np.median(ours / reads))
        rows.append({"MiB": m, "GEMV GB/s": float(np.median(ours)), "read GB/s": float(np.median(reads)), "% of the read": share})
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        for threads in range(1, min(2, len(os.sched_getaffinity(0))) + 1):
            print(table(measured(library, threads), "markdown", f"{_core.isa_name()}, {threads} thread{'s' * (threads > 1)}"))


if __name__ == "__main__":
    main()
