"""python -m benchmarks.planning [--models A,B] [--devices rk3588,sm8350] [--repeats N]: what planning costs, per 100 steps.

CPU time of the passes, lowering and decisions of a model whose graph has been read, for recorded machines; the best of N, while Python's
garbage collector rests, as in sessions. Weights are not packed.
"""

from __future__ import annotations

import argparse
import gc
import time

from asymo.cost import devices, features, steps
from asymo.cost.speeds import Machine
from asymo.device import profile
from asymo.plan.planner import plan
from asymo.runtime.model import Model
from asymo.runtime.planning import types_for
from asymo.runtime.stage import bind, split
from benchmarks import models


def seconds(model: Model, machine: Machine) -> tuple[float, int]:
    """(seconds of CPU, steps) of one planning with nothing known from before."""
    graph = bind(model.graph, types_for(model.inputs, {}))
    split(graph, model.cache)
    for remembered in (steps._vector, features._taps_inside):
        remembered.cache_clear()
    gc.collect()
    gc.disable()
    begin = time.process_time()
    made = plan(graph, model.cache, machine, packs=False)
    end = time.process_time()
    gc.enable()
    return end - begin, len(made.steps)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planning", description=__doc__)
    parser.add_argument("--models", default="mobilenet_v2,resnet50_bn,inception_v3_bn,efficientnet_b0_bn,mobilenet_v3_small,yolov8n")
    parser.add_argument("--devices", default="rk3588,sm8350")
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    names = args.devices.split(",")
    machines = [devices.from_profile(profile.load(name)) for name in names]
    print("| steps | model | " + " | ".join(f"{name}, ms | per 100 steps" for name in names) + " |")
    print("| ---: | --- |" + " ---: | ---: |" * len(names))
    for name in args.models.split(","):
        model = Model(models.path(name))
        cells = []
        for machine in machines:
            found = [seconds(model, machine) for _ in range(args.repeats)]
            count = found[0][1]
            best = 1e3 * min(s for s, _ in found)
            cells += [f"{best:.1f}", f"{100 * best / count:.0f}"]
        print(f"| {count} | {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
