"""What a session's runs cost by a meter, while they run: windows over runs that follow each other closely."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import monotonic

from asymo.device.power import Sampler, Window, meters, spare_cpu
from asymo.record import NamedTuple

FULL = 0.8
"""The part of a window that runs must fill: else it measures the idling between them."""

CLOSEST = ("rapl", "hwmon", "battery")
"""Methods, what is measured closest to the cores first."""


class Cost(NamedTuple):
    """Of one run, on average over a window; what else the device drew meanwhile is in it."""

    joules: float
    seconds: float


class Metered:
    """Windows over runs. `ran` after each of them. window: opens one of `seconds` at least."""

    def __init__(self, window: Callable[[ExitStack], Window], seconds: float, now: Callable[[], float] = monotonic) -> None:
        self._window_of, self._seconds, self._now = window, seconds, now
        self._open = ExitStack()
        self.restart()

    def restart(self) -> None:
        """Forgets the window that is open: something else is measured from now on."""
        self._open.close()
        self._began, self._busy, self._runs = self._now(), 0.0, 0
        self._window = self._window_of(self._open)

    def ran(self, seconds: float) -> Cost | None:
        """A run took so many seconds. What runs have cost when a window is full, else None."""
        self._busy += seconds
        self._runs += 1
        took = self._now() - self._began
        if took < self._seconds:
            return None
        self._open.close()
        window, busy, runs = self._window, self._busy, self._runs
        self.restart()
        return Cost(window.joules / runs, busy / runs) if busy >= FULL * took and math.isfinite(window.joules) else None

    def close(self) -> None:
        """Ends the window that is open."""
        self._open.close()


def metered(root: str | os.PathLike[str], under_test: Sequence[int], open: ExitStack) -> Metered | None:
    """This machine's meter over the runs on these CPUs until `open` is closed; None without a meter."""
    best = min(meters(root).meters, key=lambda m: CLOSEST.index(m.method), default=None)
    if best is None:
        return None
    sampler = open.enter_context(Sampler(best, root, spare_cpu(under_test)))
    found = Metered(lambda stack: stack.enter_context(sampler.window()), best.window_s)
    open.callback(found.close)
    return found
