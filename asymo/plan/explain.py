"""A plan in words and figures: what was decided for each step, from which terms, and what the rivals would have cost."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from asymo.cost import features, steps
from asymo.cost.speeds import Machine
from asymo.plan import touch
from asymo.plan.plan import Args, Plan, Step
from asymo.plan.share import Decision, Option, Sharer
from asymo.plan.tiles import CANDIDATES, Fitter

Row = dict[str, Any]

UNIT_FIELDS = ("unit_m", "unit_tiles", "unit_n", "unit_rows", "unit_c", "unit_inner", "unit_size")
"""Arguments that say how large a unit is."""

RIVALS = 8
"""Sets of cores that an explanation lists."""


def machine_of(plan: Plan) -> Machine:
    assert plan.machine is not None, "the plan was not made by the planner"
    return plan.machine


def decisions(plan: Plan) -> list[Decision]:
    """What the planner decided for each step of the plan."""
    return Sharer(machine_of(plan), plan.run_bytes).sequence([(s.kind, s.args) for s in plan.steps])


def shape(kind: str, args: Mapping[str, Any]) -> str:
    """A step's size in a few characters."""
    match kind:
        case "gemm":
            entries = prod(args["batch"])
            return f"{args['m']}x{args['n']}x{args['k']}" + (f" x{entries}" if entries > 1 else "")
        case "conv" | "winograd":
            out = [d for d in args["out"] if d > 1] or [1]
            return f"{'x'.join(map(str, out))} {args['c']}->{args['n']} k{'x'.join(str(k) for k in args['kernel'][-2:])}"
        case "dwconv":
            return f"{args['out'][0]}x{args['out'][1]}x{args['channels']} k{args['kernel'][0]}x{args['kernel'][1]}"
        case "rnn":
            return f"{args['seq']} steps, hidden {args['hidden']}"
        case "eltwise" | "typed" | "copy":
            return "x".join(map(str, args["shape"][: args["rank"]]))
    return "x".join(str(args[n]) for n in ("batch", "outer", "rows", "reduce", "count", "channels", "inner", "k", "n") if n in args)


def unit(args: Mapping[str, Any]) -> str:
    """The size of a unit."""
    return "x".join(str(args[name]) for name in UNIT_FIELDS if name in args)


def predicted(plan: Plan) -> list[float]:
    """Seconds of every step on the cores that it was planned for, now that its operands have their places."""
    sharer = Sharer(machine_of(plan), touch.run_bytes(plan))
    return [
        sharer.option(step.kind, step.args, decision.option.cores, decision.asleep, touched).seconds if decision.units else 0.0
        for step, decision, touched in zip(plan.steps, decisions(plan), touch.of_plan(plan), strict=True)
    ]


def rows(plan: Plan) -> list[Row]:
    """One row a step: class, shape, units, and for each core type how many cores, the smallest claim and the share; predicted time."""
    machine = machine_of(plan)
    found = []
    for index, (step, decision, seconds) in enumerate(zip(plan.steps, decisions(plan), predicted(plan), strict=True)):
        row: Row = {
            "step": index,
            "class": steps.classify(step.kind, step.args, machine.geometry[0]),
            "shape": shape(step.kind, step.args),
            "units": decision.units,
            "unit": unit(step.args),
        }
        for t, type in enumerate(machine.types):
            row[type.name] = cell(decision, t)
        found.append({**row, "us": 1e6 * seconds, "op": step.op, "node": step.node})
    return found


def cell(decision: Decision, t: int) -> str:
    """What a core type does of a step: "4 x 2 (75%)" is four cores that claim two units at least and do three quarters of them."""
    if decision.sharing.is_serial:
        return "1" if t == 0 and decision.units else ""
    n = decision.sharing.cores[t]
    return f"{n} x {decision.sharing.chunk[t]} ({shares(decision.option)[t]:.0%})" if n else ""


def shares(option: Option) -> list[float]:
    """The part of the units that each type does."""
    speeds = [n / u for n, u in zip(option.cores, option.unit_s, strict=True)]
    return [s / sum(speeds) for s in speeds]


def label(cores: tuple[int, ...], machine: Machine) -> str:
    return " + ".join(f"{n} {t.name}" for n, t in zip(cores, machine.types, strict=True) if n)


def explain(plan: Plan, index: int) -> str:
    """Everything that was weighed for one step."""
    machine, step = machine_of(plan), plan.steps[index]
    decision = decisions(plan)[index]
    sharer = Sharer(machine, plan.run_bytes)
    lines = [f"step {index}: {step.kind} {shape(step.kind, step.args)} ({step.op} {step.node})", f"speeds: {machine.basis}"]
    if not decision.units:
        return "\n".join([*lines, "no units: nothing to do"])
    phases = steps.phases(step.kind, step.args)
    lines += [
        f"{decision.units} units of {unit(step.args) or 'fixed size'}" + (f" in each of {phases} phases" if phases > 1 else "")
        + f" on {label(decision.option.cores, machine)}: {us(decision.option.seconds)}",
        f"  {terms(decision.option)}",
        *(part(step, decision, t, machine, plan.run_bytes) for t in range(len(machine.types)) if decision.option.cores[t]),
        waiting(decision),
        f"no step before {step.horizon} overwrites what it uses",
        "",
        *rivals(step, decision, sharer),
    ]  # fmt: skip
    if step.kind in CANDIDATES:
        lines += ["", *sizes(step, sharer)]
    return "\n".join(lines)


def terms(option: Option) -> str:
    """The seconds of an option, term by term."""
    named = {"shared": option.perfect, "wait": option.wait, "claims": option.claim, "barrier": option.barrier, "wake": option.wake}
    text = " + ".join(f"{name} {us(value)}" for name, value in named.items() if value or name == "shared")
    return text + (f"; at least {us(option.memory)} for what comes from memory" if option.memory else "")


def part(step: Step, decision: Decision, t: int, machine: Machine, run_bytes: int) -> str:
    """What one type does, and what a unit costs it, feature by feature."""
    type, n = machine.types[t], decision.option.cores[t]
    name, counts = steps.vector(step.kind, step.args, steps.place(type, n, machine, run_bytes))
    all_units = max(decision.units * steps.phases(step.kind, step.args), 1)
    costs = [
        (f, c * s / all_units)
        for f, c, s in zip(features.CLASSES[name], counts, type.classes[name].at(n, type.of), strict=True)
    ]  # fmt: skip
    main = sorted((c for c in costs if c[1]), key=lambda c: -c[1])
    chunk = f", {decision.sharing.chunk[t]} at a time or more" if decision.sharing.chunk else ""
    return f"  {n} {type.name}: {shares(decision.option)[t]:.0%} of the units{chunk}, {us(decision.option.unit_s[t])} each: " + " + ".join(
        f"{f} {us(s)}" for f, s in main[:5]
    )


def waiting(decision: Decision) -> str:
    """The parking decision."""
    if decision.sharing.is_serial:
        return "the caller alone: nobody is woken" + (", the others sleep" if decision.asleep else "")
    spin = decision.sharing.spin_ns
    return "afterwards the workers " + {-1: "spin: the next step is theirs too", 0: "sleep: a long serial stretch follows"}.get(
        spin, f"spin for {spin / 1000:.0f} us: a short serial stretch follows"
    )


def rivals(step: Step, decision: Decision, sharer: Sharer) -> list[str]:
    """Other sets of cores: each type added whole, and the nearest."""
    options = {o.cores: o for o in sharer.options(step.kind, step.args, decision.asleep)}
    everyone = sharer.everyone
    whole = [tuple(n if i <= t else 0 for i, n in enumerate(everyone)) for t in range(len(everyone))]
    nearest = sorted(options.values(), key=lambda o: o.seconds)
    chosen = [o for o in (options.get(c) for c in [(1,) + (0,) * (len(everyone) - 1), *whole]) if o is not None]
    listed = {o.cores: o for o in [*chosen, *nearest] if o.cores != decision.option.cores}
    return ["other cores:"] + [
        f"  {label(o.cores, sharer.machine)}: {us(o.seconds)}, {o.seconds / decision.option.seconds:.2f}x  ({terms(o)})"
        for o in list(listed.values())[:RIVALS]
    ]


def sizes(step: Step, sharer: Sharer) -> list[str]:
    """The unit sizes that were weighed, for all cores."""
    fitter = Fitter(sharer)
    lines = ["unit sizes:"]
    seen = set()
    for size in CANDIDATES[step.kind](step.args, fitter.target):
        args: Args = {**step.args, **size}
        if (key := unit(args) + str(args.get("n_fastest"))) in seen:
            continue
        seen.add(key)
        mark = "  <-" if all(step.args[name] == value for name, value in size.items()) else ""
        units, seconds = steps.units(step.kind, args, sharer.machine), sharer.sketch(step.kind, args).seconds()
        lines.append(f"  {unit(args)}: {units} units, {us(seconds)}{mark}")
    return lines


def us(seconds: float) -> str:
    return f"{seconds * 1e6:.4g} us"
