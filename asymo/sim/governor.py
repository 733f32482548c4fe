"""Clocks that a governor of the kernel chooses while a model runs: it looks at the load now and then, and always comes late."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from asymo.cost.power import TypeDraw
from asymo.record import NamedTuple

SAMPLE_S = 0.02
"""Between two looks: the timer of `interactive`, the governor of Kirin 970 phones."""

HEADROOM = 1.25
"""The next clock is the lowest that is at least load x HEADROOM x the present one: schedutil's formula where nothing tells it how fast a
core is. A core that computes or spins has load 1."""


class Window(NamedTuple):
    """A stretch of time, in seconds, and each type's clock in it."""

    begin: float
    end: float
    khz: tuple[int, ...]


def ramp(types: Sequence[TypeDraw], sample_s: float = SAMPLE_S) -> Iterator[Window]:
    """From the lowest clocks, where a governor leaves idle cores, up while all cores are busy; the last window never ends."""
    clocks = [[p.khz for p in t.points] for t in types]
    now, khz = 0.0, [each[0] for each in clocks]
    while any(k < each[-1] for k, each in zip(khz, clocks, strict=True)):
        yield Window(now, now + sample_s, tuple(khz))
        now += sample_s
        khz = [next((k for k in each if k >= HEADROOM * at), each[-1]) for at, each in zip(khz, clocks, strict=True)]
    yield Window(now, float("inf"), tuple(khz))


def lag(windows: Iterable[Window], at: Callable[[tuple[int, ...]], tuple[float, float]]) -> tuple[float, float]:
    """(seconds, joules) of an inference under moving clocks. at: (seconds, joules) of one at standing ones."""
    left, joules = 1.0, 0.0
    for window in windows:
        seconds, each = at(window.khz)
        done = min((window.end - window.begin) / seconds, left)
        joules += done * each
        left -= done
        if left <= 0:
            return window.begin + done * seconds, joules
    raise AssertionError("the last window ends")
