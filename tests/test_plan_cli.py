"""asymo-bench plan, plans in words, and plans for other machines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from _machines import machine, recorded
from onnx import TensorProto, helper
from test_horizon import chain_model

from asymo.bench import cli
from asymo.bench.plan_cli import step_us
from asymo.cost import steps
from asymo.device import profile
from asymo.errors import InvalidArgumentError
from asymo.plan import explain
from asymo.runtime.planning import plan_for


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four matrix products, large enough for several cores."""
    path = tmp_path_factory.mktemp("plan") / "chain.onnx"
    path.write_bytes(chain_model(4, 256))
    return path


def run(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    assert cli.main(["plan", *map(str, args)]) == 0
    return capsys.readouterr().out


def test_table_for_a_device(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, model, "--device", "rk3588")
    header, _, first, *_ = text.splitlines()
    assert header.split() == ["step", "class", "shape", "units", "unit", "big", "little", "us", "op", "node"]
    assert first.split()[:3] == ["0", "gemm", "256x256x256"]
    assert "4 x 1" in first
    assert "4 big + 4 little, speeds from" in text
    assert "kernels for neon" in text
    assert "in 4 steps" in text


def test_core_sets_of_a_device(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "\n4 little, " in run(capsys, model, "--device", "rk3588", "--cores", "little")
    assert "\n2 big, " in run(capsys, model, "--device", "rk3588", "--threads", "2")


def test_json(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, model, "--device", "rk3588", "--json", "--explain", 1))
    assert [s["class"] for s in document["steps"]] == ["gemm"] * 4
    step = document["steps"][0]
    assert step["cores"] == [4, 4]
    assert len(step["chunk"]) == len(step["unit_ns"]) == 2
    assert step["horizon"] > 0
    assert step["args"]["m"] == 256
    assert document["predicted_ms"] == pytest.approx(sum(s["us"] for s in document["steps"]) / 1000)
    assert document["explanation"][0].startswith("step 1: gemm 256x256x256")


def test_explain(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, model, "--device", "rk3588", "--explain", 2)
    for expected in ("step 2: gemm", "shared ", "wait ", "barrier ", "macs ", "4 big:", "other cores:", "1 big: ", "unit sizes:", "<-"):
        assert expected in text, expected
    assert text.count("<-") == 1


def test_measured(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, model, "--run", "--threads", "1")
    assert "measured_us" in text.splitlines()[0]
    assert "of 4 GEMM and convolution steps" in text
    document = json.loads(run(capsys, model, "--run", "--threads", "2", "--json"))
    assert all(s["measured_us"] > 0 for s in document["steps"])
    assert 0 <= document["good"] <= 1


def test_misuse(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for args, why in [
        (["--explain", "4"], "steps 0 to 3"),
        (["--device", "rk3588", "--run"], "leave --device out"),
        (["--device", "nothing"], "nothing"),
        (["--shape", "x:1x2"], "no input 'x'"),
        (["--shape", "v0:3x3"], "does not fit"),
    ]:
        assert cli.main(["plan", str(model), *args]) == 2
        assert why in capsys.readouterr().err


def test_step_us_by_hand() -> None:
    """Two workers: step 0 begins at 1000 and step 1 at 5000; step 1 ends at 9000; step 2 has no units."""
    one = np.array([[[1000, 4000], [1500, 4500]], [[5000, 9000], [0, 0]], [[0, 0], [0, 0]]], np.int64)
    slower = one * 3
    assert step_us([one, slower, one]) == [4.0, 4.0, 0.0]


def test_symbolic_shapes() -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 5]) for n in "xy"]
    blob = helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:])).SerializeToString()
    there = machine((2, 20e9))
    assert plan_for(blob, there).inputs[0].shape == (1, 5)
    assert plan_for(blob, there, {"x": (7, 5)}).outputs[0].shape == (7, 5)
    with pytest.raises(InvalidArgumentError, match="does not fit"):
        plan_for(blob, there, {"x": (7, 6)})


def test_foreign_plans_hold_no_packed_weights(model: Path) -> None:
    plan = plan_for(model, machine((4, 20e9)))
    assert sum(c.nbytes for c in plan.constants) == 4 * 4 * 256 * 256
    assert {c.strides for c in plan.constants} == {(0,)}


@pytest.mark.parametrize("name", profile.names())
def test_every_device_has_a_plan(name: str, model: Path) -> None:
    """Complete and consistent: shares of all types add up, times are positive, every explanation can be made."""
    there = recorded(name)
    plan = plan_for(model, there)
    for index, (row, decision) in enumerate(zip(explain.rows(plan), explain.decisions(plan), strict=True)):
        step = plan.steps[index]
        assert decision.units == steps.units(step.kind, step.args, there)
        assert step.sharing == decision.sharing
        assert step.ns == pytest.approx(1e9 * decision.option.seconds)
        assert sum(explain.shares(decision.option)) == pytest.approx(1)
        assert row["us"] > 0
        assert f"step {index}: " in explain.explain(plan, index)
