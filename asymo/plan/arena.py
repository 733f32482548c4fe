"""Where each buffer lies in the arena: lifetimes in, offsets out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

ALIGNMENT = 64
"""Bytes: a cache line, and one AVX-512 register."""


AHEAD_NS = 150_000.0
"""How far the others may get ahead of a late worker before its memory is written again (asymo/plan/horizon.py). Most of what interrupts
a worker is over by then. Arenas grow by 20 to 50 % (docs/plan.md)."""


@dataclass(slots=True)
class Lifetime:
    """A buffer of nbytes that is written first by step `first` and used last by step `last`."""

    nbytes: int
    first: int
    last: int


def lengthen(lifetimes: Sequence[Lifetime], step_ns: Sequence[float], ahead_ns: float = AHEAD_NS) -> list[Lifetime]:
    """The lifetimes, each kept until the step that ends `ahead_ns` of predicted time after its last use; until the last step at most."""
    ends = list(accumulate(step_ns))
    final = len(ends) - 1
    return [replace(life, last=max(life.last, min(bisect_left(ends, ends[life.last] + ahead_ns), final))) for life in lifetimes]


def place(lifetimes: list[Lifetime]) -> tuple[int, list[int]]:
    """(bytes of the arena, offset of each buffer). Buffers that live at the same time do not overlap.

    Largest first, each at the lowest offset that is free during its life: greedy by size (Pisarchyk and Lee, 2020, section 5.2), within
    a few percent of the lower bound on convolutional networks.
    """
    offsets = [0] * len(lifetimes)
    placed: list[tuple[int, int, int, int]] = []  # begin, end, first, last
    for index in sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].nbytes, lifetimes[i].first)):
        life = lifetimes[index]
        size = -(-max(life.nbytes, 1) // ALIGNMENT) * ALIGNMENT
        offset = 0
        for begin, end, *_ in sorted(p for p in placed if p[2] <= life.last and life.first <= p[3]):
            if offset + size <= begin:
                break
            offset = max(offset, end)
        offsets[index] = offset
        placed.append((offset, offset + size, life.first, life.last))
    return max((end for _, end, _, _ in placed), default=0), offsets
