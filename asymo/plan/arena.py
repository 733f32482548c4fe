"""Where each buffer lies in the arena: lifetimes in, offsets out."""

from __future__ import annotations

from dataclasses import dataclass

ALIGNMENT = 64
"""Bytes: a cache line, and one AVX-512 register."""


@dataclass(slots=True)
class Lifetime:
    """A buffer of nbytes that is written first by step `first` and used last by step `last`."""

    nbytes: int
    first: int
    last: int


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
