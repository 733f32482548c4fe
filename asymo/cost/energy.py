"""What a model costs in time and energy on any set of cores at any clocks. Pure arithmetic; docs/energy.md derives it.

    cycles    core_s f0 / f                                  a core's seconds at clock f, of those at f0 that do not wait for memory
    waiting   memory_s (1 - CORE_PART + CORE_PART f0 / f)    and of those that do
    rate      sum over the cores of 1 / (cycles + waiting)   of steps that all cores share perfectly
    t         max(1 / rate, bytes / memory_B) + barriers     or the first core alone, where that is quicker
    E         busy watts while a core works, half of them while it waits for memory, idle watts while it has nothing to do, and what its
              cluster shares, for as long as the inference lasts; byte_J for each byte from memory

The steps of a model are summed up into a few `Load`s, steps alike in what they wait for and how long they last: that is what makes all
settings of a phone, up to a million, a matter of milliseconds. The plan is made with the planner's own, finer model afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from asymo.cost import steps
from asymo.cost.features import CLASSES, MEMORY, Args
from asymo.cost.power import STALL, Draw
from asymo.cost.speeds import Machine, Rates, TypeSpeeds

Doubles = npt.NDArray[np.float64]

OFF_CORE = (*MEMORY, "start", "narrow")
"""Features whose time is spent in memory, not in the core."""

CORE_PART = 0.1
"""Of a wait for memory, what passes at the core's own clock, in its caches: 10.4 (A73) and 17 ns (A53) to L2, 140 ns to memory (ramlat,
Odroid-N2+)."""

WAITS, SHORT_S = (0.05, 0.2, 0.4, 0.6, 0.8), 50e-6
"""Steps are alike when the part of their time that waits for memory falls between the same two of these, and when both or neither are
shorter than SHORT_S on all cores."""


TINY = 1e-15
"""Seconds of a load that costs nothing, 1/s of no core."""

NEVER_S = 1e30
"""Seconds of no core."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Cores of each type of a machine, and their clock; 0 and 0 where a type is not used."""

    cores: tuple[int, ...]
    khz: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Steps that are alike. core_s, memory_s: seconds of all of them on one core of each type at its highest clock, in the core and in
    memory. bytes: from and to memory. flops: multiplications and additions. phases: barriers of the steps. is_serial: one unit each."""

    core_s: tuple[float, ...]
    memory_s: tuple[float, ...]
    bytes: float
    flops: float
    phases: int
    is_serial: bool = False

    @property
    def reuse(self) -> float:
        """FLOPs per byte from memory: the data-reuse rate."""
        return self.flops / self.bytes if self.bytes else np.inf


def loads(wanted: Iterable[tuple[str, Args]], machine: Machine, run_bytes: int = 0) -> tuple[Load, ...]:
    """The steps (kind, arguments) of a model, summed up. run_bytes: as in `steps.step_seconds`."""
    found: dict[tuple[bool, bool, int], list[Load]] = {}
    for kind, args in wanted:
        units = steps.units(kind, args, machine)
        if not units:
            continue
        load = _load(kind, args, machine, run_bytes, units)
        alone = load.core_s[0] + load.memory_s[0]
        shared = 1 / sum(t.cores / max(c + m, TINY) for t, c, m in zip(machine.types, load.core_s, load.memory_s, strict=True))
        waits = int(np.searchsorted(WAITS, load.memory_s[0] / alone if alone else 0.0))
        found.setdefault((load.is_serial, shared < SHORT_S, waits), []).append(load)
    return tuple(_sum(found[key]) for key in sorted(found))


def _load(kind: str, args: Args, machine: Machine, run_bytes: int, units: int) -> Load:
    each = [split(kind, args, t, machine, run_bytes) for t in machine.types]
    _, _, size, flops = each[0]
    rounds = steps.phases(kind, args)
    return Load(tuple(s[0] for s in each), tuple(s[1] for s in each), size, flops, rounds, units == 1)


def split(kind: str, args: Args, speeds: TypeSpeeds, machine: Machine, run_bytes: int) -> tuple[float, float, float, float]:
    """(seconds in the core, seconds in memory, bytes from memory, FLOPs) of the step on one core, the others of its type at work: memory
    at what a core alone gets of it, as `Machine.memory_B` bounds them all."""
    name, counts = steps.vector(kind, args, steps.place(speeds, speeds.cores, machine, run_bytes))
    rates = speeds.classes[name]
    inside = outside = size = flops = 0.0
    for feature, count, busy, alone in zip(CLASSES[name], counts, rates.at(speeds.cores, speeds.of), rates.alone, strict=True):
        if feature in OFF_CORE:
            outside += count * (alone if feature in MEMORY else busy)
        else:
            inside += count * busy
        size += count * (feature in MEMORY)
        flops += 2 * count * (feature in ("macs", "tap"))
    return inside, outside, size, flops


def _sum(alike: Sequence[Load]) -> Load:
    return Load(
        tuple(map(sum, zip(*(load.core_s for load in alike), strict=True))),
        tuple(map(sum, zip(*(load.memory_s for load in alike), strict=True))),
        sum(load.bytes for load in alike),
        sum(load.flops for load in alike),
        sum(load.phases for load in alike),
        alike[0].is_serial,
    )


@dataclass(frozen=True, slots=True)
class Costs:
    """What O ways to use some types of core bring and draw, for each of G loads.

    count [O]: cores. rate [G, O]: of all of them together, 1/s. work_w [G, O]: what their computing draws. stall_w [O]: what they draw
    beyond idling when all of them wait for memory. rest_w [O]: idling cores, and clusters. alone_s, alone_w [G, O]: seconds and computing
    watts of one core of the first type in use; NEVER_S and 0 where none is.
    """

    count: Doubles
    rate: Doubles
    work_w: Doubles
    stall_w: Doubles
    rest_w: Doubles
    alone_s: Doubles
    alone_w: Doubles

    def __add__(self, other: Costs) -> Costs:
        """All combinations, the other's ways varying fastest."""
        n, m = len(self.count), len(other.count)
        is_used = np.repeat(self.count > 0, m)

        def both(a: Doubles, b: Doubles) -> Doubles:
            return np.repeat(a, m, -1) + np.tile(b, n)

        def first(a: Doubles, b: Doubles) -> Doubles:
            return np.where(is_used, np.repeat(a, m, -1), np.tile(b, n))

        return Costs(
            both(self.count, other.count),
            both(self.rate, other.rate),
            both(self.work_w, other.work_w),
            both(self.stall_w, other.stall_w),
            both(self.rest_w, other.rest_w),
            first(self.alone_s, other.alone_s),
            first(self.alone_w, other.alone_w),
        )


def nothing(G: int) -> Costs:
    """The one way to use no core."""
    zero = np.zeros(1)
    return Costs(zero, np.zeros((G, 1)), np.zeros((G, 1)), zero, zero, np.full((G, 1), NEVER_S), np.zeros((G, 1)))


Way = tuple[tuple[int, ...], int]
"""Cores of each type of a group that shares a clock, and that clock in kHz; 0 when no core is used."""


def ways(machine: Machine, draw: Draw, types: Sequence[int]) -> list[Way]:
    """All of them, the one without cores first."""
    counts = product(*(range(machine.types[t].cores + 1) for t in types))
    khz = [p.khz for p in draw.types[types[0]].points]
    return [((0,) * len(types), 0), *((cores, k) for cores in counts if any(cores) for k in khz)]


def costs(model: Sequence[Load], draw: Draw, types: Sequence[int], wanted: Sequence[Way]) -> Costs:
    """What these ways bring and draw."""
    shape = (len(model), len(wanted))
    made = Costs(
        np.zeros(shape[1]),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape[1]),
        np.zeros(shape[1]),
        np.full(shape, NEVER_S),
        np.zeros(shape),
    )
    core_s, memory_s = (np.array([getattr(load, name) for load in model]).T for name in ("core_s", "memory_s"))
    for o, (cores, khz) in enumerate(wanted):
        for t, n in reversed([(t, n) for t, n in zip(types, cores, strict=True) if n]):
            there = draw.types[t]
            point = there.at(khz)
            inside, outside = core_s[t] * there.slowdown(khz), memory_s[t] * waiting(there.slowdown(khz))
            seconds = np.maximum(inside + outside, TINY)
            watts = point.dynamic_w * (inside + STALL * outside) / seconds
            made.count[o] += n
            made.rate[:, o] += n / seconds
            made.work_w[:, o] += n * watts
            made.stall_w[o] += n * STALL * point.dynamic_w
            made.rest_w[o] += n * point.idle_w + there.awake(n) * point.shared_w
            made.alone_s[:, o], made.alone_w[:, o] = seconds, watts
    return made


def waiting(slowdown: float) -> float:
    """How many times longer a wait for memory takes at a clock so many times slower."""
    return 1 - CORE_PART + CORE_PART * slowdown


@dataclass(frozen=True, slots=True)
class Survey:
    """Time and energy of a model at many settings: seconds, joules [ways of the first group, combinations of those of the others]; both
    infinite where no core is used. groups: (types, ways)."""

    groups: tuple[tuple[tuple[int, ...], tuple[Way, ...]], ...]
    seconds: Doubles
    joules: Doubles

    def setting(self, place: int) -> Setting:
        """The setting of an element of the flattened arrays."""
        n = sum(len(types) for types, _ in self.groups)
        cores, khz = [0] * n, [0] * n
        for (types, found), o in zip(self.groups, np.unravel_index(place, [len(found) for _, found in self.groups]), strict=True):
            for t, wanted in zip(types, found[o][0], strict=True):
                cores[t], khz[t] = wanted, found[o][1] if wanted else 0
        return Setting(tuple(cores), tuple(khz))


def survey(model: Sequence[Load], machine: Machine, draw: Draw) -> Survey:
    """Every set of the machine's cores at every operating point of theirs."""
    return _survey(model, machine, draw, [ways(machine, draw, types) for types in draw.coupled])


def at(model: Sequence[Load], machine: Machine, draw: Draw, setting: Setting) -> tuple[float, float]:
    """(seconds, joules) at one setting."""
    each = [(tuple(setting.cores[t] for t in types), max(setting.khz[t] for t in types)) for types in draw.coupled]
    found = _survey(model, machine, draw, [[way] for way in each])
    return float(found.seconds[0, 0]), float(found.joules[0, 0])


def _survey(model: Sequence[Load], machine: Machine, draw: Draw, wanted: Sequence[Sequence[Way]]) -> Survey:
    first, *others = (costs(model, draw, types, each) for types, each in zip(draw.coupled, wanted, strict=True))
    rest = sum(others, nothing(len(model)))
    seconds = np.zeros((len(first.count), len(rest.count)))
    joules = np.full_like(seconds, draw.byte_J * sum(load.bytes for load in model))
    for o, count in enumerate(first.count):
        caller = (first.alone_s[:, o], first.alone_w[:, o]) if count else (rest.alone_s, rest.alone_w)
        rate, work_w, stall_w = first.rate[:, o], first.work_w[:, o], first.stall_w[o] + rest.stall_w
        barrier_s = machine.barrier_s * np.maximum(count + rest.count - 1, 0)
        for g, load in enumerate(model):
            alone_s, alone_w = caller[0][g], caller[1][g]
            if load.is_serial:
                seconds[o] += alone_s
                joules[o] += alone_s * alone_w
                continue
            busy = 1 / np.maximum(rate[g] + rest.rate[g], TINY)
            work = busy * (work_w[g] + rest.work_w[g])
            memory = load.bytes / machine.memory_B
            if memory > busy.min():
                work += np.maximum(memory - busy, 0) * stall_w
                busy = np.maximum(busy, memory)
            together = busy + load.phases * barrier_s
            if np.min(alone_s) <= together.max():
                is_alone = alone_s <= together
                together, work = np.where(is_alone, alone_s, together), np.where(is_alone, alone_s * alone_w, work)
            seconds[o] += together
            joules[o] += work
        joules[o] += seconds[o] * (first.rest_w[o] + rest.rest_w)
        if not count:
            seconds[o, rest.count == 0] = joules[o, rest.count == 0] = np.inf
    return Survey(tuple((types, tuple(each)) for types, each in zip(draw.coupled, wanted, strict=True)), seconds, joules)


def clocked(machine: Machine, draw: Draw, setting: Setting) -> Machine:
    """The machine with only the cores of a setting, at its clocks: what the plan for the setting is made for."""
    types = [
        slower(speeds, there.slowdown(khz))._replace(cores=n)
        for speeds, there, n, khz in zip(machine.types, draw.types, setting.cores, setting.khz, strict=True)
        if n
    ]
    return machine._replace(types=tuple(types))


def slower(speeds: TypeSpeeds, slowdown: float) -> TypeSpeeds:
    """The type at a clock so many times slower."""
    classes = {}
    for name, rates in speeds.classes.items():
        by = [waiting(slowdown) if feature in OFF_CORE else slowdown for feature in CLASSES[name]]
        alone, busy = ([s * b for s, b in zip(row, by, strict=True)] for row in (rates.alone, rates.busy))
        classes[name] = Rates(tuple(alone), tuple(busy))
    return speeds._replace(claim_s=speeds.claim_s * slowdown, classes=classes)


def curves(machine: Machine, draw: Draw, t: int) -> list[dict[str, float]]:
    """The curves of section 8 of the design, of one core of type t at each clock: F and B, FLOP/s of a GEMM and bytes/s from memory;
    e_comp and e_mem, joules per FLOP and per byte; P_s, watts that pass whatever it does (idle core and cluster)."""
    there, speeds = draw.types[t], machine.types[t]
    names = CLASSES["gemm"]
    mac_s, byte_s = (speeds.classes["gemm"].alone[names.index(name)] for name in ("macs", "memory"))
    found = []
    for point in there.points:
        slower = there.slowdown(point.khz)
        F, B = 2 / (mac_s * slower), 1 / (byte_s * waiting(slower))
        e_mem = STALL * point.dynamic_w / B + draw.byte_J
        found.append(
            {"khz": point.khz, "F": F, "B": B, "e_comp": point.dynamic_w / F, "e_mem": e_mem, "P_s": point.idle_w + point.shared_w}
        )
    return found
