"""asymo-bench topology and device, and the default cores of a session."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from asymo.bench import cli
from asymo.cost.speeds import from_topology
from asymo.device import profile, topology, tree
from asymo.errors import InvalidArgumentError
from asymo.runtime.crew import muster
from asymo.runtime.team import wish


def bench(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert cli.main(arguments) == code
    out = capsys.readouterr()
    return out.out if code == 0 else out.err


@pytest.fixture
def board(tmp_path: Path) -> Path:
    files = tree.files(profile.load("gs101")) | {"sys/devices/system/cpu/online": "0-6", "sys/fs/cgroup/cpu.max": "400000 100000"}
    return tree.write(files, tmp_path / "board")


def test_topology_text(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = bench(capsys, "topology", "--root", str(board))
    for line in ("cortex-x1", "offline", "big: 1 x cortex-x1, CPUs 6", "little: 4 x cortex-a55, CPUs 0-3", "grants 4 CPUs"):
        assert line in text


def test_topology_json(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(bench(capsys, "topology", "--root", str(board), "--json"))
    assert [t["type"] for t in document["types"]] == ["big", "mid", "little"]
    assert document["usable"] == 4
    assert document["cores"][7]["reason"] == "offline"
    assert document["cores"][6]["max_mhz"] == 2802


def test_topology_csv(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(bench(capsys, "topology", "--root", str(board), "--csv"))))
    assert [row["type"] for row in rows] == ["little"] * 4 + ["mid"] * 2 + ["big", ""]


def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert "used: CPUs" in bench(capsys, "topology")


@pytest.mark.parametrize("name", profile.names())
def test_topology_and_show_of_every_device(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    device = profile.load(name)
    text = bench(capsys, "topology", "--device", name)
    assert text.count(" yes") == device.n_cpus
    shown = bench(capsys, "device", "show", name)
    assert device.title in shown
    for cluster in device.clusters:
        assert cluster.core in shown


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    names = [row["name"] for row in csv.DictReader(io.StringIO(bench(capsys, "device", "list", "--csv")))]
    assert names == profile.names()


def test_capture_of_this_machine_loads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.json"
    bench(capsys, "device", "capture", "-o", str(file))
    recorded = profile.load(file)
    here = topology.read()
    again = topology.read(tree.write(tree.files(recorded), tmp_path / "tree"), [c.cpu for c in here.cores])
    assert [(c.cpu, c.name, c.speed, c.l2_kb) for c in again.cores] == [(c.cpu, c.name, c.speed, c.l2_kb) for c in here.cores]
    assert "used" in bench(capsys, "topology", "--device", str(file))


def test_where_workers_are_pinned(capsys: pytest.CaptureFixture[str], board: Path) -> None:
    here = topology.read()
    document = json.loads(bench(capsys, "topology", "--json"))
    pinned = {c["cpu"]: c["pinned"] for c in document["cores"] if c["pinned"]}
    assert len(pinned) == here.usable
    assert set(pinned) <= {c.cpu for c in here.cores}
    assert sorted(pinned.values()) == sorted(f"worker {i}" for i in range(len(pinned)))
    assert f"{len(pinned)} of {len(pinned)} workers" in bench(capsys, "topology")
    assert {c["pinned"] for c in json.loads(bench(capsys, "topology", "--root", str(board), "--json"))["cores"]} == {""}, "not this machine"


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no device profile 'nokia'" in bench(capsys, "device", "show", "nokia", code=2)
    assert "gone.json" in bench(capsys, "topology", "--device", str(tmp_path / "gone.json"), code=2)


def test_default_cores_of_a_session(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for knob in ("ASYMO_CORES", "ASYMO_NUM_THREADS"):
        monkeypatch.delenv(knob, raising=False)
    machine = topology.read(board)

    def cpus(cores: str | None, threads: int) -> tuple[int, ...]:
        return muster(machine, wish(cores, threads), lambda found: from_topology(found, "neon", (8, 8))).cpus

    assert cpus(None, 0) == (6, 4, 5, 0), "the quota pays for four: the fastest"
    assert cpus("little", 0) == (0, 1, 2, 3)
    assert cpus(None, 7) == (6, 4, 5, 0, 1, 2, 3), "a number that the user gives is obeyed"
    assert cpus(None, 2) == (6, 4)
    assert cpus(None, 8) == cpus(None, 7), "there are seven cores"
    with pytest.raises(InvalidArgumentError, match="CPU 7 is offline"):
        cpus("7", 0)
