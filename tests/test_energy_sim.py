"""Joules of simulated inferences, governors that come late, and the frequency command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asymo.bench import cli
from asymo.cost import devices, energy, power
from asymo.cost.energy import Setting
from asymo.cost.power import Point, TypeDraw
from asymo.device import profile
from asymo.plan import frequency
from asymo.runtime.planning import plan_for
from asymo.sim import energy as simulated
from asymo.sim import governor
from asymo.sim.governor import Window
from benchmarks import models

KIRIN = profile.load("hikey970")
MACHINE, DRAW = devices.from_profile(KIRIN), power.from_profile(KIRIN)
TOP = Setting((4, 4), (2362000, 1844000))


def type_draw(*mhz: int) -> TypeDraw:
    return TypeDraw("any", tuple(Point(1000 * m, 2.0, 1.0, 0.5) for m in mhz), (1,), "a test")


# ---- governors


def test_a_governor_climbs_by_a_quarter_every_20_ms() -> None:
    found = list(governor.ramp([type_draw(400, 500, 600, 700, 1000), type_draw(800)]))
    assert [w.khz[0] // 1000 for w in found] == [400, 500, 700, 1000]
    assert [w.begin for w in found] == pytest.approx([0, 0.02, 0.04, 0.06])
    assert [w.end for w in found] == pytest.approx([0.02, 0.04, 0.06, float("inf")])
    assert {w.khz[1] for w in found} == {800000}


def test_an_inference_under_a_governor_is_the_sum_of_its_windows() -> None:
    windows = [Window(0, 0.02, (1,)), Window(0.02, 0.04, (2,)), Window(0.04, float("inf"), (4,))]
    costs = {1: (0.1, 1.0), 2: (0.05, 2.0), 4: (0.025, 4.0)}
    seconds, joules = governor.lag(windows, lambda khz: costs[khz[0]])
    assert seconds == pytest.approx(0.04 + 0.4 * 0.025)
    assert joules == pytest.approx(0.2 * 1 + 0.4 * 2 + 0.4 * 4)
    assert governor.lag(windows, lambda khz: (0.001, 3.0)) == pytest.approx((0.001, 3.0))


# ---- simulated energy


@pytest.mark.parametrize("model", ["resnet18", "mlp"])
@pytest.mark.parametrize("policy", ["latency", "energy", "balanced"])
def test_the_simulator_agrees_with_the_model(model: str, policy: str) -> None:
    """Two ways to the same figure: a plan step by step, core by core, and the loads' closed form."""
    plan = plan_for(models.path(model), MACHINE)
    survey = energy.survey(energy.loads([(s.kind, s.args) for s in plan.steps], MACHINE, plan.run_bytes), MACHINE, DRAW)
    choice = frequency.choose(survey, policy)
    again = plan_for(models.path(model), energy.clocked(MACHINE, DRAW, choice.setting))
    result, spent = simulated.run(again, MACHINE, DRAW, choice.setting)
    assert result.seconds == pytest.approx(choice.seconds, rel=0.1)
    assert 0.85 * choice.joules < spent.total < 1.1 * choice.joules  # plans leave out cores that memory has nothing left for


def test_rest_is_paid_for_from_end_to_end() -> None:
    """Kirin 970's table, in watts: 4 waiting cores and the cluster of each type."""
    plan = plan_for(models.path("mlp"), MACHINE)
    result, spent = simulated.run(plan, MACHINE, DRAW, TOP)
    watts = sum(4 * t.points[-1].idle_w + t.points[-1].shared_w for t in DRAW.types)
    assert spent.resting == pytest.approx(watts * result.seconds)
    busy = sum(b * DRAW.types[t].points[-1].dynamic_w for b, t in zip(result.busy, result.hardware.type_of, strict=True))
    assert busy / 2 <= spent.computing <= busy
    assert 40e6 * DRAW.byte_J <= spent.memory <= 60e6 * DRAW.byte_J


def test_a_standing_clock_is_a_governor_that_never_moves() -> None:
    plan = plan_for(models.path("resnet18"), MACHINE)
    still = simulated.run(plan, MACHINE, DRAW, TOP, "static")
    moved = simulated.run_governed(plan, MACHINE, DRAW, [Window(0.0, float("inf"), TOP.khz)], "static")
    assert moved[0].seconds == pytest.approx(still[0].seconds)
    assert moved[1].total == pytest.approx(still[1].total)


def test_a_governor_that_comes_late_costs_time() -> None:
    plan = plan_for(models.path("resnet18"), MACHINE)
    still, _ = simulated.run(plan, MACHINE, DRAW, TOP, "static")
    windows = list(governor.ramp(DRAW.types))
    late, spent = simulated.run_governed(plan, MACHINE, DRAW, windows, "static")
    slow, _ = simulated.run_governed(plan, MACHINE, DRAW, [Window(0.0, float("inf"), windows[0].khz)], "static")
    assert still.seconds * 1.2 < late.seconds < slow.seconds
    most = max(top / low for top, low in zip(TOP.khz, windows[0].khz, strict=True))  # memory keeps its speed
    assert 2 < slow.seconds / still.seconds <= most
    assert spent.total > 0


# ---- the command


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["frequency", *words]) == 0
    return capsys.readouterr().out


def test_the_command_marks_its_choice(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(str(models.path("mlp")), "--device", "hikey970", capsys=capsys)
    (line,) = [row for row in text.splitlines() if row.startswith("*")]
    assert "4 little 509 MHz" in line
    assert "MODELLED" in text
    assert "vendor's energy table" in text
    for word in ("performance", "powersave", "schedutil-like", "less energy", "planned anew", "simulated"):
        assert word in text


@pytest.mark.parametrize("policy", ["latency", "energy", "balanced", "deadline:40", "power:1"])
def test_the_document_has_the_whole_front(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(str(models.path("resnet18")), "--device", "hikey970", "--policy", policy, "--json", capsys=capsys))
    assert found["modelled"] is True
    assert found["policy"] == policy
    assert found["is_met"]
    times, joules = ([row[key] for row in found["front"]] for key in ("ms", "mJ"))
    assert times == sorted(times)
    assert joules == sorted(joules, reverse=True)
    if policy != "power:1":
        assert found["choice"] in found["front"]
    if policy == "deadline:40":
        assert found["choice"]["ms"] <= 40
        assert not [row for row in found["front"] if row["ms"] <= 40 and row["mJ"] < found["choice"]["mJ"]]
    if policy == "power:1":
        assert found["choice"]["W"] <= 1
    assert [row["what"] for row in found["references"]] == ["performance", "powersave", "schedutil-like"]
    little = found["curves"]["little"]
    assert [c["khz"] for c in little] == [p.khz for p in DRAW.types[1].points]
    assert [c["e_mem"] for c in little] == sorted(c["e_mem"] for c in little)


def test_a_bound_that_nothing_keeps_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no setting keeps that" in run(str(models.path("mlp")), "--device", "hikey970", "--policy", "deadline:0.1", capsys=capsys)


def test_no_such_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["frequency", str(models.path("mlp")), "--policy", "fast"]) == 2
    assert "deadline" in capsys.readouterr().err


def test_a_drawing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    run(str(models.path("mlp")), "--device", "hikey970", "--plot", str(tmp_path / "f.svg"), capsys=capsys)
    assert "<svg" in (tmp_path / "f.svg").read_text()


def test_without_a_model_it_says_what_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys=capsys).strip()


@pytest.mark.parametrize("device", ["rk3588", "sm8650", "rpi5"])
def test_fewer_cores_of_a_device(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(str(models.path("mlp")), "--device", device, "--cores", "0,1", "--json", capsys=capsys))
    assert all(int(word) <= 2 for row in found["front"] for word in row["cores and clocks"].split()[:1])


def test_types_of_one_policy_are_coupled() -> None:
    assert power._coupled([{0}, {4}, {7}]) == ((0,), (1,), (2,))
    assert power._coupled([{0}, {4}, {4, 7}, {7}]) == ((0,), (1, 2, 3))
