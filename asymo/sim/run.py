"""A whole inference: the steps one after the other, and what became of the cores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from asymo.record import NamedTuple
from asymo.sim.engine import Outcome, Slowdown, Span, run_phase, work_through
from asymo.sim.hardware import Hardware
from asymo.sim.loop import Chunk, Loop, Worker
from asymo.sim.task import Task

Memo = dict[tuple[object, ...], Outcome]
"""Phases that were simulated already. Without interference a phase takes the same time whenever it comes."""


class Event(NamedTuple):
    """A span of one core, and the step it belongs to."""

    step: int
    span: Span


@dataclass(frozen=True)
class Result:
    """One inference, in seconds. Per core: busy (claiming and computing), claims, units, and claims from intervals that were not its own.
    step_seconds: of each step, its waking and barrier included. events: in the order in which steps began."""

    hardware: Hardware
    policy: str
    cores: tuple[int, ...]
    seconds: float
    busy: tuple[float, ...]
    claims: tuple[int, ...]
    units: tuple[int, ...]
    steals: tuple[int, ...]
    rescues: int
    step_seconds: tuple[float, ...]
    events: tuple[Event, ...] = field(repr=False, default=())

    @property
    def utilisation(self) -> tuple[float, ...]:
        """Which part of the inference each core was busy."""
        return tuple(b / self.seconds if self.seconds else 0.0 for b in self.busy)


def crew_of(task: Task, hardware: Hardware, counts: Sequence[int]) -> list[Worker]:
    """The cores of a step, at most `counts` of each type and one for each smallest chunk; empty when it is serial."""
    wanted: list[int] = []
    for there, cores, chunk in zip(counts, task.cores, task.chunk, strict=False):
        room = task.units // max(chunk, 1) - sum(wanted)
        wanted.append(min(there, cores, max(room, 0)))
    if sum(wanted) and not wanted[_first_type(counts)]:
        wanted[_first_type(counts)] = 1
    if sum(wanted) < 2:
        return []
    crew = []
    for core in hardware.crew(tuple(wanted)):
        t = hardware.type_of[core]
        kind, index = hardware.kinds[t], core - hardware.type_of.index(t)
        group = t * hardware.cores + index // kind.group if kind.group > 1 else -1
        crew.append(Worker(core, t, group, task.chunk[t], max(task.unit_ns[t], 1.0) * 1e-9))
    return crew


def _first_type(counts: Sequence[int]) -> int:
    return next(t for t, n in enumerate(counts) if n)


def simulate(
    tasks: Sequence[Task],
    hardware: Hardware,
    policy: str = "guided",
    counts: Sequence[int] | None = None,
    slowdowns: Sequence[Slowdown] = (),
    memo: Memo | None = None,
) -> Result:
    """Runs the tasks once from time 0, all workers awake.

    counts: how many cores of each type there are to use, all by default; the caller sits on the first of them. slowdowns: interference.
    memo: kept from call to call by those who simulate much on the same hardware; not used where something interferes.
    """
    counts = tuple(counts if counts is not None else (kind.cores for kind in hardware.kinds))
    present = hardware.crew(counts)
    caller = present[0]
    busy, claims, units, steals = ([0.0] * hardware.cores, [0] * hardware.cores, [0] * hardware.cores, [0] * hardware.cores)
    free = dict.fromkeys(present, 0.0)
    horizons: dict[int, int] = {}
    active = dict.fromkeys(present, 0.0)
    rescues, now, step_seconds, events = 0, 0.0, [], []
    for index, task in enumerate(tasks):
        began = now
        for core in present:
            if free[core] > now and horizons.get(core, 0) <= index:
                now = free[core]
        crew = crew_of(task, hardware, counts)
        for _ in range(task.phases):
            if not crew:
                outcome = _alone(task, hardware, caller, now, slowdowns)
            else:
                ready = {w.core: max(free[w.core], now + _wake(hardware, task, now - active[w.core], w.core == caller)) for w in crew}
                outcome = _phase(task, hardware, policy, crew, ready, now, slowdowns, memo)
            for span in outcome.spans:
                busy[span.core] += span.end - span.begin
                claims[span.core] += 1
                units[span.core] += span.chunk.end - span.chunk.begin
                steals[span.core] += span.chunk.stolen_from >= 0
                rescues += span.chunk.repeated
                events.append(Event(index, span))
            for core, end in outcome.free.items():
                if end > outcome.end:
                    horizons[core] = max(task.horizon, index + 1)
                free[core] = end
                active[core] = outcome.end
            now = outcome.end + (len(crew) - 1) * hardware.barrier_s * bool(crew)
        step_seconds.append(now - began)
    now = max(now, *free.values())
    return Result(
        hardware, policy, present, now, tuple(busy), tuple(claims), tuple(units), tuple(steals), rescues, tuple(step_seconds), tuple(events)
    )


def _wake(hardware: Hardware, task: Task, idle: float, is_caller: bool) -> float:
    if is_caller:
        return 0.0
    return hardware.wake_s if idle <= hardware.spin_s else hardware.park_s


def _alone(task: Task, hardware: Hardware, core: int, now: float, slowdowns: Sequence[Slowdown]) -> Outcome:
    """All units of a phase on one core, as one call: nothing is claimed."""
    seconds = max(float(task.seconds[hardware.type_of[core]][-1]), float(task.traffic[-1]) / hardware.memory_B)
    end = work_through(seconds, core, now, slowdowns)
    return Outcome(end, {core: end}, [Span(core, now, end, Chunk(0, task.units))])


def _phase(
    task: Task,
    hardware: Hardware,
    policy: str,
    crew: Sequence[Worker],
    ready: dict[int, float],
    now: float,
    slowdowns: Sequence[Slowdown],
    memo: Memo | None,
) -> Outcome:
    if memo is None or slowdowns:
        return run_phase(task, hardware, Loop(policy, task.units, crew), ready, now, slowdowns)
    relative = tuple((core, max(at - now, 0.0)) for core, at in ready.items())
    key = (task.key, policy, tuple(crew), relative)
    if key not in memo:
        memo[key] = run_phase(task, hardware, Loop(policy, task.units, crew), dict(relative), 0.0, ())
    found = memo[key]
    spans = [s._replace(begin=s.begin + now, end=s.end + now) for s in found.spans]
    return Outcome(found.end + now, {core: end + now for core, end in found.free.items()}, spans)
