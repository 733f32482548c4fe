"""Timing: samples of one call, and what is said of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class Samples:
    """Wall times of single runs in nanoseconds, in the order they were taken."""

    ns: tuple[int, ...]

    @property
    def median_ms(self) -> float:
        return self.percentile_ms(50)

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.ns, percent)) / 1e6

    def summary(self) -> dict[str, float | int]:
        """runs, min, mean, standard deviation, percentiles and max, in milliseconds."""
        ms = np.asarray(self.ns) / 1e6
        row: dict[str, float | int] = {"runs": len(ms), "min_ms": float(ms.min()), "mean_ms": float(ms.mean()), "std_ms": float(ms.std())}
        row.update({f"p{p}_ms": self.percentile_ms(p) for p in PERCENTILES})
        return {**row, "max_ms": float(ms.max())}


def measure(
    call: Callable[[], object],
    *,
    warmup: int = 3,
    runs: int = 0,
    seconds: float = 0.0,
    progress: Callable[[float], None] | None = None,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Samples:
    """Times `call` after `warmup` untimed calls: `runs` times, or until `seconds` have passed (at least 3 times).

    progress gets the fraction done."""
    for _ in range(warmup):
        call()
    samples: list[int] = []
    start = clock()
    while True:
        begin = clock()
        call()
        end = clock()
        samples.append(end - begin)
        done = len(samples) / runs if runs else (end - start) / 1e9 / max(seconds, 1e-9)
        if progress is not None:
            progress(min(done, 1.0))
        if done >= 1.0 and (runs or len(samples) >= 3):
            return Samples(tuple(samples))
