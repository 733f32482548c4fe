"""What a simulated inference costs: each core's spans and waits at the watts of its clock (asymo/cost/power.py).

computing   dynamic watts for what a span spends in the core, STALL of them for what it waits for memory
spinning    SPIN of them, between two spans of a core, for as long as workers spin
resting     idle watts of all cores that take part and what their clusters share, from end to end
memory      joules per byte
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asymo.cost import energy
from asymo.cost.energy import Load, Setting
from asymo.cost.power import STALL, Draw
from asymo.cost.speeds import Machine
from asymo.plan.plan import Plan
from asymo.sim.engine import Slowdown
from asymo.sim.governor import Window
from asymo.sim.run import Result, simulate
from asymo.sim.tasks import hardware_of, tasks_of

SPIN = 0.5
"""Dynamic power of a core that spins, of that while it computes (estimate)."""


@dataclass(frozen=True, slots=True)
class Joules:
    """Of one inference."""

    computing: float
    spinning: float
    resting: float
    memory: float

    @property
    def total(self) -> float:
        return self.computing + self.spinning + self.resting + self.memory


def run(plan: Plan, machine: Machine, draw: Draw, setting: Setting, policy: str = "guided") -> tuple[Result, Joules]:
    """Simulates a plan that was made for `clocked(machine, draw, setting)`, at these clocks from end to end."""
    there = energy.clocked(machine, draw, setting)
    result = simulate(tasks_of(plan, there), hardware_of(there), policy, memo={})
    return result, joules(result, plan, there, draw, [Window(0.0, float("inf"), tuple(k for k in setting.khz if k))])


def run_governed(plan: Plan, machine: Machine, draw: Draw, windows: Sequence[Window], policy: str = "guided") -> tuple[Result, Joules]:
    """Simulates a plan that was made for all cores at their highest clocks, while a governor moves the clocks. A clock slows all steps of
    a core as it slows the model on average."""
    model = energy.loads([(s.kind, s.args) for s in plan.steps], machine, plan.run_bytes)
    hardware = hardware_of(machine)
    slowdowns = [
        Slowdown(core, w.begin, w.end, slowness(model, draw, t, w.khz[t])) for w in windows for core, t in enumerate(hardware.type_of)
    ]
    result = simulate(tasks_of(plan, machine), hardware, policy, slowdowns=[s for s in slowdowns if s.factor > 1])
    return result, joules(result, plan, machine, draw, windows)


def slowness(model: Sequence[Load], draw: Draw, t: int, khz: int) -> float:
    """How many times longer the whole model takes on a core of type t at this clock than at the highest."""
    slower = draw.types[t].slowdown(khz)
    inside, outside = sum(load.core_s[t] for load in model), sum(load.memory_s[t] for load in model)
    return (inside * slower + outside * energy.waiting(slower)) / max(inside + outside, energy.TINY)


def joules(result: Result, plan: Plan, machine: Machine, draw: Draw, windows: Sequence[Window]) -> Joules:
    """What a simulated inference cost. machine: the one that was simulated. windows: the clocks of its types, from 0 on.

    What memory adds to a span when all cores want it is waiting, as long as the clocks stand still; while they move it counts as computing.
    """
    types = [next(t for t in draw.types if t.name == kind.name) for kind in machine.types]
    tasks, hardware = tasks_of(plan, machine), result.hardware
    split = [[energy.split(s.kind, s.args, t, machine, plan.run_bytes) for t in machine.types] for s in plan.steps]

    def dynamic(t: int, begin: float, end: float) -> float:
        return _over(windows, begin, end, lambda khz: types[t].at(khz[t]).dynamic_w)

    computing = spinning = 0.0
    idle_since = dict.fromkeys(result.cores, 0.0)
    for step, span in sorted(result.events, key=lambda e: e.span.begin):
        t = hardware.type_of[span.core]
        inside, outside, _, _ = split[step][t]
        seconds = tasks[step].seconds[t]
        unhindered = float(seconds[span.chunk.end] - seconds[span.chunk.begin]) / max(span.end - span.begin, energy.TINY)
        part = inside / max(inside + outside, energy.TINY) * (min(unhindered, 1.0) if len(windows) == 1 else 1.0)
        computing += dynamic(t, span.begin, span.end) * (STALL + (1 - STALL) * part)
        since = idle_since[span.core]
        spinning += SPIN * dynamic(t, since, min(span.begin, since + hardware.spin_s))
        idle_since[span.core] = span.end
    for core, since in idle_since.items():
        spinning += SPIN * dynamic(hardware.type_of[core], since, min(result.seconds, since + hardware.spin_s))
    counts = [sum(hardware.type_of[core] == t for core in result.cores) for t in range(len(types))]

    def resting(khz: Sequence[int]) -> float:
        each = [(n, there.at(k), there.awake(n)) for n, there, k in zip(counts, types, khz, strict=True)]
        return sum(n * point.idle_w + awake * point.shared_w for n, point, awake in each)

    moved = sum(float(task.traffic[-1]) * task.phases for task in tasks)
    return Joules(computing, spinning, _over(windows, 0.0, result.seconds, resting), draw.byte_J * moved)


def _over(windows: Sequence[Window], begin: float, end: float, watts: Callable[[Sequence[int]], float]) -> float:
    """Joules from begin to end of something that draws so many watts at the clocks of each window."""
    stretches = [(min(w.end, end) - max(w.begin, begin), w.khz) for w in windows]
    return sum(seconds * watts(khz) for seconds, khz in stretches if seconds > 0)
