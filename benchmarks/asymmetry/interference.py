"""A stream of runs while a competitor comes to one core and leaves it again: latency, and how much of the work each worker does."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median, quantiles

import numpy as np

import asymo
from asymo.bench.report import Row, table
from benchmarks import models
from benchmarks.asymmetry.efficiency import two_digits
from benchmarks.asymmetry.rounds import Gate, heading
from benchmarks.asymmetry.slow import Hog, calibrate

PHASES = ("before", "during", "after")
NEAR = 0.2
"""Shares have moved when this part of the way is left."""


@dataclass(frozen=True)
class Run:
    """One run: the phase it began in, its latency, and the slow core's part of the units."""

    phase: str
    ms: float
    part: float


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("interference", help=__doc__)
    command.add_argument("--models", default="resnet18,mobilenet_v2")
    command.add_argument("--phase-seconds", type=float, default=1.5)
    command.add_argument("--share", type=float, default=1 / 3, help="what the hog leaves of the core (default 1/3)")
    command.set_defaults(report=report)


def stream(
    session: asymo.InferenceSession, feeds: dict[str, np.ndarray], seconds: float, come: Callable[[], None], go: Callable[[], None]
) -> list[Run]:
    """Runs for three phases of this length; `come` and `go` are called between them."""
    runs: list[Run] = []
    for phase, change in zip(PHASES, (lambda: None, come, go), strict=True):
        change()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            before, begin = session.stats().workers, time.perf_counter_ns()
            session.run(None, feeds)
            ms = (time.perf_counter_ns() - begin) / 1e6
            units = [b.units - a.units for a, b in zip(before, session.stats().workers, strict=True)]
            runs.append(Run(phase, ms, units[1] / max(sum(units), 1)))
    return runs


def summary(runs: Sequence[Run]) -> list[Row]:
    """A row per phase: latency, the slow core's part once settled (second half of the phase) and its spread, and after how many runs the
    part had come near that (median of three runs)."""
    rows: list[Row] = []
    start = None
    for phase in PHASES:
        found = [r for r in runs if r.phase == phase]
        parts = [r.part for r in found]
        settled = parts[len(parts) // 2 :]
        goal = median(settled)
        row: Row = {"phase": phase, "runs": len(found), "median ms": median(r.ms for r in found)}
        row |= {"p95 ms": quantiles((r.ms for r in found), n=20)[-1], "first 3 runs, ms": " ".join(f"{r.ms:.1f}" for r in found[:3])}
        row |= {"slow core's part": goal, "its p10 to p90": "{:.2f} to {:.2f}".format(*spread(settled))}
        if start is not None:
            row["runs until moved"] = settling(parts, start, goal)
        rows.append(row)
        start = goal
    return rows


def spread(values: Sequence[float]) -> tuple[float, float]:
    """10th and 90th percentile."""
    tenths = quantiles(values, n=10)
    return tenths[0], tenths[-1]


def settling(parts: Sequence[float], start: float, goal: float) -> int:
    """The first run from which the median of three is within NEAR of the way from start to goal."""
    for i in range(len(parts) - 2):
        if abs(median(parts[i : i + 3]) - goal) <= NEAR * abs(start - goal):
            return i
    return len(parts)


def report(args: argparse.Namespace, gate: Gate) -> int:
    slow = args.cpus[1]
    busy_us = calibrate(gate.probe, slow, args.share, 100)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # a spinner must be able to compete
    print(heading("A competitor comes and leaves", gate))
    kept = []
    for model in args.models:
        session = asymo.load(models.path(model), cores=args.cpus)
        feeds = models.inputs(model)
        for kind in ("hog", "spinner"):
            with Hog(slow, busy_us, 100) as hog:
                spinner = Spinner(slow)
                come, go = (hog.on, hog.off) if kind == "hog" else (spinner.on, spinner.off)
                try:
                    runs = stream(session, feeds, args.phase_seconds, come, go)
                finally:
                    spinner.off()
            what = f"a hog leaves {args.share:.0%}" if kind == "hog" else "a spinning process of normal priority"
            print(table(two_digits(summary(runs)), "markdown", f"{model}: {what}") + "\n", flush=True)
            kept.append({"model": model, "kind": kind, "runs": [asdict(r) for r in runs]})
    if args.json:
        args.json.write_text(json.dumps(kept))
    return 0


class Spinner:
    """A process that does nothing, all the time, on one CPU."""

    def __init__(self, cpu: int) -> None:
        self._code = (
            "import os, ctypes, signal; ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
            f"os.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile True: pass"
        )
        self._process: subprocess.Popen[str] | None = None

    def on(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", self._code], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def off(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
