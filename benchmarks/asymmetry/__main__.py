"""python -m benchmarks.asymmetry uniform|sliced|interference|dispatch. Each prints Markdown; --json FILE keeps every sample."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from asymo.bench.report import table
from benchmarks.asymmetry import dispatch, interference, sliced, uniform
from benchmarks.asymmetry.efficiency import Sample, Verdict, by_distance, parse_numbers, pivot, two_digits, utilisations
from benchmarks.asymmetry.rounds import Gate, heading
from benchmarks.asymmetry.slow import NotPossible, Probe, real_time


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks.asymmetry", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    for module in (uniform, sliced, interference, dispatch):
        module.add(commands)
    for command in commands.choices.values():
        if command.get_default("report") is None:
            command.set_defaults(report=report)
        command.add_argument("--cpus", default="0,1", help="the full core and the slow one (default 0,1)")
        command.add_argument("--rounds", type=int, default=7)
        command.add_argument("--seconds", type=float, default=0.1, help="length of a batch")
        command.add_argument(
            "--patience", type=float, default=120, help="seconds in all to wait for cores that share a cache (default 120)"
        )
        command.add_argument("--json", type=Path, help="write every sample to this file")
    return top


def report(args: argparse.Namespace, gate: Gate) -> int:
    """Measures, prints the tables of efficiency and slowdown for every kind of slowness, and the verdicts. 1 when one is bad."""
    samples: list[Sample] = args.measure(args, gate)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps([s.row() for s in samples], indent=1))
    print(heading("T(full core alone) / (T(both) x (1 + share)): 1 is ideal", gate))
    for how in dict.fromkeys(s.how for s in samples):
        for distance, found in by_distance([s for s in samples if s.how == how]):
            title = f"{how}; {distance}"
            print(table(two_digits(pivot(found, "who", lambda s: s.efficiency)), "markdown", f"{title}: efficiency") + "\n")
            print(table(two_digits(pivot(found, "who", lambda s: s.slowdown)), "markdown", f"{title}: T(both) / T(full core alone)") + "\n")
    if samples and (used := utilisations(samples, uniform.OURS)):
        print(table(used, "markdown", f"Utilisation of the workers in percent, {uniform.OURS}") + "\n")
    verdicts: list[Verdict] = args.verdicts(samples)
    print("\n".join(f"    {verdict}" for verdict in verdicts))
    return int(any(verdict.broken for verdict in verdicts))


def main() -> int:
    args = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the with blocks end what they started
    args.cpus = tuple(int(cpu) for cpu in args.cpus.split(","))
    for name in ("slowdowns", "shares", "periods"):
        if hasattr(args, name):
            setattr(args, name, parse_numbers(getattr(args, name)))
    for name in ("models", "peers", "policies"):
        if hasattr(args, name):
            setattr(args, name, [part for part in getattr(args, name).split(",") if part])
    try:
        real_time()
        gate = Gate(Probe(args.cpus), args.patience)
        return int(args.report(args, gate))
    except NotPossible as error:
        print(f"benchmarks.asymmetry: {error}", file=sys.stderr)
        return 77
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
