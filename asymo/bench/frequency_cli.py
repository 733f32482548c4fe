"""asymo-bench frequency: the cores and clocks at which a model costs least, and what else it could cost."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asymo.bench import feeds, plan_cli
from asymo.bench.report import Row, table
from asymo.cost import energy, power
from asymo.cost.energy import Load, Setting, Survey
from asymo.cost.power import Draw
from asymo.cost.speeds import Machine
from asymo.device import profile
from asymo.errors import InvalidArgumentError, UnsupportedError
from asymo.plan import frequency
from asymo.plan.frequency import Choice
from asymo.plan.plan import Plan
from asymo.runtime import clocks
from asymo.runtime.planning import plan_for
from asymo.sim import energy as simulated
from asymo.sim import governor
from asymo.sim.energy import Joules
from asymo.sim.run import Result

Form = Callable[[argparse.ArgumentParser], None]

ROWS = 12
"""Settings of the front that are shown; --json has all."""

DOTS = 5000
"""Settings that are drawn, beside the front."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], add_format: Form) -> None:
    """Registers the subcommand."""
    command = commands.add_parser(
        "frequency", help="the cores and clocks at which a model costs least; what can be set, and putting it back"
    )
    command.add_argument("model", type=Path, nargs="?", help="without one: which clocks can be set on this machine, and by whom")
    command.add_argument("--device", help="a device profile instead of this machine: a name, or a file of `device capture`")
    command.add_argument("--policy", default="energy", help="latency, energy (default), balanced, deadline:MS or power:WATTS")
    command.add_argument("--cores", help='"all", "big", "little" or a list such as 0-3,6')
    command.add_argument(
        "--shape", action="append", default=[], metavar="NAME:1x3x224x224", help="shape of an input with symbolic dimensions"
    )
    command.add_argument("--plot", type=Path, metavar="FILE.svg|png", help="draw all settings, front and choice (needs matplotlib)")
    command.add_argument("--restore", action="store_true", help="put back what a killed process has left changed")
    add_format(command)
    command.set_defaults(call=_frequency)


@dataclass(frozen=True)
class Study:
    """A model on a machine: every setting, the one that its policy picks, those that are usual, and the plan made for the choice."""

    title: str
    machine: Machine
    draw: Draw
    policy: frequency.Policy
    model: tuple[Load, ...]
    survey: Survey
    chosen: Choice
    front: list[Choice]
    references: dict[str, Choice]
    planned: Plan
    simulated: Result
    spent: Joules


def _frequency(args: argparse.Namespace) -> int:
    if args.restore:
        return _restore()
    if args.model is None:
        print("\n".join(clocks.levers().available().explain()))
        return 0
    study = _study(args)
    if args.form == "json":
        print(json.dumps(_document(study), indent=1))
    else:
        _print(study, args.form)
        if not args.device and args.form != "csv":
            print("\n".join(clocks.advice(study.chosen.setting, study.machine)))
    if args.plot:
        draw_study(study, args.plot)
        print(f"drawing: {args.plot}", file=sys.stderr)
    return 0


def _study(args: argparse.Namespace) -> Study:
    policy, shapes = frequency.parse(args.policy), feeds.parse_shapes(args.shape)
    machine = plan_cli.machine(args.device, args.cores, 0)
    draw = power.from_profile(profile.load(args.device)).of(machine) if args.device else clocks.draw_of(machine)
    plan = plan_for(args.model, machine, shapes)
    model = energy.loads([(s.kind, s.args) for s in plan.steps], machine, plan.run_bytes)
    survey = energy.survey(model, machine, draw)
    chosen = frequency.choose(survey, policy)
    planned = plan_for(args.model, energy.clocked(machine, draw, chosen.setting), shapes)
    result, spent = simulated.run(planned, machine, draw, chosen.setting)
    where = profile.load(args.device).title if args.device else "this machine"
    title = f"{args.model.stem} on {where}: MODELLED, watts from {draw.basis}"
    front, references = frequency.front(survey), usual(model, machine, draw)
    return Study(title, machine, draw, policy, model, survey, chosen, front, references, planned, result, spent)


def _document(study: Study) -> Row:
    machine = study.machine
    return {
        "title": study.title,
        "modelled": True,
        "policy": str(study.policy),
        "is_met": study.chosen.is_met,
        "choice": _row(machine, study.chosen),
        "front": [_row(machine, c) for c in study.front],
        "references": [{"what": what, **_row(machine, c)} for what, c in study.references.items()],
        "planned_ms": 1e-6 * sum(s.ns for s in study.planned.steps),
        "simulated": {"ms": 1e3 * study.simulated.seconds, "mJ": 1e3 * study.spent.total},
        "curves": {t.name: energy.curves(machine, study.draw, i) for i, t in enumerate(study.draw.types)},
        "loads": [
            {"FLOP per byte": load.reuse if load.bytes else None, "flops": load.flops, "bytes": load.bytes, "steps": load.phases}
            for load in study.model
        ],
    }


def _print(study: Study, form: str) -> None:
    machine, chosen = study.machine, study.chosen
    rows = [{"": "*" if c.setting == chosen.setting else "", **_row(machine, c)} for c in thinned(study.front, chosen)]
    rows += [{"": what, **_row(machine, c)} for what, c in study.references.items()]
    print(table(rows, form, "" if form == "csv" else study.title))
    if form != "csv":
        print(f"\n{told(machine, study.policy, chosen, study.references)}")
        print(f"planned anew for it {1e-6 * sum(s.ns for s in study.planned.steps):.2f} ms; ", end="")
        print(f"that plan simulated {1e3 * study.simulated.seconds:.2f} ms, {1e3 * study.spent.total:.2f} mJ")


def _restore() -> int:
    found = clocks.levers().restore()
    print(f"{found.files} files put back" if found.files or not found.problems else "nothing put back")
    for problem in found.problems:
        print(problem, file=sys.stderr)
    return 1 if found.problems else 0


def usual(model: Sequence[Load], machine: Machine, draw: Draw) -> dict[str, Choice]:
    """All cores under governors of the kernel: at the highest clocks, at the lowest, and on the way from the lowest up."""
    cores = tuple(t.cores for t in machine.types)

    def at(khz: tuple[int, ...]) -> tuple[float, float]:
        return energy.at(model, machine, draw, Setting(cores, khz))

    top, bottom = (tuple(t.points[i].khz for t in draw.types) for i in (-1, 0))
    lagging = governor.lag(governor.ramp(draw.types), at)
    return {
        "performance": Choice(Setting(cores, top), *at(top)),
        "powersave": Choice(Setting(cores, bottom), *at(bottom)),
        "schedutil-like": Choice(Setting(cores, (0,) * len(cores)), *lagging),
    }


def thinned(front: Sequence[Choice], chosen: Choice) -> list[Choice]:
    """About ROWS of the front, evenly by its logarithm of time, the ends and the choice among them."""
    wanted = np.geomspace(front[0].seconds, front[-1].seconds, ROWS)
    kept = {min(front, key=lambda c, s=s: abs(c.seconds - s)).setting for s in wanted} | {chosen.setting}  # type: ignore[misc]
    return sorted({c.setting: c for c in [*front, chosen] if c.setting in kept}.values(), key=lambda c: c.seconds)


def _row(machine: Machine, choice: Choice) -> Row:
    return {
        "cores and clocks": clocks.described(choice.setting, machine),
        "ms": round(1e3 * choice.seconds, 3),
        "mJ": round(1e3 * choice.joules, 3),
        "W": round(choice.watts, 3),
        "EDP mJ s": round(1e3 * choice.edp, 4),
    }


def told(machine: Machine, policy: frequency.Policy, chosen: Choice, references: dict[str, Choice]) -> str:
    """The choice in a sentence a line."""
    lines = [f"{policy}: {clocks.described(chosen.setting, machine)}"]
    if not chosen.is_met:
        lines.append("no setting keeps that: this one comes nearest")
    for what, other in references.items():
        less, slower = 1 - chosen.joules / other.joules, chosen.seconds / other.seconds
        lines.append(f"  against {what}: {abs(less):.0%} {'less' if less >= 0 else 'more'} energy in {slower:.2f} x the time")
    return "\n".join(lines)


def draw_study(study: Study, path: Path) -> None:
    """Draws energy over time into a .svg or .png file. Raises UnsupportedError without matplotlib (the extra `plot`)."""
    if path.suffix not in (".svg", ".png"):
        raise InvalidArgumentError(f"{path}: a drawing's name ends in .svg or .png")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UnsupportedError("drawing needs matplotlib: pip install 'asymo[plot]', or use --json") from None
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    survey, chosen = study.survey, study.chosen
    finite = np.flatnonzero(np.isfinite(survey.seconds))
    finite = finite[:: max(len(finite) // DOTS, 1)]
    axes.loglog(1e3 * survey.seconds.flat[finite], 1e3 * survey.joules.flat[finite], ".", color="0.8", markersize=2, label="settings")
    axes.plot([1e3 * c.seconds for c in study.front], [1e3 * c.joules for c in study.front], "-", label="front")
    for what, other in study.references.items():
        axes.plot(1e3 * other.seconds, 1e3 * other.joules, "s", label=what)
    axes.plot(1e3 * chosen.seconds, 1e3 * chosen.joules, "*", markersize=12, label="choice")
    axes.set_xlabel("ms an inference (modelled)")
    axes.set_ylabel("mJ an inference (modelled)")
    axes.set_title(study.title, fontsize="small")
    axes.legend(fontsize="small")
    figure.savefig(path)
