"""A step as the simulator sees it: units, and what each of them costs on each type of core."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Task:
    """units: of each phase. seconds[t]: cumulated compute time of units on a core of type t, from 0 to units entries + 1.
    traffic: cumulated bytes that come from or go to what all cores share. cores, chunk, unit_ns, spin_s: the plan's Sharing; no cores:
    the caller alone. key: equal for tasks that cost the same.
    """

    name: str
    kind: str
    units: int
    seconds: tuple[Doubles, ...]
    traffic: Doubles
    cores: tuple[int, ...] = ()
    chunk: tuple[int, ...] = ()
    unit_ns: tuple[float, ...] = ()
    spin_s: float | None = None
    phases: int = 1
    horizon: int = 0
    key: Hashable = field(default=None, repr=False)

    @property
    def is_serial(self) -> bool:
        return sum(self.cores) <= 1


def uniform(name: str, units: int, seconds: Sequence[float], traffic: float = 0.0, *, cores: Sequence[int] = (), chunk: int = 1) -> Task:
    """A task of equal units: seconds of one on each type, bytes of one."""
    at: Doubles = np.arange(units + 1, dtype=np.float64)
    return Task(
        name,
        "uniform",
        units,
        tuple(at * s for s in seconds),
        at * traffic,
        tuple(cores),
        (chunk,) * len(seconds),
        tuple(s * 1e9 for s in seconds),
        key=(units, tuple(seconds), traffic, tuple(cores), chunk),
    )
