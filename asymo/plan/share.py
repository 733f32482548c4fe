"""Which cores take part in a step, and how they share its units: pure arithmetic on predicted times.

U equal units, n_t cores of type t that need u_t seconds for one each (asymo/cost/steps.py: at the speed they have with n_t of them busy):

    makespan   the least T with  sum_t n_t floor(T / u_t) >= U       no core takes a unit that another one would end sooner
    wait       half a unit of the slowest core at least: speeds are never exactly what was predicted
    claims     2 + 2 ln(U / 2 N) claims of each of the N workers     guided: half of what is left a round, never less than a chunk
    barrier    (N - 1) barrier_s, in each phase
    wake       wake_s when the workers sleep: the caller alone works until then

The fastest set of cores is taken, of sets within GAIN of it the smallest: a core that brings nothing is left alone. The caller is a core of
the fastest type and always works. docs/plan.md works an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, log
from typing import Any

from asymo.cost import steps
from asymo.cost.features import CLASSES
from asymo.cost.speeds import Machine
from asymo.plan.plan import SERIAL, Sharing

GAIN = 0.02
"""What more cores must bring, of a step's time: predictions are no better than that."""

CLAIM_SHARE = 0.1
"""What a claim may cost, of the smallest chunk."""

SPIN_S = 50e-6
"""Workers wait spinning for a next parallel step that is nearer than this; ten times what waking costs."""

SLACK = 2.0
"""They spin this many times as long as the gap was predicted to last."""


def makespan(units: int, cores: Sequence[int], unit_s: Sequence[float]) -> float:
    """The least seconds in which so many cores of each type, at unit_s seconds a unit, end all units."""
    crews = [(n, u) for n, u in zip(cores, unit_s, strict=True) if n]
    seconds = units / sum(n / u for n, u in crews)
    while True:
        ended = [int(seconds / u * (1 + 1e-9)) for _, u in crews]
        if sum(n * e for (n, _), e in zip(crews, ended, strict=True)) >= units:
            return seconds
        seconds = min((e + 1) * u for (_, u), e in zip(crews, ended, strict=True))


def counts(cores: int) -> list[int]:
    """How many of `cores` equal cores are weighed: every number up to 8, then fewer and fewer."""
    return [n for n in range(1, cores + 1) if n <= 8 or n == cores or n % (1 << (n.bit_length() - 3)) == 0]


@dataclass(frozen=True, slots=True)
class Option:
    """A step on one set of cores; seconds. cores, unit_s: per type.

    perfect: all units, perfectly shared. wait: until the last core is done. memory: the least time in which the step's bytes cross it.
    """

    cores: tuple[int, ...]
    unit_s: tuple[float, ...]
    perfect: float
    wait: float
    memory: float
    claim: float
    barrier: float
    wake: float

    @property
    def seconds(self) -> float:
        return max(self.perfect + self.wait, self.memory) + self.claim + self.barrier + self.wake

    @property
    def workers(self) -> int:
        return sum(self.cores)


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for a step: its option, the sharing that follows from it, its units of one phase, and whether the workers sleep."""

    option: Option
    sharing: Sharing
    units: int
    asleep: bool = False


class Sharer:
    """Decides for one machine. run_bytes: bytes that a whole run touches, as in cost.steps. Decisions are kept per arguments."""

    def __init__(self, machine: Machine, run_bytes: int = 0) -> None:
        self.machine = machine
        self.run_bytes = run_bytes
        self.everyone = tuple(t.cores for t in machine.types)
        first, *others = (counts(t.cores) for t in machine.types)
        self.sets = sorted(product(first, *([0, *c] for c in others)), key=sum)
        self._decisions: dict[tuple[Any, ...], Decision] = {}

    def options(self, kind: str, args: Mapping[str, Any], asleep: bool = False) -> list[Option]:
        """The step on every set of cores that is weighed, fewer cores first; () of a step without units."""
        units, phases = steps.units(kind, args, self.machine), steps.phases(kind, args)
        if not units:
            return []
        speeds = [self._unit_s(kind, args, t) for t in range(len(self.everyone))]
        memory = self._memory_s(kind, args)
        return [self._option(units, phases, cores, speeds, memory, asleep) for cores in self.sets if sum(cores) <= max(units, 1)]

    def everybody(self, kind: str, args: Mapping[str, Any]) -> float:
        """Seconds of the step on all cores, or on one when that is quicker."""
        units, phases = steps.units(kind, args, self.machine), steps.phases(kind, args)
        if not units:
            return 0.0
        one = (1,) + (0,) * (len(self.everyone) - 1)
        if self.everyone == one:
            return steps.step_seconds(kind, args, self.machine.types[0], 1, self.machine, self.run_bytes)
        speeds = [self._unit_s(kind, args, t) for t in range(len(self.everyone))]
        return min(self._option(units, phases, cores, speeds, 0.0, False).seconds for cores in (one, self.everyone))

    def decide(self, kind: str, args: Mapping[str, Any], asleep: bool = False) -> Decision:
        """The set of cores, and how they share. How long they spin after it is left to `sequence`."""
        key = (kind, asleep, *args.items())
        if key not in self._decisions:
            options = self.options(kind, args, asleep)
            best = min((o.seconds for o in options), default=0.0)
            option = next((o for o in options if o.seconds <= best * (1 + GAIN)), NOTHING)
            units = steps.units(kind, args, self.machine)
            self._decisions[key] = Decision(option, self._sharing(option, units), units, asleep)
        return self._decisions[key]

    def sequence(self, wanted: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Decision]:
        """The decisions for steps (kind, args) that follow each other: where the next parallel step is far, workers sleep."""
        found: list[Decision] = []
        gap, last, asleep = 0.0, -1, False
        for kind, args in wanted:
            decision = self.decide(kind, args, asleep)
            found.append(decision)
            if decision.sharing.is_serial:
                gap += decision.option.seconds
                asleep = asleep or spin_ns(gap) == 0
                continue
            if last >= 0:
                found[last] = replace(found[last], sharing=replace(found[last].sharing, spin_ns=spin_ns(gap)))
            gap, last, asleep = 0.0, len(found) - 1, False
        return found

    def _sharing(self, option: Option, units: int) -> Sharing:
        if option.workers <= 1:
            return SERIAL
        finest = max(units // (2 * option.workers), 1)
        claims = [t.claim_s / CLAIM_SHARE for t in self.machine.types]
        chunk = tuple(min(max(ceil(c / u), 1), finest) for c, u in zip(claims, option.unit_s, strict=True))
        return Sharing(option.cores, chunk, tuple(1e9 * u for u in option.unit_s))

    def _unit_s(self, kind: str, args: Mapping[str, Any], t: int) -> tuple[float, float]:
        """Seconds of a unit on a core of type t: with one busy, with all of them."""
        speeds, machine = self.machine.types[t], self.machine
        alone = steps.unit_seconds(kind, args, speeds, 1, machine, self.run_bytes)
        busy = alone if speeds.cores == 1 else steps.unit_seconds(kind, args, speeds, speeds.cores, machine, self.run_bytes)
        return max(alone, 1e-12), max(busy, 1e-12)

    def _memory_s(self, kind: str, args: Mapping[str, Any]) -> float:
        """Seconds in which what the step brings from memory can cross it, whoever asks for it."""
        speeds = self.machine.types[0]
        at = steps.place(speeds, sum(self.everyone), self.machine, self.run_bytes)
        name, counted = steps.vector(kind, args, at)
        return counted[CLASSES[name].index("memory")] / self.machine.memory_B

    def _option(
        self, units: int, phases: int, cores: tuple[int, ...], speeds: Sequence[tuple[float, float]], memory: float, asleep: bool
    ) -> Option:
        """speeds: of each type as in `_unit_s`; in between they lie on a line."""
        unit_s = tuple(
            alone + (busy - alone) * (max(n, 1) - 1) / (of - 1) if of > 1 else alone
            for n, of, (alone, busy) in zip(cores, self.everyone, speeds, strict=True)
        )
        workers = sum(cores)
        perfect = phases * units / sum(n / u for n, u in zip(cores, unit_s, strict=True))
        if workers == 1:
            return Option(cores, unit_s, perfect, 0.0, 0.0, 0.0, 0.0, 0.0)
        slowest = max(u for n, u in zip(cores, unit_s, strict=True) if n)
        claims = phases * (2 + 2 * log(max(units / (2 * workers), 1)))
        return Option(
            cores,
            unit_s,
            perfect,
            max(phases * makespan(units, cores, unit_s) - perfect, phases * slowest / 2),
            memory,
            claims * max(t.claim_s for t, n in zip(self.machine.types, cores, strict=True) if n),
            phases * (workers - 1) * self.machine.barrier_s,
            self.machine.wake_s if asleep else 0.0,
        )


NOTHING = Option((), (), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""A step without units."""


def spin_ns(gap_s: float) -> int:
    """How long to spin for a next parallel step that is `gap_s` away: the pool's default when it follows at once, 0 when sleeping pays."""
    if gap_s == 0:
        return -1
    return 0 if gap_s > SPIN_S else int(1e9 * (SLACK * gap_s + SPIN_S / 2))
