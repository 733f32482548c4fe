"""A cpufreq policy as it stands, which writes would fix its clock, and what became of them. Decides; frequency.py writes.

Two ways lead to a fixed clock:

    userspace   the governor that obeys scaling_setspeed
    limits      scaling_min_freq = scaling_max_freq under whatever governor there is

The kernel refuses, or silently ignores, a minimum above the maximum. So a way up raises the maximum first, a way down lowers the minimum
first, and scaling_setspeed comes when the limits already let it through.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from asymo.device.files import Files

FOLDER = "devices/system/cpu/cpufreq"
GOVERNOR, SETSPEED, MIN, MAX = "scaling_governor", "scaling_setspeed", "scaling_min_freq", "scaling_max_freq"
FILES = (GOVERNOR, SETSPEED, MIN, MAX)
"""All that is ever written in a policy's folder."""

USERSPACE, LIMITS = "userspace", "limits"
WAYS = (USERSPACE, LIMITS)

MEASURED = ("intel_pstate", "intel_cpufreq", "amd-pstate", "amd-pstate-epp", "amd_pstate", "amd_pstate_epp", "acpi-cpufreq", "cppc_cpufreq")
"""Drivers whose scaling_cur_freq is measured while the core runs, not what was set: an idle core shows an old or any clock there."""

TOLERANCE = 0.02
"""A clock counts as reached within this part of it: clock trees round, tables say 1018000 where the divider gives 1017600."""

ETERNAL_NS = 0xFFFF_FFFF
"""cpuinfo_transition_latency of drivers that do not know (CPUFREQ_ETERNAL)."""
UNKNOWN_LATENCY_S = 2e-3
"""Taken then; the Kirin 970's latency, among the longest of the profiles."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One cpufreq policy: the cores that share a clock. Clocks in kHz; 0, "" and () mean unknown.

    Attributes:
        cpus: its online CPUs. steps: what can be set, ascending, boost clocks included; () when the driver has no table.
        current: scaling_cur_freq. latency_s: how long a change of the clock takes, by cpuinfo_transition_latency.
    """

    id: int
    cpus: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    boost: tuple[int, ...] = ()
    lowest: int = 0
    highest: int = 0
    floor: int = 0
    ceiling: int = 0
    current: int = 0
    governor: str = ""
    governors: tuple[str, ...] = ()
    driver: str = ""
    latency_s: float = UNKNOWN_LATENCY_S

    @property
    def folder(self) -> str:
        """Below /sys."""
        return f"{FOLDER}/policy{self.id}"

    def nearest(self, khz: int) -> int:
        """The clock that can be set and is nearest to khz; of two equally near ones the lower."""
        if self.steps:
            return min(self.steps, key=lambda step: (abs(step - khz), step))
        return max(min(khz, self.highest or khz), self.lowest)


def read(files: Files, policy: int) -> Policy:
    """The policy below `files.root` (that is /sys) as it stands; fields of missing files are unknown."""
    folder = f"{FOLDER}/policy{policy}"
    online = f"{folder}/affected_cpus"
    boost = _clocks(files, f"{folder}/scaling_boost_frequencies")
    latency = files.number(f"{folder}/cpuinfo_transition_latency")
    return Policy(
        policy,
        files.cpus(online if files.has(online) else f"{folder}/related_cpus"),
        tuple(sorted({*_clocks(files, f"{folder}/scaling_available_frequencies"), *boost})),
        boost,
        files.number(f"{folder}/cpuinfo_min_freq"),
        files.number(f"{folder}/cpuinfo_max_freq"),
        files.number(f"{folder}/{MIN}"),
        files.number(f"{folder}/{MAX}"),
        files.number(f"{folder}/scaling_cur_freq"),
        files.text(f"{folder}/{GOVERNOR}"),
        tuple(files.text(f"{folder}/scaling_available_governors").split()),
        files.text(f"{folder}/scaling_driver"),
        latency / 1e9 if 0 < latency < ETERNAL_NS else UNKNOWN_LATENCY_S,
    )


def read_all(root: str | os.PathLike[str]) -> dict[int, Policy]:
    """Policy id -> the policies below `root` (that is /sys) that have CPUs."""
    files = Files(root)
    found = (read(files, policy) for policy in files.names(FOLDER, "policy"))
    return {policy.id: policy for policy in found if policy.cpus}


def _clocks(files: Files, path: str) -> tuple[int, ...]:
    return tuple(sorted(int(word) for word in files.text(path).split() if word.isdecimal()))


def limits(policy: Policy, floor: int, ceiling: int) -> list[tuple[str, str]]:
    """(file, text) of the writes that bring the policy's limits to floor and ceiling, in an order in which no write crosses the other
    limit; nothing for a limit that stands already."""
    lower, upper = (MIN, str(floor)), (MAX, str(ceiling))
    wanted = [lower] if floor != policy.floor else []
    if ceiling != policy.ceiling:
        wanted = [upper, *wanted] if floor > policy.ceiling else [*wanted, upper]
    return wanted


def writes(policy: Policy, way: str, khz: int) -> list[tuple[str, str]]:
    """(file, text) of the writes that fix the policy's clock at khz, in their order."""
    if way == LIMITS:
        return limits(policy, khz, khz)
    room = limits(policy, min(policy.floor, khz), max(policy.ceiling, khz))
    governor = [(GOVERNOR, "userspace")] if policy.governor != "userspace" else []
    return [*room, *governor, (SETSPEED, str(khz))]


def undo(policy: Policy, before: Mapping[str, str]) -> list[tuple[str, str]]:
    """(file, text) of the next writes that put back what stood in the policy's files, [] when all is back: limits and governor, and then,
    the policy read again, the speed of the governor userspace if it has not come back by itself.

    before: file name -> text; a file that it leaves out is not touched."""

    def number(name: str, now: int) -> int:
        return int(before[name]) if before.get(name, "").isdecimal() else now

    back = limits(policy, number(MIN, policy.floor), number(MAX, policy.ceiling))
    if (governor := before.get(GOVERNOR, policy.governor)) != policy.governor:
        back.append((GOVERNOR, governor))
    if not back and governor == "userspace" and not near(policy.current, number(SETSPEED, policy.current)):
        back.append((SETSPEED, before[SETSPEED]))
    return back


def granted(before: Policy, now: Policy, way: str, khz: int) -> int:
    """The clock that the writes for khz have led to, 0 while they have led to none: they changed nothing, or the clock has not arrived.
    Less than khz when a limit of somebody else (heat, firmware) stands below it, more when one stands above."""
    if now.floor != now.ceiling if way == LIMITS else now.governor != "userspace":
        return 0
    clock = max(min(khz, now.ceiling or khz), now.floor)
    if way == LIMITS and now.driver in MEASURED:
        arrived = near(now.floor, clock)
    else:
        arrived = near(now.current, clock)
    changed = (before.floor, before.ceiling, before.governor, before.current) != (now.floor, now.ceiling, now.governor, now.current)
    return clock if arrived and (changed or near(clock, khz)) else 0


def near(khz: int, wanted: int) -> bool:
    return abs(khz - wanted) <= TOLERANCE * wanted
