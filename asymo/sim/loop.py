"""Who gets which units of a phase: the scheduler's rules, applied in the order in which csrc/sched/loop.c applies them.

Every decision is one of the C core's: how units are cut into intervals, how many a worker takes of one, whether it leaves them to faster
ones, and whether a straggler's chunk is computed again. Here is only what the pool does between them: whose interval comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf
from typing import Any

from asymo import _core
from asymo.record import NamedTuple


class Worker(NamedTuple):
    """A core that takes part. type 0 is the fastest; group: shares an interval with its neighbours of the same group, -1: alone. chunk:
    units of its smallest claim; cost: predicted seconds of a unit."""

    core: int
    type: int
    group: int
    chunk: int
    cost: float


class Chunk(NamedTuple):
    """Units [begin, end). stolen_from: the type of the interval's owner if it was not the worker's own, else -1. repeated: it was a
    straggler's."""

    begin: int
    end: int
    stolen_from: int = -1
    repeated: bool = False


class Loop:
    """The intervals of one phase while workers take from them. The first worker is the caller's."""

    def __init__(self, policy: str, units: int, workers: Sequence[Worker]) -> None:
        if policy == "big":
            workers, policy = [w for w in workers if w.type == workers[0].type], "guided"
        self._policy, self._units, self._caller = policy, units, workers[0].core
        self._shares = _core.shares([(w.type, w.group, w.chunk, w.cost, w.cost) for w in workers])
        bounds = [0, *_core.sched_cut(policy, units, self._shares)]
        pointers = [self._shares + i for i in range(len(workers))]
        self._of = {w.core: share for w, share in zip(workers, pointers, strict=True)}
        self._owners = [next(s for s in pointers if s.interval == i) for i in range(len(bounds) - 1)]
        self._intervals = list(pairwise(bounds))
        self._steals = _core.sched_steals(policy)
        self.left = units

    @property
    def is_empty(self) -> bool:
        """Nothing is left to take."""
        return not self.left

    def cost(self, core: int) -> float:
        """Predicted seconds of a unit on a core that takes part."""
        return float(self._of[core].cost)

    def least(self, core: int) -> int:
        """Units of the smallest chunk of a core that takes part."""
        return int(self._of[core].chunk)

    def take(self, core: int) -> Chunk | None:
        """The chunk that this core takes next; None: it takes no more of this phase."""
        me = self._of.get(core)
        if me is None or self._leaves(core, me):
            return None
        if self._size(me.interval):
            return self._take(me, me.interval, False)
        victim = self._victim(me) if self._steals else None
        return self._take(me, victim, True)._replace(stolen_from=self._owners[victim].type) if victim is not None else None

    def _size(self, interval: int) -> int:
        begin, end = self._intervals[interval]
        return end - begin

    def _leaves(self, core: int, me: Any) -> bool:
        if self._policy != "guided" or core == self._caller or me.faster <= 0:
            return False
        return _core.sched_leaves(me, me.chunk, self._size(me.interval)) and _core.sched_leaves(me, me.chunk, self.left)

    def _victim(self, me: Any) -> int | None:
        """The fullest interval of another group; those of the worker's own type go first."""
        full = [i for i in range(len(self._owners)) if i != me.interval and self._size(i)]
        return max(full, key=lambda i: (self._owners[i].type == me.type, self._size(i), -i), default=None)

    def _take(self, me: Any, interval: int, steals: bool) -> Chunk:
        part = _core.sched_part(self._policy, me, self._owners[interval], self._size(interval), self._units)
        self._intervals[interval], (begin, end) = _core.sched_take(self._intervals[interval], steals, part, me.chunk)
        self.left -= end - begin
        return Chunk(begin, end)

    def redoes(self, elapsed: float, usual: float, redo: float) -> bool:
        """Whether the caller computes a chunk again, in `redo` seconds, that should take `usual` and has taken `elapsed`."""
        return self._policy == "guided" and _core.sched_redoes(elapsed, usual, redo)

    def ask_again(self, begin: float, usual: float, redo: float) -> float:
        """When `redoes` may become true that is not: once nobody knows what holds a straggler up (share.h)."""
        return begin + max(1.25 * usual, redo) if self._policy == "guided" else inf
