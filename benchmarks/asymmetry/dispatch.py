"""The cost of an empty step: a chain of steps of one element per unit, shared by all workers, beside the same chain run by the caller.
Then crowds: more workers than CPUs, and two sessions at once, against their fair share of the machine."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np

import asymo
from asymo import _core
from asymo.bench.report import Row, table
from asymo.plan.plan import Sharing
from benchmarks import models
from benchmarks.asymmetry.efficiency import two_digits
from benchmarks.asymmetry.rounds import Field, Gate, heading

STEPS, RUNS = 1000, 20


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("dispatch", help=__doc__)
    command.add_argument("--models", default="mobilenet_v2,resnet18", help="for the crowds")
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
    print(table(rows, "markdown") + "\n")
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    crowds = [crowd(model, args) for model in args.models]
    print(table(two_digits(crowds), "markdown", "Time of a run against the fair share: 1 is ideal"))
    return 0


def crowd(model: str, args: argparse.Namespace) -> Row:
    """Runs of one session of two workers, beside one that was asked for eight threads on the same two CPUs, and two sessions called by
    two threads or in two processes, each of which should take twice as long."""
    feeds = models.inputs(model, sizes={"seq": 128})
    sessions = [asymo.load(models.path(model), cores=args.cpus) for _ in range(2)]
    many = asymo.load(models.path(model), cores=args.cpus, threads=8)
    times: dict[str, list[float]] = {"alone": [], "8 threads": [], "2 sessions": [], "2 processes": []}
    with Field(model, args.cpus) as field, ThreadPoolExecutor(2) as threads:
        processes = [field.both("asymo") for _ in range(2)]
        runs = max(5, int(1e3 * args.seconds / run_ms(sessions[0], feeds, 10)))
        for _ in range(args.rounds):
            calls: dict[str, Callable[[], list[float]]] = {
                "alone": lambda: [run_ms(sessions[0], feeds, runs)],
                "8 threads": lambda: [run_ms(many, feeds, runs)],
                "2 sessions": lambda: list(threads.map(lambda s: run_ms(s, feeds, runs), sessions)),
                "2 processes": lambda: [median(ns) / 1e6 for ns in threads.map(lambda p: p.ask(runs), processes)],
            }
            for name, call in calls.items():
                times[name] += call()
    alone = median(times["alone"])
    fair = {"8 threads": alone, "2 sessions": 2 * alone, "2 processes": 2 * alone}
    return {"model": model, "alone, ms": alone, **{name: median(times[name]) / fair[name] for name in fair}}


def run_ms(session: asymo.InferenceSession, feeds: dict[str, np.ndarray], runs: int) -> float:
    """Milliseconds of a run, mean over so many."""
    begin = time.perf_counter_ns()
    for _ in range(runs):
        session.run(None, feeds)
    return (time.perf_counter_ns() - begin) / runs / 1e6
