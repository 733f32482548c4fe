"""python -m benchmarks.simulate validate | all: the tables of docs/simulator.md. Every figure is simulated unless it says published."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from asymo.bench.report import FORMATS, Progress, table
from asymo.device import profile
from benchmarks.simulate import everything, validate


def main() -> int:
    top = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    check = commands.add_parser("validate", help="against ncnn's published runs")
    whole = commands.add_parser("all", help="all profiles, models and policies")
    whole.add_argument("--devices", default=",".join(profile.names()))
    whole.add_argument("--models", default=",".join(everything.MODELS))
    whole.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    whole.add_argument("--worst", type=int, default=20, help="how many of the worst cases to list")
    whole.add_argument("--rows", type=Path, help="write a row for each case to this JSON file")
    for command in (check, whole):
        command.add_argument("--format", choices=FORMATS, default="text")
    args = top.parse_args()
    return _validate(args) if args.command == "validate" else _all(args)


def _validate(args: argparse.Namespace) -> int:
    print(table(validate.figures(), args.format, "ncnn's kernels: fitted to published runs on one core type"))
    rows = validate.predictions()
    print("\n" + table(rows, args.format, "Simulated against published (ms)"))
    worst = max(abs(row["error"]) for row in rows if row["error"] is not None)
    print(f"\nlargest error: {worst:.1%}")
    return int(worst > validate.WITHIN)


def _all(args: argparse.Namespace) -> int:
    with Progress("simulating") as progress:
        found = everything.cases(args.devices.split(","), args.models.split(","), args.workers, progress)
    if args.rows:
        args.rows.write_text(json.dumps([c.row() for c in found], indent=1), encoding="utf-8")
    print("\n".join(everything.summary(found)) + "\n")
    print(table(everything.by_device(found), args.format, "By device (simulated)"))
    print("\n" + table(everything.by_model(found), args.format, "By model (simulated)"))
    worse = sorted(found, key=lambda c: -c.over_best)[: args.worst]
    print("\n" + table([c.row() for c in worse], args.format, "Furthest from the best set of cores (simulated)"))
    bound = sorted((c for c in found if c.is_compute_bound), key=lambda c: c.of_sum)[: args.worst]
    print("\n" + table([c.row() for c in bound], args.format, "Bound by computing, furthest from the sum of the cores (simulated)"))
    behind = sorted((c for c in found if c.over_rival > 1), key=lambda c: -c.over_rival)[: args.worst]
    if behind:
        print("\n" + table([c.row() for c in behind], args.format, "Where another policy is ahead most (simulated; policies over ours)"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
