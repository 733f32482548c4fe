"""The calibration that is kept: a text file, for the machine and the version that made it.

    machine = calibration.machine(topology)      what the planner asks: the kept calibration, else a quick one, else generic figures
    calibration.save(machine); calibration.load(topology)

What measures (asymo/cost/calibrate.py) is imported where something has to be measured.
"""

from __future__ import annotations

import os
import time
from typing import Any

from asymo import __version__, _core, knobs, log
from asymo.cost import speeds
from asymo.cost.speeds import Machine
from asymo.device import places
from asymo.device.topology import Topology
from asymo.errors import InvalidArgumentError


def path() -> str:
    """Where the calibration is kept: the knob ASYMO_CALIBRATION, else asymo/calibration.json in the user's cache folder."""
    return str(knobs.CALIBRATION.get() or os.path.join(places.cache_folder(), "calibration.json"))


def fingerprint(topology: Topology) -> dict[str, Any]:
    """What a calibration holds for: the cores of the machine (design, clocks, how many), the kernels and this version."""
    kinds: dict[str, int] = {}
    for core in (*topology.cores, *topology.others):
        label = f"{core.name or 'unknown'} {f'midr {core.midr:#x} ' if core.midr else ''}{core.min_mhz}-{core.max_mhz} MHz"
        kinds[label] = kinds.get(label, 0) + 1
    cores = [f"{n} x {label}" for label, n in sorted(kinds.items())]
    return {"machine": os.uname().machine, "cores": cores, "isa": _core.isa_name(), "asymo": __version__}


def save(machine: Machine, to: str | os.PathLike[str] | None = None) -> str:
    """Writes the text form, whole or not at all. OSError when the folder cannot be written."""
    from asymo.cost.text import dump

    target = path() if to is None else os.fspath(to)
    folder, name = os.path.split(target)
    os.makedirs(folder or ".", exist_ok=True)
    part = os.path.join(folder, f".{name}.{time.time_ns()}")
    with open(part, "w", encoding="utf-8") as file:
        file.write(dump(machine))
    os.replace(part, target)
    return target


def load(topology: Topology) -> Machine | None:
    """The kept calibration for the cores of `topology`; None when there is none. InvalidArgumentError when it does not fit."""
    file = path()
    try:
        with open(file, encoding="utf-8") as kept_text:
            text = kept_text.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"the calibration {file} cannot be read ({error}): run `asymo-bench calibrate`") from None
    from asymo.cost.text import parse  # few sessions find one

    kept = parse(text, str(file))
    here = fingerprint(topology)
    odd = [f"{key} was {kept.fingerprint.get(key)!r} and is {here[key]!r}" for key in here if kept.fingerprint.get(key) != here[key]]
    if odd:
        raise InvalidArgumentError(
            f"the calibration {file} is of another machine or version ({'; '.join(odd)}): run `asymo-bench calibrate`"
        )
    return _fitted(kept, topology, file)


def _fitted(kept: Machine, topology: Topology, file: str) -> Machine:
    """The types of the topology's used cores, in its order and under its names."""
    whole = topology._replace(cores=tuple(sorted((*topology.cores, *topology.others), key=lambda c: c.cpu)), others=())
    names, mine = whole.type_names, topology.type_names
    measured = {t.name: t for t in kept.types}
    types = []
    for kind in topology.types:
        known = measured.get(names[kind[0].cpu]) or measured.get(mine[kind[0].cpu])
        if known is None:
            raise InvalidArgumentError(f"the calibration {file} has no core type {mine[kind[0].cpu]!r}: run `asymo-bench calibrate`")
        types.append(known._replace(name=mine[kind[0].cpu], cores=len(kind)))
    return kept._replace(types=tuple(types))


def machine(topology: Topology, quick: bool = True) -> Machine:
    """What is known of these cores: the kept calibration; else, with `quick`, a quick one, which is kept too; else generic figures.

    A kept calibration that does not fit is reported and passed over, unless the knob ASYMO_CALIBRATION names it (InvalidArgumentError)."""
    try:
        kept = load(topology)
    except InvalidArgumentError as error:
        if knobs.CALIBRATION.get():
            raise
        log.warning("%s", error)
        kept = None
    if kept is not None:
        return kept
    if not quick:
        return speeds.from_topology(topology, _core.isa_name(), _core.gemm_geometry()[:2])
    from asymo.cost import calibrate

    made = calibrate.measure(topology, quick=True)
    try:
        save(made)
    except OSError as error:
        log.info("the quick calibration is not kept: %s", error)
    return made
