"""Every device profile: it loads, its tree is read back as what it says, and mistakes are named with file and field."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from asymo.device import parts, profile, topology, tree
from asymo.errors import InvalidArgumentError

NAMES = profile.names()


def types(device: profile.Profile) -> list[list[int]]:
    """The core types the profile describes, biggest first: clusters of the same design, clock and capacity are one."""
    groups: dict[tuple[float, str], list[int]] = {}
    for c in device.clusters:
        clock = c.max_freq_khz or 0
        capacity = c.cpu_capacity_expected or clock * (c.fp32_fma_per_cycle or 0) * (0.7 if c.in_order else 1)
        groups.setdefault((capacity, c.core), []).extend(c.cpu_ids)
    return [sorted(groups[key]) for key in sorted(groups, reverse=True)]


def test_there_are_profiles() -> None:
    assert {"rk3588", "hikey970", "sm8650", "odroid-n2", "juno-r0", "rpi5"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_tree_reads_back(name: str, tmp_path: Path) -> None:
    device = profile.load(name)
    assert device.name == name
    machine = topology.read(tree.write(tree.files(device), tmp_path))
    assert machine.notes == ()
    assert machine.others == ()
    assert [[c.cpu for c in kind] for kind in machine.types] == types(device)
    assert machine.select("all") == tuple(range(device.n_cpus))
    assert machine.usable == device.n_cpus
    assert max(c.speed for c in machine.cores) == 1024
    for cluster in device.clusters:
        for core in (c for c in machine.cores if c.cpu in cluster.cpu_ids):
            assert core.name == cluster.core
            assert (core.in_order, core.fma) == (cluster.in_order, cluster.fp32_fma_per_cycle), "the part table and the profile disagree"
            assert core.max_mhz == (cluster.max_freq_khz or 0) // 1000
            assert core.capacity == (cluster.cpu_capacity_expected or 0)
            assert core.policy == min(cluster.cpu_ids)
            if cluster.l1d_kb or cluster.l2_kb:
                assert core.caches_from == "sysfs"
                assert (core.l1d_kb, core.l2_kb, core.l3_kb) == (cluster.l1d_kb or 0, cluster.l2_kb or 0, cluster.l3_kb or 0)
                assert len(core.l2_cpus) == (min(cluster.l2_shared_by or 1, cluster.count) if cluster.l2_kb else 0)
            assert ("dotprod" in core.features) == bool(cluster.simd.dotprod)


@pytest.mark.parametrize("name", NAMES)
def test_without_capacities_and_clocks_big_stays_big(name: str, tmp_path: Path) -> None:
    device = profile.load(name)
    files = tree.files(device)
    known = topology.read(tree.write(files, tmp_path / "all"))
    unranked = topology.read(tree.write({p: t for p, t in files.items() if not p.endswith("cpu_capacity")}, tmp_path / "clock"))
    assert unranked.basis == "clock x peak"
    assert set(unranked.select("big")) == set(known.select("big"))
    assert set(unranked.select("little")) == set(known.select("little"))


@pytest.mark.parametrize("name", NAMES)
def test_capture_of_a_device_loads_back(name: str, tmp_path: Path) -> None:
    from asymo.device.capture import capture

    files = tree.files(profile.load(name))
    recorded = profile.parse(json.loads(json.dumps(capture(tree.write(files, tmp_path / "a"), name))), "capture")
    again = topology.read(tree.write(tree.files(recorded), tmp_path / "b"))
    assert again == topology.read(tmp_path / "a")
    assert sorted(cpu for c in recorded.clusters for cpu in c.cpu_ids) == [c.cpu for c in again.cores]


def test_a_capture_holds_no_serial_number(tmp_path: Path) -> None:
    from asymo.device.capture import capture

    files = tree.files(profile.load("rpi5"))
    files["proc/cpuinfo"] += "\n\nHardware\t: BCM2835\nSerial\t\t: 10000000deadbeef"
    assert "deadbeef" not in json.dumps(capture(tree.write(files, tmp_path)))


def test_estimates_are_known() -> None:
    device = profile.load("sdm845")
    assert device.is_estimate("big", "fp32_fma_per_cycle")
    assert device.is_estimate("little", "l1d_kb")
    assert not device.is_estimate("little", "max_freq_khz")


def test_every_core_of_a_profile_stands_in_the_part_table() -> None:
    for name in NAMES:
        for cluster in profile.load(name).clusters:
            assert parts.midr_of(cluster.core), f"{name}: {cluster.core} is missing in asymo/device/parts.py"


BROKEN: list[tuple[str, Any, str]] = [
    ("schema", "something/2", "schema"),
    ("n_cpus", 7, "n_cpus"),
    ("n_cpus", "8", r"n_cpus: int is wanted"),
    ("n_cpus", True, "n_cpus: int"),
    ("surprise", 1, "surprise: no such field"),
    ("soc", [], "soc: an object"),
    ("clusters", [], "clusters: empty"),
    ("clusters[0].count", 5, r"clusters\[0\].count"),
    ("clusters[1].cpu_ids", [3, 4], "a CPU stands in two places"),
    ("clusters[1].cpu_ids", [8, 9], "cpu_ids are"),
    ("clusters[1].cpu_ids", "4-5", r"clusters\[1\].cpu_ids: a list"),
    ("clusters[1].name", "little", "same name"),
    ("clusters[2].opps[0].khz", -1, r"clusters\[2\].opps\[0\].khz"),
    ("clusters[2].opps[0].khz", 9e99, r"clusters\[2\].opps\[0\].khz"),
    ("clusters[2].opps[1].khz", 1, r"clusters\[2\].opps: not in ascending"),
    ("clusters[0].min_freq_khz", 9000000, r"clusters\[0\].min_freq_khz"),
    ("clusters[0].simd.neon", 1, r"clusters\[0\].simd.neon: bool"),
    ("clusters[0].midr", {"implementer": "zz", "part": "0xd05"}, r"midr.implementer"),
]


@pytest.mark.parametrize(("place", "value", "message"), BROKEN)
def test_mistakes_are_named(place: str, value: Any, message: str, tmp_path: Path) -> None:
    data = copy.deepcopy(json.loads((profile.FOLDER / "rk3588.json").read_text()))
    *path, last = place.replace("[", ".").replace("]", "").split(".")
    target = data
    for step in path:
        target = target[int(step)] if step.isdecimal() else target[step]
    target[last] = value
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidArgumentError, match=message) as error:
        profile.load(file)
    assert "broken.json" in str(error.value)


@pytest.mark.parametrize("field", ["name", "clusters", "n_cpus"])
def test_missing_fields_are_named(field: str) -> None:
    data = json.loads((profile.FOLDER / "rk3588.json").read_text())
    del data[field]
    with pytest.raises(InvalidArgumentError, match=f"here: {field}: missing"):
        profile.parse(data, "here")


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="rk3588"):
        profile.load("rk3589")
    with pytest.raises(InvalidArgumentError, match=r"nothing\.json"):
        profile.load(tmp_path / "nothing.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(InvalidArgumentError, match=r"text\.json: not JSON"):
        profile.load(tmp_path / "text.json")
