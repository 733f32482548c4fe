"""The machine as the simulator sees it: cores in types and groups, what waking and claiming cost, and the memory they share."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

SPIN_S = 200e-6
"""How long a worker spins before it sleeps where a step does not say: the pool's own default."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One core type. group: how many of its cores own an interval together (they share an L2). claim_s: to claim a chunk and begin it."""

    name: str
    cores: int
    group: int = 1
    claim_s: float = 0.0

    def __post_init__(self) -> None:
        assert self.cores >= 1 and self.group >= 1 and self.claim_s >= 0, self


@dataclass(frozen=True, slots=True)
class Hardware:
    """Types fastest first; a core's id counts them through in this order.

    memory_B: bytes/s of what all cores share. wake_s: from the opening of a step until a spinning worker looks for units. park_s: the
    same for one that sleeps. barrier_s: from the last unit's end until the caller goes on.
    """

    kinds: tuple[Kind, ...]
    memory_B: float = inf
    wake_s: float = 0.0
    park_s: float = 0.0
    barrier_s: float = 0.0
    spin_s: float = SPIN_S
    type_of: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        assert self.kinds and self.memory_B > 0 and min(self.wake_s, self.park_s, self.barrier_s) >= 0, self
        object.__setattr__(self, "type_of", tuple(t for t, kind in enumerate(self.kinds) for _ in range(kind.cores)))

    @property
    def cores(self) -> int:
        return len(self.type_of)

    def crew(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """Ids of the first counts[t] cores of each type t; types beyond the end of counts have none."""
        assert len(counts) <= len(self.kinds) and all(n <= k.cores for n, k in zip(counts, self.kinds, strict=False)), counts
        taken = [0] * len(self.kinds)
        ids = []
        for core, t in enumerate(self.type_of):
            if t < len(counts) and taken[t] < counts[t]:
                taken[t] += 1
                ids.append(core)
        return tuple(ids)

    def name(self, core: int) -> str:
        """ "big 0", "little 3"."""
        t = self.type_of[core]
        return f"{self.kinds[t].name} {core - self.type_of.index(t)}"
