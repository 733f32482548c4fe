"""Joules of one inference: idle power, then windows full of inferences, then idle power again. docs/energy.md has the method."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asymo import knobs
from asymo.bench import plan_cli
from asymo.bench.report import Row
from asymo.cost import energy as model
from asymo.cost import power
from asymo.cost.energy import Setting
from asymo.device import topology
from asymo.device.frequency import Levers
from asymo.device.power import Found, Meter, Sampler, meters, spare_cpu
from asymo.runtime.planning import plan_for

UNAVAILABLE, MODELLED = "unavailable", "modelled"

WINDOWS = 5
"""Repeats, from whose spread the uncertainty comes."""

T95 = (math.nan, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Student's t at 95 %, two-sided, by degrees of freedom; 1.96 beyond."""


@dataclass(frozen=True, slots=True)
class Energy:
    """What one inference takes.

    Attributes:
        method: "rapl", "hwmon", "battery", "modelled", or "unavailable": then every number is NaN.
        joules: per inference, idle power subtracted when it was measured. uncertainty: half the width of its 95 % interval.
        watts: average while inferences run, idle power included. idle_watts: before and after.
        seconds: of one inference. detail: the meter and the scope of its figures, or why there is none.
    """

    method: str
    detail: str
    joules: float = math.nan
    uncertainty: float = math.nan
    watts: float = math.nan
    idle_watts: float = math.nan
    seconds: float = math.nan
    windows: int = 0
    window_s: float = 0.0

    def row(self) -> Row:
        """J, J_ci95, W, idle_W, EDP (joules times seconds), energy (the method). What is not known is None, never 0."""
        figures = {"J": self.joules, "J_ci95": self.uncertainty, "W": self.watts, "idle_W": self.idle_watts}
        figures["EDP_Js"] = self.joules * self.seconds
        return {**{name: None if math.isnan(value) else value for name, value in figures.items()}, "energy": self.method}


@dataclass(frozen=True, slots=True)
class Span:
    """A window in numbers: its energy, length, and inferences."""

    joules: float
    seconds: float
    runs: int = 0

    @property
    def watts(self) -> float:
        return self.joules / self.seconds


def choose(found: Found) -> Meter | None:
    """The meter whose figures say most about an inference: what is measured closest to the cores and their memory, a battery last."""
    return min(found.meters, key=lambda m: ("rapl", "hwmon", "battery").index(m.method), default=None)


def unavailable(found: Found) -> Energy:
    """For a machine without a meter."""
    return Energy(UNAVAILABLE, "; ".join(found.reasons) or "no meter in powercap, hwmon or power_supply")


@contextmanager
def meter(under_test: Sequence[int], wanted: bool = True) -> Iterator[tuple[Sampler | None, Found]]:
    """This machine's meter, read from a core that is not under test where there is one; None without a meter, or when none is wanted."""
    root = Path(str(knobs.ROOT.get())) / "sys"
    found = meters(root) if wanted else Found((), ())
    best = choose(found)
    if best is None:
        yield None, found
        return
    with Sampler(best, root, spare_cpu(under_test)) as sampler:
        yield sampler, found


def modelled(path: Path, feeds: Mapping[str, np.ndarray], cores: str | None, threads: int) -> Energy | None:
    """What the energy model says of a model on these cores at their highest clocks; None where no clock is known, which it starts from."""
    found = topology.read(str(knobs.ROOT.get()))
    if not all(core.max_mhz for core in found.cores):
        return None
    machine = plan_cli.machine(None, cores, threads)
    draw = power.from_topology(found, Levers().policies()).of(machine)
    plan = plan_for(path, machine, {name: array.shape for name, array in feeds.items()})
    loads = model.loads([(step.kind, step.args) for step in plan.steps], machine, plan.run_bytes)
    setting = Setting(tuple(t.cores for t in machine.types), tuple(t.points[-1].khz for t in draw.types))
    seconds, joules = model.at(loads, machine, draw, setting)
    return Energy(MODELLED, f"highest clocks, {draw.basis}", joules, watts=joules / seconds, seconds=seconds)


def idle(sampler: Sampler, sleep: Callable[[float], None] = time.sleep) -> Span:
    """A window in which nothing is asked for."""
    with sampler.window() as window:
        sleep(sampler.meter.window_s)
    return Span(window.joules, window.seconds)


def busy(sampler: Sampler, call: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> Span:
    """A window full of calls."""
    with sampler.window() as window:
        end, runs = clock() + sampler.meter.window_s, 0
        while clock() < end:
            call()
            runs += 1
    return Span(window.joules, window.seconds, runs)


def measure(call: Callable[[], object], sampler: Sampler, windows: int = WINDOWS) -> Energy:
    """The energy of `call`. Takes windows + 2 times the meter's window."""
    before = idle(sampler)
    busy(sampler, call)
    spans = [busy(sampler, call) for _ in range(windows)]
    return judge(sampler.meter, spans, [before, idle(sampler)])


def judge(meter: Meter, spans: Sequence[Span], idles: Sequence[Span]) -> Energy:
    """Energy per inference from windows of work and of idleness.

    The uncertainty holds the spread of the windows and that of the idle power, which counts for the length of an inference."""
    idle_watts = np.array([s.watts for s in idles])
    base = float(idle_watts.mean())
    each = np.array([(s.joules - base * s.seconds) / s.runs for s in spans])
    seconds = sum(s.seconds for s in spans) / sum(s.runs for s in spans)
    detail = describe(meter)
    if not np.isfinite(each).all():
        return Energy(UNAVAILABLE, f"{detail}: the meter failed while it was read")
    return Energy(
        meter.method,
        detail,
        float(each.mean()),
        math.hypot(interval(each), float(np.ptp(idle_watts)) / 2 * seconds),
        sum(s.joules for s in spans) / sum(s.seconds for s in spans),
        base,
        seconds,
        len(spans),
        meter.window_s,
    )


def describe(meter: Meter) -> str:
    """The meter, what its figures cover, and what must be known of them."""
    return f"{meter.name}, {meter.scope}" + (f", {meter.remark}" if meter.remark else "")


def interval(values: np.ndarray) -> float:
    """Half the width of the 95 % confidence interval of the mean; NaN for one value."""
    if len(values) < 2:
        return math.nan
    t = T95[len(values) - 1] if len(values) <= len(T95) else 1.96
    return float(t * values.std(ddof=1) / math.sqrt(len(values)))
