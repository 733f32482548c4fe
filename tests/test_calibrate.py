"""Calibration: the fit on made-up times, the kept file and its fingerprint, the quick form end to end. No time is asserted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo import _core
from asymo.bench import cli
from asymo.cost import calibrate, calibration, features, fit, pace, speeds, steps
from asymo.cost.text import dump
from asymo.device import profile, topology, tree
from asymo.errors import InvalidArgumentError


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of this machine's calibration, in a folder of its own."""
    monkeypatch.delenv("ASYMO_CALIBRATION", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "asymo" / "calibration.json"


def made_up(here: topology.Topology) -> speeds.Machine:
    machine = speeds.from_topology(here, _core.isa_name(), _core.gemm_geometry()[:2])
    return machine._replace(basis="calibration", fingerprint=calibration.fingerprint(here))


# ---- the fit


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 5.0), min_size=4, max_size=4).filter(lambda true: max(true) > 0.1), st.integers(0, 99))
def test_the_fit_finds_what_made_the_times(true: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.uniform(0.1, 10.0, (40, 4))
    seconds = counts @ np.array(true)
    found = fit.rates(counts, seconds, np.ones(4))
    assert (found >= 0).all()
    assert np.abs(counts @ found / seconds - 1).max() < 0.02


def test_nonnegative_least_squares_by_hand() -> None:
    """min (x + 2 y - 1)^2 + (x - 3)^2: free minimum x = 3, y = -1; with y >= 0 it is x = 2, y = 0."""
    assert fit.nonnegative(np.array([[1.0, 2.0], [1.0, 0.0]]), np.array([1.0, 3.0])) == pytest.approx([2.0, 0.0])


def test_what_is_not_measured_keeps_its_generic_value_at_the_measured_scale() -> None:
    counts = np.array([[1.0, 0.0], [2.0, 0.0], [5.0, 0.0]])
    assert fit.rates(counts, 3.0 * counts[:, 0], np.array([1.0, 7.0])) == pytest.approx([3.0, 21.0], rel=1e-3)


def test_an_outlier_does_not_bend_the_fit() -> None:
    counts = np.linspace(1, 20, 20)[:, None]
    seconds = 2.0 * counts[:, 0]
    seconds[7] *= 10
    assert fit.rates(counts, seconds, np.ones(1))[0] == pytest.approx(2.0, rel=0.03)


def test_the_reach_of_a_cache_is_where_streams_slow_down() -> None:
    """Half of the way from 1 to 3 seconds a byte lies half-way between 8 and 16: 12 are touched when half is gone, 5/4 of the size."""
    assert calibrate._reach([4, 8, 16, 32], [1.0, 1.0, 3.0, 3.0], 20) == 9
    assert calibrate._reach([4, 8, 16, 32], [1.0, 2.9, 1.0, 3.0], 100) == 19
    assert calibrate._reach([4, 8, 16, 32], [1.0, 1.0, 3.0, 3.0], 5) == 5
    assert calibrate._reach([4, 8, 16, 32], [1.0, 1.0, 1.0, 1.1], 100) == 100
    assert calibrate._reach([4, 8, 16, 32], [1.0, 3.0, 3.0, 3.0], 400) == 50
    assert calibrate._reach([], [], 100) == 100


@pytest.mark.parametrize(
    ("paces", "rounds"),
    [([1.0, 1.03, 1.5, 1.02, 1.2, 0.97, 0.9], [0, 1, 3, 5]), ([2.0, 3.0, 1.0, 4.0, 5.0], [0, 1, 2]), ([1.0], [0]), ([], [])],
)
def test_rounds_at_a_good_pace_count_and_three_in_any_case(paces: list[float], rounds: list[int]) -> None:
    assert sorted(pace.calm(paces, 1.0)) == rounds


# ---- the kept file


def test_no_file_is_no_calibration(kept: Path) -> None:
    assert calibration.path() == str(kept)
    assert calibration.load(topology.read()) is None


def test_a_calibration_comes_back_as_it_was(kept: Path) -> None:
    here = topology.read()
    machine = made_up(here)
    assert calibration.save(machine) == str(kept)
    assert [p.name for p in kept.parent.iterdir()] == [kept.name]
    again = calibration.load(here)
    assert again is not None
    assert dump(again) == kept.read_text()
    assert calibration.machine(here).basis == "calibration"
    assert "calibration" in calibrate.describe(again)


def test_a_part_of_the_cores_finds_its_types(kept: Path) -> None:
    device = tree.machine(profile.load("rk3588"))
    calibration.save(made_up(device))
    whole = calibration.load(device)
    assert whole is not None
    little = device._replace(cores=device.types[-1][:2], others=tuple(c for c in device.cores if c not in device.types[-1][:2]))
    part = calibration.load(little)
    assert part is not None
    assert [(t.name, t.cores) for t in part.types] == [("all", 2)]
    assert part.types[0].classes == whole.types[-1].classes


@pytest.mark.parametrize("key", ["cores", "isa", "asymo", "machine"])
def test_a_calibration_of_something_else_is_refused(kept: Path, key: str) -> None:
    here = topology.read()
    machine = made_up(here)
    calibration.save(machine._replace(fingerprint={**machine.fingerprint, key: "other"}))
    with pytest.raises(InvalidArgumentError, match=rf"{kept.name} is of another machine .*{key} was 'other'.* run `asymo-bench calibrate`"):
        calibration.load(here)


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[1, 2]", b"\xff\xfe\x00", b'{"format": 1, "types": []}', b"null"])
def test_garbage_is_refused_with_the_remedy(kept: Path, garbage: bytes) -> None:
    kept.parent.mkdir()
    kept.write_bytes(garbage)
    with pytest.raises(InvalidArgumentError, match="run `asymo-bench calibrate`"):
        calibration.load(topology.read())


def test_what_does_not_fit_is_reported_and_passed_over(
    kept: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.parent.mkdir()
    kept.write_text("{")
    here = topology.read()
    assert calibration.machine(here, quick=False).basis == (here.basis or "nothing known: all cores equal")
    assert "run `asymo-bench calibrate`" in caplog.text
    monkeypatch.setenv("ASYMO_CALIBRATION", str(kept))
    with pytest.raises(InvalidArgumentError):
        calibration.machine(here)


# ---- measuring


def test_quick_calibration_end_to_end(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calibrate", "--quick", "--seconds", "0.2"]) == 0
    assert "quick calibration" in capsys.readouterr().out
    here = topology.read()
    machine = calibration.machine(here)
    assert machine.basis == "quick calibration"
    assert [t.cores for t in machine.types] == [len(kind) for kind in here.types]
    for each in machine.types:
        for name, names in features.CLASSES.items():
            assert len(each.classes[name].alone) == len(each.classes[name].busy) == len(names)
            assert 0 < sum(each.classes[name].alone) < 1
    gemm = {
        "m": 64,
        "n": 64,
        "k": 64,
        "lda": 64,
        "batch": (1, 1, 1),
        "b_stride": (0, 0, 0),
        "unit_m": 0,
        "unit_n": 0,
        "n_fastest": 0,
        "act": 0,
    }
    assert 1e-7 < steps.step_seconds("gemm", gemm, machine.types[0], 1, machine) < 1.0
    assert cli.main(["calibrate", "--show"]) == 0


def test_every_probe_is_a_valid_step() -> None:
    mr, nr = _core.gemm_geometry()[:2]
    found = calibrate.probe_set((mr, nr))
    assert {features.classify(p.kind, p.args, mr) for p in found} == set(features.CLASSES)
    for probe in found:
        assert isinstance(probe.operands[probe.fed], int)
        assert _core.step_units(probe.kind, probe.args) == features.units(probe.kind, probe.args, nr) > 0
