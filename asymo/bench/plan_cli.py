"""asymo-bench plan: what runs where, in which units, for how long and why, on this machine or on a recorded device."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import asymo
from asymo.bench import feeds
from asymo.bench.report import Row, table
from asymo.cost.devices import from_profile
from asymo.cost.speeds import Machine
from asymo.device import profile, tree
from asymo.errors import InvalidArgumentError
from asymo.plan import explain
from asymo.plan.plan import Plan
from asymo.runtime.crew import Wish, muster
from asymo.runtime.planning import plan_for
from asymo.runtime.profile import Record
from asymo.runtime.team import Team, wish

Form = Callable[[argparse.ArgumentParser], None]

WARMUP, RUNS = 3, 25
TOLERANCE = 0.1
"""A prediction is good when it is this near to what was measured."""

PRODUCTS = ("gemm", "conv", "winograd", "dwconv")
"""Step kinds that the cost model's promise is about: GEMM and convolution."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], add_inputs: Form, add_format: Form) -> None:
    """Registers the subcommand."""
    show = commands.add_parser("plan", help="show what runs where, in which units, for how long, and why")
    show.add_argument("model", type=Path)
    add_inputs(show)
    show.add_argument("--device", help="plan for a device profile instead of this machine: a name, or a file of `device capture`")
    show.add_argument("--threads", type=int, default=0, help="workers (default: one per core of the core set)")
    show.add_argument("--cores", help='"all", "big", "little" or a list such as 0-3,6')
    show.add_argument("--explain", type=int, metavar="STEP", help="every term, rival and unit size that was weighed for this step")
    show.add_argument("--run", action="store_true", help="run the model, and put measured times beside the predicted ones")
    add_format(show)
    show.set_defaults(call=_plan)


def _plan(args: argparse.Namespace) -> int:
    if args.device and args.run:
        raise InvalidArgumentError("--run measures on this machine: leave --device out")
    shapes = feeds.parse_shapes(args.shape)
    measured: list[list[float]] = [[]]
    if args.run:
        plans, measured = _measure(args, shapes)
    else:
        plans = [plan_for(args.model, machine(args.device, args.cores, args.threads), shapes)]
    for plan, times in zip(plans, measured, strict=True):
        if args.explain is not None and not 0 <= args.explain < len(plan.steps):
            raise InvalidArgumentError(f"--explain {args.explain}: the plan has steps 0 to {len(plan.steps) - 1}")
        rows = explain.rows(plan)
        for row, us in zip(rows, times, strict=False):
            row.update(measured_us=us, error_percent=100 * (row["us"] / us - 1) if us else None, op=row.pop("op"), node=row.pop("node"))
        _print(args, plan, rows)
    return 0


def _print(args: argparse.Namespace, plan: Plan, rows: list[Row]) -> None:
    there = explain.machine_of(plan)
    if args.form == "json":
        steps = [
            {**row, "cores": s.sharing.cores, "chunk": s.sharing.chunk, "unit_ns": s.sharing.unit_ns, "spin_ns": s.sharing.spin_ns,
             "horizon": s.horizon, "args": s.args}
            for row, s in zip(rows, plan.steps, strict=True)
        ]  # fmt: skip
        document: Row = {"model": args.model.stem, "speeds": there.basis, "isa": there.isa, "arena_bytes": plan.arena_bytes, "steps": steps}
        if args.explain is not None:
            document["explanation"] = explain.explain(plan, args.explain).splitlines()
        print(json.dumps({**document, **summary(plan, rows)}, indent=1))
        return
    if args.explain is not None:
        print(explain.explain(plan, args.explain))
        return
    print(table([{**row, "node": _short(row["node"])} for row in rows], args.form))
    if args.form == "csv":
        return
    cores = " + ".join(f"{t.cores} {t.name}" for t in there.types)
    found = summary(plan, rows)
    print(f"\n{cores}, speeds from {there.basis}, kernels for {there.isa}; arena {plan.arena_bytes / 1e6:.2f} MB")
    print(f"predicted {found['predicted_ms']:.3f} ms in {len(rows)} steps", end="")
    if "good" in found:
        print(f", measured {found['measured_ms']:.3f} ms")
        print(f"within {TOLERANCE:.0%}: {found['good']:.0%} of {found['products']} GEMM and convolution steps, ", end="")
        print(f"{found['good_time']:.0%} of their time", end="")
    print()


def summary(plan: Plan, rows: Sequence[Row]) -> Row:
    """Predicted and measured milliseconds, and how many predictions of GEMM and convolution steps were good."""
    found: Row = {"predicted_ms": sum(row["us"] for row in rows) / 1e3}
    if not any(row.get("measured_us") for row in rows):
        return found
    products = [row for row, step in zip(rows, plan.steps, strict=True) if step.kind in PRODUCTS and row.get("measured_us")]
    good = [row for row in products if abs(row["error_percent"]) <= 100 * TOLERANCE]
    found["measured_ms"] = sum(row["measured_us"] or 0.0 for row in rows) / 1e3
    found["products"] = len(products)
    found["good"] = len(good) / len(products) if products else 1.0
    found["good_time"] = sum(r["measured_us"] for r in good) / sum(r["measured_us"] for r in products) if products else 1.0
    return found


def machine(device: str | None, cores: str | None, threads: int) -> Machine:
    """The cores to plan for: this process's, or those of a profile."""
    if device is None:
        return Team(wish(cores, threads)).crew.machine
    recorded = profile.load(device)
    known = from_profile(recorded)
    return muster(tree.machine(recorded), Wish(cores, threads), lambda _: known).machine if cores or threads else known


def _measure(args: argparse.Namespace, shapes: dict[str, tuple[int, ...]]) -> tuple[list[Plan], list[list[float]]]:
    """(plans of all segments in the order they run, measured microseconds of each step)."""
    options = asymo.SessionOptions(intra_op_num_threads=args.threads, enable_profiling=True)
    session = asymo.InferenceSession(args.model, options, cores=args.cores)
    arrays = feeds.make(session.get_inputs(), shapes, feeds.parse_files(args.input))
    for _ in range(WARMUP):
        session.run(None, arrays)
    assert session.profile is not None
    session.profile.records.clear()
    for _ in range(RUNS):
        session.run(None, arrays)
    records: dict[int, list[Record]] = {}
    for record in session.profile.records:
        records.setdefault(id(record.plan), []).append(record)
    return [r[0].plan for r in records.values()], [step_us([record.times_ns for record in r]) for r in records.values()]


def step_us(runs: Sequence[np.ndarray]) -> list[float]:
    """Median microseconds of each step over runs of [step][worker][begin, end] ns; 0 of a step without units."""
    return [float(us) for us in np.median([spans(times) for times in runs], axis=0) / 1e3]


def spans(times: np.ndarray) -> np.ndarray:
    """Nanoseconds of each step, of [step][worker][begin, end] ns: from its first worker's begin to the next step's, as a prediction has
    it, which counts a step's claims and barrier; 0 of a step without units."""
    begins = np.where(times[:, :, 1] > 0, times[:, :, 0], np.iinfo(np.int64).max).min(axis=1)
    ran = np.flatnonzero(times[:, :, 1].any(axis=1))
    found = np.zeros(len(times), np.int64)
    found[ran] = np.diff(begins[ran], append=times[:, :, 1].max(initial=0))
    return found


def _short(name: str, width: int = 32) -> str:
    return name if len(name) <= width else f"{name[: width // 2 - 2]}...{name[-width // 2 + 1 :]}"
