"""Where each buffer lies in the arena: lifetimes in, offsets out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from asymo.record import NamedTuple

ALIGNMENT = 64
"""Bytes: a cache line, and one AVX-512 register."""


AHEAD_NS = 150_000.0
"""How far the others may get ahead of a late worker before its memory is written again (asymo/plan/horizon.py). Most of what interrupts
a worker is over by then."""

KEPT_PART = 0.25
"""Buffers up to this part of L2 are kept longer: what is kept is memory that later steps would have found warm. With the whole L2 instead,
the caller alone took 13 % longer on MobileNetV3-small, 5 % on MobileNetV2, 4 % on ShuffleNetV2 and 2 % on SqueezeNet (20 interleaved
rounds, Zen 4 with 1 MiB of L2, 2026-11-22). And large buffers belong to long steps, during which a late worker comes back."""


class Lifetime(NamedTuple):
    """A buffer of nbytes that is written first by step `first` and used last by step `last`."""

    nbytes: int
    first: int
    last: int


def lengthen(lifetimes: Sequence[Lifetime], step_ns: Sequence[float], l2_bytes: int, ahead_ns: float = AHEAD_NS) -> list[Lifetime]:
    """The lifetimes; buffers of at most KEPT_PART of l2_bytes are kept until the step that ends `ahead_ns` of predicted time after their
    last use, at most until the last step."""
    ends = list(accumulate(step_ns))
    final = len(ends) - 1

    def kept(life: Lifetime) -> int:
        return max(life.last, min(bisect_left(ends, ends[life.last] + ahead_ns), final))

    return [life._replace(last=kept(life)) if life.nbytes <= KEPT_PART * l2_bytes else life for life in lifetimes]


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
