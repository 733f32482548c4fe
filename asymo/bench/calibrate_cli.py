"""asymo-bench calibrate: measures the kernels on this machine's core types and keeps the result for the planner."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from asymo.bench.report import Progress
from asymo.cost import calibrate, calibration, text
from asymo.device import topology

Form = Callable[[argparse.ArgumentParser], None]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], add_format: Form) -> None:
    """Registers the subcommand."""
    run = commands.add_parser("calibrate", help="measure this machine's cores, for the planner")
    run.add_argument("--quick", action="store_true", help="about a second instead of 16: one core of each type, fewer shapes")
    run.add_argument("--seconds", type=float, default=0.0, help="time limit")
    run.add_argument("--show", action="store_true", help="print the kept calibration instead of making one")
    run.add_argument("-o", "--output", type=Path, help="write to this file (default: where the planner looks, see ASYMO_CALIBRATION)")
    add_format(run)
    run.set_defaults(call=_calibrate)


def _calibrate(args: argparse.Namespace) -> int:
    here = topology.read()
    if args.show:
        kept = calibration.load(here)
        if kept is None:
            print(f"no calibration at {calibration.path()}: run `asymo-bench calibrate`", file=sys.stderr)
            return 1
        print(text.dump(kept) if args.form == "json" else calibrate.describe(kept))
        return 0
    with Progress("calibrating") as progress:
        made = calibrate.measure(here, args.quick, args.seconds, progress)
    where = calibration.save(made, args.output)
    print(text.dump(made) if args.form == "json" else calibrate.describe(made))
    print(f"written to {where}", file=sys.stderr)
    return 0
