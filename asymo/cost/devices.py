"""How fast a device profile's machine is: published figures of its core designs, its clocks and its memory, as a cost `Machine`.

Nothing here was measured with our kernels on these cores. Every assumption stands in `DESIGNS` and the constants below it, each with
where it comes from; "estimate" in a basis means that no source gives the figure. docs/simulator.md tells what that means for results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from asymo.cost.features import CLASSES, MEMORY
from asymo.cost.speeds import Machine, Rates, TypeSpeeds, generic
from asymo.device import parts
from asymo.device.profile import Cluster, Profile

NEON_GEOMETRY = (8, 8)
"""(mr, nr) of the NEON kernels: csrc/kernels/gemm/gemm.inc."""

ACL = "Arm Compute Library's own figure for its packed 8x12 SGEMM"


@dataclass(frozen=True, slots=True)
class Design:
    """gemm: multiply-adds per cycle that a GEMM kernel reaches, of `fma` at the peak. copy: MB/s that one thread copies on boards where
    nobody has measured it; memory traffic is twice that. shared: part of the peak that is left per core when two cores that share a vector
    unit are both busy."""

    gemm: float
    basis: str
    copy: float
    copy_basis: str
    shared: float = 1.0


PAIR = 50.36 / 57.4
"""Of four A520 (cpufp, CIX P1): pairs share a vector unit. Taken for A510 too (estimate)."""

DESIGNS: dict[str, Design] = {
    "cortex-a7": Design(0.86, "estimate: 0.9 of MegPeak's 0.95", 1000, "estimate"),
    "cortex-a15": Design(3.2, "estimate: 0.8 of the peak, itself an estimate", 2270, "sbc-bench, Exynos 5422"),
    "cortex-a53": Design(2.777, ACL, 2100, "sbc-bench: RK3399 1868, S922X 2213, A311D 2270"),
    "cortex-a55": Design(3.954, ACL + " (A55r1)", 4400, "sbc-bench: A527 2710, RK3588 6114"),
    "cortex-a55r0": Design(2.777, "XNNPACK runs A53's kernel on it; ACL's figure for that", 4400, "as A55 (estimate)"),
    "cortex-a57": Design(3.4, "estimate: 0.85 of the peak", 3000, "estimate"),
    "cortex-a72": Design(3.4, "estimate: 0.85 of the peak", 3694, "sbc-bench, RK3399"),
    "cortex-a73": Design(2.885, ACL, 4600, "sbc-bench: S922X 4220, A311D 4983"),
    "cortex-a75r0": Design(3.4, "estimate: 0.85 of the peak", 7000, "estimate"),
    "cortex-a76": Design(7.2307, ACL + " (default, out of order)", 8400, "sbc-bench: BCM2712 6025, RK3588 10814"),
    "cortex-a77": Design(7.2307, "as A76 (estimate)", 8400, "as A76 (estimate)"),
    "cortex-a78": Design(7.2307, "as A76 (estimate)", 8400, "as A76 (estimate)"),
    "cortex-a710": Design(7.2307, "as A76 (estimate)", 10000, "estimate"),
    "cortex-a715": Design(7.2307, "as A76 (estimate)", 10000, "estimate"),
    "cortex-a720": Design(7.2307, "as A76 (estimate); BLIS reaches 0.94 on A725", 10000, "estimate"),
    "cortex-a510": Design(3.4, "estimate: 0.85 of the peak", 5000, "estimate", PAIR),
    "cortex-a520": Design(3.4, "estimate: 0.85 of the peak", 5000, "estimate", PAIR),
    "cortex-x1": Design(13.6, "estimate: 0.85 of the peak, itself an estimate", 12000, "estimate"),
    "cortex-x2": Design(13.6, "estimate: 0.85 of the peak, itself an estimate", 12000, "estimate"),
    "cortex-x3": Design(13.6, "estimate: 0.85 of the peak, itself an estimate", 12000, "estimate"),
    "cortex-x4": Design(13.6, "estimate: 0.85 of the peak, itself an estimate", 12000, "estimate"),
    "apple-firestorm": Design(14.4, "estimate: 0.9 of the measured peak", 27023, "sbc-bench, M1 Pro"),
    "apple-avalanche": Design(14.4, "estimate: 0.9 of the measured peak", 27023, "as Firestorm (estimate)"),
    "apple-icestorm": Design(7.2, "estimate: 0.9 of the measured peak", 15554, "sbc-bench, M1 Pro"),
    "apple-blizzard": Design(7.2, "estimate: 0.9 of the measured peak", 15554, "as Icestorm (estimate)"),
}

UNKNOWN = Design(0.0, "estimate: 0.85 of the peak, in order 0.7", 4000, "estimate")

DRAM_REACHED = 0.7
"""Of the theoretical bandwidth, all cores together (estimate)."""

CORES_FILL = 1.5
"""All cores together, times what the best one gets alone, where the theoretical bandwidth is unknown (estimate; measured pairs on
boards with 10 to 13 GB/s gain less, phones more)."""

WAKE_S, BARRIER_S, CLAIM_CYCLES = 30e-6, 0.15e-6, 300
"""A sleeping worker's way back (futex, idle state: estimate), a spinning worker's part of a barrier (ours on two Zen 4 cores: 150 ns for
an empty step), cycles to claim a chunk and begin it: one line of another cluster's cache, 70 to 420 ns on RK3399 (CStream)."""

SAME_TYPE = 0.9
"""Clusters of one design within this part of their clocks are one type, as in asymo/device/topology.py."""


def from_profile(profile: Profile) -> Machine:
    """The machine of a profile with our NEON kernels, types in the order of the kernel's capacities. Machine.basis is "profile NAME"."""
    named = types_of(profile)
    copies = [_copy_B(profile, c) for _, g in named for c in g]
    dram = profile.dram.theoretical_gbps
    memory_B = max(dram * 1e9 * DRAM_REACHED if dram else 0.0, 2 * max(copies)) if dram else 2 * max(copies) * CORES_FILL
    types = tuple(_type(name, profile, group) for name, group in named)
    return Machine(types, WAKE_S, BARRIER_S, memory_B, f"profile {profile.name}", "neon", NEON_GEOMETRY)


def types_of(profile: Profile) -> list[tuple[str, list[Cluster]]]:
    """(name, clusters) of each core type, in the order of the kernel's capacities."""
    groups: list[list[Cluster]] = []
    known = all(c.cpu_capacity_expected for c in profile.clusters)
    for cluster in sorted(profile.clusters, key=lambda c: (c.cpu_capacity_expected if known else 0, _flops(c)), reverse=True):
        same = (g for g in groups if g[0].core == cluster.core and _clock(profile, cluster) >= SAME_TYPE * _clock(profile, g[0]))
        if (group := next(same, None)) is not None:
            group.append(cluster)
        else:
            groups.append([cluster])
    middle = [f"mid{i + 1}" for i in range(len(groups) - 2)] if len(groups) > 3 else ["mid"]
    names = ["all"] if len(groups) == 1 else ["big", *middle[: len(groups) - 2], "little"]
    return list(zip(names, groups, strict=True))


def design_of(cluster: Cluster) -> Design:
    """What is known of the cores of a cluster."""
    design = DESIGNS.get(cluster.core, UNKNOWN)
    return design if design.gemm else replace(design, gemm=_fma(cluster) * (0.7 if cluster.in_order else 0.85))


def _fma(cluster: Cluster) -> int:
    return cluster.fp32_fma_per_cycle or (4 if cluster.in_order else 8)


def _clock(profile: Profile, cluster: Cluster) -> float:
    """Hz. The clock that was measured at the highest operating point, where somebody did."""
    nominal = cluster.max_freq_khz or 1_500_000
    measured = (profile.measured_clock_khz or {}).get(cluster.name, {}).get(str(nominal))
    return 1e3 * (measured or nominal)


def _flops(cluster: Cluster) -> float:
    return (cluster.max_freq_khz or 1_500_000) * design_of(cluster).gemm


def _copy_B(profile: Profile, cluster: Cluster) -> float:
    measured = profile.dram.measured_memcpy_mbps or {}
    return 1e6 * (measured.get(cluster.name) or design_of(cluster).copy)


def _type(name: str, profile: Profile, group: list[Cluster]) -> TypeSpeeds:
    cluster, cores = group[0], sum(c.count for c in group)
    design, clock, fma = design_of(cluster), _clock(profile, cluster), _fma(cluster)
    part = next((p for p in parts.PARTS.values() if p.name == cluster.core), parts.Part(cluster.core))
    own_B = 2 * _copy_B(profile, cluster)
    speeds = generic(
        name,
        cores,
        clock,
        fma,
        in_order=bool(cluster.in_order),
        l1_bytes=(cluster.l1d_kb or part.l1d_kb or 32) << 10,
        l2_bytes=(cluster.l2_kb or part.l2_kb or 256) << 10,
        l2_sharers=min(cluster.l2_shared_by or 1, cores),
        l3_bytes=(cluster.l3_kb or 0) << 10,
        efficiency=design.gemm / fma,
        memory_B=own_B,
    )
    classes = {c: _priced(c, rates, design, own_B) for c, rates in speeds.classes.items()}
    return speeds._replace(claim_s=CLAIM_CYCLES / clock, classes=classes)


def _priced(name: str, rates: Rates, design: Design, own_B: float) -> Rates:
    """Memory at the core's own bandwidth, however many are busy: what all of them get together is Machine.memory_B, below which no step's
    time falls. Multiply-adds of a pair at what it shares."""
    alone, busy = list(rates.alone), list(rates.busy)
    for i, feature in enumerate(CLASSES[name]):
        if feature in MEMORY:
            alone[i] = busy[i] = 1 / own_B
        if feature in ("macs", "tap", "lane") and design.shared < 1:
            busy[i] = alone[i] / design.shared
    return Rates(tuple(alone), tuple(busy))
