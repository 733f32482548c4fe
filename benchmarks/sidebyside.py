"""python -m benchmarks.sidebyside MODEL.onnx ...: what sessions cost each other.

slowdown: the time of a number of runs over the time that one session alone with a worker per core takes for as many; measured next to each
other, the median of the rounds; 1 is the fair share. CPU: processor time of a run over the same of one worker alone, so that what is above
1 was spent waiting; other programs on the machine disturb it little. rarer: the part of all runs that the slower of two gets; 0.5 is fair.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import asymo
from asymo.bench import feeds
from asymo.bench.report import Row, table

Runner = Callable[[], object]
SECONDS, ROUNDS = 0.4, 7


def runner(model: Path, threads: int = 0, cores: str | None = None, spins: bool = True) -> Runner:
    options = asymo.SessionOptions(intra_op_num_threads=threads)
    if not spins:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = asymo.InferenceSession(model, options, cores=cores)
    arrays = feeds.make(session.get_inputs(), {}, {})
    return lambda: session.run(None, arrays)


class Rate(NamedTuple):
    """runs: per second, of all runners. cpu_s: processor time per run. rarer: the rarest runner's part of all runs."""

    runs: float
    cpu_s: float
    rarer: float


def rate(runners: Sequence[Runner], seconds: float = SECONDS) -> Rate:
    """Runs the runners for so long, each in a thread of its own."""
    counts, go = [0] * len(runners), threading.Barrier(len(runners) + 1)
    ends = [0.0] * len(runners)

    def work(i: int) -> None:
        go.wait()
        until = time.perf_counter() + seconds
        while (now := time.perf_counter()) < until:
            runners[i]()
            counts[i] += 1
        ends[i] = now

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(runners))]
    for thread in threads:
        thread.start()
    begin, cpu = time.perf_counter(), time.process_time()
    go.wait()
    for thread in threads:
        thread.join()
    n = sum(counts)
    return Rate(n / (max(ends) - begin), (time.process_time() - cpu) / n, min(counts) / n)


def in_another_process(model: Path) -> subprocess.Popen[str]:
    """A process that runs the model until its stdin is closed."""
    command = [sys.executable, "-m", "benchmarks.sidebyside", "--run", str(model)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def run_until_told(model: Path) -> None:
    """Counts runs for a line of stdin that says how many seconds; ends when stdin does."""
    run = runner(model)
    run()
    print("ready", flush=True)
    for line in sys.stdin:
        found = rate([run], float(line))
        print(found.runs, found.cpu_s, flush=True)


def with_another_process(run: Runner, other: subprocess.Popen[str]) -> Rate:
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write(f"{SECONDS}\n")
    other.stdin.flush()
    mine = rate([run])
    runs, cpu_s = map(float, other.stdout.readline().split())
    both = mine.runs + runs
    return Rate(both, (mine.runs * mine.cpu_s + runs * cpu_s) / both, min(mine.runs, runs) / both)


def measure(model: Path) -> list[Row]:
    n = len(asymo.InferenceSession(model).placement)
    alone, twin = runner(model), runner(model)
    parked = runner(model, spins=False)
    other = in_another_process(model)
    cases: dict[str, Callable[[], Rate]] = {
        "one session alone": lambda: rate([alone]),
        "one session, two threads": lambda: rate([alone, alone]),
        "two sessions, one pool": lambda: rate([alone, twin]),
        "two sessions, two pools": lambda: rate([alone, parked]),
        "two processes": lambda: with_another_process(alone, other),
    }
    if n > 1:
        half = ",".join(map(str, asymo.InferenceSession(model).placement[: n // 2]))
        rest = ",".join(map(str, asymo.InferenceSession(model).placement[n // 2 :]))
        halves = [runner(model, cores=half), runner(model, cores=rest)]
        cases["two sessions, half the cores each"] = lambda: rate(halves)
        cases["two sessions, all and half of the cores"] = lambda: rate([alone, halves[1]])
    many = runner(model, threads=4 * n)
    cases[f"{4 * n} workers on {n} CPUs"] = lambda: rate([many])
    for run in (alone, twin, parked, many):
        run()
    single = runner(model, threads=1)
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        cpu_s = rate([single], SECONDS / 2).cpu_s
        for name, case in cases.items():
            before, (runs, cpu, rarer), after = rate([alone], SECONDS / 2), case(), rate([alone], SECONDS / 2)
            found[name].append((runs, (before.runs + after.runs) / 2 / runs, cpu / cpu_s, rarer))
    assert other.stdin is not None
    other.stdin.close()
    other.wait()
    rows: list[Row] = []
    for name, samples in found.items():
        runs, slowdown, cpu, rarer = (statistics.median(column) for column in zip(*samples, strict=True))
        rows.append(
            {"model": model.stem, "case": name, "runs/s": runs, "slowdown": slowdown, "CPU": cpu, "rarer": rarer if rarer < 1 else ""}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    np.seterr(all="ignore")
    if args.run:
        run_until_told(args.models[0])
        return
    for model in args.models:
        print(table(measure(model), "text") + "\n", flush=True)


if __name__ == "__main__":
    main()
