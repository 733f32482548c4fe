"""asymo-bench simulate: a model on a device that is not here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from asymo.bench import feeds
from asymo.bench.report import Row, table
from asymo.cost.devices import from_profile
from asymo.device import profile
from asymo.errors import InvalidArgumentError
from asymo.plan.plan import POLICIES
from asymo.runtime.planning import plan_for
from asymo.sim import timeline
from asymo.sim.run import Result, simulate
from asymo.sim.tasks import hardware_of, tasks_of

Form = Callable[[argparse.ArgumentParser], None]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], add_format: Form) -> None:
    """Registers the subcommand."""
    command = commands.add_parser("simulate", help="simulate a model on a device profile: latency and utilisation per core")
    command.add_argument("model", type=Path)
    command.add_argument("--device", required=True, help="a name from `device list`, or a file of `device capture`")
    command.add_argument("--policy", default="all", help=f"all (default), or some of {','.join(POLICIES)}")
    command.add_argument(
        "--shape", action="append", default=[], metavar="NAME:1x3x224x224", help="shape of an input with symbolic dimensions"
    )
    command.add_argument("--trace", type=Path, help="write the first policy's timeline as a Chrome trace (ui.perfetto.dev)")
    command.add_argument("--plot", type=Path, metavar="FILE.svg|png", help="draw the first policy's timeline (needs matplotlib)")
    add_format(command)
    command.set_defaults(call=_simulate)


def _simulate(args: argparse.Namespace) -> int:
    policies = POLICIES if args.policy == "all" else tuple(p.strip() for p in args.policy.split(","))
    if unknown := [p for p in policies if p not in POLICIES]:
        raise InvalidArgumentError(f"--policy {','.join(unknown)}: choose from all, {', '.join(POLICIES)}")
    device = profile.load(args.device)
    machine = from_profile(device)
    plan = plan_for(args.model, machine, feeds.parse_shapes(args.shape))
    tasks, hardware = tasks_of(plan, machine), hardware_of(machine)
    results = [simulate(tasks, hardware, policy) for policy in policies]
    title = f"{args.model.stem} on {device.title}: SIMULATED, basis {machine.basis}"
    if args.form == "json":
        print(json.dumps({"title": title, "simulated": True, "basis": machine.basis, "policies": [_record(r) for r in results]}, indent=1))
    else:
        print(table([_row(r) for r in results], args.form, "" if args.form == "csv" else title))
    if args.trace:
        document = {"traceEvents": timeline.events(results[0], tasks), "displayTimeUnit": "ms"}
        args.trace.write_text(json.dumps(document), encoding="utf-8")
        print(f"trace: {args.trace}", file=sys.stderr)
    if args.plot:
        timeline.draw(results[0], tasks, args.plot, f"{title}, policy {results[0].policy}")
        print(f"drawing: {args.plot}", file=sys.stderr)
    return 0


def _row(result: Result) -> Row:
    cores = {result.hardware.name(core): f"{result.utilisation[core]:.0%}" for core in result.cores}
    counts: Row = {"claims": sum(result.claims), "steals": sum(result.steals), "rescues": result.rescues}
    return {"policy": result.policy, "ms": round(1e3 * result.seconds, 3), **cores, **counts}


def _record(result: Result) -> Row:
    cores = [
        {"core": result.hardware.name(core), "utilisation": result.utilisation[core], "busy_ms": 1e3 * result.busy[core],
         "units": result.units[core], "claims": result.claims[core], "steals": result.steals[core]}
        for core in result.cores
    ]  # fmt: skip
    return {"policy": result.policy, "ms": 1e3 * result.seconds, "rescues": result.rescues, "cores": cores}
