"""How long a step takes on a set of cores, how much of it one task should take, and which cores it should use at all.

A step makes W = m n outputs of depth k. On core type c with n_c cores busy, F FLOP/s a core, B bytes/s for all of them, t seconds to
claim and start a task, s bytes per element, tasks of a outputs (design section 6):

    T_c(a) = 2 k W / (n_c F)                     compute   perfectly shared
           + s (2 k W / sqrt(a) + 2 W) / B       memory    operands of square tasks, outputs read and written
           + (W / a) t / n_c                     claim
           + a k / F                             wait      half of the last task

`terms` is T_c with the operands of an m x n task, which are those above when it is square. `tile` minimises T_c over a, `choose` the time
over sets of cores. Everything is in seconds, bytes and FLOPs; nothing here asks the machine. docs/cost-model.md works an example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from math import inf, sqrt

from asymo.record import NamedTuple

CACHE_SHARE = 0.5
"""How much of a cache one operand may fill; the others pass through the rest (systems.md 1.3.3)."""

CLAIM_SHARE = 0.1
"""What claiming a task may cost, of the task."""

TASKS_PER_CORE = 4
"""So that the last tasks can even out what the cores did not share equally (MNN 1, XNNPACK 5, Eigen 4 to 8)."""

ROUNDING = 1 + 1e-9
"""A bound and a time that are equal on paper may differ by this."""


@dataclass(frozen=True, slots=True)
class CoreType:
    """The speed of one type of core for one kernel class.

    F, F1: FLOP/s of a core while all `cores` of the type are busy, and while it is the only one.
    B, B1: bytes/s that all cores of the type get together, and that one gets at most, from the level of memory that misses; may be inf.
    t: seconds to claim and start a task.
    l1_bytes, l2_bytes, l2_sharers: cache sizes and how many cores share an L2; 0 bytes: unknown, bounds nothing.
    """

    name: str
    cores: int
    F: float
    F1: float
    B: float
    B1: float
    t: float
    l1_bytes: int = 0
    l2_bytes: int = 0
    l2_sharers: int = 1

    def __post_init__(self) -> None:
        assert min(self.cores, self.l2_sharers) >= 1, self
        assert min(self.F, self.F1, self.B, self.B1) > 0, self
        assert min(self.t, self.l1_bytes, self.l2_bytes) >= 0, self

    def crew(self, n: int) -> Crew:
        """n cores of this type: F lies on the line from F1 (one busy) to F (all busy), B grows by B1 a core as far as it goes."""
        assert 1 <= n <= self.cores, f"{n} of {self.cores} {self.name} cores"
        if n == self.cores:
            return Crew(self, n, self.F, self.B)
        return Crew(self, n, self.F1 + (self.F - self.F1) * (n - 1) / (self.cores - 1), min(n * self.B1, self.B))


@dataclass(frozen=True, slots=True)
class Crew:
    """n busy cores of one type: F FLOP/s each, B bytes/s together."""

    type: CoreType
    n: int
    F: float
    B: float


@dataclass(frozen=True, slots=True)
class Work:
    """What a step computes: m x n outputs of depth k (2 k FLOPs each), s bytes per element, in units of mr x nr outputs.

    kind: the kernel class whose speeds apply; the model only prints it."""

    kind: str
    m: int
    n: int
    k: int
    s: int = 4
    mr: int = 1
    nr: int = 1

    def __post_init__(self) -> None:
        assert min(self.m, self.n, self.k, self.s, self.mr, self.nr) >= 1, self

    @property
    def outputs(self) -> int:
        """W."""
        return self.m * self.n

    @property
    def units(self) -> int:
        return -(-self.m // self.mr) * -(-self.n // self.nr)

    @property
    def once_bytes(self) -> int:
        """Bytes of both operands and of the outputs, read and written, each once: no set of cores moves less."""
        return self.s * (self.m * self.k + self.k * self.n + 2 * self.outputs)


class Terms(NamedTuple):
    """Seconds of T_c, term by term."""

    compute: float
    memory: float
    claim: float
    wait: float

    @property
    def seconds(self) -> float:
        return self.compute + self.memory + self.claim + self.wait

    def of(self, share: float) -> Terms:
        """For a share of the outputs in the same tiles: all but the wait shrink with it."""
        return Terms(self.compute * share, self.memory * share, self.claim * share, self.wait)


class Tile(NamedTuple):
    """How much one task takes: m x n outputs, multiples of (mr, nr), k deep at a time.

    limit: what fixed its size: "claiming" or "memory" (the larger starting point of a*), or the bound that moved it from there:
    "4 tasks a core", "claim below 10%", "A strip in L2".
    """

    m: int
    n: int
    k: int
    limit: str


class Part(NamedTuple):
    """What one crew does of a step: `units` of them."""

    crew: Crew
    units: int
    tile: Tile
    terms: Terms


class Prediction(NamedTuple):
    """The time of a step on one set of cores, all of it by name.

    memory_s: the least time in which the step's bytes cross what all types share. wake_s, barrier_s: of all cores but the first.
    """

    parts: tuple[Part, ...]
    memory_s: float
    wake_s: float
    barrier_s: float

    @property
    def cores(self) -> int:
        return sum(part.crew.n for part in self.parts)

    @property
    def seconds(self) -> float:
        return max(self.memory_s, *[part.terms.seconds for part in self.parts]) + self.wake_s + self.barrier_s

    @property
    def label(self) -> str:
        """ "4 big + 2 little"."""
        return " + ".join(f"{part.crew.n} {part.crew.type.name}" for part in self.parts)


def claiming_limited(W: float, k: int, n: int, F: float, t: float) -> float:
    """Outputs per task at which claiming and waiting together cost least."""
    return sqrt(W * t * F / (n * k))


def memory_limited(W: float, s: int, F: float, B: float) -> float:
    """Outputs per task at which memory and waiting together cost least."""
    return float((s * W * F / B) ** (2 / 3))


def newton(a: float, W: float, k: int, s: int, crew: Crew) -> float:
    """One Newton step from a > 0 on dT/da = k/F - s k W / (B a^1.5) - W t / (n a^2) = 0.

    dT/da rises ever slower. From the larger starting point, where it is not positive, the step therefore never passes the minimum; it
    ends at 0.86 of it at worst, when both starting points are equal.
    """
    wait, memory, claim = k / crew.F, s * k * W / (crew.B * a * sqrt(a)), W * crew.type.t / (crew.n * a * a)
    return a * (1 + (memory + claim - wait) / (1.5 * memory + 2 * claim))


def terms(work: Work, crew: Crew, m: float, n: float) -> Terms:
    """T_c of the whole step in tasks of m x n outputs, which end at the step's own m and n."""
    m, n = min(m, work.m), min(n, work.n)
    a, W, k = m * n, work.m * work.n, work.k
    return Terms(
        compute=2 * k * W / (crew.n * crew.F),
        memory=work.s * (k * W * (1 / m + 1 / n) + 2 * W) / crew.B,
        claim=W / a * crew.type.t / crew.n,
        wait=a * k / crew.F,
    )


def bounds(work: Work, crew: Crew, W: float) -> tuple[float, float]:
    """Outputs of a task: at least, for claiming to stay below 10% of it (up to one task a core), and at most, for 4 tasks a core."""
    return min(crew.type.t * crew.F / (2 * work.k * CLAIM_SHARE), W / crew.n), W / (TASKS_PER_CORE * crew.n)


def square(work: Work, a: float) -> tuple[float, float]:
    """(m, n) of a outputs, as square as the step's own m and n allow."""
    m = min(max(sqrt(a), a / work.n), work.m)
    return m, min(a / m, work.n) if m else 0.0


def tile(work: Work, crew: Crew, share: float = 1.0) -> Tile:
    """a* for a share of the outputs, in multiples of (mr, nr), as square as its bounds and the step's own m and n allow; one unit when
    nothing larger fits.

    * A B panel (k x nr) fits in its share of L1, else k is cut; an A strip (m x k) in its share of a core's part of L2.
    * `bounds`: where they contradict, claiming goes first.
    """
    core, mr, nr, k, W = crew.type, work.mr, work.nr, work.k, share * work.m * work.n

    claiming, memory = claiming_limited(W, k, crew.n, crew.F, core.t), memory_limited(W, work.s, crew.F, crew.B)
    a, limit = (claiming, "claiming") if claiming > memory else (memory, "memory")
    a = newton(a, W, k, work.s, crew) if a else 0.0

    least, most = bounds(work, crew, W)
    if a > most:
        a, limit = most, f"{TASKS_PER_CORE} tasks a core"
    if a < least:
        a, limit = least, f"claim below {CLAIM_SHARE:.0%}"
    most = max(least, most)

    if core.l1_bytes:
        k = max(1, min(k, int(CACHE_SHARE * core.l1_bytes / (nr * work.s))))
    m = _multiple(square(work, a)[0], mr)
    if core.l2_bytes:
        fit = max(int(CACHE_SHARE * core.l2_bytes / (core.l2_sharers * k * work.s)) // mr, 1) * mr
        if m > fit:
            m, limit = fit, "A strip in L2"
    n = _multiple(min(a / min(m, work.m), work.n), nr)
    if min(m, work.m) * min(n, work.n) > most:
        shorter, narrower = int(most / min(n, work.n)) // mr * mr, n - nr
        if shorter * min(n, work.n) >= min(m, work.m) * narrower:
            m = max(shorter, mr)
        else:
            n = narrower
    return Tile(m, n, k, limit)


def _multiple(x: float, of: int) -> int:
    """The multiple of `of` nearest to x, one at least."""
    return max(1, round(x / of)) * of


def peak(work: Work, crew: Crew) -> float:
    """Outputs per second that a crew does not exceed with any share of the step: in the largest tasks that `tile` allows, not waiting."""
    unit = min(work.mr, work.m) * min(work.nr, work.n)
    cost = terms(work, crew, *square(work, max(unit, *bounds(work, crew, work.outputs))))
    return work.outputs / (cost.compute + cost.memory + cost.claim)


def shares(units: int, speeds: Sequence[float]) -> tuple[int, ...]:
    """Units of each interval, in proportion to the speeds, each to within one unit; together they are `units`."""
    scale = units / sum(speeds)
    ends = [round(reached * scale) for reached in accumulate(speeds)]
    return tuple(end - begin for begin, end in zip([0, *ends], ends, strict=False))


def predict(work: Work, crews: Sequence[Crew], wake_s: float, barrier_s: float, memory_B: float = inf) -> Prediction | None:
    """The time with these crews, one a type; None if a core would get no unit.

    Tiles are made for shares in proportion to `peak`; the units are then shared in proportion to the speed with these tiles, the wait
    aside, which comes once however long the step is. wake_s, barrier_s: seconds per core beyond the first. memory_B: bytes/s of what
    all types share (memory, a system cache).
    """
    peaks = [peak(work, crew) for crew in crews]
    tiles = [tile(work, crew, mine / sum(peaks)) for crew, mine in zip(crews, peaks, strict=True)]
    whole = [terms(work, crew, size.m, size.n) for crew, size in zip(crews, tiles, strict=True)]
    units = shares(work.units, [1 / (cost.compute + cost.memory + cost.claim) for cost in whole])
    if any(mine < crew.n for crew, mine in zip(crews, units, strict=True)):
        return None
    others = sum(crew.n for crew in crews) - 1
    if not others:
        whole = [whole[0]._replace(wait=0.0)]
    parts = zip(crews, units, tiles, (cost.of(mine / work.units) for cost, mine in zip(whole, units, strict=True)), strict=True)
    return Prediction(tuple(map(Part._make, parts)), work.once_bytes / memory_B, others * wake_s, others * barrier_s)


def counts(cores: int) -> list[int]:
    """How many of `cores` equal cores are weighed: every number up to 4, then 6, 8, 12, 16, 24, ... and all. On 8 + 16 made-up cores no
    step of `benchmarks/cost.py` is more than 4 % slower for it, 85 of 100 are as fast, and it takes a third of the time."""
    return [n for n in range(1, cores + 1) if n <= 4 or n == cores or n % (1 << (n.bit_length() - 2)) == 0]


def choose(work: Work, types: Sequence[CoreType], wake_s: float, barrier_s: float, memory_B: float = inf) -> Prediction:
    """The fastest set of cores under the model; of equally fast ones the smallest. Arguments as for `predict`.

    `counts` of every type are weighed, in the order of a bound that none can beat: their peaks together, and what cores cost."""
    of_type = [[(crew, peak(work, crew)) for crew in map(core.crew, counts(core.cores))] for core in types]
    once_s = work.once_bytes / memory_B
    sets = []
    for members in product(*([None, *crews] for crews in of_type)):
        crews, peaks = [m[0] for m in members if m], [m[1] for m in members if m]
        if crews:
            cores = sum(crew.n for crew in crews)
            sets.append((max(once_s, work.outputs / sum(peaks)) + (cores - 1) * (wake_s + barrier_s), cores, crews))
    sets.sort(key=lambda entry: entry[:2])
    best: Prediction | None = None
    for bound, _, crews in sets:
        if best and bound > best.seconds * ROUNDING:
            break
        found = predict(work, crews, wake_s, barrier_s, memory_B)
        if found and (not best or (found.seconds, found.cores) < (best.seconds, best.cores)):
            best = found
    assert best, "a step has a unit and a machine has a core"
    return best


def rivals(work: Work, types: Sequence[CoreType], wake_s: float, barrier_s: float, memory_B: float = inf) -> list[Prediction]:
    """What a choice is compared with: one core of each type, each type alone, all cores; those that would all get a unit."""
    sets = [[core.crew(1)] for core in types] + [[core.crew(core.cores)] for core in types] + [[core.crew(core.cores) for core in types]]
    found = (predict(work, crews, wake_s, barrier_s, memory_B) for crews in sets)
    return list({p.label: p for p in found if p}.values())


def explain(work: Work, best: Prediction, others: Sequence[Prediction] = ()) -> str:
    """A few lines: which cores, each type's part with its tile and terms, and how much slower the others are."""
    lines = [
        f"{work.kind} {work.m} x {work.n} x {work.k}, {work.units} units of {work.mr} x {work.nr}: {best.label}, {_us(best.seconds)}",
        f"  wake {_us(best.wake_s)}, barrier {_us(best.barrier_s)}, at least {_us(best.memory_s)} in shared memory",
    ]
    for crew, units, size, cost in best.parts:
        lines += [
            f"  {crew.n} {crew.type.name}: {units} units ({units / work.units:.0%}), tasks of {size.m} x {size.n} ({size.limit})",
            "    " + " + ".join(f"{name} {_us(value)}" for name, value in cost._asdict().items()) + f" = {_us(cost.seconds)}",
        ]
    lines += [
        f"  {other.label}: {_us(other.seconds)}, {other.seconds / best.seconds:.2f}x" for other in others if other.label != best.label
    ]
    return "\n".join(lines)


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.4g} us"
