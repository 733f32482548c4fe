"""ncnn's CPU runs, as far as a simulation needs them: which layers a model has, what they cost per core, how they are shared out.

A layer's time on a core is (cycles per product) x products + (cycles per element) x elements moved, or its bytes / bandwidth if that
takes longer: prefetching hides the shorter one. Three figures per core design, the same for every layer of every model, are fitted to a
board's published runs on all cores of that design:

    sgemm     multiply-adds per cycle over the peak: all convolutions but Winograd's
    winograd  the same for products in the transformed domain: 3x3, stride 1, from 8 channels on; the tile with the fewest products
    element   cycles for an element that is gathered (im2col, packing, transforms) or stored; depthwise convolutions and pooling are that

ncnn computes in half precision where the cores can (A55, A76): twice the peak, half the bytes, half the cycles per element. It gives
every thread the same number of output channel blocks: policy "static".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod

import numpy as np

from asymo.cost.features import misses
from asymo.plan.plan import Plan
from asymo.sim.hardware import Hardware, Kind
from asymo.sim.task import Task

TRANSFERS = 6
"""How often an element that does not stay in a cache crosses the memory bus: read, and written into a gathered copy (its line is fetched
first), read there; the output's line is fetched and written. Estimate; the same for everything."""

BLOCK = {4: 4, 2: 8}
"""Channels of a block by bytes per element: ncnn's packing."""

ROUNDS = 8
"""Of the fit; the figures stand after four."""

REGION_S = 5e-6
"""Opening and closing a layer's parallel regions (OpenMP, spinning; estimate)."""


@dataclass(frozen=True, slots=True)
class Layer:
    """products: multiply-adds. elements: gathered and stored. weights: elements read once a run. working: elements of input and output."""

    kind: str
    channels: int
    products: float
    elements: float
    weights: float


@dataclass(frozen=True, slots=True)
class Core:
    """A core type in a run: peak multiply-adds per cycle in the precision that ncnn uses there, and the three fitted figures."""

    name: str
    count: int
    clock: float
    peak: float
    copy_B: float
    cache: int
    sgemm: float = 0.0
    winograd: float = 0.0
    element: float = 0.0

    @property
    def memory_B(self) -> float:
        return 2 * self.copy_B


def layers_of(plan: Plan) -> list[Layer]:
    """ncnn's layers of a model from our steps. What we fuse and ncnn does not is a layer of its own: additions, and their Relu; the
    copies of a concatenation that we write in place."""
    found = []
    for step in plan.steps:
        a = step.args
        pixels = channels = 0
        match step.kind:
            case "conv" | "winograd":
                found.append(_convolution(step.kind, a))
                pixels, channels = a["batch"] * prod(a["out"]), a["n"] * a.get("groups", 1)
                pitch = a["y_stride"][-1]
            case "gemm" if a["m"] > 1:
                pixels, channels, pitch = a["m"], a["n"], a["ldc"]
                found.append(Layer("sgemm", a["n"], pixels * a["n"] * a["k"], pixels * (a["k"] + a["n"]), a["n"] * a["k"]))
            case "gemm":
                found.append(Layer("dense", a["n"], 0, a["n"], a["n"] * a["k"]))
            case "dwconv" | "pool":
                size = a["batch"] * a["channels"] * (prod(a["in"]) + prod(a["out"]))
                found.append(Layer("move", a["channels"], 0, size, 0))
        if pixels and pitch > channels:
            found.append(Layer("move", channels, 0, 2 * pixels * channels, 0))
        if pixels and step.operands[3].slot >= 0:
            found.append(Layer("move", channels, 0, (5 if a["act"] else 3) * pixels * channels, 0))
    return found


def _convolution(kind: str, a: Mapping) -> Layer:
    kernel = tuple(a["kernel"][-2:])
    out, groups, c, n = a["out"][-2:], a.get("groups", 1), a["c"], a["n"]
    if kernel == (3, 3) and (kind == "winograd" or (tuple(a["stride"]) == (1, 1, 1) and c >= 8)):
        places, points = min(
            ((prod(-(-o // tile) for o in out), (tile + 2) ** 2) for tile in (2, 4, 6)), key=lambda choice: choice[0] * choice[1]
        )
        each = groups * points
        return Layer("winograd", n * groups, each * places * c * n, each * places * (c + n), each * c * n)
    k = c * prod(kernel)
    return Layer("sgemm", n * groups, groups * prod(out) * k * n, groups * prod(out) * (k + n), k * n * groups)


def fit(core: Core, memory_B: float, runs: Mapping[str, float], models: Mapping[str, Sequence[Layer]], width: int) -> Core:
    """The core with the three figures that come nearest to the runs (seconds by model) on all cores of its type, in the least squares of
    relative errors, none negative; `sgemm` and `winograd` may not exceed 0.95. Layers that bandwidth bounds are found by iterating."""
    names = [m for m in runs if m in models]
    seconds, bytes_B, speed = np.array([runs[m] for m in names]), min(memory_B, core.count * core.memory_B), core.clock * core.count
    columns = np.array([
        [
            sum(x.products for x in models[m] if x.kind == "sgemm") / (speed * core.peak),
            sum(x.products for x in models[m] if x.kind == "winograd") / (speed * core.peak),
            sum(x.elements for x in models[m]) / speed,
        ]
        for m in names
    ])  # fmt: skip
    least, waits = np.array([1 / 0.95, 1 / 0.95, 0.0]), np.zeros(len(names))
    for _ in range(ROUNDS):
        target = ((seconds - waits) - columns @ least) / seconds
        sgemm, winograd, element = least + _non_negative(columns / seconds[:, None], target)
        core = replace(core, sgemm=1 / sgemm, winograd=1 / winograd, element=element)
        waits = np.array([
            sum(max(0.0, x.weights * width / bytes_B - cycles(x, core) / speed) for x in models[m]) for m in names
        ])  # fmt: skip
    return core


def _non_negative(columns: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least squares with no negative coefficient: the best of all sets of columns."""
    best, error = np.zeros(columns.shape[1]), float(target @ target)
    for size in range(1, columns.shape[1] + 1):
        for chosen in combinations(range(columns.shape[1]), size):
            some = np.linalg.lstsq(columns[:, chosen], target, rcond=None)[0]
            rest = columns[:, chosen] @ some - target
            if (some >= 0).all() and rest @ rest < error:
                best = np.zeros(columns.shape[1])
                best[list(chosen)], error = some, float(rest @ rest)
    return best


def cycles(layer: Layer, core: Core) -> float:
    """One core, with all that it needs in its caches."""
    rate = {"sgemm": core.sgemm, "winograd": core.winograd}.get(layer.kind, 1.0)
    return layer.products / (core.peak * rate) + layer.elements * core.element


def tasks(layers: Sequence[Layer], cores: Sequence[Core], width: int, least: int = 1) -> list[Task]:
    """The layers as tasks on cores of these types. width: bytes per element. A unit is ncnn's block of
    channels, smaller where that would be fewer than `least` units."""
    cache = max(core.cache for core in cores)
    made = []
    for i, layer in enumerate(layers):
        units = max(least, -(-layer.channels // BLOCK[width]))
        traffic = layer.weights * width + layer.elements * width * TRANSFERS * misses(layer.elements * width, cache)
        at = np.arange(units + 1) / units
        each = [max(cycles(layer, core) / core.clock, layer.weights * width / core.memory_B) for core in cores]
        made.append(
            Task(
                f"{i} {layer.kind}", layer.kind, units, tuple(at * s for s in each), at * traffic,
                tuple(core.count for core in cores), (1,) * len(cores), tuple(s / units * 1e9 for s in each), key=(i, tuple(each)),
            )
        )  # fmt: skip
    return made


def hardware(cores: Sequence[Core], memory_B: float) -> Hardware:
    """The cores as the simulator wants them."""
    threads = max(sum(core.count for core in cores), 2)
    return Hardware(tuple(Kind(core.name, core.count) for core in cores), memory_B, barrier_s=REGION_S / (threads - 1))
