"""How fast a machine is: per core type and kernel class a few coefficients, seconds per feature of a step (asymo/cost/steps.py).

Plain data and arithmetic. The coefficients come from calibration (asymo/cost/calibrate.py), from a device profile, or from what the
topology tells (`from_topology`); `Machine.basis` says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from asymo.cost.features import CLASSES, CYCLES, MEMORY
from asymo.device.topology import Core, Topology
from asymo.record import NamedTuple

DEFAULT_MHZ, DEFAULT_FMA = 2000, 8
"""Of a core of which neither clock nor design is known: a phone's big core."""

DEFAULT_L1, DEFAULT_L2 = 32 << 10, 256 << 10
WAKE_S, BARRIER_S, CLAIM_S, MEMORY_B = 5e-6, 0.5e-6, 60e-9, 12e9
"""Without calibration: waking a sleeping worker (futex), a barrier per spinning worker, a claim, and bytes/s of memory."""

IN_ORDER_EFFICIENCY, EFFICIENCY = 0.7, 0.9
"""Of the FMA peak, in a GEMM: ACL's SGEMM on A53 2.78 of 4; ours 0.92 to 0.95 on Zen 4."""

GEMV_MACS = 0.75
"""Time of a multiply-add of a matrix times a vector, of one in a GEMM: a part passes while weights are awaited. Six calibrations of a Zen 4
(asymo-bench calibrate, 22 and 23 November 2026): 0.69 to 0.78, all cores busy 0.71 to 0.83."""


class Rates(NamedTuple):
    """Seconds per feature of one kernel class, in the order of `features.CLASSES`: with one core busy, and with all of its type."""

    alone: tuple[float, ...]
    busy: tuple[float, ...]

    def at(self, n: int, cores: int) -> tuple[float, ...]:
        """With n of `cores` busy: on the line between the two."""
        if n <= 1 or cores <= 1:
            return self.alone
        if n >= cores:
            return self.busy
        part = (n - 1) / (cores - 1)
        return tuple(a + (b - a) * part for a, b in zip(self.alone, self.busy, strict=True))


class TypeSpeeds(NamedTuple):
    """One type of core.

    cores: how many there are to use. of: how many were busy for `Rates.busy`. claim_s: seconds to claim and start a chunk.
    l1_bytes, l2_bytes, l3_bytes: cache sizes, 0 unknown or none; of the last one a core alone keeps l3_bytes, the chip has
    l3_whole_bytes (0: the same). l2_sharers: how many cores share an L2. pace: seconds of the product of
    `pace.py` at which `Rates.alone` and `Rates.busy` were measured, 0 without measurement.
    """

    name: str
    cores: int
    of: int
    in_order: bool
    l1_bytes: int
    l2_bytes: int
    l2_sharers: int
    l3_bytes: int
    claim_s: float
    classes: Mapping[str, Rates]
    pace: tuple[float, float] = (0.0, 0.0)
    l3_whole_bytes: int = 0

    def l3_at(self, n: int) -> int:
        """The last-level cache of a model on n cores. Of the whole it has the part that its bytes are of all that cross it: where one core
        has s, and others the rest, n of them have n s / (1 + (n - 1) s)."""
        if self.l3_bytes >= self.l3_whole_bytes:
            return self.l3_bytes
        part = self.l3_bytes / self.l3_whole_bytes
        return int(self.l3_bytes * max(n, 1) / (1 + (max(n, 1) - 1) * part))


class Machine(NamedTuple):
    """The core types, fastest first, and what they share.

    wake_s: until a sleeping worker runs, barrier_s: a step's barrier, per worker beyond the first. memory_B: bytes/s of memory, of all
    cores together. geometry: (mr, nr) of the GEMM kernels of `isa`. basis: "calibration", "quick calibration", "profile NAME",
    "clock x peak", ...; date, method, spread (relative, of the worst class) and fingerprint of a calibration, empty without one.
    """

    types: tuple[TypeSpeeds, ...]
    wake_s: float
    barrier_s: float
    memory_B: float
    basis: str
    isa: str
    geometry: tuple[int, int]
    date: str = ""
    method: str = ""
    spread: float = 0.0
    fingerprint: Mapping[str, Any] = MappingProxyType({})

    @property
    def cores(self) -> int:
        return sum(t.cores for t in self.types)

    def restrict(self, cores: Mapping[str, int]) -> Machine:
        """The same machine with only so many cores of each type (by name; a type that is not named or has 0 is left out)."""
        types = tuple(t._replace(cores=n) for t in self.types if (n := min(cores.get(t.name, 0), t.cores)) > 0)
        assert types, f"none of {[t.name for t in self.types]} in {dict(cores)}"
        return self._replace(types=types)


def from_topology(topology: Topology, isa: str, geometry: tuple[int, int], lanes: int = 0) -> Machine:
    """Generic figures: clock x FMA peak x what GEMMs reach of it, generic cycles for everything else, scaled by the kernel's capacities
    where it gives them. lanes: fp32 multiply-adds a cycle where the design says nothing (0: nr of the kernels)."""
    names = topology.type_names
    fallback = lanes or max(geometry[1] // 2, 1) if isa != "portable" else 1
    types = []
    for kind in topology.types:
        core = kind[0]
        clock = 1e6 * (core.max_mhz or DEFAULT_MHZ * (core.speed or 1024) / 1024)
        types.append(_generic(names[core.cpu], kind, clock, core.fma or fallback))
    return Machine(tuple(types), WAKE_S, BARRIER_S, MEMORY_B, topology.basis or "nothing known: all cores equal", isa, geometry)


def _generic(name: str, kind: Sequence[Core], clock: float, fma: int) -> TypeSpeeds:
    core = kind[0]
    in_order = bool(core.in_order)
    return generic(
        name,
        len(kind),
        clock,
        fma,
        in_order=in_order,
        l1_bytes=core.l1d_kb << 10 or DEFAULT_L1,
        l2_bytes=core.l2_kb << 10 or DEFAULT_L2,
        l2_sharers=max(1, len(set(core.l2_cpus) & {c.cpu for c in kind})),
        l3_bytes=core.l3_kb << 10,
    )


def generic(
    name: str,
    cores: int,
    clock: float,
    fma: float,
    in_order: bool = False,
    l1_bytes: int = DEFAULT_L1,
    l2_bytes: int = DEFAULT_L2,
    l2_sharers: int = 1,
    l3_bytes: int = 0,
    efficiency: float = 0.0,
    memory_B: float = MEMORY_B,
) -> TypeSpeeds:
    """A core of `clock` Hz and `fma` multiply-adds a cycle, in the generic cycles of `features.CYCLES`.

    efficiency: what a GEMM reaches of the peak (0: 0.9, in order 0.7). memory_B: bytes/s of memory, one core; shared when all are busy.
    """
    reached = efficiency or (IN_ORDER_EFFICIENCY if in_order else EFFICIENCY)
    slow = 1.5 if in_order else 1.0

    def price(name: str, feature: str, busy: bool) -> float:
        if feature == "macs":
            return (GEMV_MACS if name == "gemv" else 1) / (clock * fma * reached)
        if feature in MEMORY:
            return max(1 / memory_B, CYCLES["far"] / clock) if not busy else cores / memory_B
        if feature in ("lane", "tap", "stall", "alias", "enter"):
            return slow * CYCLES[feature] / (clock * fma)
        return slow * CYCLES[feature] / clock

    classes = {c: Rates(tuple(price(c, f, False) for f in names), tuple(price(c, f, True) for f in names)) for c, names in CLASSES.items()}
    return TypeSpeeds(name, cores, cores, in_order, l1_bytes, l2_bytes, l2_sharers, l3_bytes, slow * CLAIM_S, classes)
