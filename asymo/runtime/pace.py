"""Notices that a core is for good not as fast as it was planned: throttled by heat, taken by other programs, or badly known.

The scheduler moves shares between the cores of a step by itself, at once. What it cannot do is to choose other cores and other units for
a step: that takes a new plan, in which cores of one type that have become unlike are types of their own. Plans are made anew only for
changes by a factor of two that last, and seldom, so that nothing oscillates: what is planned anew is measured against the new plan, in
which a core that stays as slow is no news. Pure: the caller brings the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log
from statistics import median

import numpy as np

from asymo.plan.plan import Plan
from asymo.runtime.crew import MAX_TYPES

LOOK_S, LOOKS = 1.0, 3
"""Seconds between two looks, and how many in a row must agree."""
REST_S = 10.0
"""Seconds between two plans at least."""
RETRY_S, RETRY_MAX_S = 60.0, 1920.0
"""After so long a core that is left out because it was slow is planned again as it once was; twice as long after each time."""
NEWS = 2.0
"""Smaller factors are left to the scheduler."""
KEPT = 1.25
"""After a change smaller factors are dropped, and cores of one type that are as alike are planned alike."""

Learned = Iterable[tuple[Plan, np.ndarray]]
"""Plans, and what a unit of each step has cost each worker: [steps][workers], 0 where nobody knows."""


def slowness(learned: Learned, types: Sequence[int]) -> dict[int, float]:
    """How many times slower than planned each worker is against the one that keeps its plan best: 1 for that one. Workers without work
    are left out. types: that of each worker. Steps count by the logarithm of the factor and by their predicted time."""
    sums: dict[int, float] = {}
    weights: dict[int, float] = {}
    for plan, costs in learned:
        for step, row in zip(plan.steps, costs.tolist(), strict=True):
            planned = step.sharing.unit_ns
            late = {
                w: seen / planned[t]
                for w, (t, seen) in enumerate(zip(types, row, strict=True))
                if t < len(planned) and planned[t] * seen > 0
            }
            weight, least = step.ns or 1.0, min(late.values(), default=1.0)
            for w, factor in late.items():
                sums[w] = sums.get(w, 0.0) + weight * log(factor / least)
                weights[w] = weights.get(w, 0.0) + weight
    means = {w: sums[w] / weights[w] for w in sums}
    least = min(means.values(), default=0.0)
    return {w: exp(mean - least) for w, mean in means.items()}


def levels(factors: Mapping[int, float], types: Mapping[int, str]) -> dict[int, float]:
    """The factors of cores, by their CPUs, to plan with: one for all cores of a type that are alike; were that too many kinds of cores,
    one for each type. types: that of each core."""
    groups: list[list[int]] = []
    for cpu in sorted(factors, key=lambda cpu: (types[cpu], factors[cpu])):
        first = groups[-1][0] if groups else cpu
        if groups and types[cpu] == types[first] and factors[cpu] <= KEPT * factors[first]:
            groups[-1].append(cpu)
        else:
            groups.append([cpu])
    if len(groups) > MAX_TYPES:
        groups = [[cpu for cpu in factors if types[cpu] == name] for name in dict.fromkeys(types[cpu] for cpu in factors)]
    typical = [float(f"{median(factors[cpu] for cpu in group):.2g}") for group in groups]
    return {cpu: factor for group, factor in zip(groups, typical, strict=True) for cpu in group if factor >= KEPT}


class Pace:
    """factors: CPU -> how many times slower than its description it is planned; CPUs that are not in it: as described."""

    def __init__(self, now: float) -> None:
        self.factors: dict[int, float] = {}
        self._now = self._last = now
        self._agreed = 0
        self._retry_s = RETRY_S

    def is_due(self, now: float) -> bool:
        """Whether it is time for another `look`."""
        return now - self._now >= LOOK_S

    def look(self, seen: Mapping[int, float], types: Mapping[int, str], now: float) -> bool:
        """Whether to plan anew, with the `factors` as they are then. seen: `slowness` under the current plan, by CPU. types: as for
        `levels`."""
        self._now = now
        self._agreed = self._agreed + 1 if max(seen.values(), default=1.0) >= NEWS else 0
        if now - self._last < REST_S:
            return False
        if self._agreed >= LOOKS:
            factors = {cpu: self.factors.get(cpu, 1.0) * seen.get(cpu, 1.0) for cpu in types}
            least = min(factors[cpu] for cpu in seen)
            return self._adopt(levels({cpu: factor / least for cpu, factor in factors.items()}, types), now)
        if any(cpu not in seen for cpu in self.factors) and now - self._last >= self._retry_s:
            self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
            return self._adopt({}, now)
        return False

    def _adopt(self, factors: dict[int, float], now: float) -> bool:
        """Whether they are others."""
        is_new = factors != self.factors
        self.factors, self._agreed, self._last = factors, 0, now
        return is_new
