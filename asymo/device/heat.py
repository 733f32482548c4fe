"""Clocks, temperatures and signs of throttling, now. Reads sysfs below a root; what is not there is not in the answer."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass

from asymo.device import cpufreq
from asymo.device.files import Files

THERMAL = "class/thermal"
X86_COUNTS = ("core_throttle_count", "package_throttle_count")


@dataclass(frozen=True, slots=True)
class Heat:
    """One look. clocks: policy id -> scaling_cur_freq in kHz. ceilings: policy id -> scaling_max_freq. temperatures: zone -> degrees C.
    cooling: cooling devices of CPUs -> their state, 0 at rest. throttled: how often the hardware says it has throttled since boot."""

    at: float
    clocks: dict[int, int]
    ceilings: dict[int, int]
    temperatures: dict[str, float]
    cooling: dict[str, int]
    throttled: int


def look(root: str | os.PathLike[str] = "/sys", at: float = 0.0) -> Heat:
    """What stands below `root` (that is /sys) now. at: the time to put on it."""
    files = Files(root)
    policies = cpufreq.read_all(root)
    temperatures = {}
    for zone in files.names(THERMAL, "thermal_zone"):
        folder = f"{THERMAL}/thermal_zone{zone}"
        if (text := files.text(f"{folder}/temp")).lstrip("-").isdecimal():
            temperatures[f"{files.text(f'{folder}/type') or 'zone'}.{zone}"] = int(text) / 1000
    cooling = {}
    for number in files.names(THERMAL, "cooling_device"):
        folder = f"{THERMAL}/cooling_device{number}"
        if "cpu" in (kind := files.text(f"{folder}/type")).lower() or kind == "Processor":
            cooling[f"{kind}.{number}"] = files.number(f"{folder}/cur_state")
    cpus = files.names("devices/system/cpu", "cpu")
    counts = (files.number(f"devices/system/cpu/cpu{cpu}/thermal_throttle/{name}") for cpu in cpus for name in X86_COUNTS)
    return Heat(
        at,
        {p.id: p.current for p in policies.values() if p.current},
        {p.id: p.ceiling for p in policies.values() if p.ceiling},
        temperatures,
        cooling,
        sum(counts),
    )


def events(looks: Sequence[Heat]) -> int:
    """Throttling events between the looks: a cooling device that went up, a policy whose ceiling came down, what the hardware counted."""
    found = 0
    for a, b in itertools.pairwise(looks):
        found += sum(state > a.cooling.get(name, state) for name, state in b.cooling.items())
        found += sum(khz < a.ceilings.get(policy, khz) for policy, khz in b.ceilings.items())
        found += max(0, b.throttled - a.throttled)
    return found
