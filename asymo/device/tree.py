"""A profile as the sysfs and procfs files of its machine: what a capture recorded, else files made from the clusters."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from asymo.device import parts, topology
from asymo.device.files import format_cpu_list
from asymo.device.profile import Cluster, Profile

CPU = "sys/devices/system/cpu"


def files(profile: Profile) -> dict[str, str]:
    """Path without the leading slash -> text. A cluster becomes a cpufreq policy; what the profile does not know has no file."""
    if profile.sysfs:
        return dict(profile.sysfs)
    everyone = format_cpu_list([cpu for c in profile.clusters for cpu in c.cpu_ids])
    made = {f"{CPU}/{name}": everyone for name in ("online", "possible", "present")}
    made[f"{CPU}/isolated"] = ""
    if profile.match.dt_model:
        made["proc/device-tree/model"] = profile.match.dt_model
    blocks: dict[int, str] = {}
    for cluster in profile.clusters:
        made.update(_policy(cluster))
        midr = cluster.midr.value if cluster.midr else parts.midr_of(cluster.core)
        for cpu in cluster.cpu_ids:
            made.update(_cpu(cluster, cpu, midr))
            blocks[cpu] = _block(cluster, cpu, midr)
    made["proc/cpuinfo"] = "\n\n".join(blocks[cpu] for cpu in sorted(blocks))
    return made


def write(made: Mapping[str, str], root: str | os.PathLike[str]) -> Path:
    """Writes the files below `root`."""
    for path, text in made.items():
        target = Path(root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text + "\n")
    return Path(root)


def machine(profile: Profile) -> topology.Topology:
    """The topology of the profile's machine, every core of it allowed."""
    with tempfile.TemporaryDirectory() as folder:
        return topology.read(write(files(profile), folder))


def _policy(cluster: Cluster) -> dict[str, str]:
    if not cluster.max_freq_khz:
        return {}
    folder, cpus = f"{CPU}/cpufreq/policy{min(cluster.cpu_ids)}", " ".join(map(str, sorted(cluster.cpu_ids)))
    made = {"related_cpus": cpus, "affected_cpus": cpus, "cpuinfo_max_freq": str(cluster.max_freq_khz)}
    if cluster.min_freq_khz:
        made["cpuinfo_min_freq"] = str(cluster.min_freq_khz)
    if cluster.opps:
        made["scaling_available_frequencies"] = " ".join(str(o.khz) for o in cluster.opps if not o.turbo)
    return {f"{folder}/{name}": text for name, text in made.items()}


def _cpu(cluster: Cluster, cpu: int, midr: int) -> dict[str, str]:
    folder = f"{CPU}/cpu{cpu}"
    made = {f"{folder}/topology/thread_siblings_list": str(cpu)}
    if cluster.cpu_capacity_expected:
        made[f"{folder}/cpu_capacity"] = str(cluster.cpu_capacity_expected)
    if midr:
        made[f"{folder}/regs/identification/midr_el1"] = f"0x{midr:016x}"
    place = sorted(cluster.cpu_ids).index(cpu)
    sharers = cluster.l2_shared_by or 1
    l2_cpus = sorted(cluster.cpu_ids)[place // sharers * sharers :][:sharers]
    caches = [
        (1, "Data", cluster.l1d_kb, [cpu]),
        (1, "Instruction", cluster.l1i_kb, [cpu]),
        (2, "Unified", cluster.l2_kb, l2_cpus),
        (3, "Unified", cluster.l3_kb, []),
    ]
    known = [cache for cache in caches if cache[2]]
    for index, (level, kind, kb, cpus) in enumerate(known):
        cache = {"level": str(level), "type": kind, "size": f"{kb}K", **({"shared_cpu_list": format_cpu_list(cpus)} if cpus else {})}
        made.update({f"{folder}/cache/index{index}/{name}": text for name, text in cache.items()})
    return made


KERNEL_NAMES = {"neon": "fp asimd", "fp16": "fphp asimdhp", "dotprod": "asimddp", "i8mm": "i8mm", "sve": "sve"}
"""Field of Simd -> what /proc/cpuinfo of an aarch64 kernel calls it."""


def _block(cluster: Cluster, cpu: int, midr: int) -> str:
    lines = [f"processor\t: {cpu}"]
    words = cluster.hw_features or [text for name, text in KERNEL_NAMES.items() if getattr(cluster.simd, name)]
    lines.append(f"Features\t: {' '.join(words)}")
    if midr:
        lines += [f"CPU implementer\t: 0x{midr >> 24:02x}", "CPU architecture: 8", f"CPU variant\t: 0x{midr >> 20 & 0xF:x}"]
        lines += [f"CPU part\t: 0x{midr >> 4 & 0xFFF:03x}", f"CPU revision\t: {midr & 0xF}"]
    return "\n".join(lines)
