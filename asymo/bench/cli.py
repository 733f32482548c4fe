"""asymo-bench. Results go to stdout, progress to stderr; the exit code is 0 on success, 1 when a result is wrong, 2 on misuse."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import asymo
from asymo import _core, knobs
from asymo.bench import calibrate_cli, compare, demo, device_cli, doctor_cli, energy, feeds, frequency_cli, plan_cli, simulate_cli, sustain
from asymo.bench.measure import measure
from asymo.bench.peers import PEERS
from asymo.bench.report import FORMATS, Progress, Row, table
from asymo.bench.worker import peak_memory_mb
from asymo.errors import AsymoError
from asymo.runtime.profile import summarise


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="asymo-bench", description="Runs, measures and compares ONNX models. Without arguments: the demo.")
    top.add_argument("--version", action="version", version=f"asymo {asymo.__version__} ({_core.isa_name()})")
    commands = top.add_subparsers(dest="command")

    run = commands.add_parser("run", help="measure one model")
    run.add_argument("model", type=Path)
    _add_inputs(run)
    run.add_argument("--threads", type=int, default=0, help="workers (default: one per core of the core set)")
    run.add_argument("--cores", help='"all", "big", "little" or a list such as 0-3,6')
    run.add_argument("--warmup", type=int, default=3, help="untimed runs first (default 3)")
    many = run.add_mutually_exclusive_group()
    many.add_argument("--runs", type=int, default=0, help="timed runs")
    many.add_argument("--seconds", type=float, default=3.0, help="time until this long has passed (default 3)")
    many.add_argument("--sustain", metavar="30m", help="run for so long; report latency, clocks, temperatures and power minute by minute")
    run.add_argument("--plot", type=Path, metavar="FILE.svg|png", help="draw what --sustain reports (needs matplotlib)")
    run.add_argument("--energy", action="store_true", help="joules per inference, watts, energy-delay product, and where they come from")
    run.add_argument("--profile", action="store_true", help="a table of the steps, and a Chrome trace in asymo_profile_*.json")
    _add_format(run)
    run.set_defaults(call=_run)

    versus = commands.add_parser("compare", help="measure models against other runtimes, interleaved")
    versus.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="MODEL.npz beside a model holds its inputs")
    _add_inputs(versus)
    versus.add_argument("--peers", default="onnxruntime", help=f"from {', '.join(p for p in PEERS if p != 'asymo')}")
    versus.add_argument("--threads", default="1", help="thread counts, e.g. 1,2")
    versus.add_argument("--rounds", type=int, default=5)
    versus.add_argument("--seconds", type=float, default=0.4, help="per runtime and round")
    versus.add_argument("--loads", type=int, default=1, help="how many new processes of each the load time is the median of")
    versus.add_argument("--pin", choices=("mask", "each"), default="mask", help="each: one CPU for every thread that works")
    versus.add_argument("--realtime", action="store_true", help="above everything else (SCHED_RR; root or CAP_SYS_NICE); with --pin each")
    versus.add_argument("--energy", action="store_true", help="joules per inference of each; lengthens --seconds to what the meter needs")
    versus.add_argument("--cache", type=Path, help="folder in which converted models are kept (default: none are)")
    _add_format(versus)
    versus.set_defaults(call=_compare)

    show = commands.add_parser("knobs", help="list the environment variables")
    _add_format(show)
    show.set_defaults(call=_knobs)
    device_cli.add(commands, _add_format)
    doctor_cli.add(commands)
    calibrate_cli.add(commands, _add_format)
    plan_cli.add(commands, _add_inputs, _add_format)
    simulate_cli.add(commands, _add_format)
    frequency_cli.add(commands, _add_format)
    return top


def _add_inputs(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--shape", action="append", default=[], metavar="NAME:1x3x224x224", help="shape of an input with symbolic dimensions"
    )
    command.add_argument("--input", action="append", default=[], metavar="NAME:FILE.npy", help="elements of an input; .npz: of several")


def _add_format(command: argparse.ArgumentParser) -> None:
    group = command.add_mutually_exclusive_group()
    for form in FORMATS[1:]:
        group.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="text")


def _run(args: argparse.Namespace) -> int:
    options = asymo.SessionOptions(intra_op_num_threads=args.threads, enable_profiling=args.profile)
    session = asymo.InferenceSession(args.model, options, cores=args.cores)
    arrays = feeds.make(session.get_inputs(), feeds.parse_shapes(args.shape), feeds.parse_files(args.input))
    if args.sustain:
        return _sustain(args, session, arrays)
    with Progress(args.model.name) as progress:
        samples = measure(
            lambda: session.run(None, arrays),
            warmup=args.warmup,
            runs=args.runs,
            seconds=0 if args.runs else args.seconds,
            progress=progress,
        )
    row: Row = {"model": args.model.stem, "workers": len(session.placement), "isa": _core.isa_name(), **samples.summary()}
    row["peak_mb"] = peak_memory_mb()
    spent = _energy(args, session, arrays) if args.energy else None
    row |= spent.row() if spent else {}
    steps = summarise(session.profile.records) if session.profile is not None else []
    if args.form == "json":
        document: dict[str, Any] = {**row, "placement": session.placement, "host_ops": session.host_ops, "samples_ns": list(samples.ns)}
        document |= {"energy_detail": spent.detail} if spent else {}
        document["knobs"] = {k.name: k.get() for k in knobs.KNOBS if k.get() is not None}
        print(json.dumps({**document, "steps": steps} if steps else document, indent=1))
    else:
        print(table([row], args.form))
        if spent and args.form != "csv":
            print(f"\nenergy: {spent.method}: {spent.detail}")
        if session.host_ops:
            print(f"\nhost steps: {', '.join(f'{n} ({op})' for n, op in session.host_ops.items())}")
        if steps:
            print("\n" + table([{**s, "node": _short(str(s["node"]))} for s in steps], args.form))
    if args.profile:
        print(f"trace: {session.end_profiling()}", file=sys.stderr)
    return 0


def _energy(args: argparse.Namespace, session: asymo.InferenceSession, arrays: dict[str, np.ndarray]) -> energy.Energy:
    """Measured where there is a meter, else modelled."""
    with energy.meter(session.placement) as (sampler, found):
        if sampler is not None:
            return energy.measure(lambda: session.run(None, arrays), sampler)
    return energy.modelled(args.model, arrays, args.cores, args.threads) or energy.unavailable(found)


def _sustain(args: argparse.Namespace, session: asymo.InferenceSession, arrays: dict[str, np.ndarray]) -> int:
    """asymo-bench run --sustain."""

    def call() -> object:
        return session.run(None, arrays)

    total = sustain.seconds(args.sustain)
    for _ in range(args.warmup):
        call()
    with energy.meter(session.placement) as (sampler, found), Progress(args.model.name) as progress:
        base = energy.idle(sampler).watts if sampler else 0.0
        rows = sustain.rows(sustain.run(call, total, sampler=sampler, progress=progress), base)
    title = f"{args.model.stem}, {len(session.placement)} workers"
    print(table(rows, args.form, "" if args.form == "csv" else title))
    if args.form in ("text", "markdown"):
        meter = f"{energy.describe(sampler.meter)}; idle {base:.3g} W subtracted from J" if sampler else energy.unavailable(found).detail
        print(f"\nenergy: {meter}")
    if args.plot:
        sustain.draw(rows, args.plot, title)
        print(f"drawing: {args.plot}", file=sys.stderr)
    return 0


def _short(name: str, width: int = 48) -> str:
    """The name's beginning and end; exporters join all names of what they fused."""
    return name if len(name) <= width else f"{name[: width // 2 - 2]}...{name[-width // 2 + 1 :]}"


def _compare(args: argparse.Namespace) -> int:
    peers = [p.strip() for p in args.peers.split(",") if p.strip()]
    unknown = [p for p in peers if p not in PEERS]
    if unknown:
        raise asymo.InvalidArgumentError(f"--peers {','.join(unknown)}: choose from {', '.join(PEERS)}")
    threads = [int(t) for t in args.threads.split(",")]
    if args.realtime:
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            raise asymo.InvalidArgumentError("--realtime needs root or CAP_SYS_NICE") from None
    rows: list[Row] = []
    for model in args.models:
        beside = model.with_suffix(".npz")
        arrays = feeds.parse_files([*([str(beside)] if beside.exists() else []), *args.input])
        declared = asymo.InferenceSession(model, asymo.SessionOptions(intra_op_num_threads=1)).get_inputs()
        made = feeds.make(declared, feeds.parse_shapes(args.shape), arrays)
        with Progress(model.name) as progress:
            found = compare.compare(
                model,
                made,
                peers,
                threads,
                rounds=args.rounds,
                seconds=args.seconds,
                loads=args.loads,
                cache=args.cache,
                pin=args.pin,
                with_energy=args.energy,
                progress=progress,
            )
        rows += found
        if len(args.models) > 1 and args.form == "text":
            print(table(found, "text") + "\n", flush=True)
    if len(args.models) == 1 or args.form != "text":
        print(table(rows, args.form))
    if len(args.models) > 1 and args.form in ("text", "markdown"):
        print("\n" + table(compare.geometric_means(rows), args.form, "Geometric means (above 1: Asymo is faster)"))
    wrong = [r for r in rows if r["peer"] == "asymo" and not (r.get("difference") is not None and r["difference"] <= 1e-3)]
    for row in wrong:
        print(f"{row['model']}: {row.get('error') or 'the outputs differ by ' + str(row.get('difference'))}", file=sys.stderr)
    return 1 if wrong else 0


def _knobs(args: argparse.Namespace) -> int:
    rows = [{"knob": k.name, "type": k.type.__name__, "value": k.get(), "what": k.doc} for k in knobs.KNOBS]
    print(table(rows, args.form))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of the console script."""
    args = parser().parse_args(argv)
    np.seterr(all="ignore")
    try:
        return demo.main() if args.command is None else args.call(args)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = None
        return 0
    except (AsymoError, OSError) as error:
        print(f"asymo-bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
