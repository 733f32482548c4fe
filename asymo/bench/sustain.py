"""A model run for minutes on end: what becomes of its latency, the clocks, the temperatures and the power, minute by minute."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asymo import knobs
from asymo.bench.energy import Span
from asymo.bench.report import Row
from asymo.device import heat
from asymo.device.power import Sampler
from asymo.errors import InvalidArgumentError, UnsupportedError

LOOK_S = 1.0
"""How often clocks and temperatures are looked at."""

SLICES = 10
"""A run of less than so many minutes is cut into so many slices instead of minutes."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A minute. ns: the runs that ended in it. span: its energy, None without a meter."""

    begin: float
    ns: tuple[int, ...]
    looks: tuple[heat.Heat, ...]
    span: Span | None


def seconds(text: str) -> float:
    """ "90s", "30m", "2h", or a number of seconds. Raises InvalidArgumentError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or not float(match[1]):
        raise InvalidArgumentError(f"{text!r} is no duration; write for example 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def slice_s(total: float) -> float:
    """How long a slice of a run is."""
    return min(60.0, total / SLICES)


class Watcher:
    """Looks at clocks and temperatures every LOOK_S in a thread of its own."""

    def __init__(self, every: float = LOOK_S) -> None:
        self._every, self._root = every, Path(str(knobs.ROOT.get())) / "sys"
        self._looks: list[heat.Heat] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asymo-heat", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def take(self) -> tuple[heat.Heat, ...]:
        """What was seen since the last call, and a look now."""
        seen = [*self._looks, heat.look(self._root, time.monotonic())]
        self._looks = []
        return tuple(seen)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._looks.append(heat.look(self._root, time.monotonic()))


def run(
    call: Callable[[], object],
    total: float,
    *,
    sampler: Sampler | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Slice]:
    """Runs `call` back to back for `total` seconds."""
    each = slice_s(total)
    slices: list[Slice] = []
    start = time.monotonic()
    with Watcher(min(LOOK_S, each / 4)) as watcher:
        while (begin := time.monotonic() - start) < total - 1e-3:
            end = min(total, each * (len(slices) + 1))
            ns: list[int] = []

            def fill(ns: list[int] = ns, end: float = start + end) -> None:
                while time.monotonic() < end or not ns:
                    before = time.perf_counter_ns()
                    call()
                    ns.append(time.perf_counter_ns() - before)

            span = None
            if sampler is None:
                fill()
            else:
                with sampler.window() as window:
                    fill()
                span = Span(window.joules, window.seconds, len(ns))
            slices.append(Slice(begin, tuple(ns), watcher.take(), span))
            progress(min(1.0, (time.monotonic() - start) / total))
    return slices


def rows(slices: Sequence[Slice], idle_watts: float = 0.0) -> list[Row]:
    """A row a slice: minute, runs, median and p95, mean clock of each policy, hottest temperature, throttling events,
    average watts, and joules per inference after idle_watts are subtracted."""
    table: list[Row] = []
    last: tuple[heat.Heat, ...] = ()
    for part in slices:
        ms = np.asarray(part.ns) / 1e6
        row: Row = {"minute": round(part.begin / 60, 3), "runs": len(ms), "median_ms": float(np.median(ms))}
        row["p95_ms"] = float(np.percentile(ms, 95))
        for policy in sorted({p for look in part.looks for p in look.clocks}):
            row[f"policy{policy}_MHz"] = round(float(np.mean([look.clocks[policy] for look in part.looks if policy in look.clocks])) / 1000)
        hottest = max((t for look in part.looks for t in look.temperatures.values()), default=None)
        row["max_C"] = hottest
        row["throttled"] = heat.events([*last[-1:], *part.looks])
        if part.span is not None and not math.isnan(part.span.joules):
            row["W"] = part.span.watts
            row["J"] = (part.span.joules - idle_watts * part.span.seconds) / part.span.runs
        last = part.looks
        table.append(row)
    return table


def draw(table: Sequence[Row], path: Path, title: str) -> None:
    """Draws the rows into a .svg or .png file. Raises UnsupportedError without matplotlib (the extra `plot`)."""
    if path.suffix not in (".svg", ".png"):
        raise InvalidArgumentError(f"{path}: a drawing's name ends in .svg or .png")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedError("drawing needs matplotlib: pip install 'asymo[plot]', or use --json") from None
    clocks = sorted({name for row in table for name in row if name.endswith("_MHz")})
    wanted = [("latency / ms", ["median_ms", "p95_ms"]), ("clock / MHz", clocks), ("hottest / C", ["max_C"]), ("power / W", ["W"])]
    panels = [(label, names) for label, names in wanted if any(row.get(name) is not None for row in table for name in names)]
    figure = Figure(figsize=(9, 1 + 1.8 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    minutes = [row["minute"] for row in table]
    for axes, (label, names) in zip(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0], panels, strict=True):
        for name in names:
            axes.plot(minutes, [row.get(name, math.nan) for row in table], marker=".", label=name)
        axes.set_ylabel(label)
        axes.legend(fontsize="small")
        for row in table:
            if row["throttled"]:
                axes.axvline(row["minute"], color="red", alpha=0.3)
    axes.set_xlabel("minutes")
    figure.suptitle(title)
    figure.savefig(path)
