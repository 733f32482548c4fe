"""asymo: `compile` makes `.asymo` files, `check` reads them whole. Results go to stdout; the exit code is 2 on misuse or a bad file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import asymo
from asymo import _core
from asymo.bench.plan_cli import machine
from asymo.cost.speeds import Machine, generic
from asymo.errors import AsymoError, InvalidArgumentError
from asymo.runtime.compile import WEIGHTS, compile_model
from asymo.runtime.compiled import CompiledModel

CLOCK, FMA = 2e9, 8
"""Of the one core that is planned for when a foreign instruction set is named without a device."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="asymo", description="Compiles ONNX models for machines without the package onnx.")
    top.add_argument("--version", action="version", version=f"asymo {asymo.__version__} ({_core.isa_name()})")
    commands = top.add_subparsers(dest="command", required=True)
    make = commands.add_parser("compile", help="write graph, plans and packed weights of a model to one file")
    make.add_argument("model", type=Path, help="an ONNX model")
    make.add_argument("-o", "--output", type=Path, help="the file to write (default: MODEL.asymo)")
    make.add_argument("--device", help="plan for a device profile, not for this machine: a name, or a file of `asymo-bench device capture`")
    make.add_argument("--isa", help="instruction sets to pack for, e.g. neon or neon,avx2 (default: the device's, else this machine's)")
    make.add_argument("--shape", action="append", default=[], metavar="NAME:1x3x224x224", help="shape of an input; again: another one")
    make.add_argument("--threads", type=int, default=0, help="workers to plan for (default: one per core of the core set)")
    make.add_argument("--cores", help='"all", "big", "little" or a list such as 0-3,6')
    make.add_argument("--weights", choices=WEIGHTS, default="auto", help="whether unpacked weights stay, for shapes not named here")
    make.add_argument("--allow-host", action="store_true", help="write models with host steps, too; they need the package onnx")
    make.set_defaults(call=_compile)
    check = commands.add_parser("check", help="read files whole and compare them with their hashes")
    check.add_argument("file", type=Path, nargs="+")
    check.set_defaults(call=_check)
    return top


def machines(device: str | None, isas: str | None, cores: str | None, threads: int) -> list[Machine]:
    """What to plan for, one for each instruction set. A device or this machine has its own; of others no more is known than a core."""
    known = machine(device, cores, threads)
    found = []
    for isa in isas.split(",") if isas else [known.isa]:
        if isa == known.isa:
            found.append(known)
        elif device is not None:
            raise InvalidArgumentError(f"--isa {isas}: the device {device} has {known.isa}; leave --isa out, or leave --device out")
        else:
            one = generic("all", 1, CLOCK, FMA)
            found.append(known._replace(types=(one,), isa=isa, geometry=_core.geometry_of(isa), basis="one core", fingerprint={}))
    return found


def shape_sets(texts: Sequence[str]) -> list[dict[str, tuple[int, ...]]]:
    """["x:1x3", "x:2x3", "y:4"] -> [{x: (1, 3), y: (4,)}, {x: (2, 3), y: (4,)}]: an input named again begins another set, in which inputs
    that are named once keep their shape. The name "" is that of the only input."""
    lists: dict[str, list[tuple[int, ...]]] = {}
    for text in texts:
        name, _, dims = text.rpartition(":")
        try:
            shape = tuple(int(d) for d in dims.replace(",", "x").split("x")) if dims else ()
        except ValueError:
            raise InvalidArgumentError(f"--shape {text!r}: write NAME:1x3x224x224") from None
        lists.setdefault(name, []).append(shape)
    many = {len(shapes) for shapes in lists.values()} - {1}
    if len(many) > 1:
        raise InvalidArgumentError("--shape: " + ", ".join(f"{n} has {len(s)} shapes" for n, s in lists.items()) + "; give as many of each")
    return [{n: s[i if len(s) > 1 else 0] for n, s in lists.items()} for i in range(many.pop() if many else 1)]


def _compile(args: argparse.Namespace) -> int:
    target = args.output or args.model.with_suffix(".asymo")
    wanted = machines(args.device, args.isa, args.cores, args.threads)
    done = compile_model(args.model, target, wanted, shape_sets(args.shape), weights=args.weights, allow_host=args.allow_host)
    for there in wanted:
        cores = " + ".join(f"{t.cores} {t.name}" for t in there.types)
        print(f"{there.isa}: planned for {cores}, speeds from {there.basis}")
    note = f", {done.left_out / 1e6:.1f} MB of weights in packed form only" if done.left_out else ""
    print(f"{target}: {done.nbytes / 1e6:.1f} MB, {done.plans} plan{'s' * (done.plans != 1)}{note}")
    if not done.plans:
        print(
            "no part can be planned before it has run: the file holds the graph and the weights, and plans are made where it runs",
            file=sys.stderr,
        )
    return 0


def _check(args: argparse.Namespace) -> int:
    for path in args.file:
        model = CompiledModel(path, verify=True)
        names = ", ".join(f"{i.name} {i.type}{i.shape}" for i in model.meta.inputs)
        print(f"{path}: sound; {model.meta.graph_name!r} for {', '.join(model.isas)}, inputs {names}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script."""
    args = parser().parse_args(argv)
    try:
        return int(args.call(args))
    except (AsymoError, OSError) as error:
        print(f"asymo: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
