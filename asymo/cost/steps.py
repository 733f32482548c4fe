"""What a step costs on a core type, and a step as the section 6 model sees it.

    step_seconds = sum over features of count (features.py) x seconds each (speeds.py)

Pure and quick: counts are kept per (kind, args, place).
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, prod
from typing import Any

from asymo.cost import features
from asymo.cost.features import Args, Place, phases
from asymo.cost.model import CoreType, Work
from asymo.cost.speeds import Machine, TypeSpeeds

__all__ = ["Args", "as_work", "classify", "core_types", "phases", "step_seconds", "unit_seconds", "units"]

Key = tuple[tuple[str, Any], ...]


def classify(kind: str, args: Args, mr: int = 8) -> str:
    """The kernel class whose coefficients apply to a step (features.CLASSES). mr: rows of the GEMM's register tile."""
    return features.classify(kind, args, mr)


def units(kind: str, args: Args, machine: Machine) -> int:
    """Units of one phase of the step on this machine's kernels."""
    return features.units(kind, args, machine.geometry[1])


def place(speeds: TypeSpeeds, busy: int, machine: Machine, run_bytes: int) -> Place:
    """Where a step runs: a core of this type among `busy` cores."""
    return Place(*machine.geometry, speeds.l1_bytes, speeds.l2_bytes // speeds.l2_sharers, speeds.l3_bytes, max(busy, 1), run_bytes)


@lru_cache(maxsize=4096)
def _vector(kind: str, key: Key, at: Place) -> tuple[str, tuple[float, ...]]:
    args = dict(key)
    name = features.classify(kind, args, at.mr)
    counts = features.count(kind, args, at)
    return name, tuple(counts.get(f, 0.0) for f in features.CLASSES[name])


def vector(kind: str, args: Args, at: Place) -> tuple[str, tuple[float, ...]]:
    """(kernel class, its features of the whole step)."""
    return _vector(kind, tuple(args.items()), at)


def step_seconds(kind: str, args: Args, speeds: TypeSpeeds, busy: int, machine: Machine, run_bytes: int = 0) -> float:
    """Seconds of all units of all phases on one core of the type, with `busy` cores of the type at work; no claims, no barriers.

    run_bytes: bytes that a whole run of the model touches (constants and arena); from it follows in which cache the weights still are.
    0: only this step's own.
    """
    name, counts = vector(kind, args, place(speeds, busy, machine, run_bytes))
    return sum(c * s for c, s in zip(counts, speeds.classes[name].at(busy, speeds.of), strict=True))


def unit_seconds(kind: str, args: Args, speeds: TypeSpeeds, busy: int, machine: Machine, run_bytes: int = 0) -> float:
    """Seconds of an average unit on one core of the type, with `busy` cores of the type at work."""
    n = units(kind, args, machine) * phases(kind, args)
    return step_seconds(kind, args, speeds, busy, machine, run_bytes) / n if n else 0.0


_MEMORY = ("near", "far", "memory")
PRODUCTS = ("gemm", "conv", "winograd", "dwconv")
"""Step kinds that the section 6 model sees as a product; the others are a list of units."""


def core_types(kind: str, args: Args, machine: Machine, run_bytes: int = 0) -> tuple[CoreType, ...]:
    """The machine's core types for this step: F and B are such that the section 6 model meets the features' time.

    F: FLOP/s without the bytes that come from beyond L1; B: bytes/s of the step's own traffic from there, inf when it has none.
    """
    work = as_work(kind, args, machine)
    flops = 2.0 * work.k * work.outputs
    found = []
    for speeds in machine.types:
        n = speeds.cores
        F1, B1 = _rates(kind, args, speeds, 1, machine, run_bytes, flops)
        F, B = _rates(kind, args, speeds, n, machine, run_bytes, flops) if n > 1 else (F1, B1)
        caches = (speeds.l1_bytes, speeds.l2_bytes, speeds.l2_sharers)
        found.append(CoreType(speeds.name, n, F, F1, n * B, B1, speeds.claim_s, *caches))
    return tuple(found)


def _rates(kind: str, args: Args, speeds: TypeSpeeds, busy: int, machine: Machine, run_bytes: int, flops: float) -> tuple[float, float]:
    name, counts = vector(kind, args, place(speeds, busy, machine, run_bytes))
    rates = speeds.classes[name].at(busy, speeds.of)
    names = features.CLASSES[name]
    seconds = [c * r for c, r in zip(counts, rates, strict=True)]
    if kind not in PRODUCTS:
        return flops / max(sum(seconds), 1e-12), inf
    compute = sum(s for f, s in zip(names, seconds, strict=True) if f not in _MEMORY)
    far = rates[names.index("far")]
    return flops / max(compute, 1e-12), 1 / far if far else inf


def as_work(kind: str, args: Args, machine: Machine) -> Work:
    """The step as m x n outputs of depth k in units of its own size. What is no GEMM is a list of its units' elements, k = 1."""
    name = features.classify(kind, args, machine.geometry[0])
    nr = machine.geometry[1]

    def unit(m: int, n: int, unit_m: str = "unit_m") -> tuple[int, int]:
        m_unit = args[unit_m] if args[unit_m] > 0 else m
        return min(m_unit, m), min(features.round_up(args["unit_n"] if args["unit_n"] > 0 else n, nr), features.round_up(n, nr))

    match kind:
        case "gemm":
            m, n, k = prod(args["batch"]) * args["m"], args["n"], args["k"]
        case "conv":
            m, n, k = args["groups"] * args["batch"] * prod(args["out"]), args["n"], args["c"] * prod(args["kernel"])
        case "winograd":
            tile = args["tile"]
            m, n, k = features._winograd_tiles(args), args["n"], args["c"] * (tile + 2) ** 2
            each = unit(max(m, 1), max(n, 1), "unit_tiles")
            return Work(name, max(m, 1), max(n, 1), max(k, 1), 4, *each)
        case "dwconv":
            rows, width, c = args["batch"] * args["out"][0], args["out"][1], args["channels"]
            each = (max(args["unit_rows"], 1), max(min(args["unit_c"], c) * width, 1))
            return Work(name, max(rows, 1), max(width * c, 1), prod(args["kernel"]), 4, *each)
        case _:
            n_units = max(units(kind, args, machine), 1)
            return Work(name, n_units, 1, 1)
    mr_unit, nr_unit = unit(max(m, 1), max(n, 1))
    return Work(name, max(m, 1), max(n, 1), max(k, 1), 4, max(mr_unit, 1), max(nr_unit, 1))
