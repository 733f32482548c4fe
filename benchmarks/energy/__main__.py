"""python -m benchmarks.energy kirin | choices | exhaustive [--models a,b,...]

kirin: simulated Kirin 970, ours against an equal split at `performance` and under a governor that comes late.
choices: what each policy picks for each model. exhaustive: each choice against all settings, on all profiles.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from asymo.bench.report import Row, table
from asymo.cost import devices, energy, power
from asymo.cost.energy import Setting
from asymo.cost.power import Draw
from asymo.cost.speeds import Machine
from asymo.device import profile
from asymo.plan import frequency
from asymo.plan.plan import Plan
from asymo.runtime.clocks import described
from asymo.sim import energy as simulated
from asymo.sim import governor
from benchmarks.simulate.everything import MODELS, planner_of

Planner = Callable[[Machine], Plan]


def survey_of(make: Planner, machine: Machine, draw: Draw) -> energy.Survey:
    plan = make(machine)
    return energy.survey(energy.loads([(s.kind, s.args) for s in plan.steps], machine, plan.run_bytes), machine, draw)


def kirin(models: Sequence[str]) -> None:
    """Each model five times: an equal split at the highest clocks, the same while a governor takes the clocks up, our shares at the highest
    clocks, and our least energy x time and least energy."""
    recorded = profile.load("hikey970")
    machine, draw = devices.from_profile(recorded), power.from_profile(recorded)
    top = Setting(tuple(t.cores for t in machine.types), tuple(t.points[-1].khz for t in draw.types))
    windows = list(governor.ramp(draw.types))
    rows: list[Row] = []
    for model in models:
        make = planner_of(model)
        plan, survey = make(machine), survey_of(make, machine, draw)
        runs = {
            "equal": simulated.run(plan, machine, draw, top, "static"),
            "late": simulated.run_governed(plan, machine, draw, windows, "static"),
            "ours": simulated.run(plan, machine, draw, top),
        }
        for policy in ("balanced", "energy"):
            setting = frequency.choose(survey, policy).setting
            runs[policy] = simulated.run(make(energy.clocked(machine, draw, setting)), machine, draw, setting)
        row: Row = {"model": model}
        for what, (result, spent) in runs.items():
            row |= {f"{what} ms": round(1e3 * result.seconds, 1), f"{what} mJ": round(1e3 * spent.total, 1)}
        rows.append(row)
    print(table(rows, "markdown", "Kirin 970 (simulated)"))
    print("\n" + table([gain(row) for row in rows], "markdown", "Gains (simulated): times as fast, and inferences per joule"))


def gain(row: Row) -> Row:
    """Speed and energy efficiency of ours over an equal split's: 1.46 is 46 % faster."""
    found: Row = {"model": row["model"]}
    for ours in ("ours", "balanced", "energy"):
        for base in ("equal", "late"):
            found[f"{ours} / {base}, speed"] = round(row[f"{base} ms"] / row[f"{ours} ms"], 2)
            found[f"{ours} / {base}, energy"] = round(row[f"{base} mJ"] / row[f"{ours} mJ"], 2)
    return found


def choices(models: Sequence[str]) -> None:
    """Least energy, and least energy x time, on a few devices."""
    for name in ("hikey970", "rk3588", "sm8650", "gs101"):
        machine, draw = devices.from_profile(profile.load(name)), power.from_profile(profile.load(name))
        rows: list[Row] = []
        for model in models:
            survey = survey_of(planner_of(model), machine, draw)
            row: Row = {"model": model}
            for policy in ("energy", "balanced"):
                chosen = frequency.choose(survey, policy)
                row[policy] = described(chosen.setting, machine)
                row |= {f"{policy} ms": round(1e3 * chosen.seconds, 1), f"{policy} mJ": round(1e3 * chosen.joules, 1)}
            rows.append(row)
        print(table(rows, "markdown", f"{name} (modelled)") + "\n")


def exhaustive(models: Sequence[str]) -> None:
    """How long the choice takes, and whether one setting after the other, each by itself, finds a better one (a sample of them)."""
    rng = np.random.default_rng(0)
    slowest, checked, worse = (0.0, "", ""), 0, 0
    for model in models:
        make = planner_of(model)
        for name in profile.names():
            machine, draw = devices.from_profile(profile.load(name)), power.from_profile(profile.load(name))
            plan = make(machine)
            begin = time.perf_counter()
            loads = energy.loads([(s.kind, s.args) for s in plan.steps], machine, plan.run_bytes)
            survey = energy.survey(loads, machine, draw)
            best = frequency.choose(survey, "energy")
            slowest = max(slowest, (time.perf_counter() - begin, model, name))
            for place in rng.integers(1, survey.seconds.size, 200):
                _, joules = energy.at(loads, machine, draw, survey.setting(int(place)))
                worse += joules < best.joules * (1 - 1e-9)
                checked += 1
    print(f"{checked} settings, {worse} better than the choice")
    print(f"the slowest choice took {1e3 * slowest[0]:.0f} ms ({slowest[1]}, {slowest[2]})")


def main() -> None:
    commands = {"kirin": kirin, "choices": choices, "exhaustive": exhaustive}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.energy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=commands)
    parser.add_argument("--models", default=",".join(MODELS))
    args = parser.parse_args()
    commands[args.what](args.models.split(","))


if __name__ == "__main__":
    main()
