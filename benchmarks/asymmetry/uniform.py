"""Our six scheduling policies with the second worker made r times slower (it repeats each unit's kernel: same bits, no time slices)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

from asymo.bench.compare import Contestant
from asymo.plan.plan import POLICIES
from benchmarks import models
from benchmarks.asymmetry.efficiency import Sample, Verdict, at_least, best, never_slower
from benchmarks.asymmetry.rounds import Field, Gate, batch_ms, say

OURS = POLICIES[0]
CONVOLUTIONAL = (
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large_bn", "efficientnet_b0_bn", "efficientnet_lite0",
    "inception_v3_bn", "resnet18", "resnet50", "shufflenet_v2_bn", "squeezenet11", "ssd_mobilenet_v1", "vgg16", "yolov8n",
)  # fmt: skip


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("uniform", help=__doc__)
    command.add_argument("--models", default=",".join(models.FIXED))
    command.add_argument("--slowdowns", default="1.5,2,3,4", help="r")
    command.add_argument("--policies", default=",".join(POLICIES))
    command.set_defaults(measure=measure, verdicts=verdicts)


def measure(args: argparse.Namespace, gate: Gate) -> list[Sample]:
    """Samples of every model, policy and r, rounds interleaved."""
    samples: list[Sample] = []
    for model in args.models:
        with Field(model, args.cpus) as field:
            alone = field.alone("asymo")
            pairs = {r: field.both("asymo", {"ASYMO_SLOWDOWN": f"1,{r:g}"}) for r in args.slowdowns}
            if any(c.process is None for c in (alone, *pairs.values())):
                continue
            found: list[Sample] = []
            for turn in range(args.rounds):
                policies = args.policies[turn % len(args.policies) :] + args.policies[: turn % len(args.policies)]
                for r, both in pairs.items():
                    round_ = gate.visit(partial(visit, args, model, alone, both, r, policies))
                    found += [replace(sample, near=gate.is_near) for sample in round_ or []]
            samples += found
            for r in args.slowdowns:
                mine = {p: [s.efficiency for s in found if s.who == p and s.how == f"r = {r:g}"] for p in args.policies}
                say(f"{model} r = {r:g}: " + ", ".join(f"{p} {median(e):.3f}" for p, e in mine.items() if e))
    return samples


def visit(args: argparse.Namespace, model: str, alone: Contestant, both: Contestant, r: float, policies: Sequence[str]) -> list[Sample]:
    """The full core alone before and after one batch of each policy."""
    before = batch_ms(alone, args.seconds)
    batches = []
    for policy in policies:
        both.command(policy=policy)
        begin = both.command(stats=True)["workers"]
        batches.append((policy, batch_ms(both, args.seconds), utilisation(begin, both.command(stats=True)["workers"])))
    alone_ms = (before + batch_ms(alone, args.seconds)) / 2
    return [Sample(model, policy, f"r = {r:g}", 1 / r, alone_ms, ms, used) for policy, ms, used in batches]


def utilisation(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> tuple[float, ...]:
    """Of the time between two looks at the workers' counters, the part in which each was busy."""
    spans = [(b["busy_ns"] - a["busy_ns"], b["wait_ns"] - a["wait_ns"]) for a, b in zip(before, after, strict=True)]
    return tuple(busy / max(busy + wait, 1) for busy, wait in spans)


def verdicts(samples: list[Sample]) -> list[Verdict]:
    floors = dict.fromkeys(CONVOLUTIONAL, 0.90)
    return [at_least(samples, OURS, floors), never_slower(samples, OURS), best(samples, OURS)]
