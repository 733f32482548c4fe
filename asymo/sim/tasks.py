"""A plan's steps on a cost `Machine` as the tasks and the hardware of a simulation."""

from __future__ import annotations

from math import prod

import numpy as np

from asymo.cost import features
from asymo.cost.features import Args, ceil_div
from asymo.cost.speeds import Machine, TypeSpeeds
from asymo.cost.steps import memory_bytes, phases, place, units, vector
from asymo.plan.plan import Plan, Step
from asymo.sim.hardware import SPIN_S, Hardware, Kind
from asymo.sim.task import Doubles, Task


def hardware_of(machine: Machine) -> Hardware:
    """The machine's cores. A spinning worker looks at a new step at once; what it costs to gather them again is the barrier's."""
    kinds = tuple(Kind(t.name, t.cores, min(t.l2_sharers, t.cores), t.claim_s) for t in machine.types)
    return Hardware(kinds, machine.memory_B, 0.0, machine.wake_s, machine.barrier_s)


def tasks_of(plan: Plan, machine: Machine) -> list[Task]:
    """The steps of the plan as they run on this machine."""
    run_bytes = plan.arena_bytes + sum(c.nbytes for c in plan.constants)
    return [task_of(step, machine, run_bytes) for step in plan.steps]


def task_of(step: Step, machine: Machine, run_bytes: int = 0) -> Task:
    """One step. run_bytes: what a whole run touches (asymo.cost.steps.step_seconds)."""
    n, sharing = units(step.kind, step.args, machine), step.sharing
    rounds = phases(step.kind, step.args)
    shape = _weights(step.kind, step.args, n, machine.geometry[1])
    busy = sharing.cores or (1,)
    costs = [
        _seconds_and_bytes(step, speeds, busy[t] if t < len(busy) else 1, machine, run_bytes, rounds)
        for t, speeds in enumerate(machine.types)
    ]
    return Task(
        step.node,
        step.op,
        n,
        tuple(seconds * shape for seconds, _ in costs),
        costs[0][1] * shape,
        sharing.cores,
        sharing.chunk,
        sharing.unit_ns,
        SPIN_S if sharing.spin_ns < 0 else sharing.spin_ns * 1e-9,
        rounds,
        step.horizon,
        (step.kind, tuple(step.args.items()), sharing, run_bytes),
    )


def _seconds_and_bytes(step: Step, speeds: TypeSpeeds, busy: int, machine: Machine, run_bytes: int, rounds: int) -> tuple[float, float]:
    """Of one phase on one core: memory at what the core alone gets of it (the simulation shares it out), all else as with all busy."""
    name, counts = vector(step.kind, step.args, place(speeds, max(busy, 1), machine, run_bytes))
    rates = speeds.classes[name]
    crosses = [feature in features.MEMORY for feature in features.CLASSES[name]]
    mixed = [own if shared else r for own, r, shared in zip(rates.alone, rates.at(busy, speeds.of), crosses, strict=True)]
    return sum(c * r for c, r in zip(counts, mixed, strict=True)) / rounds, memory_bytes(name, counts) / rounds


def _weights(kind: str, args: Args, n: int, nr: int) -> Doubles:
    """Cumulated parts of a phase by unit: the units at the end of a dimension are smaller."""
    sizes = np.ones(max(n, 0))
    if kind in ("gemm", "conv"):
        m = args["m"] if kind == "gemm" else args["batch"] * prod(args["out"])
        entries = prod(args["batch"]) if kind == "gemm" else args["groups"]
        rows, columns = _cut(m, args["unit_m"], 1), _cut(args["n"], args["unit_n"], nr)
        block = np.outer(rows, columns) if args["n_fastest"] else np.outer(columns, rows)
        sizes = np.tile(block.ravel(), entries)
    elif kind == "winograd":
        tiles = args["batch"] * prod(ceil_div(size, args["tile"]) for size in args["out"])
        sizes = np.outer(_cut(tiles, args["unit_tiles"], 1), _cut(args["n"], args["unit_n"], nr)).ravel()
    assert len(sizes) == n, f"{kind}: {len(sizes)} sizes, {n} units"
    return np.concatenate([[0.0], np.cumsum(sizes) / max(sizes.sum(), 1.0)])


def _cut(size: int, unit: int, multiple: int) -> Doubles:
    """Sizes of the parts of a dimension, rounded up to a multiple."""
    unit = features.round_up(unit if unit > 0 else size, multiple)
    parts = [min(unit, size - begin) for begin in range(0, size, unit)]
    return np.array([features.round_up(p, multiple) for p in parts], float)
