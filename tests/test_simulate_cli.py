"""asymo-bench simulate, and the simulation of real plans."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from test_bench import bench
from test_session import RELU

from asymo.cost.devices import from_profile
from asymo.device import profile
from asymo.errors import UnsupportedError
from asymo.plan.plan import POLICIES, SERIAL, Sharing, Step
from asymo.sim import timeline
from asymo.sim.hardware import Hardware, Kind
from asymo.sim.run import simulate
from asymo.sim.task import uniform
from asymo.sim.tasks import hardware_of, task_of

CONV = {
    "batch": 1, "groups": 1, "c": 16, "n": 20, "in": (1, 9, 9), "out": (1, 9, 9), "kernel": (1, 3, 3), "stride": (1, 1, 1),
    "dilation": (1, 1, 1), "pad": (0, 1, 1), "x_batch": 1296, "y_batch": 1620, "r_batch": 0, "x_stride": (1296, 144, 16),
    "y_stride": (1620, 180, 20), "r_stride": (0, 0, 0), "unit_m": 32, "unit_n": 8, "n_fastest": 1, "act": 0, "p": 0.0, "q": 0.0,
}  # fmt: skip
"""81 pixels in units of 32, 20 channels in units of 8."""


@pytest.fixture
def relu(tmp_path: Path) -> str:
    path = tmp_path / "relu.onnx"
    path.write_bytes(RELU)
    return str(path)


def test_all_policies_in_one_table(relu: str) -> None:
    done = bench("simulate", relu, "--device", "rk3588", "--shape", "x:50000x3", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["simulated"] is True
    assert [r["policy"] for r in document["policies"]] == list(POLICIES)
    for record in document["policies"]:
        assert len(record["cores"]) == 8
        assert record["ms"] > 0
        assert all(0 <= core["utilisation"] <= 1 for core in record["cores"])


def test_a_table_says_that_it_is_simulated(relu: str) -> None:
    done = bench("simulate", relu, "--device", "sm8650", "--policy", "guided,static", "--shape", "x:4x3")
    assert done.returncode == 0, done.stderr
    assert "SIMULATED, basis profile sm8650" in done.stdout
    assert "mid 0" in done.stdout


def test_a_trace_and_a_drawing(relu: str, tmp_path: Path) -> None:
    trace, drawing = tmp_path / "trace.json", tmp_path / "drawing.svg"
    arguments = ["simulate", relu, "--device", "rk3399", "--policy", "guided", "--shape", "x:600000x3", "--trace", str(trace)]
    assert bench(*arguments).returncode == 0
    events = json.loads(trace.read_text())["traceEvents"]
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {"big 0", "little 3"} <= names
    slices = [e for e in events if e["ph"] == "X"]
    assert sum(e["args"]["units"][1] - e["args"]["units"][0] for e in slices) == slices[0]["args"]["of"]
    pytest.importorskip("matplotlib")
    assert bench(*arguments, "--plot", str(drawing)).returncode == 0
    assert drawing.read_text().lstrip().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "no-such"], "no device profile 'no-such'"),
        (["--device", "rk3588", "--policy", "best"], "--policy best: choose from all, guided"),
        (["--device", "rk3588", "--plot", "x.bmp"], "ends in .svg or .png"),
        (["--device", "rk3588", "--shape", "z:1"], "no input"),
    ],
)
def test_misuse(relu: str, arguments: list[str], said: str) -> None:
    done = bench("simulate", relu, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_drawing_needs_matplotlib(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    task = uniform("a", 4, (1.0,), cores=(2,))
    with pytest.raises(UnsupportedError, match=r"pip install 'asymo\[plot\]'"):
        timeline.draw(simulate([task], Hardware((Kind("core", 2),))), [task], tmp_path / "x.png", "")


def test_units_at_the_end_of_a_dimension_cost_less() -> None:
    machine = from_profile(profile.load("rk3588"))
    sharing = Sharing((4, 4), (1, 1), (100.0, 250.0))
    task = task_of(Step("conv", CONV, (), "node", "Conv", sharing), machine)
    assert task.units == 3 * 3
    each = np.diff(task.seconds[0])
    rows, columns = np.array([32, 32, 17]), np.array([8, 8, 8])
    np.testing.assert_allclose(each / each[0], np.outer(rows / 32, columns / 8).ravel())
    assert (task.cores, task.chunk, task.unit_ns) == ((4, 4), (1, 1), (100.0, 250.0))


def test_a_serial_step_has_no_cores() -> None:
    machine = from_profile(profile.load("rk3588"))
    task = task_of(Step("conv", CONV, (), "node", "Conv", SERIAL), machine)
    assert task.is_serial


def test_hardware_is_the_machines() -> None:
    hardware = hardware_of(from_profile(profile.load("rk3399")))
    assert [(k.name, k.cores, k.group) for k in hardware.kinds] == [("big", 2, 2), ("little", 4, 4)]
