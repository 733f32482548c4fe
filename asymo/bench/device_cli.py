"""asymo-bench topology and asymo-bench device: what this machine is, and what is known of others."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from asymo._core import Pool, gemm_geometry, isa_name
from asymo.bench.report import Row, table
from asymo.cost.speeds import from_topology
from asymo.device import capture, profile, topology, tree
from asymo.device.files import format_cpu_list
from asymo.runtime.crew import Wish, muster

Form = Callable[[argparse.ArgumentParser], None]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], add_format: Form) -> None:
    """Registers the subcommands."""
    show = commands.add_parser("topology", help="list the cores, their types, and which of them may be used")
    where = show.add_mutually_exclusive_group()
    where.add_argument("--root", type=Path, default=Path("/"), help="read sysfs and procfs below this folder")
    where.add_argument("--device", help="show a device profile instead of this machine: a name, or a file of `device capture`")
    add_format(show)
    show.set_defaults(call=_topology)

    device = commands.add_parser("device", help="device profiles").add_subparsers(dest="what", required=True)
    listing = device.add_parser("list", help="list the profiles that come with Asymo")
    add_format(listing)
    listing.set_defaults(call=_list)
    one = device.add_parser("show", help="one profile; ~ marks estimates")
    one.add_argument("name", help="a name from `device list`, or a .json file")
    add_format(one)
    one.set_defaults(call=_show)
    record = device.add_parser("capture", help="record this machine as a profile, to be sent in")
    record.add_argument("-o", "--output", type=Path, help="write to this file (default: stdout)")
    record.add_argument("--root", type=Path, default=Path("/"), help="read sysfs and procfs below this folder")
    record.add_argument("--name", default="", help="short name of the device (default: from its model)")
    record.set_defaults(call=_capture)


def _topology(args: argparse.Namespace) -> int:
    machine = tree.machine(profile.load(args.device)) if args.device else topology.read(args.root)
    names = machine.type_names
    pinned = placements(machine) if args.root == Path("/") and not args.device else {}
    if args.form == "json":
        cores = [{**c._asdict(), "type": names.get(c.cpu, ""), "pinned": pinned.get(c.cpu, "")} for c in _all(machine)]
        limits = {"quota": machine.quota, "usable": machine.usable, "basis": machine.basis, "notes": machine.notes}
        types = [{"type": names[kind[0].cpu], "cpus": [c.cpu for c in kind]} for kind in machine.types]
        print(json.dumps({"cores": cores, "types": types, **limits}, indent=1))
        return 0
    print(table([_row(core, names.get(core.cpu, ""), pinned.get(core.cpu, "")) for core in _all(machine)], args.form))
    if args.form == "csv":
        return 0
    print(f"\nused: CPUs {format_cpu_list([c.cpu for c in machine.cores])}, default workers: {machine.usable}", end="")
    print(f" (the control group grants {machine.quota:g} CPUs)" if machine.quota else "")
    if pinned:
        refused = [cpu for cpu, what in pinned.items() if what == REFUSED]
        print(f"pinned: {len(pinned) - len(refused)} of {len(pinned)} workers, tried and read back")
    for kind in machine.types:
        print(f"{names[kind[0].cpu]}: {len(kind)} x {kind[0].name or 'unknown core'}, CPUs {format_cpu_list([c.cpu for c in kind])}")
    print(f"speed: relative to the fastest, by {machine.basis}" if machine.basis else "speed: unknown, all cores are taken to be equal")
    for note in machine.notes:
        print(f"note: {note}")
    return 0


REFUSED = "refused"


def placements(machine: topology.Topology) -> dict[int, str]:
    """CPU id -> the worker that a session by default would have there, or that the kernel refused to pin it. Starts the workers to see."""
    crew = muster(machine, Wish(), lambda found: from_topology(found, isa_name(), gemm_geometry()[:2]))
    with Pool(crew.workers) as pool:
        placed = pool.placement()
    return {cpu: f"worker {i}" if now == cpu else REFUSED for i, (cpu, now) in enumerate(zip(crew.cpus, placed, strict=True))}


def _all(machine: topology.Topology) -> list[topology.Core]:
    return sorted((*machine.cores, *machine.others), key=lambda c: c.cpu)


def _row(core: topology.Core, kind: str, pinned: str) -> Row:
    guess = "~" if core.caches_from == "part" else ""

    def cache(kb: int) -> str:
        return "?" if not kb else f"{guess}{kb // 1024}M" if kb % 1024 == 0 else f"{guess}{kb}K"

    return {
        "cpu": core.cpu,
        "type": kind,
        "core": core.name or "?",
        "order": {None: "?", True: "in", False: "out"}[core.in_order],
        "MHz": core.max_mhz or "?",
        "capacity": core.capacity or "?",
        "speed": core.speed or "?",
        "L1d": cache(core.l1d_kb),
        "L2": cache(core.l2_kb) + (f" ({format_cpu_list(core.l2_cpus)})" if len(core.l2_cpus) > 1 else ""),
        "L3": cache(core.l3_kb),
        "features": " ".join(core.features),
        "used": "yes" if not core.reason else "no",
        "pinned": pinned,
        "note": core.reason,
    }


def _list(args: argparse.Namespace) -> int:
    rows: list[Row] = []
    for name in profile.names():
        device = profile.load(name)
        rows.append({"name": name, "device": device.title, "cores": " + ".join(f"{c.count} {c.core}" for c in device.clusters)})
    print(table(rows, args.form))
    return 0


def _show(args: argparse.Namespace) -> int:
    device = profile.load(args.name)
    if args.form == "json":
        print(json.dumps(asdict(device), indent=1))
        return 0
    rows: list[Row] = []
    for cluster in device.clusters:

        def said(name: str, scale: int = 1, cluster: profile.Cluster = cluster) -> str:
            value = getattr(cluster, name)
            return "?" if value is None else f"{'~' if device.is_estimate(cluster.name, name) else ''}{value // scale}"

        rows.append(
            {
                "cluster": cluster.name,
                "core": cluster.core,
                "cpus": format_cpu_list(cluster.cpu_ids),
                "order": {None: "?", True: "in", False: "out"}[cluster.in_order],
                "MHz": f"{said('min_freq_khz', 1000)}-{said('max_freq_khz', 1000)}",
                "capacity": said("cpu_capacity_expected"),
                "FMA/cycle": said("fp32_fma_per_cycle"),
                "L1d KB": said("l1d_kb"),
                "L2 KB": said("l2_kb") + (f" / {cluster.l2_shared_by}" if (cluster.l2_shared_by or 1) > 1 else ""),
                "L3 KB": said("l3_kb"),
                "features": " ".join(name for name, has in asdict(cluster.simd).items() if has),
            }
        )
    print(table(rows, args.form, device.title))
    if args.form != "csv":
        print("\n~ estimate, ? unknown" + "".join(f"\nnote: {note}" for note in device.notes))
    return 0


def _capture(args: argparse.Namespace) -> int:
    recorded = capture.capture(args.root, args.name)
    profile.parse(recorded, "the capture")
    text = json.dumps(recorded, indent=1)
    if args.output is None:
        print(text)
        return 0
    args.output.write_text(text + "\n")
    print(f"{args.output}: {recorded['title']}, {recorded['n_cpus']} CPUs, {len(recorded['sysfs'])} files", file=sys.stderr)
    return 0
