"""All runtimes with two threads, one of them on a core that a hog takes away for part of every period."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from statistics import median

from asymo.bench.compare import Contestant
from benchmarks.asymmetry.efficiency import Sample, Verdict, at_least, best, never_slower
from benchmarks.asymmetry.rounds import Field, Gate, batch_ms, say
from benchmarks.asymmetry.slow import Hog, Probe, calibrate, share_left

PEERS = ("asymo", "litert", "onnxruntime", "onnxruntime-dynamic", "openvino", "ncnn", "mnn", "mnn-50")
MODELS = (
    "resnet18", "resnet50", "vgg16", "mobilenet_v1", "mobilenet_v2", "squeezenet11", "mobilenet_v3_small", "mobilenet_v3_large_bn",
    "efficientnet_lite0", "efficientnet_b0_bn", "inception_v3_bn", "minilm_l6_s128",
)  # fmt: skip
FLOORS = {
    "resnet18": 0.95, "resnet50": 0.95, "vgg16": 0.95, "mobilenet_v1": 0.90, "mobilenet_v2": 0.90, "squeezenet11": 0.90,
    "mobilenet_v3_small": 0.80,
}  # fmt: skip
"""Of ours, where the core leaves 35 % in periods of 100 us."""

SETTLE_S = 15.0
"""So long everybody runs beside the hog before the first visit: who notices that a core is slow for good has noticed it by then
(asymo/runtime/pace.py)."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("sliced", help=__doc__)
    command.add_argument("--peers", default=",".join(PEERS))
    command.add_argument("--models", default=",".join(MODELS))
    command.add_argument("--shares", default="0.35", help="of its FMA rate that the slow core keeps, e.g. 0.25,0.35,0.5,0.75")
    command.add_argument("--periods", default="100", help="microseconds, e.g. 100,300,1000")
    command.set_defaults(measure=measure, verdicts=verdicts)


def measure(args: argparse.Namespace, gate: Gate) -> list[Sample]:
    """Samples of every model, runtime and kind of slowness, rounds interleaved."""
    slow = args.cpus[1]
    busy = {(share, period): calibrate(gate.probe, slow, share, period) for period in args.periods for share in args.shares}
    samples: list[Sample] = []
    for model in args.models:
        with Field(model, args.cpus) as field:
            pairs = {peer: (field.alone(peer), field.both(peer)) for peer in args.peers}
            pairs = {peer: pair for peer, pair in pairs.items() if all(c.process is not None for c in pair)}
            for (share, period), busy_us in busy.items():
                found: list[Sample] = []
                with Hog(slow, busy_us, period) as hog:
                    hog.on()
                    for _, both in pairs.values():
                        batch_ms(both, SETTLE_S)
                    hog.off()
                    for turn in range(args.rounds):
                        for peer in [*pairs][turn % len(pairs) :] + [*pairs][: turn % len(pairs)]:
                            how = f"{share:.0%}, {period:.0f} us"
                            sample = gate.visit(partial(visit, args, model, peer, how, pairs[peer], hog, gate.probe))
                            found += [replace(sample, near=gate.is_near)] if sample else []
                samples += found
                for peer in pairs:
                    mine = [s.efficiency for s in found if s.who == peer]
                    if mine:
                        say(f"{model} {share:.0%} {period:.0f} us {peer}: {median(mine):.3f} ({min(mine):.3f} to {max(mine):.3f})")
    return samples


def visit(args: argparse.Namespace, model: str, peer: str, how: str, pair: tuple[Contestant, Contestant], hog: Hog, probe: Probe) -> Sample:
    """The full core alone, then both while the hog is on; the share is measured before and after that."""
    alone, both = pair
    alone_ms = batch_ms(alone, args.seconds)
    hog.on()
    try:
        shares = [share_left(probe, hog, args.cpus[1], 0.02)]
        both_ms = batch_ms(both, args.seconds)
        shares.append(share_left(probe, hog, args.cpus[1], 0.02))
    finally:
        hog.off()
    return Sample(model, peer, how, sum(shares) / 2, alone_ms, both_ms)


def verdicts(samples: list[Sample]) -> list[Verdict]:
    first = [s for s in samples if s.how == "35%, 100 us"]
    return [at_least(first, "asymo", FLOORS), never_slower(samples, "asymo", 0.0), best(samples, "asymo")]
