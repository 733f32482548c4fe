"""What a step costs on a core type.

    step_seconds = sum over features of count (features.py) x seconds each (speeds.py)

Pure and quick: counts are kept per (kind, args, place).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import repeat
from operator import mul
from typing import Any

from asymo.cost import features
from asymo.cost.features import BY_SIZE, Args, Place, Touched, phases
from asymo.cost.speeds import Machine, TypeSpeeds

__all__ = ["Args", "classify", "phases", "step_seconds", "units"]

Key = tuple[tuple[str, Any], ...]


def classify(kind: str, args: Args, mr: int = 8) -> str:
    """The kernel class whose coefficients apply to a step (features.CLASSES). mr: rows of the GEMM's register tile."""
    return features.classify(kind, args, mr)


def units(kind: str, args: Args, machine: Machine) -> int:
    """Units of one phase of the step on this machine's kernels."""
    return features.units(kind, args, machine.geometry[1])


def place(speeds: TypeSpeeds, busy: int, machine: Machine, run_bytes: int, touched: Touched = BY_SIZE) -> Place:
    """Where a step runs: a core of this type among `busy` cores."""
    l2 = speeds.l2_bytes // speeds.l2_sharers
    return Place(*machine.geometry, speeds.l1_bytes, l2, speeds.l3_at(speeds.cores), max(busy, 1), run_bytes, touched)


@lru_cache(maxsize=4096)
def _vector(kind: str, key: Key, at: Place) -> tuple[str, tuple[float, ...]]:
    args = dict(key)
    name = features.classify(kind, args, at.mr)
    counts = features.count(kind, args, at)
    return name, tuple(map(counts.get, features.CLASSES[name], repeat(0.0)))


def vector(kind: str, args: Args, at: Place) -> tuple[str, tuple[float, ...]]:
    """(kernel class, its features of the whole step)."""
    return _vector(kind, tuple(args.items()), at)


def step_seconds(
    kind: str, args: Args, speeds: TypeSpeeds, busy: int, machine: Machine, run_bytes: int = 0, touched: Touched = BY_SIZE
) -> float:
    """Seconds of all units of all phases on one core of the type, with `busy` cores of the type at work; no claims, no barriers.

    run_bytes: bytes that a whole run of the model touches (constants and arena); from it follows in which cache the weights still are.
    0: only this step's own. touched: how long ago its operands' memory was used, where the plan is known.
    """
    name, counts = vector(kind, args, place(speeds, busy, machine, run_bytes, touched))
    seconds: float = sum(map(mul, counts, speeds.classes[name].at(busy, speeds.of)))
    return seconds


def memory_bytes(name: str, counts: tuple[float, ...]) -> float:
    """The bytes that cross to memory, of a class and its features."""
    return sum([c for c, f in zip(counts, features.CLASSES[name], strict=True) if f in features.MEMORY])
