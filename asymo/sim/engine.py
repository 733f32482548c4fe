"""One phase of a step on the cores: discrete events from its opening to its end.

A core that finds a chunk computes it at its full speed, slowed by what interferes with it and by its part of the memory's bandwidth;
whenever a core begins or ends, or interference changes, all rates are formed anew. Which chunk a core finds, and whether the caller
computes a straggler's again, is decided by `Loop`, which asks the C core. Deterministic: at one instant the core with the lowest id
moves first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from asymo.record import NamedTuple
from asymo.sim.hardware import Hardware
from asymo.sim.loop import Chunk, Loop
from asymo.sim.task import Task

TICK = 1e-15
"""Seconds below which work counts as done: rounding."""


ASK_S = 1e-9
"""The caller asks again about a straggler this long after the rule may have changed its mind."""


class Slowdown(NamedTuple):
    """Interference: from `begin` to `end` (seconds) a core computes `factor` times slower."""

    core: int
    begin: float
    end: float
    factor: float


class Span(NamedTuple):
    """What a core did from begin to end (seconds)."""

    core: int
    begin: float
    end: float
    chunk: Chunk


@dataclass(slots=True)
class Outcome:
    """end: of the last unit. free[core]: when a core has finished what it holds; after `end` only if the caller computed that again."""

    end: float
    free: dict[int, float]
    spans: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class _Core:
    """left: seconds of work at full speed. demand: bytes/s of shared memory at full speed. done: units of its own that it has computed.
    repeats: the straggler's chunk that it computes again, [repeats_to, end) of it done. is_excused: nobody waits for it."""

    id: int
    ready: float
    chunk: Chunk | None = None
    begin: float = 0.0
    left: float = 0.0
    demand: float = 0.0
    rate: float = 1.0
    done: int = 0
    has_looked: bool = False
    repeats: Chunk | None = None
    repeats_to: int = 0
    is_excused: bool = False

    def finds(self, chunk: Chunk, task: Task, hardware: Hardware, now: float) -> None:
        kind = hardware.type_of[self.id]
        seconds, traffic = task.seconds[kind], task.traffic
        self.chunk, self.begin = chunk, now
        self.left = hardware.kinds[kind].claim_s + float(seconds[chunk.end] - seconds[chunk.begin])
        self.demand = float(traffic[chunk.end] - traffic[chunk.begin]) / self.left if self.left else 0.0


def share_memory(demands: Sequence[float], limit: float) -> list[float]:
    """Which part of its demand everybody gets of `limit` bytes/s: all of it, or as many bytes/s as everybody else who wants more."""
    if sum(demands) <= limit:
        return [1.0] * len(demands)
    left, level = limit, 0.0
    for i, demand in enumerate(sorted(demands)):
        level = left / (len(demands) - i)
        if demand > level:
            break
        left -= demand
    return [min(1.0, level / d) if d > 0 else 1.0 for d in demands]


def run_phase(
    task: Task, hardware: Hardware, loop: Loop, ready: Mapping[int, float], now: float, slowdowns: Sequence[Slowdown] = ()
) -> Outcome:
    """The phase that opens at `now`. ready[core]: when it begins to look for units (seconds); the caller's core comes first."""
    cores = [_Core(core, max(at, now)) for core, at in ready.items()]
    caller, opened = cores[0], now
    spans: list[Span] = []
    while True:
        for core in cores:
            if core.chunk is None and not core.has_looked and core.ready <= now:
                chunk = loop.take(core.id)
                core.has_looked = chunk is None
                if chunk is not None:
                    core.finds(chunk, task, hardware, now)
        check = _rescue(caller, cores, task, hardware, loop, opened, now)
        needed = [c for c in cores if c.chunk is not None and not c.is_excused]
        coming = [] if loop.is_empty else [c.ready for c in cores if c.chunk is None and not c.has_looked]
        if not needed and not coming:
            assert loop.is_empty, f"{task.name}: units are left and nobody takes them"
            free = dict.fromkeys(ready, now)
            for core in cores:
                if core.chunk is not None:
                    free[core.id] = work_through(core.left, core.id, now, slowdowns)
                    spans.append(Span(core.id, core.begin, free[core.id], core.chunk))
            return Outcome(now, free, spans)
        busy = [c for c in cores if c.chunk is not None]
        _set_rates(busy, hardware, slowdowns, now)
        edges = [t for s in slowdowns for t in (s.begin, s.end) if t > now]
        then = min([now + c.left / c.rate for c in busy] + coming + edges + [check])
        for core in busy:
            core.left -= (then - now) * core.rate
            if core.left <= TICK or now + core.left / core.rate <= now:
                assert core.chunk is not None
                spans.append(Span(core.id, core.begin, then, core.chunk))
                if not core.chunk.repeated:
                    core.done += core.chunk.end - core.chunk.begin
                    core.ready = then
                core.chunk, core.is_excused = None, False
        now = then


def _set_rates(busy: Sequence[_Core], hardware: Hardware, slowdowns: Sequence[Slowdown], now: float) -> None:
    for core in busy:
        core.rate = 1 / factor(slowdowns, core.id, now) if slowdowns else 1.0
    demands = [c.demand * c.rate for c in busy]
    if sum(demands) > hardware.memory_B:
        for core, part in zip(busy, share_memory(demands, hardware.memory_B), strict=True):
            core.rate *= part


def factor(slowdowns: Sequence[Slowdown], core: int, now: float) -> float:
    """How many times slower a core is at this time."""
    return next((s.factor for s in slowdowns if s.core == core and s.begin <= now < s.end), 1.0)


def _rescue(caller: _Core, cores: Sequence[_Core], task: Task, hardware: Hardware, loop: Loop, opened: float, now: float) -> float:
    """The caller, with nothing left to take, computes a straggler's chunk again if the rule says so: from the back, in its own smallest
    chunks, as long as the straggler holds it. Returns when to ask again."""
    if caller.chunk is not None or not caller.has_looked or not loop.is_empty or not caller.done:
        return inf
    again = inf
    for core in cores:
        if core.chunk is None or core.is_excused or core is caller:
            continue
        if caller.repeats is not core.chunk:
            redo = (caller.ready - opened) / caller.done * (core.chunk.end - core.chunk.begin)
            usual = redo * loop.cost(core.id) / loop.cost(caller.id)
            if not loop.redoes(now - core.begin, usual, redo):
                again = min(again, max(loop.ask_again(core.begin, usual, redo), now) + ASK_S)
                continue
            caller.repeats, caller.repeats_to = core.chunk, core.chunk.end
        if caller.repeats_to > core.chunk.begin:
            begin = max(core.chunk.begin, caller.repeats_to - loop.least(caller.id))
            caller.finds(Chunk(begin, caller.repeats_to, repeated=True), task, hardware, now)
            caller.repeats_to = begin
            return inf
        core.is_excused = True
    return again


def work_through(left: float, core: int, now: float, slowdowns: Sequence[Slowdown]) -> float:
    """When a core has done `left` seconds of work that it begins now, alone."""
    for edge in sorted(t for s in slowdowns if s.core == core for t in (s.begin, s.end) if t > now):
        done = (edge - now) / factor(slowdowns, core, now)
        if done >= left:
            break
        left, now = left - done, edge
    return now + left * factor(slowdowns, core, now)
