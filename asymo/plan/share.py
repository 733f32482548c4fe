"""Which cores take part in a step, and how they share its units: pure arithmetic on predicted times.

U equal units, n_t cores of type t that need u_t seconds for one each (asymo/cost/steps.py: at the speed they have with n_t of them busy):

    makespan   the least T with  sum_t n_t floor(T / u_t) >= U       no core takes a unit that another one would end sooner
    wait       makespan less than perfect sharing, on average over one of the slowest cores being faster, as predicted, and slower (DOUBT)
    claims     2 + 2 ln(U / 2 N) claims of each of the N workers     guided: half of what is left a round, never less than a chunk
    barrier    (N - 1) barrier_s, in each phase
    wake       wake_s when the workers sleep: the caller alone works until then

The fastest set of cores is taken, of sets within GAIN of it the smallest: a core that brings nothing is left alone. The caller is a core of
the fastest type and always works. docs/plan.md works an example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, inf, log
from operator import mul
from typing import Any

from asymo.cost import steps
from asymo.cost.features import BY_SIZE, Touched
from asymo.cost.speeds import Machine, TypeSpeeds
from asymo.plan.plan import SERIAL, Sharing
from asymo.record import NamedTuple

GAIN = 0.02
"""What more cores must bring, of a step's time: predictions are no better than that."""

DOUBT = (0.8, 1.0, 1.25)
"""What a core may really take for a unit, of what was predicted."""

CLAIM_SHARE = 0.1
"""What a claim may cost, of the smallest chunk."""

SPIN_S = 50e-6
"""Workers wait spinning for a next parallel step that is nearer than this; ten times what waking costs."""

TINY = 1e-12
"""Seconds of a unit that costs nothing."""

SLACK = 2.0
"""They spin this many times as long as the gap was predicted to last."""


Crew = Sequence[tuple[int, float]]
"""So many cores that need so many seconds for a unit, of each type."""


def perfect(units: int, crews: Crew) -> float:
    """Seconds in which they end all units if these can be shared perfectly."""
    rate = 0.0
    for n, u in crews:
        rate += n / u
    return units / rate


def makespan(units: int, crews: Crew, least: float = 0.0) -> float:
    """The least seconds in which they end all units. least: what `perfect` says, where that is known."""
    seconds = least or perfect(units, crews)
    while True:
        ended, then = 0, inf
        for n, u in crews:
            each = int(seconds / u * (1 + 1e-9))
            ended += n * each
            if n and (each + 1) * u < then:
                then = (each + 1) * u
        if ended >= units:
            return seconds
        seconds = then


def wait(units: int, crews: Crew) -> float:
    """Seconds that cores are expected to wait for the last unit: a plan must not live by speeds that fit exactly."""
    slowest = max([(u, t) for t, (n, u) in enumerate(crews) if n])[1]
    others = [(n - (t == slowest), u) for t, (n, u) in enumerate(crews) if n > (t == slowest)]
    lost = 0.0
    for doubt in DOUBT:
        doubted = [*others, (1, crews[slowest][1] * doubt)]
        least = perfect(units, doubted)
        lost += makespan(units, doubted, least) - least
    return lost / len(DOUBT)


def counts(cores: int) -> list[int]:
    """How many of `cores` equal cores are weighed: every number up to 8, then fewer and fewer."""
    return [n for n in range(1, cores + 1) if n <= 8 or n == cores or n % (1 << (n.bit_length() - 3)) == 0]


class Option(NamedTuple):
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


class Decision(NamedTuple):
    """What was decided for a step: its option, the sharing that follows from it, its units of one phase, and whether the workers sleep."""

    option: Option
    sharing: Sharing
    units: int
    asleep: bool = False


class Claims(dict[tuple[int, ...], float]):
    """Cores of each type -> seconds of the longest claim among them."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._claims = [t.claim_s for t in machine.types]

    def __missing__(self, cores: tuple[int, ...]) -> float:
        self[cores] = longest = max([c for c, n in zip(self._claims, cores, strict=True) if n])
        return longest


class Problem:
    """A step's units and what one costs on each type: unit_s[t][n - 1] seconds with n cores of type t busy. memory: see `Option`."""

    def __init__(
        self,
        units: int,
        phases: int,
        unit_s: Sequence[Sequence[float]],
        claims: Claims,
        barrier: float,
        memory: float = 0.0,
        wake: float = 0.0,
    ) -> None:
        self.units, self._phases, self._unit_s = units, phases, unit_s
        self._claims, self._barrier, self._memory, self._wake = claims, barrier, memory, wake

    def bound(self, cores: tuple[int, ...]) -> float:
        """Seconds that these cores do not beat: those of their option if nobody waited."""
        rate = 0.0
        for n, u in zip(cores, self._unit_s, strict=True):
            if n:
                rate += n / u[n - 1]
        phases, workers = self._phases, sum(cores)
        seconds = phases * self.units / rate
        if workers == 1:
            return seconds
        return max(seconds, self._memory) + self._claiming(cores, workers) + phases * (workers - 1) * self._barrier + self._wake

    def option(self, cores: tuple[int, ...]) -> Option:
        """The step on these cores."""
        units, phases, workers = self.units, self._phases, sum(cores)
        unit_s = tuple([u[max(n, 1) - 1] for n, u in zip(cores, self._unit_s, strict=True)])
        crews = [crew for crew in zip(cores, unit_s, strict=True) if crew[0]]
        seconds = perfect(phases * units, crews)
        if workers == 1:
            return Option(cores, unit_s, seconds, 0.0, 0.0, 0.0, 0.0, 0.0)
        return Option(
            cores,
            unit_s,
            seconds,
            phases * wait(units, crews),
            self._memory,
            self._claiming(cores, workers),
            phases * (workers - 1) * self._barrier,
            self._wake,
        )

    def _claiming(self, cores: tuple[int, ...], workers: int) -> float:
        rounds = self.units / (2 * workers)
        return self._phases * (2 + 2 * log(rounds) if rounds > 1 else 2.0) * self._claims[cores]


class Sketch:
    """A step on a few sets of cores, or on one core alone: how long it takes on the quickest of them. `bound` is known at once."""

    def __init__(self, alone: float, problem: Problem | None = None, crews: Sequence[tuple[int, ...]] = ()) -> None:
        self.units = problem.units if problem else 1
        self._alone, self._problem = alone, problem
        self._crews = sorted([(problem.bound(crew), crew) for crew in crews]) if problem else []
        self.bound = min([alone, *[bound for bound, _ in self._crews]])

    def seconds(self) -> float:
        """Of the quickest."""
        best = self._alone
        for bound, crew in self._crews:
            if self._problem and bound < best:
                best = min(best, self._problem.option(crew).seconds)
        return best


class Sharer:
    """Decides for one machine. run_bytes: bytes that a whole run touches, as in cost.steps. Decisions are kept per arguments."""

    def __init__(self, machine: Machine, run_bytes: int = 0) -> None:
        self.machine = machine
        self.run_bytes = run_bytes
        self.everyone = tuple(t.cores for t in machine.types)
        first, *others = (counts(t.cores) for t in machine.types)
        self.crews = [tuple(n if i <= t else 0 for i, n in enumerate(self.everyone)) for t in range(len(self.everyone))]
        self.sets = sorted(product(first, *([0, *c] for c in others)), key=sum)
        self._claims = Claims(machine)
        self._decisions: dict[tuple[Any, ...], Decision] = {}

    def option(
        self, kind: str, args: Mapping[str, Any], cores: tuple[int, ...], asleep: bool = False, touched: Touched = BY_SIZE
    ) -> Option:
        """A step that has units on these cores. touched: how long ago its operands' memory was used, where the plan is known."""
        return self._problem(kind, args, asleep, touched).option(cores)

    def options(self, kind: str, args: Mapping[str, Any], asleep: bool = False) -> list[Option]:
        """The step on every set of cores that is weighed, fewer cores first; [] of a step without units."""
        problem = self._problem(kind, args, asleep)
        return [problem.option(cores) for cores in self.sets if sum(cores) <= problem.units]

    def sketch(self, kind: str, args: Mapping[str, Any]) -> Sketch:
        """The step on one core, on all of the first type, of the first two, ...; as if all types had the caches of the first. What unit
        sizes are compared by."""
        machine, first = self.machine, self.machine.types[0]
        units, phases = steps.units(kind, args, machine), steps.phases(kind, args)
        if not units:
            return Sketch(0.0)
        name, counted = steps.vector(kind, args, steps.place(first, first.cores, machine, self.run_bytes))
        alone = sum(map(mul, counted, first.classes[name].alone))
        if machine.cores == 1:
            return Sketch(alone)
        cost = [
            (sum(map(mul, counted, t.classes[name].at(n, t.of))) / (units * phases)) or TINY
            for n, t in zip(self.everyone, machine.types, strict=True)
        ]
        memory = steps.memory_bytes(name, counted) / machine.memory_B
        unit_s = [[u] * n for n, u in zip(self.everyone, cost, strict=True)]
        problem = Problem(units, phases, unit_s, self._claims, machine.barrier_s, memory)
        return Sketch(alone, problem, self.crews)

    def decide(self, kind: str, args: Mapping[str, Any], asleep: bool = False) -> Decision:
        """The set of cores, and how they share. How long they spin after it is left to `sequence`."""
        key = (kind, asleep, *args.items())
        if key not in self._decisions:
            problem = self._problem(kind, args, asleep)
            option = self._best(problem) if problem.units else NOTHING
            self._decisions[key] = Decision(option, self._sharing(option, problem.units), problem.units, asleep)
        return self._decisions[key]

    def _best(self, problem: Problem) -> Option:
        """The smallest of the sets that are nearly the fastest."""
        found: list[Option] = []
        limit = inf
        for cores in reversed(self.sets):
            if sum(cores) <= problem.units and problem.bound(cores) <= limit:
                found.append(problem.option(cores))
                limit = min(limit, found[-1].seconds * (1 + GAIN))
        return next(o for o in reversed(found) if o.seconds <= limit)

    def _problem(self, kind: str, args: Mapping[str, Any], asleep: bool, touched: Touched = BY_SIZE) -> Problem:
        machine, first = self.machine, self.machine.types[0]
        units, phases = steps.units(kind, args, machine), steps.phases(kind, args)
        if not units:
            return Problem(0, phases, [], self._claims, machine.barrier_s)
        unit_s = [self._unit_s(kind, args, t, units * phases, touched) for t in machine.types]
        name, counted = steps.vector(kind, args, steps.place(first, first.cores, machine, self.run_bytes, touched))
        memory = steps.memory_bytes(name, counted) / machine.memory_B
        return Problem(units, phases, unit_s, self._claims, machine.barrier_s, memory, machine.wake_s if asleep else 0.0)

    def _unit_s(self, kind: str, args: Mapping[str, Any], speeds: TypeSpeeds, units: int, touched: Touched) -> list[float]:
        """Seconds of one of so many units on a core of a type with 1, 2, ... of them busy: on a line."""

        def with_busy(n: int) -> float:
            return max(steps.step_seconds(kind, args, speeds, n, self.machine, self.run_bytes, touched) / units, TINY)

        alone, n = with_busy(1), speeds.cores
        if n == 1:
            return [alone]
        busy = with_busy(n)
        return [alone + (busy - alone) * i / (n - 1) for i in range(n)]

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
                found[last] = found[last]._replace(sharing=found[last].sharing._replace(spin_ns=spin_ns(gap)))
            gap, last, asleep = 0.0, len(found) - 1, False
        return found

    def _sharing(self, option: Option, units: int) -> Sharing:
        if option.workers <= 1:
            return SERIAL
        finest = max(units // (2 * option.workers), 1)
        claims = [t.claim_s / CLAIM_SHARE for t in self.machine.types]
        chunk = tuple(min(max(ceil(c / u), 1), finest) for c, u in zip(claims, option.unit_s, strict=True))
        return Sharing(option.cores, chunk, tuple(1e9 * u for u in option.unit_s))


NOTHING = Option((), (), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""A step without units."""


def spin_ns(gap_s: float) -> int:
    """How long to spin for a next parallel step that is `gap_s` away: the pool's default when it follows at once, 0 when sleeping pays."""
    if gap_s == 0:
        return -1
    return 0 if gap_s > SPIN_S else int(1e9 * (SLACK * gap_s + SPIN_S / 2))
