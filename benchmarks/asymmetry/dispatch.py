"""The cost of an empty step: a chain of steps of one element per unit, shared by all workers, beside the same chain run by the caller."""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np

from asymo import _core
from asymo.bench.report import Row, table
from asymo.plan.plan import Sharing
from benchmarks.asymmetry.rounds import Gate, heading

STEPS, RUNS = 1000, 20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("dispatch", help=__doc__)
    command.set_defaults(report=report)


class Chain:
    """STEPS steps, each writing `units` numbers, on a pool of its own."""

    def __init__(self, cpus: tuple[int, ...], units: int, spin_ns: int, serial: bool) -> None:
        self._pool = _core.Pool([_core.Worker(cpu) for cpu in cpus], spin_ns)
        self._program = _core.Program(STEPS)
        sharing = Sharing() if serial else Sharing(cores=(len(cpus),), chunk=(1,), unit_ns=(5.0,))
        for _ in range(STEPS):
            self._program.add("fill", {"size_bytes": 4, "count": units, "unit_size": 1}, [(0, 0), (1, 0)], sharing)
        self._slots = _core.Slots(2)
        self._slots[0], self._slots[1] = np.zeros(1, np.float32), np.zeros(units, np.float32)

    def step_ns(self) -> float:
        """Nanoseconds of one step, over RUNS runs."""
        begin = time.perf_counter_ns()
        for _ in range(RUNS):
            self._program.run(self._pool, self._slots)
        return (time.perf_counter_ns() - begin) / (RUNS * STEPS)


def report(args: argparse.Namespace, gate: Gate) -> int:
    kinds = {"spinning": 10_000_000, "parked": 0}
    chains = {
        (units, name): Chain(args.cpus, units, kinds.get(name, 0), name == "caller alone")
        for units in (2, 16, 64)
        for name in ("caller alone", *kinds)
    }
    ns: dict[tuple[int, str], list[float]] = {key: [] for key in chains}
    for _ in range(args.rounds):
        for key, chain in chains.items():
            sample = gate.visit(chain.step_ns)
            ns[key] += [] if sample is None else [sample]
    rows: list[Row] = [
        {"units": units, **{f"{name}, ns": median(ns[units, name]) if ns[units, name] else None for name in ("caller alone", *kinds)}}
        for units in (2, 16, 64)
    ]
    print(heading("Nanoseconds a step, medians", gate))
    print(table(rows, "markdown"))
    return 0
