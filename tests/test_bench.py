"""asymo-bench as a user runs it, in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_session import RELU

from asymo.bench import compare, demo, feeds
from asymo.bench.measure import measure
from asymo.bench.report import table
from asymo.errors import InvalidArgumentError


def bench(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "import sys; from asymo.bench.cli import main; sys.exit(main())"
    root = str(Path(__file__).parent.parent)
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}); {code}", *arguments], capture_output=True, text=True, cwd=cwd
    )


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    path = tmp_path / "relu.onnx"
    path.write_bytes(RELU)
    return path


def test_demo_hears_the_chord() -> None:
    done = bench()
    assert done.returncode == 0, done.stderr
    assert "heard   C4 E4 G4 B4" in done.stdout


def test_demo_hears_nothing_in_silence() -> None:
    import asymo

    session = asymo.load(demo.MODEL)
    assert demo.hear(session, np.zeros((1, demo.SAMPLES, 1), np.float32)) == {}
    assert set(demo.hear(session, demo.synthesise(("A3", "F5")))) == {"A3", "F5"}


def test_run_prints_percentiles(relu: Path) -> None:
    done = bench("run", str(relu), "--shape", "x:5x3", "--runs", "7", "--json", "--threads", "1")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["runs"] == 7
    assert len(record["samples_ns"]) == 7
    assert record["min_ms"] <= record["p50_ms"] <= record["p99_ms"] <= record["max_ms"]
    assert record["peak_mb"] > 10
    assert done.stderr == ""


def test_run_profile_writes_a_trace(relu: Path, tmp_path: Path) -> None:
    done = bench("run", str(relu), "--profile", "--runs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Relu" in done.stdout
    (trace,) = tmp_path.glob("asymo_profile*.json")
    assert json.loads(trace.read_text())["traceEvents"]


def test_run_takes_inputs_from_files(relu: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((4, 3), np.float32))
    assert bench("run", str(relu), "--input", str(tmp_path / "x.npy"), "--runs", "1").returncode == 0
    np.save(tmp_path / "x.npy", np.ones((4, 7), np.float32))
    done = bench("run", str(relu), "--input", str(tmp_path / "x.npy"), "--runs", "1")
    assert done.returncode == 2
    assert "shape (4, 7)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "missing.onnx"], "missing.onnx"),
        (["run", "MODEL", "--shape", "y:1x3"], "no input 'y'"),
        (["run", "MODEL", "--shape", "x:1xa"], "--shape"),
        (["run", "MODEL", "--cores", "4000"], "cores"),
        (["compare", "MODEL", "--peers", "nobody"], "nobody"),
    ],
)
def test_misuse_is_explained(relu: Path, arguments: list[str], says: str) -> None:
    done = bench(*[str(relu) if a == "MODEL" else a for a in arguments])
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_compare_with_itself(relu: Path) -> None:
    feeds_ = {"x": np.ones((4, 3), np.float32)}
    rows = compare.compare(relu, feeds_, [], [1, 2], rounds=2, seconds=0.01)
    assert [(r["peer"], r["threads"]) for r in rows] == [("asymo", 1), ("asymo", 2)]
    assert all(r["ratio"] == 1 and r["difference"] == 0 for r in rows)


def test_the_load_time_is_a_median_over_processes(relu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter([5.0, 9.0, 1.0])
    start = compare.start

    def slowly(*args: Any, **kwargs: Any) -> compare.Contestant:
        contestant = start(*args, **kwargs)
        contestant.info["load_ms"] = next(said)
        return contestant

    monkeypatch.setattr(compare, "start", slowly)
    (row,) = compare.compare(relu, {"x": np.ones((4, 3), np.float32)}, [], [1], rounds=1, seconds=0.01, loads=3)
    assert row["load_ms"] == 5.0
    assert next(said, None) is None


def test_a_peer_that_cannot_run_the_model_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    (row,) = compare.compare(broken, {"x": np.ones(1, np.float32)}, [], [1], rounds=1, seconds=0.01)
    assert "ModelError" in row["error"]


def test_a_peer_that_computes_something_else_has_no_time(tmp_path: Path) -> None:
    field = []
    for peer, size in (("asymo", 8), ("ncnn", 1)):
        info = {"version": "1", "load_ms": 1.0, "first_ms": 1.0}
        field.append(compare.Contestant(peer, 1, None, tmp_path / f"{peer}.npz", info, ns=[1000]))
        np.savez(field[-1].outputs, y=np.ones((size, 10)))
    ours, theirs = compare._rows("m", field, lambda c: None)
    assert ours["difference"] == 0
    assert "sizes" in theirs["error"]
    assert "median_ms" not in theirs


def test_measure_counts_and_times() -> None:
    ticks = iter(range(0, 10**9, 1000))
    samples = measure(lambda: None, warmup=2, runs=5, clock=lambda: next(ticks))
    assert samples.ns == (1000,) * 5
    assert samples.median_ms == 0.001


def test_formats_hold_the_same_cells() -> None:
    rows = [{"name": "a", "ms": 1.5, "n": 3}, {"name": "b", "ms": 0.25, "error": "x,y"}]
    assert json.loads(table(rows, "json")) == rows
    parsed = list(csv.DictReader(io.StringIO(table(rows, "csv"))))
    assert [r["ms"] for r in parsed] == ["1.5", "0.25"]
    assert parsed[1]["error"] == "x,y"
    assert table(rows, "markdown").splitlines()[1].count("|") == 5
    assert "1.500" in table(rows, "text")


def test_shapes_are_parsed() -> None:
    assert feeds.parse_shapes(["x:1x3", "a:b:2,2", "4"]) == {"x": (1, 3), "a:b": (2, 2), "": (4,)}
    with pytest.raises(InvalidArgumentError):
        feeds.parse_shapes(["x:one"])
