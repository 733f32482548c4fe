"""All device profiles x the models x the policies, and every set of cores that could be quicker than all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from math import inf, nan
from statistics import geometric_mean, median

from asymo.bench.report import Row
from asymo.cost.devices import from_profile
from asymo.cost.speeds import Machine
from asymo.device import profile
from asymo.graph import passes
from asymo.graph.ir import TensorType
from asymo.onnx import host, reader
from asymo.plan.lower import Cache
from asymo.plan.plan import POLICIES, Plan
from asymo.plan.planner import plan
from asymo.runtime.stage import bind, split
from asymo.sim.run import Memo, simulate
from asymo.sim.task import Task
from asymo.sim.tasks import hardware_of, tasks_of
from benchmarks import models

MODELS = models.FIXED
CONVOLUTION = frozenset(n for n in MODELS if not n.startswith(("alexnet", "mlp", "char_rnn", "minilm")))
"""Models that are convolutions from end to end; the utilisation is asked of them."""

COMPUTE_BOUND = 1.05
"""A model is bound by computing when the bytes of its steps would lengthen them by no more than this, all cores at work."""

TOO_SLOW = 1.15
"""Sets of cores that would take this many times as long as ours, if they shared the steps of our plan perfectly and memory were free, are
not planned and simulated; what a plan of their own could save is less."""

OURS = "guided"
WANTED_OF_SUM, WANTED_BUSY, MOST_OVER_BEST = 0.95, 0.9, 1.03
"""The goals: of the sum of the cores' speeds, busy time of each core, time over that of the best set of cores."""

Counts = tuple[int, ...]
"""How many cores of each type."""


@dataclass(frozen=True)
class Case:
    """One model on one device. types: names. seconds: of each policy. utilisation: of each core, with ours. subsets: seconds of our plans
    and rules on other sets of cores. sum_s: seconds if all cores computed all the time; bytes_s: the same, no step faster than its memory
    traffic."""

    device: str
    model: str
    types: tuple[str, ...]
    seconds: dict[str, float]
    utilisation: tuple[float, ...]
    subsets: dict[Counts, float]
    sum_s: float
    bytes_s: float

    @property
    def ours(self) -> float:
        return self.seconds[OURS]

    @property
    def is_compute_bound(self) -> bool:
        return self.bytes_s <= COMPUTE_BOUND * self.sum_s

    @property
    def of_sum(self) -> float:
        return self.sum_s / self.ours

    @property
    def best_subset(self) -> Counts:
        return min(self.subsets, key=lambda counts: (self.subsets[counts], sum(counts)))

    @property
    def over_best(self) -> float:
        """Ours over the best set of cores."""
        return self.ours / self.subsets[self.best_subset]

    @property
    def over_rival(self) -> float:
        """Ours over the best of the other policies."""
        return self.ours / min(s for policy, s in self.seconds.items() if policy != OURS)

    def row(self) -> Row:
        row: Row = {"device": self.device, "model": self.model, "ms": round(1e3 * self.ours, 2)}
        row |= {policy: round(s / self.ours, 2) for policy, s in self.seconds.items() if policy != OURS}
        row |= {
            "best set": " + ".join(f"{n} {name}" for n, name in zip(self.best_subset, self.types, strict=True) if n),
            "ours / best set": round(self.over_best, 3),
            "of the cores' sum": round(self.of_sum, 3),
            "bound by": "computing" if self.is_compute_bound else "memory",
            "least busy": round(min(self.utilisation), 2),
        }
        return row


def planner_of(model: str) -> Callable[[Machine], Plan]:
    """Plans one model, read once, for any machine (asymo.runtime.planning.plan_for); symbolic dimensions are 1."""
    graph, _ = reader.read(models.path(model))
    cache = Cache(host.evaluate)
    for step in passes.LOAD:
        step.run(graph, cache)
    types = [TensorType(v.type.dtype, tuple(d if isinstance(d, int) else 1 for d in v.type.shape)) for v in graph.inputs]

    def make(machine: Machine) -> Plan:
        bound = bind(graph, types)
        split(bound, cache)
        return plan(bound, cache, machine, packs=False)

    return make


def cases(devices: Sequence[str], names: Sequence[str], workers: int, progress: Callable[[float], None]) -> list[Case]:
    """Every model on every device, in so many processes."""
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(of_model, name, devices) for name in names]
        for done, _ in enumerate(as_completed(jobs), 1):
            progress(done / len(jobs))
        return [found for job in jobs for found in job.result()]


def of_model(model: str, devices: Sequence[str]) -> list[Case]:
    """One model on every device; it is read once."""
    make = planner_of(model)
    return [case(device, model, make) for device in devices]


def case(device: str, model: str, make: Callable[[Machine], Plan]) -> Case:
    """Simulates one model on one device."""
    machine = from_profile(profile.load(device))
    hardware, whole = hardware_of(machine), tuple(t.cores for t in machine.types)
    tasks = tasks_of(make(machine), machine)
    memo: Memo = {}
    results = {policy: simulate(tasks, hardware, policy, memo=memo) for policy in POLICIES}
    ours = results[OURS]
    rivals = [c for c in subsets(whole) if ideal(tasks, c) < TOO_SLOW * ours.seconds]
    return Case(
        device,
        model,
        tuple(t.name for t in machine.types),
        {policy: r.seconds for policy, r in results.items()},
        ours.utilisation,
        {whole: ours.seconds} | {c: _on(c, machine, make) for c in rivals},
        ideal(tasks, whole),
        ideal(tasks, whole, machine.memory_B),
    )


def subsets(whole: Counts) -> Iterator[Counts]:
    """Every number of cores of every type but all; of many cores of a type 0, 1, 2, 4, ... and all."""
    for counts in product(*([n for n in range(count + 1) if n in (0, 1, 2, 4, 6, 8, count)] for count in whole)):
        if sum(counts) and counts != whole:
            yield counts


def _on(counts: Counts, machine: Machine, make: Callable[[Machine], Plan]) -> float:
    """Seconds with our rules on these cores alone, planned for them."""
    part = machine.restrict({t.name: n for t, n in zip(machine.types, counts, strict=True)})
    return simulate(tasks_of(make(part), part), hardware_of(part), memo={}).seconds


def ideal(tasks: Sequence[Task], counts: Counts, memory_B: float = inf) -> float:
    """Seconds with all of these cores busy from end to end, but no step faster than its memory traffic."""
    total = 0.0
    for task in tasks:
        speed = sum(n / s[-1] for n, s in zip(counts, task.seconds, strict=True) if s[-1] > 0)
        if speed:
            total += task.phases * max(1 / speed, float(task.traffic[-1]) / memory_B)
    return total


def by_device(found: Sequence[Case]) -> list[Row]:
    """A row for each device."""
    return [_summary({"device": device}, [c for c in found if c.device == device]) for device in dict.fromkeys(c.device for c in found)]


def by_model(found: Sequence[Case]) -> list[Row]:
    """A row for each model."""
    return [_summary({"model": model}, [c for c in found if c.model == model]) for model in dict.fromkeys(c.model for c in found)]


def summary(found: Sequence[Case]) -> list[str]:
    """The goals, and how far they are met, in a sentence each."""
    over = [c.over_best for c in found]
    bound = [c.of_sum for c in found if c.is_compute_bound] or [nan]
    busy = [c.utilisation for c in found if c.model in CONVOLUTION] or [(nan,)]
    cores = [u for each in busy for u in each]
    rival = [c.over_rival for c in found]
    return [
        f"{len(found)} cases.",
        f"Over the best set of cores: {_count(r <= MOST_OVER_BEST for r in over)} within {MOST_OVER_BEST - 1:.0%}, worst {max(over):.3f}.",
        f"Of the sum of the cores, bound by computing: median {median(bound):.3f}, worst {min(bound):.3f}, "
        f"{_count(r >= WANTED_OF_SUM for r in bound)} at {WANTED_OF_SUM} or more.",
        f"Busy, convolution models: median core {median(cores):.2f}, {_count(u >= WANTED_BUSY for u in cores)} cores at {WANTED_BUSY} or "
        f"more; least busy core, median {median(map(min, busy)):.2f}.",
        f"Another policy is more than 1 % faster: {_count(r > 1.01 for r in rival)}, by {max(rival) - 1:.1%} at worst.",
    ]


def _count(held: Iterable[bool]) -> str:
    each = list(held)
    return f"{sum(each)} of {len(each)}"


def _summary(head: Row, found: Sequence[Case]) -> Row:
    """Other policies' times over ours (geometric means), and how far ours is from what it could be."""
    row = dict(head)
    for policy in POLICIES:
        if policy != OURS:
            row[f"{policy} / ours"] = round(geometric_mean(c.seconds[policy] / c.ours for c in found), 2)
    row["ours / best set, worst"] = round(max(c.over_best for c in found), 3)
    bound = [c.of_sum for c in found if c.is_compute_bound]
    row["of the cores' sum, median"] = round(median(bound), 3) if bound else None
    row["worst"] = round(min(bound), 3) if bound else None
    busy = [min(c.utilisation) for c in found if c.model in CONVOLUTION]
    row["least busy core, median"] = round(median(busy), 2) if busy else None
    return row
