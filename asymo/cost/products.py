"""A step as the section 6 model (asymo/cost/model.py) sees it: outputs of a depth, and the speeds at which that model meets its time."""

from __future__ import annotations

from math import inf, prod

from asymo.cost import features
from asymo.cost.features import Args
from asymo.cost.model import CoreType, Work
from asymo.cost.speeds import Machine, TypeSpeeds
from asymo.cost.steps import place, units, vector

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
            m, n, k = features._winograd_tiles(args), args["n"], args["c"] * features.winograd_products(args)
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
