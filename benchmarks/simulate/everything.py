"""All device profiles x the models x the policies, and every set of cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
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
from asymo.sim.run import Memo, Result, simulate
from asymo.sim.task import Task
from asymo.sim.tasks import hardware_of, tasks_of
from benchmarks import models

MODELS = (
    "resnet18", "resnet50", "vgg16", "alexnet", "squeezenet11", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_lite0",
    "shufflenet_v2_bn", "inception_v3_bn", "ssd_mobilenet_v1", "yolov8n", "mlp", "char_rnn_s50", "minilm_l6_s128",
)  # fmt: skip
CONVOLUTION = frozenset(MODELS) - {"alexnet", "mlp", "char_rnn_s50", "minilm_l6_s128"}
"""Models that are convolutions from end to end; the utilisation is asked of them."""

COMPUTE_BOUND = 1.05
"""A model is bound by computing when the bytes of its steps would lengthen them by no more than this, all cores at work."""


@dataclass(frozen=True)
class Case:
    """One model on one device. subsets: seconds of our plans and rules by how many cores of each type there are.
    sum_s: seconds if all cores computed all the time; bytes_s: the same, no step faster than its memory traffic."""

    device: str
    model: str
    machine: Machine
    results: dict[str, Result]
    subsets: dict[tuple[int, ...], float]
    sum_s: float
    bytes_s: float

    @property
    def ours(self) -> Result:
        return self.results["guided"]

    @property
    def is_compute_bound(self) -> bool:
        return self.bytes_s <= COMPUTE_BOUND * self.sum_s

    @property
    def best_subset(self) -> tuple[int, ...]:
        return min(self.subsets, key=lambda counts: (self.subsets[counts], sum(counts)))

    @property
    def over_best(self) -> float:
        """Ours over the best set of cores; at most 1.03 is wanted."""
        return self.ours.seconds / self.subsets[self.best_subset]

    def row(self) -> Row:
        ours = self.ours
        row: Row = {"device": self.device, "model": self.model, "ms": round(1e3 * ours.seconds, 2)}
        row |= {policy: round(r.seconds / ours.seconds, 2) for policy, r in self.results.items() if policy != "guided"}
        row |= {
            "best set": " + ".join(f"{n} {t.name}" for n, t in zip(self.best_subset, self.machine.types, strict=True) if n),
            "ours / best set": round(self.over_best, 3),
            "of the cores' sum": round(self.sum_s / ours.seconds, 3),
            "bound by": "computing" if self.is_compute_bound else "memory",
            "least busy": round(min(ours.utilisation), 2),
        }
        return row


def planner_of(model: str) -> Callable[[Machine], Plan]:
    """Plans one model, read once, for any machine (asymo.runtime.planning.plan_for); symbolic dimensions are 1."""
    graph, _ = reader.read(models.path(model))
    cache = Cache(host.evaluate)
    for module in passes.LOAD:
        module.run(graph, cache)
    types = [TensorType(v.type.dtype, tuple(d if isinstance(d, int) else 1 for d in v.type.shape)) for v in graph.inputs]

    def make(machine: Machine) -> Plan:
        bound = bind(graph, types)
        split(bound, cache)
        return plan(bound, cache, machine, packs=False)

    return make


def cases(devices: Sequence[str], names: Sequence[str], progress: Callable[[float], None]) -> Iterator[Case]:
    """Model by model, device by device."""
    for i, model in enumerate(names):
        make = planner_of(model)
        for j, device in enumerate(devices):
            progress((i + j / len(devices)) / len(names))
            yield case(device, model, make)


def case(device: str, model: str, make: Callable[[Machine], Plan]) -> Case:
    """Simulates one model on one device."""
    machine = from_profile(profile.load(device))
    hardware = hardware_of(machine)
    tasks = tasks_of(make(machine), machine)
    memo: Memo = {}
    results = {policy: simulate(tasks, hardware, policy, memo=memo) for policy in POLICIES}
    subsets = {counts: _on(counts, machine, make) for counts in _subsets(machine)}
    subsets[hardware_counts(machine)] = results["guided"].seconds
    total, bounded = _ideals(tasks, machine)
    return Case(device, model, machine, results, subsets, total, bounded)


def hardware_counts(machine: Machine) -> tuple[int, ...]:
    """How many cores of each type there are."""
    return tuple(t.cores for t in machine.types)


def _subsets(machine: Machine) -> Iterator[tuple[int, ...]]:
    """Every number of cores of every type but all; of many cores of a type 0, 1, 2, 4, ... and all."""
    each = [[n for n in range(count + 1) if n in (0, 1, 2, 4, 6, 8, count)] for count in hardware_counts(machine)]
    for counts in product(*each):
        if sum(counts) and counts != hardware_counts(machine):
            yield counts


def _on(counts: tuple[int, ...], machine: Machine, make: Callable[[Machine], Plan]) -> float:
    """Seconds with our rules on these cores alone, planned for them."""
    part = machine.restrict({t.name: n for t, n in zip(machine.types, counts, strict=True)})
    return simulate(tasks_of(make(part), part), hardware_of(part), memo={}).seconds


def _ideals(tasks: Sequence[Task], machine: Machine) -> tuple[float, float]:
    """Seconds with all cores busy from end to end; and with no step faster than its traffic."""
    total = bounded = 0.0
    for task in tasks:
        speed = sum(t.cores / s[-1] for t, s in zip(machine.types, task.seconds, strict=True) if s[-1] > 0)
        if speed:
            total += task.phases / speed
            bounded += task.phases * max(1 / speed, float(task.traffic[-1]) / machine.memory_B)
    return total, bounded


def by_device(found: Sequence[Case]) -> list[Row]:
    """A row for each device."""
    return [_summary({"device": device}, [c for c in found if c.device == device]) for device in dict.fromkeys(c.device for c in found)]


def by_model(found: Sequence[Case]) -> list[Row]:
    """A row for each model."""
    return [_summary({"model": model}, [c for c in found if c.model == model]) for model in dict.fromkeys(c.model for c in found)]


def _summary(head: Row, found: Sequence[Case]) -> Row:
    """Other policies' times over ours (geometric means), and how far ours is from what it could be."""
    row = dict(head)
    for policy in POLICIES[1:]:
        row[f"{policy} / ours"] = round(geometric_mean(c.results[policy].seconds / c.ours.seconds for c in found), 2)
    row["ours / best set, worst"] = round(max(c.over_best for c in found), 3)
    bound = [c.sum_s / c.ours.seconds for c in found if c.is_compute_bound]
    row["of the cores' sum, median"] = round(median(bound), 3) if bound else None
    row["worst"] = round(min(bound), 3) if bound else None
    busy = [min(c.ours.utilisation) for c in found if c.model in CONVOLUTION]
    row["least busy core, median"] = round(median(busy), 2) if busy else None
    return row
