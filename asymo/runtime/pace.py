"""Notices that a core type is for good not as fast as it was planned: throttled by heat, taken by other programs, or badly known.

The scheduler moves shares between the cores of a step by itself, at once. What it cannot do is to choose other cores and other units for
a step: that takes a new plan. Plans are made anew only for changes by a factor of two that last, and seldom, so that nothing oscillates:
what is planned anew is measured against the new plan, in which a core that stays as slow is no news. Pure: the caller brings the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from asymo.plan.plan import Plan

LOOK_S, LOOKS = 1.0, 3
"""Seconds between two looks, and how many in a row must agree."""
REST_S = 10.0
"""Seconds between two plans at least."""
RETRY_S, RETRY_MAX_S = 60.0, 1920.0
"""After so long a type that is left out because it was slow is planned again as it once was; twice as long after each time."""
NEWS = 2.0
"""Smaller factors are left to the scheduler."""
KEPT = 1.25
"""After a change smaller factors are dropped."""

Learned = Iterable[tuple[Plan, np.ndarray]]
"""Plans, and what a unit of each step has cost each worker: [steps][workers], 0 where nobody knows."""


def slowness(learned: Learned, types: Sequence[int]) -> dict[int, float]:
    """How many times slower than planned each core type is against the one that keeps its plan best: 1 for that one. Types without work
    are left out. types: that of each worker. Steps count by the logarithm of the factor and by their predicted time."""
    sums: dict[int, float] = {}
    weights: dict[int, float] = {}
    kinds = np.asarray(types)
    for plan, costs in learned:
        for step, row in zip(plan.steps, costs, strict=True):
            late = {}
            for kind in {t for t in types if t < len(step.sharing.unit_ns) and step.sharing.unit_ns[t] > 0}:
                seen = row[(kinds == kind) & (row > 0)]
                if len(seen):
                    late[kind] = float(np.median(seen)) / step.sharing.unit_ns[kind]
            for kind, factor in late.items():
                weight = step.ns or 1.0
                sums[kind] = sums.get(kind, 0.0) + weight * np.log(factor / min(late.values()))
                weights[kind] = weights.get(kind, 0.0) + weight
    means = {kind: sums[kind] / weights[kind] for kind in sums}
    least = min(means.values(), default=0.0)
    return {kind: float(np.exp(mean - least)) for kind, mean in means.items()}


class Pace:
    """factors: core type by name -> how many times slower than its description it is planned; types that are not in it: as described."""

    def __init__(self, now: float) -> None:
        self.factors: dict[str, float] = {}
        self._now = self._last = now
        self._agreed = 0
        self._retry_s = RETRY_S

    def is_due(self, now: float) -> bool:
        """Whether it is time for another `look`."""
        return now - self._now >= LOOK_S

    def look(self, seen: Mapping[str, float], now: float) -> bool:
        """Whether to plan anew, with the `factors` as they are then. seen: `slowness` under the current plan, by the types' names."""
        self._now = now
        self._agreed = self._agreed + 1 if max(seen.values(), default=1.0) >= NEWS else 0
        if now - self._last < REST_S:
            return False
        if self._agreed >= LOOKS:
            factors = {name: self.factors.get(name, 1.0) * seen.get(name, 1.0) for name in {*self.factors, *seen}}
            least = min(factors[name] for name in seen)
            self._adopt({name: factor / least for name, factor in factors.items()}, now)
            return True
        if any(name not in seen for name in self.factors) and now - self._last >= self._retry_s:
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            self._adopt({}, now)
            return True
        return False

    def _adopt(self, factors: dict[str, float], now: float) -> None:
        self.factors = {name: factor for name, factor in factors.items() if factor >= KEPT}
        self._agreed, self._last = 0, now
