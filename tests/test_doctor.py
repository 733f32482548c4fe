"""asymo-bench doctor: what it finds on recorded machines, and that everything that is missing comes with a remedy."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from asymo.bench import cli, doctor_cli
from asymo.bench.doctor_cli import Finding
from asymo.cost import calibration
from asymo.cost.speeds import from_topology
from asymo.device import profile, topology, tree
from asymo.runtime import kernels
from asymo.runtime.kernels import Found

CPU = "sys/devices/system/cpu"


def board(root: Path, name: str = "rk3588", **more: str) -> Path:
    """A recorded machine and further files; __ in a name stands for a slash."""
    return tree.write(tree.files(profile.load(name)) | {path.replace("__", "/"): text for path, text in more.items()}, root)


def of(root: Path, topic: str) -> list[Finding]:
    return [f for f in doctor_cli.examine(root) if f.topic == topic]


@pytest.fixture(autouse=True)
def no_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYMO_CALIBRATION", str(tmp_path / "calibration.json"))


@pytest.mark.parametrize("name", profile.names())
def test_every_recorded_machine(name: str, tmp_path: Path) -> None:
    found = list(doctor_cli.examine(board(tmp_path / name, name)))
    assert {f.topic for f in found} >= {"asymo", "numpy", "cffi", "cores", "calibration", "clocks", "clamps", "energy"}
    for f in found:
        assert f.state in doctor_cli.MARKS
        assert f.found
        assert f.remedy or f.state == "ok" or f.topic == "energy", f"{f} leaves people alone"
    (cores, *_) = of(tmp_path / name, "cores")
    for cluster in profile.load(name).clusters:
        assert cluster.core in cores.found


def test_cores_that_are_not_used(tmp_path: Path) -> None:
    root = board(tmp_path / "b", "gs101", **{f"{CPU}/online": "0-6", "proc/self/status": "Cpus_allowed_list:\t0-5"})
    told = {f.found: f.remedy for f in of(root, "cores")}
    assert "CPUs 7 are not used: offline" in told
    assert "cpu7" in told["CPUs 7 are not used: offline"] or "cpuN/online" in told["CPUs 7 are not used: offline"]
    assert "taskset" in told["CPUs 6 are not used: forbidden by the affinity mask"]


def test_nothing_told_of_speeds(tmp_path: Path) -> None:
    root = tree.write({f"{CPU}/present": "0-3", f"{CPU}/online": "0-3"}, tmp_path / "b")
    assert any("taken to be equal" in f.found and "calibrate" in f.remedy for f in of(root, "cores"))


def test_a_quota(tmp_path: Path) -> None:
    root = board(tmp_path / "b", **{"sys/fs/cgroup/cpu.max": "200000 100000"})
    assert any("2 CPUs' worth" in f.found and "cpu.max" in f.remedy for f in of(root, "cores"))


@pytest.mark.parametrize(("group", "state"), [("/top-app", "ok"), ("/background", "missing"), ("/system-background", "missing")])
def test_android(group: str, state: str, tmp_path: Path) -> None:
    root = board(tmp_path / "b", "gs101", **{"proc/self/cpuset": group, "system/build.prop": ""})
    place, killer = of(root, "Android")
    assert place.state == state
    assert (state == "missing") == ("termux-wake-lock" in place.remedy)
    assert "settings_enable_monitor_phantom_procs" in killer.remedy


@pytest.mark.skipif(sys.platform == "android", reason="is one")
def test_no_android(tmp_path: Path) -> None:
    assert of(board(tmp_path / "b"), "Android") == []


def test_calibration_missing_present_and_stale(tmp_path: Path) -> None:
    root = board(tmp_path / "b")
    (found,) = of(root, "calibration")
    assert (found.state, "asymo-bench calibrate" in found.remedy) == ("note", True)
    machine = topology.read(root)
    kept = from_topology(machine, "portable", (4, 8))
    calibration.save(kept._replace(basis="calibration", date="2026-11-22", fingerprint=calibration.fingerprint(machine)))
    (found,) = of(root, "calibration")
    assert found.state == "ok"
    assert "2026-11-22" in found.found
    (found,) = of(board(tmp_path / "c", "hikey970"), "calibration")
    assert found.state == "missing"
    assert "another machine" in found.found
    assert "asymo-bench calibrate" in found.remedy
    Path(calibration.path()).write_text("{")
    (found,) = of(root, "calibration")
    assert found.state == "missing"


def test_clocks_that_can_be_set(tmp_path: Path) -> None:
    folder = f"{CPU}/cpufreq/policy0"
    texts = {"scaling_min_freq": "408000", "scaling_max_freq": "1800000", "scaling_governor": "schedutil", "scaling_cur_freq": "1800000"}
    root = tree.write(
        {f"{CPU}/present": "0", f"{folder}/related_cpus": "0", f"{folder}/cpuinfo_min_freq": "408000"}
        | {f"{folder}/cpuinfo_max_freq": "1800000", f"{folder}/scaling_available_governors": "schedutil", f"{folder}/scaling_driver": "x"}
        | {f"{folder}/{name}": text for name, text in texts.items()},
        tmp_path / "b",
    )
    (found,) = of(root, "clocks")
    assert (found.state, found.found) == ("ok", "can be fixed: policy0 (CPUs 0)")
    (found,) = of(tree.write({f"{CPU}/present": "0"}, tmp_path / "c"), "clocks")
    assert found.state == "note"
    assert "choose cores instead" in found.remedy


def test_a_meter(tmp_path: Path) -> None:
    folder = "sys/class/hwmon/hwmon0"
    root = board(tmp_path / "b", **{f"{folder}/name": "ina231", f"{folder}/power1_input": "1500000"})
    assert [f.state for f in of(root, "energy")] == ["ok"]
    (none,) = of(board(tmp_path / "c"), "energy")
    assert "modelled" in none.found


def test_kernels_that_some_cores_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYMO_ISA", raising=False)
    machine = topology.read()
    (found,) = doctor_cli.instructions(machine)
    assert found.state == "ok" or "portable" in found.found
    monkeypatch.setattr(kernels, "here", lambda: Found(("portable",)))
    (found,) = doctor_cli.instructions(machine)
    assert found.state == "missing"
    assert "portable" in found.found
    assert "virtual machine" in found.remedy


def test_packages_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise doctor_cli.PackageNotFoundError(name)

    monkeypatch.setattr(doctor_cli, "version", absent)
    states = {f.topic: f.state for f in doctor_cli.versions()}
    assert states == {"asymo": "ok", "numpy": "missing", "cffi": "missing", "onnx": "note", "psutil": "note"}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = board(tmp_path / "b")
    assert cli.main(["doctor", "--root", str(root), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert all(set(entry) == {"topic", "state", "found", "remedy"} for entry in document)
    assert cli.main(["doctor", "--root", str(root)]) == 0
    text = capsys.readouterr().out
    assert "big: 4 x cortex-a76" in text
    assert "-> run `asymo-bench calibrate`" in text
    assert cli.main(["doctor"]) == 0
    assert "tried and read back" in capsys.readouterr().out
