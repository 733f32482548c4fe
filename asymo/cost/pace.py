"""How fast cores are at the moment: a fixed product of a few microseconds, in their caches.

On a virtual machine clocks move by a tenth within milliseconds and two CPUs may share one core of the host for a while: times are only
comparable at the same pace. The product is short enough to stand between the steps of a program (`add`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asymo import _core
from asymo.cost import probes

CALM, CALM_TIMES = 1.04, 3
"""How far from the pace in question a time may be and count; so many count in any case."""

RUNS = 8
"""Products of a `Pace`, of which the median counts."""

DEPTH, UNITS = 64, 4
"""Of the product, two panels wide: small enough for L1 and L2, and as many units of two register tiles for each worker."""


def calm(paces: Sequence[float], best: float) -> list[int]:
    """Which times count, of the paces around them."""
    ranked = sorted(range(len(paces)), key=lambda i: abs(paces[i] - best))
    return [i for rank, i in enumerate(ranked) if rank < CALM_TIMES or best / CALM <= paces[i] <= CALM * best]


def span(times: npt.NDArray[np.int64]) -> float:
    """Seconds of a step from the first worker's begin to the last one's end, of its [worker][begin, end] ns."""
    ran = times[times[:, 1] > 0]
    return max(float(ran[:, 1].max() - ran[:, 0].min()), 1.0) * 1e-9


def operands(workers: int) -> npt.NDArray[np.float32]:
    """Memory for `add`."""
    return np.ones(sum(_sizes(workers)), np.float32)


def add(program: _core.Program, slot: int, workers: int) -> int:
    """Adds the product, with its `operands` in this slot; gives the step whose `span` tells: the first only fetches operands."""
    mr, nr = _core.gemm_geometry()[:2]
    args = {**probes.gemm(UNITS * 2 * mr * workers, 2 * nr, DEPTH, 0, 0, mr, nr).args, "unit_m": 2 * mr}
    a, b, _ = _sizes(workers)
    refs = [(slot, 0), (slot, 4 * a), (-1, 0), (-1, 0), (-1, 0), (slot, 4 * (a + b))]
    program.add("gemm", args, refs)
    return program.add("gemm", args, refs)


def _sizes(workers: int) -> tuple[int, int, int]:
    """Floats of A, B and C."""
    mr, nr = _core.gemm_geometry()[:2]
    rows, columns = UNITS * 2 * mr * workers, 2 * nr
    return rows * DEPTH, _core.gemm_packed_size(DEPTH, columns), rows * columns


class Pace:
    """The pace of a pool's workers: seconds of the product, of which there is as much for each of them."""

    def __init__(self, pool: _core.Pool) -> None:
        self._pool = pool
        self._program = _core.Program(2 * RUNS)
        self._at = [add(self._program, 0, pool.workers) for _ in range(RUNS)]
        self._slots = _core.Slots(1)
        self._slots[0] = operands(pool.workers)
        self._times = np.zeros((2 * RUNS, pool.workers, 2), np.int64)

    def __call__(self) -> float:
        self._program.run(self._pool, self._slots, times_ns=self._times)
        return float(np.median([span(self._times[i]) for i in self._at]))
