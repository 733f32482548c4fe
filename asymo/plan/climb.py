"""Finds a cheaper neighbour of a setting by measurement: the model's choice is checked against the operating points beside it and against
one core less or more. Pure: the caller runs what it is told and brings what that cost.

Bounded: TRIALS settings at most, then the best stays. Steady: another one must be cheaper by GAIN in the median of SAMPLES windows, and
the search begins anew only when what was found costs DRIFT more or less than it did, SAMPLES times in a row: heat, other programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median

from asymo.cost.energy import Setting
from asymo.cost.power import Draw

SAMPLES, TRIALS = 3, 8
GAIN = 0.03
"""What another setting must save: windows of a meter agree to a few percent."""
DRIFT = 0.15


def neighbours(draw: Draw, setting: Setting) -> list[Setting]:
    """The settings with one clock an operating point lower or higher, then those with one core less or more of a type in use; less comes
    first. Types that share a clock move together."""
    return [*_clocks(draw, setting), *_cores(draw, setting)]


def _clocks(draw: Draw, setting: Setting) -> Iterator[Setting]:
    for step in (-1, 1):
        for types in draw.coupled:
            used = [t for t in types if setting.cores[t]]
            if not used:
                continue
            clocks = [p.khz for p in draw.types[used[0]].points]
            at = clocks.index(setting.khz[used[0]]) + step
            if 0 <= at < len(clocks):
                khz = tuple(clocks[at] if t in used else k for t, k in enumerate(setting.khz))
                yield replace(setting, khz=khz)


def _cores(draw: Draw, setting: Setting) -> Iterator[Setting]:
    for step in (-1, 1):
        for t, n in enumerate(setting.cores):
            if n and n + step <= sum(draw.types[t].clusters) and sum(setting.cores) + step:
                cores = tuple(m + step * (i == t) for i, m in enumerate(setting.cores))
                yield Setting(cores, tuple(k if m else 0 for k, m in zip(setting.khz, cores, strict=True)))


class Climber:
    """setting: what to run now. is_done: whether it is what was found, not a trial."""

    def __init__(self, start: Setting, around: Callable[[Setting], Sequence[Setting]]) -> None:
        self._around = around
        self._begin(start)

    def _begin(self, start: Setting) -> None:
        self.setting = self._best = start
        self.is_done = False
        self._cost = 0.0
        self._tried = {start}
        self._seen: list[float] = []

    def measured(self, cost: float) -> None:
        """Takes what a window at `setting` cost, and moves on."""
        if self.is_done:
            self._watch(cost)
            return
        self._seen.append(cost)
        if len(self._seen) < SAMPLES:
            return
        found, self._seen = median(self._seen), []
        if not self._cost or found < self._cost * (1 - GAIN):
            self._best, self._cost = self.setting, found
        candidates = [s for s in self._around(self._best) if s not in self._tried] if len(self._tried) <= TRIALS else []
        self.is_done = not candidates
        self.setting = candidates[0] if candidates else self._best
        self._tried.add(self.setting)

    def _watch(self, cost: float) -> None:
        drifted = abs(cost - self._cost) > DRIFT * self._cost
        self._seen = [*self._seen, cost] if drifted else []
        if len(self._seen) >= SAMPLES:
            self._begin(self._best)
