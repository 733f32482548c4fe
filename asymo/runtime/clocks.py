"""A session's clocks: what its cores draw, what its policy wants set, and who may set it."""

from __future__ import annotations

from collections.abc import Mapping

from asymo import knobs
from asymo.cost import power
from asymo.cost.energy import Setting
from asymo.cost.power import Draw
from asymo.cost.speeds import Machine
from asymo.device import topology
from asymo.device.frequency import Levers
from asymo.device.topology import Topology


def levers() -> Levers:
    """Those of the machine that is planned for: recorded machines bring their own sysfs."""
    return Levers(f"{str(knobs.ROOT.get()).rstrip('/')}/sys")


def draw() -> Draw:
    """The watts of this machine's cores."""
    found = topology.read(str(knobs.ROOT.get()))
    return power.from_topology(found, levers().policies())


def targets(setting: Setting, machine: Machine, found: Topology) -> dict[int, int]:
    """Policy id -> kHz of a setting. A policy whose cores are not used is left alone."""
    names = found.type_names
    wanted = {t.name: khz for t, khz in zip(machine.types, setting.khz, strict=True) if khz}
    return {c.policy: wanted[names[c.cpu]] for c in found.cores if c.policy >= 0 and names[c.cpu] in wanted}


def advice(setting: Setting, machine: Machine) -> list[str]:
    """What would be set, and how, where nobody may."""
    found = topology.read(str(knobs.ROOT.get()))
    wanted: Mapping[int, int] = targets(setting, machine, found)
    there = levers()
    available = there.available()
    if not wanted or not available.policies:
        return available.explain()
    return [*available.explain(), *there.commands(wanted)]
