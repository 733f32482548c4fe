"""What cores draw at each clock: the watts that belong to a cost `Machine`'s core types.

From a device profile: its vendor's energy table where it has one, else `dynamic-power-coefficient x MHz x V^2` and a static part, with the
voltages and coefficients that it knows and estimates in place of those that it does not. `TypeDraw.basis` says which. A static part there
must be: without one the least energy would always be at the lowest clock.

All constants below were read off two public tables, those of Kirin 960 and 970, unless they say otherwise. docs/energy.md tells what they
mean for results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from asymo.cost.devices import types_of
from asymo.cost.speeds import DEFAULT_MHZ, Machine
from asymo.device.cpufreq import Policy
from asymo.device.profile import Cluster, Opp, Profile
from asymo.device.topology import Topology

STATIC = 0.27
"""Static power of a core at the highest clock, of its dynamic power there; in proportion to the voltage (both Kirin 970 clusters: 0.26 and
0.28, least squares of A f V^2 + S V over their tables)."""

IDLE_OF_STATIC = 0.4
"""What a core draws that is awake and waits for an interrupt, of its static power (Kirin 970: 0.38 and 0.42)."""

SHARED = 0.25
"""What a cluster's cores share - L2, interconnect, their clock - of one busy core's power at the same clock (Kirin 970: 0.19 to 0.35)."""

STALL = 0.5
"""Dynamic power of a core that waits for memory, of that while it computes (estimate)."""

BYTE_J = 100e-12
"""Joules per byte from memory, device and interface: LPDDR4X (estimate). The same at every setting that runs the same plan."""

CLOCK_PARTS, VOLT_PARTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (0.69, 0.69, 0.71, 0.73, 0.77, 0.81, 0.86, 0.93, 1.0)
"""Parts of the highest clock, and of the highest voltage there: mean of the 33 clusters whose voltages are known."""

TOP_VOLTS = 1.0
"""At the highest clock, where no voltage is known (those known: 0.9 to 1.33)."""

COEFFICIENTS = {
    "cortex-a7": 90, "cortex-a15": 310, "cortex-a53": 105, "cortex-a55": 105, "cortex-a55r0": 154, "cortex-a57": 530, "cortex-a72": 436,
    "cortex-a73": 342, "cortex-a75r0": 442, "cortex-a76": 400, "cortex-a77": 380, "cortex-a78": 520, "cortex-a710": 447,
    "cortex-a715": 447, "cortex-a720": 238, "cortex-a510": 251, "cortex-a520": 100, "cortex-x1": 650, "cortex-x2": 900, "cortex-x3": 1057,
    "cortex-x4": 588, "apple-firestorm": 1300, "apple-avalanche": 1300, "apple-icestorm": 200, "apple-blizzard": 200,
}  # fmt: skip
"""uW/MHz/V^2 of designs where a profile gives none: the median of the profiles that do, estimates for X2 and Apple's."""

IN_ORDER, OUT_OF_ORDER, WIDE, WIDE_FMA = 110, 400, 1500, 16
"""The same for designs that nobody knows: in order, out of order, and those of 16 multiply-adds a cycle and more (estimates)."""


@dataclass(frozen=True, slots=True)
class Point:
    """An operating point. Watts of one core that computes, of one that is awake and waits, and of what each cluster's cores share while
    one of them is awake."""

    khz: int
    busy_w: float
    idle_w: float
    shared_w: float

    @property
    def dynamic_w(self) -> float:
        """What computing adds."""
        return self.busy_w - self.idle_w


@dataclass(frozen=True, slots=True)
class TypeDraw:
    """One core type. points: its operating points, slowest first; the last is the clock that its speeds are known at. clusters: cores of
    each of its clusters, in the order they are filled. basis: where the watts come from."""

    name: str
    points: tuple[Point, ...]
    clusters: tuple[int, ...]
    basis: str

    def at(self, khz: int) -> Point:
        """The operating point of this clock."""
        return next(p for p in self.points if p.khz == khz)

    def slowdown(self, khz: int) -> float:
        """How many times slower than the highest clock this one is."""
        return self.points[-1].khz / khz

    def awake(self, cores: int) -> int:
        """How many clusters so many cores need."""
        n = 0
        while cores > 0:
            cores -= self.clusters[n]
            n += 1
        return n


@dataclass(frozen=True, slots=True)
class Draw:
    """The types of a machine, in its order. coupled: indices of types that cannot have different clocks, one group for each clock.
    byte_J: energy of a byte from memory."""

    types: tuple[TypeDraw, ...]
    coupled: tuple[tuple[int, ...], ...]
    byte_J: float = BYTE_J

    @property
    def basis(self) -> str:
        """Where the watts come from, of all types."""
        return "; ".join(dict.fromkeys(t.basis for t in self.types))

    def of(self, machine: Machine) -> Draw:
        """For a machine with some of the types, by name, in its order."""
        kept = [i for t in machine.types for i, known in enumerate(self.types) if known.name == t.name]
        coupled = (tuple(new for new, old in enumerate(kept) if old in group) for group in self.coupled)
        return Draw(tuple(self.types[i] for i in kept), tuple(group for group in coupled if group), self.byte_J)

    def fixed(self) -> Draw:
        """The same with the highest clocks alone: where no clock can be set."""
        return replace(self, types=tuple(replace(t, points=t.points[-1:]) for t in self.types))


def from_profile(profile: Profile) -> Draw:
    """The watts of `devices.from_profile(profile)`: one clock a core type, at points that all its clusters have."""
    unit_w = _vendor_unit(profile)
    types = []
    for name, clusters in types_of(profile):
        first = clusters[0]
        common = set.intersection(*({o.khz for o in _opps(c)} for c in clusters))
        found = _vendor(first, unit_w) if unit_w and first.vendor_sched_energy else _typical(first)
        points = tuple(p for p in found.points if p.khz in common) or found.points[-1:]
        types.append(replace(found, name=name, points=points, clusters=tuple(c.count for c in clusters)))
    return Draw(tuple(types), tuple((t,) for t in range(len(types))))


def from_topology(topology: Topology, policies: Mapping[int, Policy]) -> Draw:
    """The watts of a machine of which designs and clocks are known. policies: its cpufreq policies by id."""
    names, kinds = topology.type_names, topology.types
    types, owners = [], []
    for kind in kinds:
        core = kind[0]
        owners.append({c.policy for c in kind if c.policy in policies})
        steps = [set(_steps(policies[i])) for i in owners[-1]]
        khz = sorted(set.intersection(*steps) if steps else ()) or [1000 * (core.max_mhz or DEFAULT_MHZ)]
        clusters = tuple(sum(c.policy == i for c in kind) for i in dict.fromkeys(c.policy for c in kind))
        known = Cluster(
            names[core.cpu],
            core.name,
            len(kind),
            (),
            core.in_order,
            opps=tuple(Opp(k) for k in khz),
            fp32_fma_per_cycle=core.fma or None,
        )
        types.append(replace(_typical(known), clusters=clusters))
    return Draw(tuple(types), _coupled(owners))


STEPS = 8
"""Operating points weighed where a driver sets any clock between two limits."""


def _steps(policy: Policy) -> list[int]:
    """Clocks that can be set, without boost."""
    if policy.steps:
        return [k for k in policy.steps if k not in policy.boost]
    return [int(k) for k in np.linspace(policy.lowest, policy.highest, STEPS).round(-3)] if policy.lowest < policy.highest else []


def _coupled(owners: Sequence[set[int]]) -> tuple[tuple[int, ...], ...]:
    """Types that share a policy, and so a clock, in groups. owners: the policies of each type."""
    groups: list[tuple[list[int], set[int]]] = []
    for t, mine in enumerate(owners):
        shared = [g for g in groups if g[1] & mine]
        groups = [g for g in groups if g not in shared]
        groups.append(([i for g in shared for i in g[0]] + [t], mine.union(*(g[1] for g in shared))))
    return tuple(sorted(tuple(types) for types, _ in groups))


def _opps(cluster: Cluster) -> list[Opp]:
    """Operating points without boost; the highest clock alone where no others are known."""
    return [o for o in cluster.opps if not o.turbo] or [Opp(cluster.max_freq_khz or 1_500_000)]


def _typical(cluster: Cluster) -> TypeDraw:
    """coefficient x MHz x V^2, static and shared parts by the constants above."""
    opps = _opps(cluster)
    coefficient = cluster.dynamic_power_coefficient or _coefficient(cluster)
    volts = [_volts(o, opps[-1]) for o in opps]
    dynamic = [1e-9 * coefficient * o.khz * v**2 for o, v in zip(opps, volts, strict=True)]
    points = []
    for opp, v, d in zip(opps, volts, dynamic, strict=True):
        static = STATIC * dynamic[-1] * v / volts[-1]
        points.append(Point(opp.khz, d + static, IDLE_OF_STATIC * static, SHARED * (d + static)))
    guessed = [] if cluster.dynamic_power_coefficient else ["coefficient"]
    guessed += [] if all(o.uv for o in opps) else ["voltages"]
    return TypeDraw(
        cluster.name,
        tuple(points),
        (cluster.count,),
        "coefficient x MHz x V^2" + (f" ({', '.join(guessed)}: estimates)" if guessed else ""),
    )


def _coefficient(cluster: Cluster) -> int:
    unknown = IN_ORDER if cluster.in_order else WIDE if (cluster.fp32_fma_per_cycle or 0) >= WIDE_FMA else OUT_OF_ORDER
    return COEFFICIENTS.get(cluster.core, unknown)


def _volts(opp: Opp, top: Opp) -> float:
    if opp.uv:
        return 1e-6 * opp.uv
    return TOP_VOLTS * float(np.interp(opp.khz / top.khz, CLOCK_PARTS, VOLT_PARTS))


def _vendor(cluster: Cluster, unit_w: float) -> TypeDraw:
    """The vendor's table: a busy core, a waiting one, and the cluster, at each operating point."""
    table = cluster.vendor_sched_energy
    assert table is not None
    shared = [row["power"] if isinstance(row, dict) else row for row in table["cluster"]]
    idle = table["core_idle"][0]
    points = tuple(
        Point(opp.khz, unit_w * row["power"], unit_w * idle, unit_w * w)
        for opp, row, w in zip(_opps(cluster), table["core"], shared, strict=True)
    )
    return TypeDraw(cluster.name, points, (cluster.count,), "vendor's energy table")


def _vendor_unit(profile: Profile) -> float:
    """Watts of the unit of the vendor's tables, which no source gives: such that the core with the largest coefficient draws at its highest
    clock what coefficient and static part say. 0 without a table."""
    known = [c for c in profile.clusters if c.vendor_sched_energy and c.dynamic_power_coefficient]
    if not known:
        return 0.0
    biggest = max(known, key=lambda c: c.dynamic_power_coefficient or 0)
    assert biggest.vendor_sched_energy is not None
    return float(_typical(biggest).points[-1].busy_w / biggest.vendor_sched_energy["core"][-1]["power"])
