"""python -m benchmarks.size [--plot FILE.svg]: how latency grows with the input's resolution and with the batch, beside the FLOPs.

Each model at each resolution (batch 1) and for each batch (SIDE x SIDE), one session each, two threads; rounds over all sizes in turn.
Prints milliseconds, GFLOP (convolutions and products, as the model defines them) and GFLOP/s: growth no faster than FLOPs is a rate
that does not fall.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from statistics import median

import numpy as np
import onnx

import asymo
from asymo.bench.report import table
from benchmarks import models
from benchmarks.models.batch import for_batch

MODELS = ("mobilenet_v2", "resnet18", "squeezenet11")
SIDES = (96, 128, 160, 224, 320, 448)
BATCHES = (1, 2, 4, 8, 16)
SIDE = 128
ROUNDS, SECONDS, THREADS = 5, 0.08, 2


@dataclass
class Case:
    model: str
    side: int
    batch: int
    gflop: float
    session: asymo.InferenceSession
    x: np.ndarray
    seconds: list[float] = field(default_factory=list)

    def measure(self) -> None:
        begin = time.perf_counter()
        while time.perf_counter() - begin < SECONDS:
            before = time.perf_counter()
            self.session(self.x)
            self.seconds.append(time.perf_counter() - before)

    @property
    def ms(self) -> float:
        return 1e3 * median(self.seconds)

    @property
    def rate(self) -> float:
        """GFLOP/s."""
        return self.gflop / self.ms * 1e3


def flops(model: onnx.ModelProto) -> float:
    """Multiplications and additions of the convolutions and products, by ONNX's own shape inference."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.input, *graph.output)}
    shapes |= {i.name: list(i.dims) for i in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            total += 2 * prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            total += 2 * prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total


def case(name: str, side: int, batch: int) -> Case:
    model = for_batch(onnx.load(models.path(name)), 0, batch)
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = side
    x = np.random.default_rng(0).standard_normal((batch, 3, side, side), np.float32)
    return Case(name, side, batch, flops(model) / 1e9, asymo.load(model.SerializeToString(), threads=THREADS), x)


def draw(cases: list[Case], path: Path) -> None:
    """Milliseconds over GFLOP, both axes logarithmic, with the line along which latency grows as the FLOPs do."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2, sharey=True), ("resolution", "batch"), strict=True):
        for name in MODELS:
            line = [c for c in cases if c.model == name and (c.batch == 1 if what == "resolution" else c.side == SIDE)]
            (drawn,) = axes.loglog([c.gflop for c in line], [c.ms for c in line], marker="o", label=name)
            ends = [line[0].gflop, line[-1].gflop]
            axes.loglog(ends, [line[0].ms * g / ends[0] for g in ends], "--", color=drawn.get_color(), linewidth=0.8)
        axes.set_title(what)
        axes.set_xlabel("GFLOP")
        axes.legend(fontsize="small")
    figure.supylabel("ms (dashed: as the FLOPs)")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.size", description=__doc__)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg|png", help="draw it (needs matplotlib)")
    args = parser.parse_args()
    sizes = [(side, 1) for side in SIDES] + [(SIDE, batch) for batch in BATCHES if batch > 1]
    cases = [case(name, *size) for name in MODELS for size in sizes]
    for _ in range(ROUNDS):
        for each in cases:
            each.measure()
    rows = [
        {"model": c.model, "side": c.side, "batch": c.batch, "ms": c.ms, "GFLOP": c.gflop, "GFLOP/s": c.rate}
        for c in sorted(cases, key=lambda c: (MODELS.index(c.model), c.batch, c.side))
    ]
    print(table(rows, "markdown"))
    if args.plot:
        draw(cases, args.plot)


if __name__ == "__main__":
    main()
