"""Machines as they should not be, but are: what the topology makes of them."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.device import parts, profile, topology, tree
from asymo.errors import InvalidArgumentError

CPU = "sys/devices/system/cpu"


def files_of(name: str) -> dict[str, str]:
    return tree.files(profile.load(name))


def read(root: Path, files: dict[str, str], allowed: list[int] | None = None) -> topology.Topology:
    return topology.read(tree.write(files, root), allowed)


def ids(machine: topology.Topology) -> list[list[int]]:
    return [[c.cpu for c in kind] for kind in machine.types]


# ---- types


def test_little_with_the_higher_clock(tmp_path: Path) -> None:
    files = files_of("odroid-n2")
    assert read(tmp_path / "1", files).select("big") == (2, 3, 4, 5)
    bare = {path: text for path, text in files.items() if "cpu_capacity" not in path}
    assert read(tmp_path / "2", bare).select("big") == (2, 3, 4, 5)


def test_two_designs_in_one_policy(tmp_path: Path) -> None:
    files = files_of("sm8550")
    for cpu in (5, 6):
        files[f"{CPU}/cpu{cpu}/regs/identification/midr_el1"] = f"0x{parts.midr_of('cortex-a710'):016x}"
    machine = read(tmp_path, files)
    assert ids(machine) == [[7], [3, 4], [5, 6], [0, 1, 2]]
    assert [machine.type_names[c] for c in (7, 3, 5, 0)] == ["big", "mid1", "mid2", "little"]


def test_one_design_at_two_clocks(tmp_path: Path) -> None:
    files = files_of("allwinner-a527")
    for cpu in range(8):
        files[f"{CPU}/cpu{cpu}/cpu_capacity"] = "1024"
    for policy, cpus, khz in ((0, "0 1 2 3", "1416000"), (4, "4 5 6 7", "1800000")):
        files[f"{CPU}/cpufreq/policy{policy}/related_cpus"] = files[f"{CPU}/cpufreq/policy{policy}/affected_cpus"] = cpus
        files[f"{CPU}/cpufreq/policy{policy}/cpuinfo_max_freq"] = khz
    machine = read(tmp_path, files)
    assert ids(machine) == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert machine.basis == "clock x peak", "a kernel that gives every core 1024 has told nothing"


def test_binned_chips_are_one_type(tmp_path: Path) -> None:
    files = files_of("rk3588")
    for cpu in (6, 7):
        files[f"{CPU}/cpu{cpu}/cpu_capacity"] = "1003"
    files[f"{CPU}/cpufreq/policy6/cpuinfo_max_freq"] = "2352000"
    assert read(tmp_path, files).select("big") == (4, 5, 6, 7)


def test_capacities_of_another_scale(tmp_path: Path) -> None:
    files = files_of("rk3588")
    for cpu in range(8):
        files[f"{CPU}/cpu{cpu}/cpu_capacity"] = "796" if cpu < 4 else "2048"
    machine = read(tmp_path, files)
    assert [c.speed for c in machine.cores] == [398] * 4 + [1024] * 4
    assert machine.cores[7].capacity == 2048


def test_capacity_of_some_cores_only(tmp_path: Path) -> None:
    files = files_of("rk3588")
    del files[f"{CPU}/cpu5/cpu_capacity"]
    machine = read(tmp_path, files)
    assert machine.basis == "clock x peak"
    assert machine.select("big") == (4, 5, 6, 7)
    assert any("no cpu_capacity on CPUs 5" in note for note in machine.notes)


def test_cluster_ids_are_not_believed(tmp_path: Path) -> None:
    files = files_of("rk3588") | {f"{CPU}/cpu{cpu}/topology/cluster_id": str(cpu % 2) for cpu in range(8)}
    assert ids(read(tmp_path, files)) == [[4, 5, 6, 7], [0, 1, 2, 3]]


@pytest.mark.parametrize("name", ["rk3588", "gs101", "hikey970"])
def test_no_cpufreq(name: str, tmp_path: Path) -> None:
    files = files_of(name)
    machine = read(tmp_path / "1", {p: t for p, t in files.items() if "cpufreq" not in p})
    assert machine.select("big") == read(tmp_path / "2", files).select("big")
    assert {c.max_mhz for c in machine.cores} == {0}


def test_clock_is_all_there_is(tmp_path: Path) -> None:
    files = {p: t for p, t in files_of("rk3588").items() if "cpufreq" in p or p.startswith(f"{CPU}/p")}
    machine = read(tmp_path, files)
    assert machine.basis == "clock"
    assert ids(machine) == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_cores_are_known_from_cpuinfo_alone(tmp_path: Path) -> None:
    files = {p: t for p, t in files_of("sm8150").items() if p == "proc/cpuinfo"}
    machine = read(tmp_path, files, list(range(8)))
    assert [c.name for c in machine.cores] == ["cortex-a55"] * 4 + ["cortex-a76"] * 4
    assert machine.basis == "peak"
    assert machine.select("big") == (4, 5, 6, 7)
    assert machine.cores[0].caches_from == "part"
    assert machine.cores[0].l1d_kb == 32


def test_one_description_behind_all_processors_identifies_nobody(tmp_path: Path) -> None:
    text = "Processor\t: AArch64 Processor rev 3 (aarch64)\n" + "\n".join(f"processor\t: {cpu}" for cpu in range(4))
    text += "\n\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU variant\t: 0x0\nCPU part\t: 0xd03\nCPU revision\t: 4\n\nHardware\t: X"
    machine = read(tmp_path, {"proc/cpuinfo": text}, [0, 1, 2, 3])
    assert {(c.midr, c.name, c.features) for c in machine.cores} == {(0, "", ("neon",))}


def test_unknown_part(tmp_path: Path) -> None:
    files = files_of("rk3588")
    for cpu in range(4, 8):
        files[f"{CPU}/cpu{cpu}/regs/identification/midr_el1"] = "0x00000000410fff00"
    machine = read(tmp_path, files)
    assert machine.cores[4].name == "midr-4100ff00"
    assert machine.cores[4].in_order is None
    assert machine.select("big") == (4, 5, 6, 7)


# ---- x86


def x86(cpus: int, model: str = "151") -> dict[str, str]:
    block = f"vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: {model}\nflags\t\t: fpu sse4_2 avx fma avx2 avx_vnni"
    info = "\n\n".join(f"processor\t: {cpu}\n{block}" for cpu in range(cpus))
    return {"proc/cpuinfo": info, f"{CPU}/present": f"0-{cpus - 1}", f"{CPU}/online": f"0-{cpus - 1}"}


def hybrid() -> dict[str, str]:
    """2 cores of two threads and 4 small ones, with a clock of which the small ones have the lower."""
    files = x86(8) | {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-7"}
    for cpu in range(8):
        files[f"{CPU}/cpufreq/policy{cpu}/related_cpus"] = str(cpu)
        files[f"{CPU}/cpufreq/policy{cpu}/cpuinfo_max_freq"] = "5000000" if cpu < 2 else "4900000" if cpu < 4 else "3800000"
        files[f"{CPU}/cpu{cpu}/topology/thread_siblings_list"] = "0-1" if cpu < 2 else "2-3" if cpu < 4 else str(cpu)
    return files


@pytest.mark.parametrize("drop", ["nothing", "cpufreq"])
def test_intel_hybrid(drop: str, tmp_path: Path) -> None:
    machine = read(tmp_path, {p: t for p, t in hybrid().items() if drop not in p})
    assert ids(machine) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [machine.types[0][0].name, machine.types[1][0].name] == ["intel-core", "intel-atom"]
    assert machine.cores[0].features == ("sse4.2", "avx", "fma", "avx2", "avx-vnni")


def test_second_threads_come_last(tmp_path: Path) -> None:
    machine = read(tmp_path, hybrid())
    every = machine.select("all")
    assert machine.best(every, 2) == (0, 2)
    assert machine.best(every, 6) == (0, 2, 4, 5, 6, 7)
    assert machine.best(every, 7) == (0, 1, 2, 4, 5, 6, 7)
    assert machine.best((5, 4, 3), 2) == (5, 3)


def test_favoured_cores_are_one_type(tmp_path: Path) -> None:
    files = x86(4)
    for cpu, khz in enumerate(("5800000", "5800000", "5500000", "5500000")):
        files[f"{CPU}/cpufreq/policy{cpu}/related_cpus"] = str(cpu)
        files[f"{CPU}/cpufreq/policy{cpu}/cpuinfo_max_freq"] = khz
    assert ids(read(tmp_path, files)) == [[0, 1, 2, 3]]


def test_one_design_dense_and_fast(tmp_path: Path) -> None:
    files = x86(4)
    for cpu, khz in enumerate(("5100000", "5100000", "3300000", "3300000")):
        files[f"{CPU}/cpufreq/policy{cpu}/related_cpus"] = str(cpu)
        files[f"{CPU}/cpufreq/policy{cpu}/cpuinfo_max_freq"] = khz
    machine = read(tmp_path, files)
    assert machine.basis == "clock"
    assert ids(machine) == [[0, 1], [2, 3]]


def test_hybrid_with_capacities(tmp_path: Path) -> None:
    files = hybrid() | {"sys/devices/cpu_lowpower/cpus": "6-7", "sys/devices/cpu_atom/cpus": "4-5"}
    for cpu in range(8):
        files[f"{CPU}/cpu{cpu}/cpu_capacity"] = "1024" if cpu < 4 else "640" if cpu < 6 else "410"
    machine = read(tmp_path, files)
    assert ids(machine) == [[0, 1, 2, 3], [4, 5], [6, 7]]
    assert [kind[0].name for kind in machine.types] == ["intel-core", "intel-atom", "intel-lowpower"]
    assert machine.basis == "cpu_capacity"


def meteor_lake() -> dict[str, str]:
    """Core Ultra 7 155H as Linux shows it: 6 P cores of two threads, 8 E cores, and 2 low-power ones among cpu_atom, outside the L3."""
    files = x86(22, "170") | {"sys/devices/cpu_core/cpus": "0-11", "sys/devices/cpu_atom/cpus": "12-21"}
    for cpu in range(22):
        first = cpu // 2 * 2 if cpu < 12 else cpu
        mates = f"{first}-{first + 1}" if cpu < 12 else str(cpu)
        l2 = mates if cpu < 12 else "12-15" if cpu < 16 else "16-19" if cpu < 20 else "20-21"
        files[f"{CPU}/cpu{cpu}/topology/thread_siblings_list"] = mates
        for index, level, size, sharers in ((0, 1, "48K" if cpu < 12 else "32K", mates), (2, 2, "2048K", l2), (3, 3, "24576K", "0-19")):
            if level == 3 and cpu >= 20:
                continue
            folder = f"{CPU}/cpu{cpu}/cache/index{index}"
            files |= {f"{folder}/level": str(level), f"{folder}/size": size, f"{folder}/shared_cpu_list": sharers}
            files[f"{folder}/type"] = "Data" if level == 1 else "Unified"
        files[f"{CPU}/cpufreq/policy{cpu}/related_cpus"] = str(cpu)
        files[f"{CPU}/cpufreq/policy{cpu}/cpuinfo_max_freq"] = "4800000" if cpu < 12 else "3800000" if cpu < 20 else "2500000"
    return files


@pytest.mark.parametrize("drop", ["nothing", "cpufreq"])
def test_low_power_cores_outside_the_l3(drop: str, tmp_path: Path) -> None:
    machine = read(tmp_path, {p: t for p, t in meteor_lake().items() if drop not in p})
    names = {kind[0].name: [c.cpu for c in kind] for kind in machine.types}
    assert names == {"intel-core": [*range(12)], "intel-atom": [*range(12, 20)], "intel-lowpower": [20, 21]}


def test_types_by_cpuid_where_files_say_nothing(tmp_path: Path) -> None:
    files = {p: t for p, t in meteor_lake().items() if "/devices/cpu_" not in p and "cpufreq" not in p}
    kinds = dict.fromkeys(range(12), "cpu_core") | dict.fromkeys(range(12, 22), "cpu_atom")
    machine = topology.read(tree.write(files, tmp_path), None, kinds)
    assert [kind[0].name for kind in machine.types] == ["intel-core", "intel-atom", "intel-lowpower"]
    assert machine.select("big") == tuple(range(12))
    assert len(topology.read(tmp_path).types) == 1, "without CPUID nothing tells them apart"
    told = topology.read(tree.write(meteor_lake(), tmp_path), None, dict.fromkeys(range(22), "cpu_atom"))
    assert told.types[0][0].name == "intel-core", "files are believed first"


def test_plain_x86(tmp_path: Path) -> None:
    machine = read(tmp_path, x86(4))
    assert ids(machine) == [[0, 1, 2, 3]]
    assert machine.cores[0].name == "GenuineIntel 6/151"
    assert machine.type_names[0] == "all"
    assert machine.basis == ""


# ---- which cores may be used


def test_offline_isolated_and_forbidden_cores(tmp_path: Path) -> None:
    files = files_of("rk3588") | {f"{CPU}/online": "0-2,4-7", f"{CPU}/isolated": "6"}
    machine = read(tmp_path, files, [0, 1, 4, 5, 6])
    assert [c.cpu for c in machine.cores] == [0, 1, 4, 5]
    reasons = {c.cpu: c.reason for c in machine.others}
    assert reasons == {2: "forbidden by the affinity mask", 3: "offline", 6: "isolated", 7: "forbidden by the affinity mask"}
    assert machine.select("big") == (4, 5)
    assert machine.select("6") == (6,), "an isolated core that is allowed may be named"
    for cpu, why in ((3, "offline"), (7, "affinity")):
        with pytest.raises(InvalidArgumentError, match=f"CPU {cpu} is .*{why}"):
            machine.select([cpu])


def test_isolated_cores_only_means_that_they_are_wanted(tmp_path: Path) -> None:
    machine = read(tmp_path, files_of("rk3588") | {f"{CPU}/isolated": "6-7"}, [6, 7])
    assert machine.select("all") == (6, 7)


def test_offline_core_leaves_the_ranking(tmp_path: Path) -> None:
    files = {p: t for p, t in files_of("rk3588").items() if "/cpu7/" not in p} | {f"{CPU}/online": "0-6"}
    machine = read(tmp_path, files)
    assert machine.basis == "cpu_capacity"
    assert ids(machine) == [[4, 5, 6], [0, 1, 2, 3]]
    assert [c.cpu for c in machine.others] == [7]


def test_possible_cpus_that_are_not_there(tmp_path: Path) -> None:
    machine = read(tmp_path, files_of("rpi5") | {f"{CPU}/possible": "0-127"})
    assert len(machine.cores) == 4
    assert machine.others == ()


def test_holes_in_the_ids(tmp_path: Path) -> None:
    files = files_of("juno-r0")
    machine = read(tmp_path, files | {f"{CPU}/present": "0,2-3,5", f"{CPU}/online": "0,2-3,5"})
    assert ids(machine) == [[2], [0, 3, 5]]


def test_affinity_of_a_tree(tmp_path: Path) -> None:
    machine = read(tmp_path, files_of("rk3588") | {"proc/self/status": "Name:\tsh\nCpus_allowed:\t0f\nCpus_allowed_list:\t0-3\n"})
    assert machine.select("all") == (0, 1, 2, 3)


CPUSETS = {
    "v2": {"proc/self/cgroup": "0::/box", "sys/fs/cgroup/box/cpuset.cpus.effective": "4-5"},
    "v2 namespace": {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpuset.cpus.effective": "4-5"},
    "v2 seen from inside": {"proc/self/cgroup": "0::/host/box", "sys/fs/cgroup/cpuset.cpus.effective": "4-5"},
    "v1": {"proc/self/cgroup": "3:cpuset:/box\n1:cpu:/", "sys/fs/cgroup/cpuset/box/cpuset.effective_cpus": "4-5"},
}


@pytest.mark.parametrize("case", CPUSETS)
def test_cpuset_smaller_than_affinity(case: str, tmp_path: Path) -> None:
    machine = read(tmp_path, files_of("rk3588") | CPUSETS[case], [0, 4, 5, 6])
    assert machine.select("all") == (4, 5)
    assert {c.cpu: c.reason for c in machine.others}[6] == "forbidden by the cgroup's cpuset"


def test_cpuset_of_somebody_else_is_ignored(tmp_path: Path) -> None:
    machine = read(tmp_path, files_of("rk3588") | CPUSETS["v2"], [0, 1])
    assert machine.select("all") == (0, 1)
    assert any("cpuset" in note for note in machine.notes)


QUOTAS = {
    "half of 2": ({"proc/self/cgroup": "0::/box", "sys/fs/cgroup/box/cpu.max": "100000 100000"}, 1.0, 1),
    "half a CPU": ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5, 1),
    "part of a CPU counts": ({"sys/fs/cgroup/cpu.max": "250000 100000"}, 2.5, 3),
    "more than there is": ({"sys/fs/cgroup/cpu.max": "6400000 100000"}, 64.0, 8),
    "none": ({"sys/fs/cgroup/cpu.max": "max 100000"}, 0.0, 8),
    "the parent's": (
        {"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/cpu.max": "200000 100000", "sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 2.0, 2,
    ),
    "v1": (
        {"proc/self/cgroup": "4:cpu,cpuacct:/box", "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": "150000",
         "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "50000"}, 3.0, 3,
    ),
    "v1 without": ({"proc/self/cgroup": "4:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1"}, 0.0, 8),
    "garbage": ({"sys/fs/cgroup/cpu.max": "lots of it"}, 0.0, 8),
    "zero": ({"sys/fs/cgroup/cpu.max": "0 0"}, 0.0, 8),
}  # fmt: skip


@pytest.mark.parametrize("case", QUOTAS)
def test_quota(case: str, tmp_path: Path) -> None:
    files, quota, workers = QUOTAS[case]
    machine = read(tmp_path, files_of("rk3588") | files)
    assert machine.quota == quota
    assert machine.usable == workers
    assert bool(machine.notes) == (case in ("garbage", "zero"))


def test_a_quota_buys_the_fastest_cores(tmp_path: Path) -> None:
    machine = read(tmp_path, files_of("rk3588"))
    assert machine.best(machine.select("all"), 3) == (4, 5, 6)
    assert machine.best((7, 0, 6), 2) == (7, 6)


# ---- files that tell nothing


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(["sm8550", "juno-r0", "hikey970"]),
    data=st.data(),
    allowed=st.none() | st.sets(st.integers(0, 11), min_size=1),
)
def test_any_damage_leaves_a_topology(name: str, data: st.DataObject, allowed: set[int] | None) -> None:
    files = files_of(name) | {"sys/fs/cgroup/cpu.max": "250000 100000", f"{CPU}/cpu0/cache/index0/size": "32K"}
    damage = st.dictionaries(st.sampled_from(sorted(files)), st.none() | st.sampled_from(["", "7", "0-2", "x", "4096"]), max_size=12)
    for path, text in data.draw(damage).items():
        if text is None:
            del files[path]
        else:
            files[path] = text
    with tempfile.TemporaryDirectory() as folder:
        machine = topology.read(tree.write(files, folder), allowed)
    used = [c.cpu for c in machine.cores]
    assert used == sorted(used)
    assert used
    assert allowed is None or allowed.issuperset(used)
    assert sorted(c for kind in ids(machine) for c in kind) == used == sorted(machine.type_names)
    assert 1 <= machine.usable <= len(used)
    assert set(machine.select("big")) | set(machine.select("little")) <= set(used)
    assert all(c.reason for c in machine.others)
    speeds = [kind[0].speed for kind in machine.types]
    assert speeds == sorted(speeds, reverse=True) or min(speeds) == 0


def test_the_real_root_obeys_the_affinity_mask() -> None:
    assert {c.cpu for c in topology.read().cores} <= os.sched_getaffinity(0)


def test_no_sysfs_at_all(tmp_path: Path) -> None:
    machine = topology.read(tmp_path, [0, 1, 2])
    assert machine.select("big") == machine.select("all") == (0, 1, 2)
    assert machine.notes == ()
    assert topology.read(tmp_path).select("all") == (0,)


@pytest.mark.parametrize(
    "garbage", [b"", b"\n", b"\xff\xfe\x00", b"<unsupported>", b"-1", b"0x", b"9" * 400, b"1024 1024", b"3-1", b"0-9999999"]
)
def test_garbage_everywhere(garbage: bytes, tmp_path: Path) -> None:
    root = tree.write(files_of("rk3588") | {"sys/fs/cgroup/cpu.max": "x", "sys/fs/cgroup/cpuset.cpus.effective": "x"}, tmp_path)
    for path in root.rglob("*"):
        if path.is_file():
            path.write_bytes(garbage)
    machine = topology.read(root, range(8))
    assert machine.select("all") == tuple(range(8))
    assert machine.select("big")
    assert machine.usable >= 1


def test_one_garbage_file_costs_one_fact(tmp_path: Path) -> None:
    files = files_of("rk3588")
    machine = read(tmp_path, files | {f"{CPU}/cpu3/cache/index0/size": "?", f"{CPU}/cpufreq/policy4/cpuinfo_min_freq": "slow"})
    assert machine.cores[3].l1d_kb == 0
    assert machine.cores[4].min_mhz == 0
    assert len(machine.notes) == 3, "two cores read the policy"
    assert ids(machine) == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree.write(files_of("rk3588"), tmp_path)

    opens = os.open

    def denied(path: str, *args: Any, **kwargs: Any) -> int:
        if path.endswith(("/cpuinfo_max_freq", "/midr_el1")):
            raise PermissionError(errno.EACCES, "Permission denied")
        return opens(path, *args, **kwargs)

    monkeypatch.setattr("asymo.device.files.os.open", denied)
    machine = topology.read(root)
    assert machine.select("big") == (4, 5, 6, 7)
    assert machine.cores[0].name == "cortex-a55", "/proc/cpuinfo says it too"
    assert machine.cores[0].max_mhz == 0
    assert all("Permission denied" in note for note in machine.notes)
    assert len(machine.notes) == 16


def test_clock_that_only_the_scaling_file_tells(tmp_path: Path) -> None:
    files = files_of("rk3588")
    for policy in (0, 4, 6):
        files[f"{CPU}/cpufreq/policy{policy}/scaling_max_freq"] = files.pop(f"{CPU}/cpufreq/policy{policy}/cpuinfo_max_freq")
    assert read(tmp_path, files).cores[7].max_mhz == 2400
