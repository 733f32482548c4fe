"""Records a machine as a profile together with the sysfs and procfs files that describe its cores, so that it can be sent in."""

from __future__ import annotations

import os
import re
from typing import Any

from asymo.device import cpuinfo, topology
from asymo.device.files import Files, format_cpu_list
from asymo.device.parts import HYBRID
from asymo.device.profile import SCHEMA

CPU = "sys/devices/system/cpu"
GLOBAL = (
    *(f"{CPU}/{name}" for name in ("online", "possible", "present", "isolated")),
    *(f"sys/devices/{unit}/cpus" for unit in HYBRID),
    "proc/device-tree/model",
    "sys/class/dmi/id/sys_vendor",
    "sys/class/dmi/id/product_name",
)
PER_CPU = ("cpu_capacity", "regs/identification/midr_el1", "topology/thread_siblings_list", "topology/cluster_id", "topology/core_id")
PER_CACHE = ("level", "type", "size", "shared_cpu_list", "coherency_line_size", "ways_of_associativity")
PER_POLICY = (
    "related_cpus", "affected_cpus", "cpuinfo_min_freq", "cpuinfo_max_freq", "scaling_min_freq", "scaling_max_freq", "scaling_driver",
    "scaling_governor", "scaling_available_governors", "scaling_available_frequencies", "cpuinfo_transition_latency",
)  # fmt: skip
CPUINFO = ("processor", "vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU ")
"""What is kept of /proc/cpuinfo: no serial numbers."""


def files(root: str | os.PathLike[str] = "/") -> dict[str, str]:
    """The recorded files that exist, by path without the leading slash. No control groups, names or serial numbers: the machine only."""
    source = Files(root)
    paths = list(GLOBAL)
    for cpu in source.names(CPU, "cpu"):
        folder = f"{CPU}/cpu{cpu}"
        paths += [f"{folder}/{name}" for name in PER_CPU]
        paths += [f"{folder}/cache/index{i}/{name}" for i in source.names(f"{folder}/cache", "index") for name in PER_CACHE]
    paths += [f"{CPU}/cpufreq/policy{p}/{name}" for p in source.names(f"{CPU}/cpufreq", "policy") for name in PER_POLICY]
    kept = [line for line in source.text("proc/cpuinfo").splitlines() if not line.strip() or line.startswith(CPUINFO)]
    recorded = {path: text for path in paths if (text := source.text(path))}
    return {**recorded, "proc/cpuinfo": "\n".join(kept)}


def capture(root: str | os.PathLike[str] = "/", name: str = "") -> dict[str, Any]:
    """The machine below `root` as a profile in JSON form: one cluster per core type and cpufreq policy, all online cores, the files."""
    source = Files(root)
    online = source.cpus(f"{CPU}/online") or tuple(cpuinfo.parse(source.text("proc/cpuinfo"))) or tuple(sorted(os.sched_getaffinity(0)))
    machine = topology.read(root, online)
    every = topology.Topology(tuple(sorted((c for c in (*machine.cores, *machine.others) if c.cpu in online), key=lambda c: c.cpu)))
    vendor, product = source.text("sys/class/dmi/id/sys_vendor"), source.text("sys/class/dmi/id/product_name")
    compatible = [text for text in source.text("proc/device-tree/compatible").split("\0") if text]
    model = source.text("proc/device-tree/model")
    marketing = re.search(r"^model name\s*: *(.+)$", source.text("proc/cpuinfo"), re.M)
    title = model or f"{vendor} {product}".strip() or (marketing.group(1) if marketing else every.cores[0].name or "unknown machine")
    clusters = [_cluster(cores, label) for label, cores in _groups(every)]
    return {
        "schema": SCHEMA,
        "name": name or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "unknown",
        "title": title,
        "soc": {"vendor": vendor or (compatible[-1].split(",")[0] if compatible else "unknown"), "name": (compatible or ["unknown"])[-1]},
        "match": {"dt_compatible": compatible, "dt_model": model or None},
        "n_cpus": len(every.cores),
        "clusters": clusters,
        "notes": list(machine.notes),
        "estimates": [f"clusters[{label}].l1d_kb, l2_kb" for label, cores in _groups(every) if cores[0].caches_from == "part"]
        + [f"clusters[{label}].fp32_fma_per_cycle" for label, cores in _groups(every) if cores[0].fma],
        "sources": [{"path": f"capture of CPUs {format_cpu_list(online)}", "what": "sysfs and procfs of the running system"}],
        "sysfs": files(root),
    }


def _groups(machine: topology.Topology) -> list[tuple[str, list[topology.Core]]]:
    """(cluster name, cores): the core types, split by cpufreq policy where a policy holds several CPUs; slowest type first."""
    groups: list[tuple[str, list[topology.Core]]] = []
    for kind in reversed(machine.types):
        label = machine.type_names[kind[0].cpu]
        domains = sorted({c.policy for c in kind})
        if len(domains) == 1 or len(domains) == len(kind):
            groups.append((label, list(kind)))
        else:
            groups += [(f"{label}{i}", [c for c in kind if c.policy == policy]) for i, policy in enumerate(domains)]
    return groups


def _cluster(cores: list[topology.Core], name: str) -> dict[str, Any]:
    first = cores[0]
    known = first._asdict()
    arm = {"neon", "fp16", "dotprod", "i8mm", "sve"} if first.midr else set()
    cluster: dict[str, Any] = {
        "name": name,
        "core": first.name or "unknown",
        "count": len(cores),
        "cpu_ids": [c.cpu for c in cores],
        "in_order": first.in_order,
        "cpu_capacity_expected": first.capacity or None,
        "min_freq_khz": first.min_mhz * 1000 or None,
        "max_freq_khz": max(c.max_mhz for c in cores) * 1000 or None,
        **{field: known[field] or None for field in ("l1i_kb", "l1d_kb", "l2_kb", "l3_kb")},
        "l2_shared_by": len(first.l2_cpus) or None,
        "simd": {feature: feature in first.features for feature in sorted(arm)},
        "fp32_fma_per_cycle": first.fma or None,
        "fp32_fma_basis": "the design's, not measured here" if first.fma else "",
    }
    if first.midr:
        m = first.midr
        cluster["midr"] = {"implementer": hex(m >> 24), "part": hex(m >> 4 & 0xFFF), "variant": m >> 20 & 0xF, "revision": m & 0xF}
    return cluster
