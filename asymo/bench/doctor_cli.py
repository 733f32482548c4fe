"""asymo-bench doctor: what Asymo finds on this machine, and for each thing that is missing what to do about it."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asymo import _core, knobs
from asymo.bench.device_cli import REFUSED, placements
from asymo.cost import calibration as kept_calibration
from asymo.device import power, topology
from asymo.device.files import Files, format_cpu_list
from asymo.device.frequency import Levers
from asymo.device.topology import Topology
from asymo.errors import InvalidArgumentError
from asymo.runtime import kernels

Form = Callable[[argparse.ArgumentParser], None]

MARKS = {"ok": "ok", "note": "--", "missing": "!!"}
"""State of a finding -> how it is printed. note: less than there could be, and nothing is wrong."""

PACKAGES = {
    "numpy": "install it: `pip install numpy`, on Termux `pkg install python-numpy`",
    "cffi": "install it: `pip install cffi`, on Termux after `pkg install clang libffi`",
    "onnx": "host steps (operators without a kernel) need it: `pip install onnx`; models without host steps run as they are",
    "psutil": "only comparisons with other runtimes use it: `pip install psutil`, on Termux `pkg install python-psutil`",
}
"""Package -> what to do where it is missing."""

NEEDED = ("numpy", "cffi")

BACKGROUND = "keep Termux in the foreground, run `termux-wake-lock`, and set its battery use to unrestricted"
PHANTOM = (
    "it may end a session that computes in the background (signal 9). Over adb, Android 12L and later: "
    "`settings put global settings_enable_monitor_phantom_procs false`; 12: "
    "`device_config put activity_manager max_phantom_processes 2147483647`"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. state: a key of MARKS. remedy: what to do, "" where nothing is lacking."""

    topic: str
    state: str
    found: str
    remedy: str = ""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the subcommand."""
    doctor = commands.add_parser("doctor", help="what is found on this machine, and what to do about what is missing")
    doctor.add_argument("--root", type=Path, default=Path("/"), help="read sysfs and procfs below this folder")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(call=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    found = list(examine(args.root))
    if args.json:
        print(json.dumps([asdict(f) for f in found], indent=1))
        return 0
    width = max(len(f.topic) for f in found)
    for f in found:
        print(f"{MARKS[f.state]}  {f.topic:{width}}  {f.found}")
        if f.remedy:
            print(f"    {'':{width}}  -> {f.remedy}")
    return 0


def examine(root: Path) -> Iterator[Finding]:
    """Everything, in the order in which it is printed. root: of sysfs and procfs. Below another than "/" nothing is tried."""
    is_here = root == Path("/")
    files = Files(root)
    machine = topology.read(root)
    yield from versions()
    yield from android(files)
    yield from cores(machine)
    if is_here:
        yield from instructions(machine)
        yield from pins(machine)
    yield from calibration(machine)
    yield from clocks(root)
    yield from meters(root)


def versions() -> Iterator[Finding]:
    """This build, and the packages it works with."""
    yield Finding("asymo", "ok", f"{_core.VERSION}, Python {platform.python_version()} on {sys.platform}, {platform.machine()}")
    for package, remedy in PACKAGES.items():
        try:
            yield Finding(package, "ok", version(package))
        except PackageNotFoundError:
            yield Finding(package, "missing" if package in NEEDED else "note", "not installed", remedy)


def android(files: Files) -> Iterator[Finding]:
    """What Android takes away."""
    if sys.platform != "android" and not files.has("system/build.prop"):
        return
    group = files.text("proc/self/cpuset")
    if "background" in group or "restricted" in group:
        yield Finding("Android", "missing", f"this process is in the background: its cpuset is {group}", BACKGROUND)
    else:
        yield Finding("Android", "ok", f"cpuset {group or 'unknown'}")
    yield Finding("Android", "note", "the phantom process killer, since Android 12", PHANTOM)


def cores(machine: Topology) -> Iterator[Finding]:
    """Core types, and the cores that are not used."""
    names = machine.type_names
    kinds = [
        f"{names[kind[0].cpu]}: {len(kind)} x {kind[0].name or 'unknown core'} (CPUs {format_cpu_list([c.cpu for c in kind])})"
        for kind in machine.types
    ]
    yield Finding("cores", "ok", "; ".join(kinds))
    if not machine.basis and len(machine.cores) > 1:
        yield Finding("cores", "note", "the system tells nothing of their speeds: all are taken to be equal", "run `asymo-bench calibrate`")
    for reason in dict.fromkeys(core.reason for core in machine.others):
        cpus = format_cpu_list([core.cpu for core in machine.others if core.reason == reason])
        yield Finding("cores", "note", f"CPUs {cpus} are not used: {reason}", _back(reason))
    if machine.usable < len(machine.cores):
        what = f"the control group grants {machine.quota:g} CPUs' worth of time: {machine.usable} workers"
        yield Finding("cores", "note", what, "raise the group's cpu.max, or the container's CPU limit")
    for note in machine.notes:
        yield Finding("cores", "note", note, "see docs/device.md; `asymo-bench device capture` records what the system tells")


def _back(reason: str) -> str:
    """How to get cores back that are not used for this reason."""
    if reason == "offline":
        return "the system may have put them to sleep; as root: echo 1 > /sys/devices/system/cpu/cpuN/online"
    if "isolated" in reason:
        return 'name them, cores="0-3", to use them all the same'
    if "cgroup" in reason:
        return f"add them to the group's cpuset.cpus; on Android {BACKGROUND}"
    return f"start the program with a wider mask (taskset -pc shows who set it); on Android {BACKGROUND}"


def instructions(machine: Topology) -> Iterator[Finding]:
    """The kernels in use, and cores that would run others."""
    wanted = knobs.ISA.get() or _core.isas()[-1]
    found = kernels.visit([core.cpu for core in machine.cores], kernels.here)()
    chosen, told = kernels.common(found, wanted) if found else (wanted, "")
    if chosen == "portable" and not knobs.ISA.get():
        remedy = "Asymo has fast kernels for AVX2 with FMA, AVX-512 and Advanced SIMD; to a virtual machine give the host's CPU model"
        yield Finding("kernels", "missing", told or "portable: this CPU has none of the vector units that there are kernels for", remedy)
    elif told:
        what, _, remedy = told.partition("; ")
        yield Finding("kernels", "note", what, remedy)
    else:
        yield Finding("kernels", "ok", f"{chosen}, tried on {len(found)} cores")


def pins(machine: Topology) -> Iterator[Finding]:
    """Whether workers are where they are put: tried and read back."""
    places = placements(machine)
    refused = sorted(cpu for cpu, what in places.items() if what == REFUSED)
    if refused:
        what = f"the kernel refused to pin workers to CPUs {format_cpu_list(refused)}"
        yield Finding("pinning", "missing", what, f"name cores that are allowed and online; on Android {BACKGROUND}")
    else:
        yield Finding("pinning", "ok", f"{len(places)} workers, tried and read back")


def calibration(machine: Topology) -> Iterator[Finding]:
    """Whether the speeds of the cores have been measured."""
    try:
        kept = kept_calibration.load(machine)
    except InvalidArgumentError as error:
        yield Finding("calibration", "missing", str(error).rpartition(": run ")[0], "run `asymo-bench calibrate` (16 s)")
        return
    if kept is None:
        basis = machine.basis or "nothing"
        yield Finding("calibration", "note", f"none: speeds are guessed from {basis}", "run `asymo-bench calibrate` (16 s, once a machine)")
    else:
        yield Finding("calibration", "ok", f"{kept.basis} of {kept.date}, {kept_calibration.path()}")


def clocks(root: Path) -> Iterator[Finding]:
    """Whether clocks can be fixed."""
    found = Levers(root / "sys").available()
    if found.settable:
        policies = ", ".join(f"policy{p.id} (CPUs {format_cpu_list(p.cpus)})" for p in found.settable.values())
        yield Finding("clocks", "ok", f"can be fixed: {policies}")
    else:
        what = f"held by {found.holder}" if found.holder else "cannot be fixed" if found.policies else "not shown by the kernel"
        remedy = "wait for it, or end it" if found.holder else found.remedy or "choose cores instead: `asymo-bench frequency` says which"
        yield Finding("clocks", "note", what, remedy)
    if found.uclamp:
        yield Finding("clamps", "note", f"utilisation of threads cannot be clamped: {found.uclamp}", "choose cores instead")
    else:
        yield Finding("clamps", "ok", "utilisation of this process's threads can be clamped")


def meters(root: Path) -> Iterator[Finding]:
    """Whether energy can be measured."""
    found = power.meters(root / "sys")
    for meter in found.meters:
        yield Finding("energy", "ok", f"meter {meter.name}")
    for reason in found.reasons:
        what, _, remedy = reason.partition("; ")
        yield Finding("energy", "note", what, remedy)
    if not found.meters:
        yield Finding("energy", "note", "no meter answers: joules are modelled", "docs/energy.md lists the meters that are read")
