"""Which cores there are, of which type, and which of them this process may use. Reads sysfs and procfs below a root; writes nothing.

docs/device.md says what is read and how the types are decided.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from asymo.device import cgroup, cpuinfo, parts
from asymo.device.files import Files, format_cpu_list, parse_cpu_list
from asymo.errors import InvalidArgumentError
from asymo.record import NamedTuple

__all__ = ["Core", "Limits", "Topology", "format_cpu_list", "limits", "parse_cpu_list", "read"]

CPU = "sys/devices/system/cpu"
FASTEST = 1024
SAME_TYPE = 0.9
"""Cores of one design are one type while the slowest has this part of the fastest's speed. Binned chips and favoured x86 cores stay above
(0.95), mid and prime cores of phones below (0.85 among the profiles)."""
IN_ORDER = 0.7
"""What an in-order core is taken to reach of its peak where only clock and peak are known (ACL's SGEMM on A53: 2.78 of 4)."""


class Core(NamedTuple):
    """One CPU. 0, "" and () mean unknown.

    Attributes:
        speed: 1024 for the fastest core of the machine; what orders types. Topology.basis says where it comes from.
        capacity: the kernel's cpu_capacity as it stands. policy: its cpufreq policy, -1 without one.
        midr: MIDR_EL1. name: the design, "cortex-a55"; on other CPUs what /proc/cpuinfo says.
        in_order: None unknown. fma: peak fp32 multiply-adds per cycle, lanes counted.
        caches_from: "sysfs", "part" (usual sizes of the design) or "". l2_cpus: the CPUs that share its L2.
        siblings: hardware threads of its core, itself included.
        allowed: the kernel would let this process run there. reason: why it is not used by default, "" when it is.
    """

    cpu: int
    speed: int = 0
    capacity: int = 0
    min_mhz: int = 0
    max_mhz: int = 0
    policy: int = -1
    midr: int = 0
    name: str = ""
    in_order: bool | None = None
    fma: int = 0
    features: tuple[str, ...] = ()
    l1i_kb: int = 0
    l1d_kb: int = 0
    l2_kb: int = 0
    l3_kb: int = 0
    l2_cpus: tuple[int, ...] = ()
    caches_from: str = ""
    siblings: tuple[int, ...] = ()
    allowed: bool = True
    reason: str = ""


class Topology(NamedTuple):
    """The cores of a machine.

    Attributes:
        cores: those this process uses unless told otherwise, in the order of their ids.
        others: offline, forbidden and isolated ones; Core.reason says which.
        quota: CPUs' worth of time that the control group grants, 0 without a limit.
        basis: where Core.speed comes from: "cpu_capacity", "clock x peak", "clock", "peak", or "" when nothing is known.
        notes: what was odd, one sentence each.
    """

    cores: tuple[Core, ...]
    others: tuple[Core, ...] = ()
    quota: float = 0.0
    basis: str = ""
    notes: tuple[str, ...] = ()

    @property
    def types(self) -> list[tuple[Core, ...]]:
        """The used cores grouped by type, biggest type first: same design, speeds within SAME_TYPE of the type's fastest."""
        kinds: list[list[Core]] = []
        for core in sorted(self.cores, key=lambda c: (-c.speed, c.cpu)):
            same = (k for k in kinds if k[0].name == core.name and core.speed >= SAME_TYPE * k[0].speed)
            if (kind := next(same, None)) is not None:
                kind.append(core)
            else:
                kinds.append([core])
        return [tuple(sorted(kind, key=lambda c: c.cpu)) for kind in kinds]

    @property
    def type_names(self) -> dict[int, str]:
        """CPU id -> "big", "mid" (numbered when there are several) or "little"; "all" when there is one type."""
        types = self.types
        middle = ["mid"] if len(types) == 3 else [f"mid{i + 1}" for i in range(len(types) - 2)]
        names = ["all"] if len(types) == 1 else ["big", *middle, "little"]
        return {core.cpu: name for name, kind in zip(names, types, strict=True) for core in kind}

    @property
    def usable(self) -> int:
        """How many workers the machine pays for: one per used core, no more than the quota (a part of a CPU counts as one)."""
        return min(len(self.cores), math.ceil(self.quota)) if self.quota else len(self.cores)

    def select(self, cores: str | Sequence[int]) -> tuple[int, ...]:
        """CPU ids of a core set: "all", "big" (the biggest type), "little" (the smallest), a list such as "0-3,6", or ids.

        Raises InvalidArgumentError when the set names a core that this process may not use, or none."""
        if isinstance(cores, str):
            match cores.strip():
                case "all":
                    return tuple(c.cpu for c in self.cores)
                case "big":
                    return tuple(c.cpu for c in self.types[0])
                case "little":
                    return tuple(c.cpu for c in self.types[-1])
            wanted = parse_cpu_list(cores)
        else:
            wanted = tuple(int(c) for c in cores)
        allowed = {c.cpu for c in (*self.cores, *self.others) if c.allowed}
        if not wanted or len(set(wanted)) != len(wanted) or not allowed.issuperset(wanted):
            why = "".join(f": CPU {c.cpu} is {c.reason}" for c in self.others if c.cpu in wanted and not c.allowed)
            raise InvalidArgumentError(
                f"cores={cores!r} is not a set of CPUs this process may use ({format_cpu_list(sorted(allowed))}){why}; "
                'give "all", "big", "little" or a list such as "0-3"'
            )
        return wanted

    def including(self, cpus: Sequence[int]) -> Topology:
        """The same machine with these isolated cores, which were named, among the used ones."""
        named = tuple(c._replace(reason="") for c in self.others if c.cpu in cpus and c.allowed)
        if not named:
            return self
        used = sorted((*self.cores, *named), key=lambda c: c.cpu)
        return self._replace(cores=tuple(used), others=tuple(c for c in self.others if c.cpu not in cpus or not c.allowed))

    def best(self, cpus: Sequence[int], n: int) -> tuple[int, ...]:
        """The n of these CPUs to use, in their order: physical cores before second hardware threads, then the fastest."""
        cores = {c.cpu: c for c in (*self.cores, *self.others)}

        def key(cpu: int) -> tuple[int, int]:
            core = cores.get(cpu, Core(cpu))
            return sum(s < cpu for s in core.siblings if s in cpus), -core.speed

        chosen = set(sorted(cpus, key=key)[:n])
        return tuple(cpu for cpu in cpus if cpu in chosen)


def read(root: str | os.PathLike[str] = "/", allowed: Collection[int] | None = None, kinds: Mapping[int, str] | None = None) -> Topology:
    """The topology below `root`.

    Args:
        allowed: CPU ids this process may use. Default: its affinity mask; for another root than "/" the mask in that root's
            proc/self/status, else every CPU that is online there.
        kinds: names in parts.HYBRID of cores that CPUID told apart, for systems whose files do not.

    Never raises for what it finds: unreadable files and contradictions end in Topology.notes.
    """
    files = Files(root)
    present, online = _online(files)
    mask = frozenset(_mask(files, online) if allowed is None else allowed)
    identities = cpuinfo.parse(files.text("proc/cpuinfo"))
    policies = _policies(files)
    units = {cpu: unit for unit in parts.HYBRID for cpu in files.cpus(f"sys/devices/{unit}/cpus")} or dict(kinds or {})
    known = sorted({*present, *mask, *(() if present else identities)})
    cores = [_core(files, cpu, identities.get(cpu, cpuinfo.Identity()), policies.get(cpu, -1), units.get(cpu, "")) for cpu in known]
    cores = [_on_island(core, cores) if units.get(core.cpu) == "cpu_atom" else core for core in cores]
    reason = _reasons(files, frozenset(online), mask)
    cores = [c._replace(reason=(why := reason(c.cpu)), allowed=why in ("", "isolated")) for c in cores]
    basis, speeds, remark = _speeds([c for c in cores if not present or c.cpu in online])
    cores = [c._replace(speed=speeds.get(c.cpu, 0)) for c in cores]
    return Topology(
        tuple(c for c in cores if not c.reason),
        tuple(c for c in cores if c.reason),
        cgroup.quota(files),
        basis,
        (*files.notes, *remark),
    )


class Limits(NamedTuple):
    """What may change while a process runs: the CPUs this thread may use, those that are online, and the control group's quota."""

    mask: frozenset[int]
    online: tuple[int, ...]
    quota: float


def limits(root: str | os.PathLike[str] = "/") -> Limits:
    """The limits below `root` now. Takes a tenth of the time that `read` takes."""
    files = Files(root)
    _, online = _online(files)
    return Limits(frozenset(_mask(files, online)), online, cgroup.quota(files))


def _online(files: Files) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The CPUs that are present, and those that are online."""
    present = files.cpus(f"{CPU}/present") or tuple(files.names(CPU, "cpu"))
    return present, files.cpus(f"{CPU}/online") or present


def _mask(files: Files, online: Sequence[int]) -> Sequence[int]:
    if files.root == "/":
        return sorted(os.sched_getaffinity(0))
    status = dict(line.split(":", 1) for line in files.text("proc/self/status").splitlines() if ":" in line)
    try:
        return parse_cpu_list(status["Cpus_allowed_list"].strip())
    except (KeyError, InvalidArgumentError):
        return online or (0,)


def _reasons(files: Files, online: frozenset[int], mask: frozenset[int]) -> Callable[[int], str]:
    """CPU id -> why it is not used, "" when it is. The affinity mask is the kernel's word: what would leave none of it is ignored."""
    isolated, group = frozenset(files.cpus(f"{CPU}/isolated")), cgroup.cpuset(files)
    usable = mask
    if online and not (usable := mask & online):
        files.note(f"{CPU}/online", "holds none of the allowed CPUs, ignored")
        usable, online = mask, frozenset()
    if group and not usable & group:
        files.note("proc/self/cgroup", f"its cpuset ({format_cpu_list(sorted(group))}) holds none of the allowed CPUs, ignored")
        group = frozenset()
    usable = usable & group if group else usable
    if usable <= isolated:
        isolated -= mask

    def reason(cpu: int) -> str:
        if online and cpu not in online:
            return "offline"
        if cpu not in mask:
            return "isolated and forbidden by the affinity mask" if cpu in isolated else "forbidden by the affinity mask"
        if group and cpu not in group:
            return "forbidden by the cgroup's cpuset"
        return "isolated" if cpu in isolated else ""

    return reason


def _policies(files: Files) -> dict[int, int]:
    """CPU id -> its cpufreq policy."""
    return {
        cpu: policy
        for policy in files.names(f"{CPU}/cpufreq", "policy")
        for cpu in files.cpus(f"{CPU}/cpufreq/policy{policy}/related_cpus")
    }


def _core(files: Files, cpu: int, identity: cpuinfo.Identity, policy: int, unit: str) -> Core:
    folder = f"{CPU}/cpu{cpu}"
    midr = files.number(f"{folder}/regs/identification/midr_el1", 16) or identity.midr
    known = parts.by_midr(midr) if midr else parts.HYBRID.get(unit)
    part = known or parts.Part(f"midr-{midr & 0xFF00FFF0:08x}" if midr else identity.model)
    frequencies = f"{folder}/cpufreq" if policy < 0 else f"{CPU}/cpufreq/policy{policy}"
    siblings = files.cpus(f"{folder}/topology/thread_siblings_list")
    core = Core(
        cpu,
        capacity=files.number(f"{folder}/cpu_capacity"),
        min_mhz=files.number(f"{frequencies}/cpuinfo_min_freq") // 1000,
        max_mhz=(files.number(f"{frequencies}/cpuinfo_max_freq") or files.number(f"{frequencies}/scaling_max_freq")) // 1000,
        policy=policy,
        midr=midr,
        name=part.name,
        in_order=part.in_order,
        fma=part.fma,
        features=identity.features,
        siblings=siblings if cpu in siblings else (cpu,),
    )
    caches = _caches(files, f"{folder}/cache")
    if caches:
        return core._replace(caches_from="sysfs", l2_cpus=caches.pop("l2_cpus", ()), **caches)
    return core._replace(caches_from="part" if part.l1d_kb else "", l1d_kb=part.l1d_kb, l2_kb=part.l2_kb)


def _on_island(core: Core, cores: Sequence[Core]) -> Core:
    """Intel's low-power cores are Atoms outside the ring: systems that show them as cpu_atom show them without the others' L3."""
    if core.l3_kb or core.caches_from != "sysfs" or not any(c.l3_kb for c in cores):
        return core
    return core._replace(name=parts.HYBRID["cpu_lowpower"].name)


def _caches(files: Files, folder: str) -> dict[str, Any]:
    """Fields of Core from the cache folders, {} without a usable one."""
    found: dict[str, Any] = {}
    for index in files.names(folder, "index"):
        place = f"{folder}/index{index}"
        level, kind, size = files.number(f"{place}/level"), files.text(f"{place}/type"), files.text(f"{place}/size")
        field = {(1, "Data"): "l1d_kb", (1, "Instruction"): "l1i_kb"}.get((level, kind), f"l{level}_kb" if level in (2, 3) else "")
        if not field or not size:
            continue
        unit = {"K": 1, "M": 1024, "G": 1024 * 1024}.get(size[-1].upper(), 0)
        if not unit or not size[:-1].isdecimal():
            files.note(f"{place}/size", f"{size[:40]!r} is no size")
            continue
        found[field] = int(size[:-1]) * unit
        if level == 2:
            found["l2_cpus"] = files.cpus(f"{place}/shared_cpu_list")
    return found


def _speeds(cores: Sequence[Core]) -> tuple[str, dict[int, int], list[str]]:
    """(basis, CPU id -> speed, remarks).

    The kernel's capacities decide when every core has one and they tell different cores apart (kernels without them in the device tree
    say 1024 of every core). Else clock times peak, where the design is known, else the clock.
    """
    kinds = {(c.name, c.max_mhz) for c in cores}
    capacities = {c.capacity for c in cores}
    clocks, peaks = all(c.max_mhz for c in cores), all(c.fma for c in cores)
    remarks = []
    if 0 not in capacities and (len(capacities) > 1 or len(kinds) == 1):
        basis, raw = "cpu_capacity", {c.cpu: float(c.capacity) for c in cores}
    elif clocks and peaks:
        basis, raw = "clock x peak", {c.cpu: c.max_mhz * c.fma * (IN_ORDER if c.in_order else 1) for c in cores}
    elif clocks:
        basis, raw = "clock", {c.cpu: float(c.max_mhz) for c in cores}
        if len({c.name for c in cores}) > 1:
            remarks.append("cores of different designs are ordered by their clocks alone")
    elif peaks:
        basis, raw = "peak", {c.cpu: c.fma * (IN_ORDER if c.in_order else 1) for c in cores}
    else:
        basis, raw = "", {}
    if 0 in capacities and len(capacities) > 1:
        without = format_cpu_list([c.cpu for c in cores if not c.capacity])
        remarks.append(f"no cpu_capacity on CPUs {without}, so nobody's is used")
    top = max(raw.values(), default=1.0)
    return basis if raw else "", {cpu: max(1, round(FASTEST * value / top)) for cpu, value in raw.items()}, remarks
