"""python -m benchmarks.cost speed | accuracy MODELS... | tiles MODELS...: the cost model held against the clock.

speed     milliseconds of CPU time in which the section 6 model chooses the cores of 100 steps, on four made-up machines
accuracy  predicted and measured time of every step of whole models: which part lies within 10 %, by kernel class
tiles     the units that the planner picks beside the best of an exhaustive search, step by step

The last two use this machine's kept calibration (asymo-bench calibrate), or make one. `--threads 1,2` compares numbers of workers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from asymo import _core
from asymo.bench import feeds
from asymo.bench.plan_cli import spans
from asymo.bench.report import Row, table
from asymo.cost import calibrate, calibration, features, pace, steps
from asymo.cost.model import CoreType, Work, choose
from asymo.cost.speeds import Machine, Rates
from asymo.cost.text import parse
from asymo.device import topology
from asymo.errors import AsymoError
from asymo.plan.explain import predicted
from asymo.plan.plan import Step
from asymo.plan.share import Sharer
from asymo.plan.tiles import Fitter
from asymo.plan.touch import run_bytes
from asymo.runtime.planning import plan_for
from asymo.runtime.session import InferenceSession
from asymo.runtime.stage import Arena, Segment

MAIN = ("gemm", "gemv", "conv", "winograd2", "winograd4", "dwconv")
"""The classes that the +-10 % goal is about."""

CLOSE, QUANTILE = 0.1, 0.25

# ---- speed

ROUNDS = 15
BIG = CoreType("big", 4, F=20e9, F1=22e9, B=20e9, B1=12e9, t=1e-7, l1_bytes=64 << 10, l2_bytes=512 << 10)
LITTLE = CoreType("little", 4, F=6e9, F1=6e9, B=8e9, B1=4e9, t=2e-7, l1_bytes=32 << 10, l2_bytes=128 << 10)
PRIME = CoreType("prime", 1, F=40e9, F1=40e9, B=20e9, B1=20e9, t=1e-7, l1_bytes=64 << 10, l2_bytes=1 << 20)
P = CoreType("P", 8, F=90e9, F1=110e9, B=40e9, B1=20e9, t=1e-7, l1_bytes=48 << 10, l2_bytes=2 << 20)
E = CoreType("E", 16, F=45e9, F1=50e9, B=30e9, B1=10e9, t=1e-7, l1_bytes=32 << 10, l2_bytes=4 << 20, l2_sharers=4)
MACHINES = {"4": [BIG], "4 + 4": [BIG, LITTLE], "1 + 4 + 4": [PRIME, BIG, LITTLE], "8 + 16": [P, E]}
STEPS = [
    Work("gemm", m, n, k, mr=8, nr=8)
    for m in (1, 49, 196, 784, 3136)
    for n in (16, 64, 256, 1000)
    for k in (9, 64, 576, 1152, 4608)
]  # fmt: skip


def speed(_: argparse.Namespace) -> None:
    rows: list[Row] = []
    for name, types in MACHINES.items():
        times = []
        for _round in range(ROUNDS):
            begin = time.process_time()
            for work in STEPS:
                choose(work, types, wake_s=1e-6, barrier_s=1e-6, memory_B=25e9)
            times.append(time.process_time() - begin)
        rows.append({"cores": name, "steps": len(STEPS), "ms": sorted(times)[ROUNDS // 2] * 1e3})
    print(table(rows, "markdown"))


# ---- this machine


def machine_of(threads: int, file: str | None) -> tuple[Machine, list[int]]:
    """(the calibrated machine with so many workers, their CPUs), the fastest cores first."""
    here = topology.read()
    if file:
        whole: Machine | None = parse(Path(file).read_text(), file)
    else:
        whole = calibration.load(here)
    if whole is None:
        print("no calibration is kept: making one", file=sys.stderr)
        whole = calibrate.measure(here)
    cpus: list[int] = []
    cores: dict[str, int] = {}
    for kind, each in zip(here.types, whole.types, strict=True):
        mine = [core.cpu for core in kind][: threads - len(cpus)]
        cores[each.name] = len(mine)
        cpus += mine
    return whole.restrict(cores), cpus


def pool_of(machine: Machine, cpus: Sequence[int]) -> _core.Pool:
    types = [t for t, each in enumerate(machine.types) for _ in range(each.cores)]
    return _core.Pool([_core.Worker(cpu, t, in_order=machine.types[t].in_order) for cpu, t in zip(cpus, types, strict=True)])


# ---- accuracy


def accuracy(args: argparse.Namespace) -> None:
    records: list[dict[str, Any]] = []
    for threads in args.threads:
        machine, cpus = machine_of(threads, args.calibration)
        print(f"{threads} workers: {machine.basis} of {machine.date}, spread {machine.spread:.1%}", file=sys.stderr)
        pool = pool_of(machine, cpus)
        subjects: list[Subject] = []
        for path in args.models:
            try:
                subjects.append(Subject(path, machine, pool))
            except (AsymoError, OSError) as error:
                print(f"{path}: left out: {error}", file=sys.stderr)
        visit(subjects, args.seconds * len(subjects))
        found = [row for each in subjects for row in each.rows()]
        print("pace, of the calibration's:", ", ".join(f"{each.name} {each.slower:.3f}" for each in subjects), file=sys.stderr)
        print(f"\n## {threads} workers\n")
        print(table(by_class(found), "markdown"))
        if args.models_table:
            print("\n" + table(by_model(found), "markdown"))
        worst = sorted((r for r in found if r["class"] in MAIN), key=lambda r: -abs(r["predicted_us"] / r["us"] - 1))[: args.worst]
        if worst:
            print("\n" + table([{**r, "error_%": 100 * (r["predicted_us"] / r["us"] - 1)} for r in worst], "markdown"))
        records += [{**r, "threads": threads} for r in found]
        pool.close()
    if args.output:
        args.output.write_text("\n".join(map(json.dumps, records)) + "\n")


VISIT_S, VISIT_RUNS, GOOD = 0.1, 3, 0.1
"""A visit to a model takes so long, and as many runs at least; the quantile of the paces around them that is a good one."""


def calibrated_pace(machine: Machine) -> float:
    """Seconds of the product of pace.py at which a machine's figures hold; 0 where they were not measured, or for cores that differ: their
    calibrations had it for themselves."""
    kind = machine.types[0]
    return 0.0 if len(machine.types) > 1 else Rates((kind.pace[0],), (kind.pace[1],)).at(kind.cores, kind.of)[0]


def at_pace(machine: Machine, slower: float) -> Machine:
    """The machine with clocks that are so many times slower: memory stays as it is."""

    def scaled(name: str, seconds: Sequence[float]) -> tuple[float, ...]:
        return tuple(s if f in features.MEMORY else s * slower for f, s in zip(features.CLASSES[name], seconds, strict=True))

    types = (t._replace(classes={n: Rates(scaled(n, r.alone), scaled(n, r.busy)) for n, r in t.classes.items()}) for t in machine.types)
    return machine._replace(types=tuple(types))


class Subject:
    """A model, planned, and what it took in visits to it: for every run the pace of the workers around it, and its steps' spans in ns."""

    def __init__(self, path: Path, machine: Machine, pool: _core.Pool) -> None:
        inputs = feeds.make(InferenceSession(path).get_inputs(), {}, {})
        self.name, self.machine, self.workers = path.stem, machine, pool.workers
        self.plan = plan_for(path, machine, {name: array.shape for name, array in inputs.items()})
        self.paces: list[float] = []
        self.spans: list[np.ndarray] = []
        self._pace = pace.Pace(pool)
        self._segment = Segment(self.plan, pool, Arena())
        self._arrays = [np.ascontiguousarray(inputs[port.name]) for port in self.plan.inputs]
        self._segment(self._arrays)

    def visit(self) -> None:
        """A few runs, one after the other."""
        runs, deadline = 0, time.perf_counter() + VISIT_S
        self._segment(self._arrays)
        after = self._pace()
        while runs < VISIT_RUNS or time.perf_counter() < deadline:
            before, times = after, np.zeros((len(self.plan.steps), self.workers, 2), np.int64)
            self._segment.timed(self._arrays, times)
            after = self._pace()
            self.spans.append(spans(times))
            self.paces.append(max(before, after))
            runs += 1

    @property
    def calm(self) -> list[int]:
        """The runs at a good pace."""
        return pace.calm(self.paces, float(np.quantile(self.paces, GOOD)))

    @property
    def slower(self) -> float:
        """The pace of these runs, of that of the calibration."""
        known = calibrated_pace(self.machine)
        return float(np.median([self.paces[i] for i in self.calm])) / known if known else 1.0

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row a step, from the runs at a good pace; predicted for this pace."""
        typical = np.quantile([self.spans[i] for i in self.calm], QUANTILE, axis=0)
        plan = self.plan._replace(machine=at_pace(self.machine, self.slower))
        for index, (step, ns, seconds) in enumerate(zip(plan.steps, typical, predicted(plan), strict=True)):
            if ns > 0:
                yield {
                    "model": self.name, "step": index, "class": steps.classify(step.kind, step.args, self.machine.geometry[0]),
                    "shape": shape_of(step), "workers": max(sum(step.sharing.cores), 1),
                    "us": float(ns) / 1e3, "predicted_us": 1e6 * seconds,
                }  # fmt: skip


def visit(subjects: Sequence[Subject], seconds: float) -> None:
    """Visits all in turn, so that a slow moment of the machine spoils one visit of each."""
    deadline = time.perf_counter() + seconds
    while True:
        for subject in subjects:
            subject.visit()
        if time.perf_counter() > deadline:
            break


def shape_of(step: Step) -> str:
    """The step's sizes in a word."""
    a: Mapping[str, Any] = step.args
    match step.kind:
        case "gemm":
            return f"{'x'.join(map(str, a['batch']))} {a['m']}x{a['n']}x{a['k']}"
        case "conv":
            return f"{a['groups']} {a['in'][1:]} {a['c']}->{a['n']} {a['kernel'][1:]}/{a['stride'][2]}"
        case "winograd":
            return f"{a['in']} {a['c']}->{a['n']} F{a['tile']}x{a['kernel'][0]}"
        case "dwconv":
            return f"{a['in']} {a['channels']} {a['kernel']}/{a['stride'][1]}"
    return ""


def by_class(found: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Per class: how many steps and how much of the time lie within 10 %, and how far off the others are."""
    rows: list[Row] = []
    groups = {name: [r for r in found if r["class"] == name] for name in features.CLASSES}
    groups["all GEMM and convolution"] = [r for r in found if r["class"] in MAIN]
    groups["all"] = list(found)
    for name, group in groups.items():
        if group:
            error = np.array([r["predicted_us"] / r["us"] - 1 for r in group])
            share = np.array([r["us"] for r in group]) / sum(r["us"] for r in group)
            close = np.abs(error) <= CLOSE
            rows.append(
                {
                    "class": name, "steps": len(group), "within_10_%": 100 * float(close.mean()),
                    "of_time_%": 100 * float(share[close].sum()),
                    "median_%": 100 * float(np.median(error)), "p10_%": 100 * float(np.quantile(error, 0.1)),
                    "p90_%": 100 * float(np.quantile(error, 0.9)),
                }
            )  # fmt: skip
    return rows


def by_model(found: Sequence[Mapping[str, Any]]) -> list[Row]:
    rows: list[Row] = []
    for model in dict.fromkeys(r["model"] for r in found):
        group = [r for r in found if r["model"] == model]
        us, said = sum(r["us"] for r in group), sum(r["predicted_us"] for r in group)
        rows.append({"model": model, "steps": len(group), "us": us, "predicted_us": said, "error_%": 100 * (said / us - 1)})
    return rows


# ---- tiles


@dataclass
class Trial:
    """A step with one choice of units."""

    units: dict[str, int]
    call: Callable[[], int]
    ns: list[int]

    def typical(self) -> float:
        return float(np.quantile(self.ns, QUANTILE))


FIRST_ROUNDS, LAST_ROUNDS, FINALISTS = 5, 21, 4


def tiles(args: argparse.Namespace) -> None:
    for threads in args.threads:
        machine, cpus = machine_of(threads, args.calibration)
        pool = pool_of(machine, cpus)
        rows: list[Row] = []
        seen = set()
        for path in args.models:
            try:
                inputs = feeds.make(InferenceSession(path).get_inputs(), {}, {})
                plan = plan_for(path, machine, {name: array.shape for name, array in inputs.items()})
            except (AsymoError, OSError) as error:
                print(f"{path}: left out: {error}", file=sys.stderr)
                continue
            sharer = Sharer(machine, run_bytes(plan))
            for step, seconds in zip(plan.steps, predicted(plan), strict=True):
                key = (step.kind, shape_of(step), step.args.get("act"))
                if step.kind not in SEARCHES or key in seen or seconds < args.least_us * 1e-6:
                    continue
                seen.add(key)
                rows.append({"model": path.stem, "shape": f"{step.kind} {key[1]}", **search(step, sharer, pool)})
                print(f"{len(rows)}: {rows[-1]}", file=sys.stderr)
        print(f"\n## {threads} workers\n")
        loss = np.array([float(r["loss_%"]) for r in rows])
        if len(loss):
            print(
                f"{len(loss)} steps; within 3 % of the best units: {100 * (loss <= 3).mean():.0f} %; median loss {np.median(loss):.1f} %\n"
            )
            print(table(sorted(rows, key=lambda r: -float(r["loss_%"]))[: args.worst], "markdown"))
        pool.close()


def search(step: Step, sharer: Sharer, pool: _core.Pool) -> Row:
    """The planner's units beside the best of all that are tried; both measured again, in turns."""
    chosen = Fitter(sharer).fit(step.kind, step.args)
    arrays = operands(step)
    names = SEARCHES[step.kind][0]
    mine = {name: int(str(chosen[name])) for name in names}
    trials = [Trial(units, runner(step, units, arrays, sharer, pool), []) for units in sizes(step, sharer.machine, mine)]
    for _ in range(FIRST_ROUNDS):
        for trial in trials:
            trial.ns.append(trial.call())
    ours = trials[0]
    finals = [ours, *sorted(trials[1:], key=Trial.typical)[:FINALISTS]]
    for trial in finals:
        trial.ns.clear()
    for _ in range(LAST_ROUNDS):
        for trial in finals:
            trial.ns.append(trial.call())
    best = min(finals, key=Trial.typical)
    return {
        "tried": len(trials), "us": ours.typical() / 1e3, "best_us": best.typical() / 1e3,
        "loss_%": 100 * (ours.typical() / best.typical() - 1), "units": str(tuple(mine.values())), "best": str(tuple(best.units.values())),
    }  # fmt: skip


def powers(unit: int, whole: int) -> list[int]:
    """unit, 2 unit, 4 unit, ... and the whole, rounded up."""
    top = features.round_up(max(whole, 1), unit)
    found = [unit << i for i in range(12) if unit << i < top]
    return [*found, top]


def _gemm_sizes(m: int, n: int, machine: Machine) -> Iterator[tuple[int, ...]]:
    mr, nr = machine.geometry
    thirds = {features.round_up(features.ceil_div(m, parts), mr) for parts in (3, 5, 6, 10, 12)}
    for unit_m in sorted({*powers(mr, m), *thirds}):
        for unit_n in powers(nr, n):
            if features.ceil_div(m, unit_m) * features.ceil_div(n, unit_n) <= 4096:
                for n_fastest in (0, 1) if unit_m < m and unit_n < n else (1,):
                    yield unit_m, unit_n, n_fastest


SEARCHES: dict[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any], Machine], Iterator[tuple[int, ...]]]]] = {
    "gemm": (("unit_m", "unit_n", "n_fastest"), lambda a, machine: _gemm_sizes(a["m"], a["n"], machine)),
    "conv": (("unit_m", "unit_n", "n_fastest"), lambda a, machine: _gemm_sizes(a["batch"] * prod(a["out"]), a["n"], machine)),
    "winograd": (
        ("unit_tiles", "unit_n"),
        lambda a, machine: (
            (t, n) for t in (4, 7, 8, 10, 13, 14, 18, 25, 28, 35, 49, 70, 98, 196) for n in powers(machine.geometry[1], a["n"])
        ),
    ),
    "dwconv": (
        ("unit_rows", "unit_c"),
        lambda a, _: ((rows, min(c, a["channels"])) for rows in powers(1, a["out"][0]) for c in powers(16, a["channels"])[-4:]),
    ),
}
"""Step kind -> (what its units are called, all that are tried)."""


def sizes(step: Step, machine: Machine, mine: dict[str, int]) -> list[dict[str, int]]:
    """The planner's units, then the others."""
    names, make = SEARCHES[step.kind]
    others = [dict(zip(names, values, strict=True)) for values in make(step.args, machine)]
    return [mine, *(units for units in {tuple(u.values()): u for u in others}.values() if units != mine)]


def operands(step: Step) -> list[np.ndarray | None]:
    """Arrays for a step of one of SEARCHES; bias, residual and slope as it has them."""
    a: Mapping[str, Any] = step.args
    rng = np.random.default_rng(0)
    block = rng.standard_normal(1 << 16, np.float32)

    def floats(n: int) -> np.ndarray:
        array = _core.aligned_floats(max(n, 1))
        array[:] = np.resize(block, max(n, 1))
        return array

    match step.kind:
        case "gemm":
            entries = prod(a["batch"])
            x, y, n = entries * a["m"] * max(a["lda"], a["k"]), entries * a["m"] * max(a["ldc"], a["n"]), a["n"]
            w = entries * _core.gemm_packed_size(a["k"], n)
        case "conv":
            n = a["n"] * a["groups"]
            x, y = max(a["x_batch"] * a["batch"], prod(a["in"]) * a["c"] * a["groups"]), max(a["y_batch"] * a["batch"], prod(a["out"]) * n)
            w = a["groups"] * _core.gemm_packed_size(prod(a["kernel"]) * a["c"], a["n"])
        case "winograd":
            n = a["n"]
            x, y = max(a["x_batch"] * a["batch"], prod(a["in"]) * a["c"]), max(a["y_batch"] * a["batch"], prod(a["out"]) * n)
            w = features.winograd_products(a) * _core.gemm_packed_size(a["c"], n)
        case _:
            n = a["channels"]
            x, y = max(a["x_batch"] * a["batch"], prod(a["in"]) * n), max(a["y_batch"] * a["batch"], prod(a["out"]) * n)
            w = prod(a["kernel"]) * n
    counts = (x, w, n, y, n, y)
    return [floats(count) if ref.slot >= 0 else None for count, ref in zip(counts, step.operands, strict=True)]


def runner(
    step: Step, units: Mapping[str, int], arrays: Sequence[np.ndarray | None], sharer: Sharer, pool: _core.Pool
) -> Callable[[], int]:
    """A call that runs the step once with these units, shared as the planner would, and returns nanoseconds."""
    args = {**step.args, **units}
    program = _core.Program(1, pool.workers)
    program.add(
        step.kind, args, [(i if array is not None else -1, 0) for i, array in enumerate(arrays)], sharer.decide(step.kind, args).sharing
    )
    slots = _core.Slots(len(arrays))
    for i, array in enumerate(arrays):
        if array is not None:
            slots[i] = array
    times = np.zeros((1, pool.workers, 2), np.int64)

    def run() -> int:
        program.run(pool, slots, times_ns=times)
        ran = times[0][times[0, :, 1] > 0]
        return int(ran[:, 1].max() - ran[:, 0].min())

    return run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("speed").set_defaults(call=speed)
    cores = len(topology.read().cores)
    for name, call in (("accuracy", accuracy), ("tiles", tiles)):
        command = commands.add_parser(name)
        command.add_argument("models", type=Path, nargs="+", metavar="MODEL")
        command.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], default=sorted({1, cores}))
        command.add_argument("--calibration", help="a file of asymo-bench calibrate (default: the kept one)")
        command.add_argument("--worst", type=int, default=10, help="rows of the worst steps (default 10)")
        command.set_defaults(call=call)
        if name == "accuracy":
            command.add_argument("--seconds", type=float, default=1.0, help="per model (default 1)")
            command.add_argument("--models-table", action="store_true", help="a table of the models too")
            command.add_argument("-o", "--output", type=Path, help="every step as JSON lines")
        else:
            command.add_argument("--least-us", type=float, default=30.0, help="leave out shorter steps (default 30)")
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
