"""The simulator against ncnn's runs: fitted to each core type on one board, it predicts all cores, and the big ones, on another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asymo
from asymo.bench.report import Row
from asymo.sim.run import simulate
from benchmarks import models
from benchmarks.simulate import ncnn

MEASUREMENTS = Path(__file__).parents[1] / "devices" / "measurements.json"
MODELS = {
    "resnet18": "resnet18_bn",
    "mobilenet": "mobilenet_v1_bn",
    "squeezenet": "squeezenet11",
    "vgg16": "vgg16",
    "mobilenet_v2": "mobilenet_v2_bn",
}
"""ncnn's name -> ours of the same architecture. mobilenet_v2 only takes part in the fit."""
CHECKED = ("resnet18", "mobilenet", "squeezenet", "vgg16")
WITHIN = 0.2
"""The largest relative error that is accepted."""


FINE = 12
"""Units a core at least where our rules share ncnn's layers out: about what our planner cuts."""


@dataclass(frozen=True)
class Board:
    """cores: biggest type first. memory_B: bytes/s of all cores. width: bytes of an element as ncnn computes on the board checked; the
    fit's runs are fp32 on both. fitted: README lines of the runs on all cores of one type, a type each. all_cores, big_only: the lines to
    predict."""

    name: str
    cores: tuple[ncnn.Core, ...]
    memory_B: float
    width: int
    fitted: tuple[int, ...]
    all_cores: int
    big_only: int


BOARDS = (
    Board("RK3588S", (ncnn.Core("A76", 4, 2.348e9, 8, 10814e6, 3 << 20), ncnn.Core("A55", 4, 1.828e9, 4, 6114e6, 3 << 20)),
          23.7e9, 2, (2678, 2758), 3770, 3856),
    Board("RK3399", (ncnn.Core("A72", 2, 1.8e9, 4, 3694e6, 1 << 20), ncnn.Core("A53", 4, 1.416e9, 4, 1868e6, 512 << 10)),
          8.96e9, 4, (3264, 3344), 3554, 3638),
)  # fmt: skip
"""Clocks, peaks, copies, caches and memory are those of the profiles rk3588 and rk3399 (asymo/cost/devices.py tells their sources)."""


def layers(names: Sequence[str] = tuple(MODELS)) -> dict[str, list[ncnn.Layer]]:
    """ncnn's layers of the models, by its names."""
    options = asymo.SessionOptions(intra_op_num_threads=1)
    return {n: ncnn.layers_of(asymo.InferenceSession(models.path(MODELS[n]), options).plans()[0]) for n in names}


def fitted(board: Board, runs: dict[int, dict[str, Any]], known: dict[str, list[ncnn.Layer]]) -> tuple[ncnn.Core, ...]:
    """The board's cores with the figures of their designs, in the precision of the runs to predict."""
    found = []
    for core, line in zip(board.cores, board.fitted, strict=True):
        times = {model: times[0] * 1e-3 for model, times in runs[line]["ms"].items()}
        core = ncnn.fit(core, board.memory_B, times, known, 4)
        if board.width == 2:
            core = replace(core, peak=2 * core.peak, element=core.element / 2)
        found.append(core)
    return tuple(found)


def predictions() -> list[Row]:
    """A row for each board, run and model: measured (best of the published loop) and simulated milliseconds."""
    runs = {run["readme_line"]: run for run in json.loads(MEASUREMENTS.read_text(encoding="utf-8"))["ncnn_benchncnn"]["runs"]}
    known = layers()
    rows: list[Row] = []
    for board in BOARDS:
        cores = fitted(board, runs, known)
        machine = ncnn.hardware(cores, board.memory_B)
        for what, line, policy, counts in (
            ("all cores, equal split", board.all_cores, "static", tuple(c.count for c in cores)),
            ("big cores only", board.big_only, "static", (cores[0].count, 0)),
        ):
            for model in CHECKED:
                result = simulate(ncnn.tasks(known[model], cores, board.width), machine, policy, counts)
                measured = runs[line]["ms"][model][0]
                rows.append(
                    {"board": board.name, "run": what, "model": model, "measured_ms": measured,
                     "simulated_ms": round(result.seconds * 1e3, 2), "error": round(result.seconds * 1e3 / measured - 1, 3)}
                )  # fmt: skip
        for model in CHECKED:
            result = simulate(ncnn.tasks(known[model], cores, board.width, FINE * machine.cores), machine, "guided")
            rows.append(
                {"board": board.name, "run": "ncnn's kernels, our rules", "model": model, "measured_ms": None,
                 "simulated_ms": round(result.seconds * 1e3, 2), "error": None}
            )  # fmt: skip
    return rows


def figures() -> list[Row]:
    """What the fits found."""
    runs = {run["readme_line"]: run for run in json.loads(MEASUREMENTS.read_text(encoding="utf-8"))["ncnn_benchncnn"]["runs"]}
    known = layers()
    return [
        {"board": board.name, "core": core.name, "peak MAC/cycle": core.peak, "GHz": core.clock / 1e9, "sgemm": round(core.sgemm, 3),
         "winograd": round(core.winograd, 3), "cycles/element": round(core.element, 2)}
        for board in BOARDS for core in fitted(board, runs, known)
    ]  # fmt: skip
