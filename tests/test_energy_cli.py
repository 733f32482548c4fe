"""asymo-bench run --energy, compare --energy and run --sustain, on sysfs trees of machines with and without meters."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from asymo.bench import cli, compare, sustain
from asymo.bench.energy import Span
from asymo.device import heat, power, profile, tree
from asymo.device.heat import Heat
from asymo.errors import InvalidArgumentError
from tests.test_session import RELU


@pytest.fixture
def relu(tmp_path: Path) -> str:
    path = tmp_path / "relu.onnx"
    path.write_bytes(RELU)
    return str(path)


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose cores draw 2 W whatever they do, whose hottest zone has 61.5 degrees, at 1.8 GHz."""
    files = {"hwmon/hwmon0/name": "ina226", "hwmon/hwmon0/power1_input": "2000000", "hwmon/hwmon0/update_interval": "1"}
    files |= {"thermal/thermal_zone0/type": "cpu-thermal", "thermal/thermal_zone0/temp": "61500", "thermal/thermal_zone1/temp": "40000"}
    files = {f"class/{path}": text for path, text in files.items()}
    policy = "devices/system/cpu/cpufreq/policy0"
    files |= {f"{policy}/affected_cpus": "0", f"{policy}/scaling_cur_freq": "1800000", f"{policy}/scaling_max_freq": "1800000"}
    for path, text in files.items():
        (tmp_path / "sys" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / path).write_text(text)
    monkeypatch.setenv("ASYMO_ROOT", str(tmp_path))
    monkeypatch.setattr(power, "WINDOW_S", 0.05)
    return tmp_path


def record(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert cli.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return found if isinstance(found, dict) else {"rows": found}


def test_run_with_a_meter(relu: str, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "run", relu, "--runs", "3", "--energy")
    assert found["energy"] == "hwmon"
    assert found["W"] == pytest.approx(2.0)
    assert found["idle_W"] == pytest.approx(2.0)
    assert found["J"] == pytest.approx(0, abs=1e-9)
    assert "ina226" in str(found["energy_detail"])


def test_run_without_a_meter(relu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ASYMO_ROOT", str(tmp_path))
    found = record(capsys, "run", relu, "--runs", "3", "--energy")
    assert [found[name] for name in ("energy", "J", "W", "EDP_Js")] == ["unavailable", None, None, None]
    assert cli.main(["run", relu, "--runs", "3", "--energy"]) == 0
    text = capsys.readouterr().out
    assert "energy: unavailable: no meter" in text
    assert "0.000" not in text.splitlines()[2].split()[-1]


def test_run_without_a_meter_on_known_cores(
    relu: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No figure of its own: modelled, and said so, with the watts that the model has for these cores (0.2 to 10 W for eight)."""
    tree.write(tree.files(profile.load("rk3588")), tmp_path)
    monkeypatch.setenv("ASYMO_ROOT", str(tmp_path))
    found = record(capsys, "run", relu, "--runs", "3", "--energy")
    assert found["energy"] == "modelled"
    assert float(str(found["J"])) > 0
    assert 0.2 < float(str(found["W"])) < 10
    assert found["J_ci95"] is found["idle_W"] is None
    assert "coefficient" in str(found["energy_detail"])
    (row,) = compare.compare(Path(relu), {"x": np.ones((4, 3), np.float32)}, [], [1], rounds=1, seconds=0.01, with_energy=True)
    assert row["energy"] == "modelled"


def test_compare_with_a_meter(relu: str, board: Path) -> None:
    rows = compare.compare(Path(relu), {"x": np.ones((4, 3), np.float32)}, [], [1], rounds=2, seconds=0.01, with_energy=True)
    assert [(r["energy"], r["W"], r["idle_W"]) for r in rows] == [("hwmon", pytest.approx(2.0), pytest.approx(2.0))]
    assert rows[0]["J_ci95"] is not None


def test_compare_without_asking(relu: str, board: Path) -> None:
    (row,) = compare.compare(Path(relu), {"x": np.ones((4, 3), np.float32)}, [], [1], rounds=1, seconds=0.01)
    assert "energy" not in row


def test_sustain(relu: str, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    plot = board / "sustain.svg"
    rows = record(capsys, "run", relu, "--sustain", "1s", "--energy", "--plot", str(plot))["rows"]
    rows = rows if isinstance(rows, list) else []
    minutes = [row["minute"] for row in rows]
    assert minutes == sorted(minutes)
    assert minutes[0] == 0
    assert len(minutes) <= sustain.SLICES
    assert all(row["policy0_MHz"] == 1800 and row["max_C"] == 61.5 and row["throttled"] == 0 for row in rows)
    assert all(row["W"] == pytest.approx(2.0) for row in rows)
    assert all(row["runs"] > 0 and row["median_ms"] <= row["p95_ms"] for row in rows)
    assert "max_C" in plot.read_text()


@pytest.mark.parametrize(("text", "wanted"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_durations(text: str, wanted: float) -> None:
    assert sustain.seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "0", "m", "-3s", "3d", "nan"])
def test_no_durations(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="duration"):
        sustain.seconds(text)


def test_half_an_hour_is_told_by_the_minute() -> None:
    assert sustain.slice_s(1800) == 60
    assert sustain.slice_s(60) == 6


def look(clock: int = 1800, ceiling: int = 1800, state: int = 0, counted: int = 0, celsius: float = 50.0) -> Heat:
    return Heat(0.0, {0: clock * 1000}, {0: ceiling * 1000}, {"cpu.0": celsius}, {"cpufreq.0": state}, counted)


def test_throttling_events() -> None:
    """Cooling goes up twice and down once, the ceiling comes down once and goes up again, the hardware counts three."""
    looks = [look(), look(state=1), look(state=2), look(state=1, ceiling=1200), look(ceiling=1800, counted=3)]
    assert heat.events(looks) == 2 + 1 + 3
    assert heat.events(looks[:1]) == 0


def test_events_between_two_minutes_are_counted_once() -> None:
    minutes = [
        sustain.Slice(60.0 * i, (10**6,) * 3, looks, None) for i, looks in enumerate([(look(),), (look(state=1),), (look(state=1),)])
    ]
    assert [row["throttled"] for row in sustain.rows(minutes)] == [0, 1, 0]


def test_rows_of_a_minute_by_hand() -> None:
    """600 J in a minute of 100 runs, 4 W idle: 10 W, and 3.6 J an inference."""
    part = sustain.Slice(120.0, (10**6, 3 * 10**6, 2 * 10**6), (look(1800), look(1200, celsius=70.0)), Span(600.0, 60.0, 100))
    (row,) = sustain.rows([part], 4.0)
    assert (row["minute"], row["runs"], row["median_ms"], row["policy0_MHz"], row["max_C"]) == (2.0, 3, 2.0, 1500, 70.0)
    assert (row["W"], row["J"]) == (pytest.approx(10.0), pytest.approx(3.6))


def test_a_meter_that_failed_leaves_its_cells_empty() -> None:
    (row,) = sustain.rows([sustain.Slice(0.0, (1,), (look(),), Span(math.nan, 60.0, 1))])
    assert "W" not in row
