"""The energy model against formulas written out here, and the policies against enumeration."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.cost import devices, energy, power
from asymo.cost.energy import Load, Setting
from asymo.cost.power import Draw, Point, TypeDraw
from asymo.cost.speeds import Machine
from asymo.device import profile
from asymo.errors import InvalidArgumentError
from asymo.plan import frequency
from asymo.plan.frequency import Deadline, Power
from asymo.runtime.planning import plan_for
from benchmarks import models
from tests._machines import gemm, machine

QUICK = ("mlp", "resnet18", "mobilenet_v1", "squeezenet11", "char_rnn_s50")
MODELS = tuple(name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in models.FIXED)
"""The fixed set; models beyond QUICK in `make models`."""

POLICIES = ("latency", "energy", "balanced", Deadline(5), Deadline(60), Power(0.5), Power(3))


@cache
def steps_of(model: str) -> tuple[tuple[tuple[str, dict[str, object]], ...], int]:
    plan = plan_for(models.path(model), devices.from_profile(profile.load("hikey970")))
    return tuple((s.kind, dict(s.args)) for s in plan.steps), plan.run_bytes


@cache
def device(name: str) -> tuple[Machine, Draw]:
    recorded = profile.load(name)
    return devices.from_profile(recorded), power.from_profile(recorded)


@cache
def loads_of(model: str, name: str) -> tuple[Load, ...]:
    wanted, run_bytes = steps_of(model)
    return energy.loads(wanted, device(name)[0], run_bytes)


# ---- enumeration, on its own


def enumerate_all(model: tuple[Load, ...], there: Machine, draw: Draw) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(cores [S, types], clock indices [S, types], seconds [S], joules [S]) of every setting, one clock a type."""
    axes = [
        [(n, f) for n in range(t.cores + 1) for f in range(len(d.points)) if n or not f]
        for t, d in zip(there.types, draw.types, strict=True)
    ]
    pick = np.stack([a.ravel() for a in np.meshgrid(*(np.arange(len(a)) for a in axes), indexing="ij")], 1)
    cores = np.stack([np.array([n for n, _ in axis])[pick[:, t]] for t, axis in enumerate(axes)], 1)
    clock = np.stack([np.array([f for _, f in axis])[pick[:, t]] for t, axis in enumerate(axes)], 1)
    keep = cores.sum(1) > 0
    cores, clock = cores[keep], clock[keep]
    seconds, joules = np.zeros(len(cores)), np.zeros(len(cores))
    idle = np.zeros(len(cores))
    for t, d in enumerate(draw.types):
        awake = np.array([next(i for i in range(9) if sum(d.clusters[:i]) >= n) for n in range(there.types[t].cores + 1)])
        idle += cores[:, t] * np.array([p.idle_w for p in d.points])[clock[:, t]]
        idle += awake[cores[:, t]] * np.array([p.shared_w for p in d.points])[clock[:, t]]
    caller = (cores > 0).argmax(1)
    for load in model:
        rate, watts, stalled = (np.zeros(len(cores)) for _ in range(3))
        one_s, one_w = np.zeros(len(cores)), np.zeros(len(cores))
        for t, d in enumerate(draw.types):
            slow = np.array([d.points[-1].khz / p.khz for p in d.points])
            computing, waiting = load.core_s[t] * slow, load.memory_s[t] * (0.9 + 0.1 * slow)
            dynamic = np.array([p.busy_w - p.idle_w for p in d.points])
            each_s = np.maximum(computing + waiting, 1e-15)
            each_w = dynamic * (computing + 0.5 * waiting) / each_s
            rate += cores[:, t] / each_s[clock[:, t]]
            watts += cores[:, t] * each_w[clock[:, t]]
            stalled += cores[:, t] * 0.5 * dynamic[clock[:, t]]
            mine = caller == t
            one_s[mine], one_w[mine] = each_s[clock[mine, t]], each_w[clock[mine, t]]
        crossing = load.bytes / there.memory_B
        together = np.maximum(1 / rate, crossing) + load.phases * there.barrier_s * (cores.sum(1) - 1)
        alone = np.full(len(cores), True) if load.is_serial else one_s <= together
        t = np.where(alone, one_s, together)
        seconds += t
        joules += t * idle + np.where(alone, one_s * one_w, watts / rate + np.maximum(crossing - 1 / rate, 0) * stalled)
        joules += load.bytes * draw.byte_J
    return cores, clock, seconds, joules


def best(policy: object, seconds: np.ndarray, joules: np.ndarray) -> tuple[float, bool]:
    """(the least that the policy asks for, whether its bound can be kept)."""
    match policy:
        case "latency":
            return seconds.min(), True
        case "energy":
            return joules.min(), True
        case "balanced":
            return (joules * seconds).min(), True
        case Deadline(ms):
            fits = seconds <= ms / 1000
            return (joules[fits].min(), True) if fits.any() else (seconds.min(), False)
        case Power(watts):
            fits = joules / seconds <= watts
            return (seconds[fits].min(), True) if fits.any() else ((joules / seconds).min(), False)
    raise AssertionError(policy)


def reached(policy: object, choice: frequency.Choice) -> float:
    match policy:
        case "latency":
            return choice.seconds
        case "energy":
            return choice.joules
        case "balanced":
            return choice.edp
        case Deadline():
            return choice.joules if choice.is_met else choice.seconds
        case Power():
            return choice.seconds if choice.is_met else choice.watts
    raise AssertionError(policy)


@pytest.mark.parametrize("name", profile.names())
@pytest.mark.parametrize("model", MODELS)
def test_choices_are_the_best_of_all_settings(model: str, name: str) -> None:
    there, draw = device(name)
    found = loads_of(model, name)
    _, _, seconds, joules = enumerate_all(found, there, draw)
    survey = energy.survey(found, there, draw)
    assert np.isfinite(survey.seconds).sum() == len(seconds)
    for policy in POLICIES:
        choice = frequency.choose(survey, policy)
        want, is_met = best(policy, seconds, joules)
        assert choice.is_met == is_met, policy
        assert reached(policy, choice) == pytest.approx(want, rel=1e-6), policy
        again = energy.at(found, there, draw, choice.setting)
        assert again == pytest.approx((choice.seconds, choice.joules), rel=1e-9)
    shown = frequency.front(survey)
    assert [c.seconds for c in shown] == sorted({c.seconds for c in shown})
    assert [c.joules for c in shown] == sorted((c.joules for c in shown), reverse=True)
    assert shown[0].seconds == pytest.approx(seconds.min())
    assert shown[-1].joules == pytest.approx(joules.min())
    for choice in shown[:: max(len(shown) // 10, 1)]:
        assert not ((seconds < choice.seconds * (1 - 1e-6)) & (joules < choice.joules * (1 - 1e-6))).any()


# ---- one clock for two types, random figures


@st.composite
def cases(draw: st.DrawFn) -> tuple[Machine, Draw, tuple[Load, ...]]:
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    there = machine(*((n, 2e10 / (t + 1)) for t, n in enumerate(counts)), memory_B=draw(st.sampled_from([1e8, 1e10])))
    watts = st.floats(0.01, 5)
    types = []
    for t, n in enumerate(counts):
        khz = sorted(draw(st.sets(st.integers(200, 3000), min_size=1, max_size=4)))
        points = tuple(Point(1000 * k, i + b, i, s) for k, b, i, s in ((k, draw(watts), draw(watts), draw(watts)) for k in khz))
        types.append(TypeDraw(there.types[t].name, points, tuple(draw(st.sampled_from([(n,), (1,) * n]))), "a test"))
    numbers = st.lists(st.floats(0, 0.1), min_size=len(counts), max_size=len(counts)).map(tuple)
    load = st.builds(Load, numbers, numbers, st.floats(0, 1e7), st.floats(0, 1e9), st.integers(1, 5), st.booleans())
    return there, Draw(tuple(types), tuple((t,) for t in range(len(counts))), 1e-10), tuple(draw(st.lists(load, min_size=1, max_size=4)))


@settings(max_examples=60, deadline=None)
@given(cases())
def test_any_figures(case: tuple[Machine, Draw, tuple[Load, ...]]) -> None:
    there, draw, found = case
    cores, clock, seconds, joules = enumerate_all(found, there, draw)
    survey = energy.survey(found, there, draw)
    for policy in POLICIES:
        choice = frequency.choose(survey, policy)
        want, is_met = best(policy, seconds, joules)
        assert choice.is_met == is_met
        assert reached(policy, choice) == pytest.approx(want, rel=1e-6)
    for s in range(0, len(seconds), max(len(seconds) // 20, 1)):
        khz = tuple(d.points[f].khz if n else 0 for d, n, f in zip(draw.types, cores[s], clock[s], strict=True))
        assert energy.at(found, there, draw, Setting(tuple(cores[s]), khz)) == pytest.approx((seconds[s], joules[s]), rel=1e-6)


def test_types_in_one_policy_get_one_clock() -> None:
    there, draw = device("gs101")
    mid = draw.types[1]
    coupled = Draw((draw.types[0], mid, TypeDraw("little", mid.points, draw.types[2].clusters, "")), ((0,), (1, 2)))
    survey = energy.survey(loads_of("mlp", "gs101"), there, coupled)
    assert survey.seconds.shape == (2 * len(draw.types[0].points) + 1, (3 * 5 - 1) * len(mid.points) + 1)
    chosen = {survey.setting(i) for i in range(0, survey.seconds.size, 7)}
    assert all(s.khz[1] == s.khz[2] for s in chosen if s.cores[1] and s.cores[2])
    assert any(s.cores[1] and s.cores[2] for s in chosen)


# ---- Kirin 970


def least(name: str, t: int, load: Load) -> int:
    """The clock of least energy, in MHz, with all cores of type t and no others."""
    there, draw = device(name)
    found = {}
    for point in draw.types[t].points:
        cores = tuple(k.cores if i == t else 0 for i, k in enumerate(there.types))
        khz = tuple(point.khz if i == t else 0 for i in range(len(there.types)))
        found[point.khz // 1000] = energy.at((load,), there, draw, Setting(cores, khz))[1]
    return min(found, key=lambda mhz: found[mhz])


def test_kirin_970_computes_cheapest_inside_its_range() -> None:
    """Vendor's tables: the least of (core + a quarter of the cluster) / clock."""
    computing = Load((1.0, 1.0), (0.0, 0.0), 0.0, 1e9, 1)
    assert least("hikey970", 0, computing) == 1364
    assert least("hikey970", 1, computing) == 1018
    vendor = {c.name: c.vendor_sched_energy for c in profile.load("hikey970").clusters}
    for name, mhz in (("big", 1364), ("little", 1018)):
        table = vendor[name]
        cost = {a["khz"] // 1000: (a["power"] + b["power"] / 4) / a["khz"] for a, b in zip(table["core"], table["cluster"], strict=True)}
        assert min(cost, key=lambda m: cost[m]) == mhz


@pytest.mark.parametrize("name", profile.names())
def test_waiting_for_memory_never_asks_for_a_higher_clock(name: str) -> None:
    there, _ = device(name)
    ones, zeros = (1.0,) * len(there.types), (0.0,) * len(there.types)
    for t in range(len(there.types)):
        computing, waiting = Load(ones, zeros, 0.0, 1e9, 1), Load(zeros, ones, 0.0, 1e6, 1)
        assert least(name, t, waiting) <= least(name, t, computing)


@pytest.mark.parametrize("name", profile.names())
def test_streaming_takes_lower_clocks_or_fewer_cores_than_computing(name: str) -> None:
    there, draw = device(name)
    ones, zeros = (1.0,) * len(there.types), (0.0,) * len(there.types)
    streaming, computing = Load(zeros, ones, 0.3 * there.memory_B, 1.0, 1), Load(ones, zeros, 0.0, 1.0, 1)
    settings = [frequency.choose(energy.survey((load,), there, draw), "energy").setting for load in (streaming, computing)]
    at_work = [sum(n * khz for n, khz in zip(s.cores, s.khz, strict=True)) for s in settings]
    assert at_work[0] <= at_work[1]
    if name == "hikey970":
        assert settings == [Setting((0, 4), (0, 509000)), Setting((0, 4), (0, 1018000))]


def at_work(model: str, name: str, policy: frequency.Policy) -> int:
    """Cores x kHz that a policy takes for a model."""
    there, draw = device(name)
    setting = frequency.choose(energy.survey(loads_of(model, name), there, draw), policy).setting
    return sum(n * khz for n, khz in zip(setting.cores, setting.khz, strict=True))


@pytest.mark.parametrize("name", ["hikey970", "rk3588", "gs101", "sm8650", "exynos5422", "rk3399"])
@pytest.mark.parametrize("model", ["mlp", "char_rnn_s1"])
def test_matrix_times_vector_models_take_less_than_convolutions(model: str, name: str) -> None:
    for convolutions in ("resnet18", "squeezenet11"):
        assert at_work(model, name, "balanced") < 0.9 * at_work(convolutions, name, "balanced")
        assert at_work(model, name, "energy") <= at_work(convolutions, name, "energy")
        if name == "hikey970":
            assert at_work(model, name, "energy") == at_work(convolutions, name, "energy") / 2


def test_without_a_static_part_the_lowest_clock_would_be_cheapest() -> None:
    there, draw = device("hikey970")
    bare = Draw(
        tuple(
            TypeDraw(t.name, tuple(Point(p.khz, 1e-6 * p.khz**3 * 1e-12, 0.0, 0.0) for p in t.points), t.clusters, "") for t in draw.types
        ),
        draw.coupled,
    )
    choice = frequency.choose(energy.survey(loads_of("resnet18", "hikey970"), there, bare), "energy")
    assert all(k in (0, t.points[0].khz) for k, t in zip(choice.setting.khz, bare.types, strict=True))


# ---- what the model is made of


def test_loads_add_up_to_the_steps() -> None:
    there, _ = device("hikey970")
    args = {**gemm(64, 96, 32), "unit_m": 8, "unit_n": 96, "n_fastest": 1}
    (one,) = energy.loads([("gemm", args)], there)
    (two,) = energy.loads([("gemm", args), ("gemm", args)], there)
    assert one.flops == 2 * 64 * 96 * 32
    assert (two.flops, two.phases, two.core_s) == (2 * one.flops, 2, tuple(2 * s for s in one.core_s))


@pytest.mark.parametrize("name", profile.names())
def test_plan_at_the_chosen_setting_takes_as_long_as_predicted(name: str) -> None:
    """The planner's finer model on the same machine: units, claims and waits that the loads leave out are below a third."""
    there, draw = device(name)
    first = plan_for(models.path("resnet18"), there)
    survey = energy.survey(energy.loads([(s.kind, s.args) for s in first.steps], there, first.run_bytes), there, draw)
    for policy in ("energy", "latency"):
        choice = frequency.choose(survey, policy)
        plan = plan_for(models.path("resnet18"), energy.clocked(there, draw, choice.setting))
        assert [t.cores for t in plan.machine.types] == [n for n in choice.setting.cores if n]
        assert sum(s.ns for s in plan.steps) * 1e-9 == pytest.approx(choice.seconds, rel=0.33)


@pytest.mark.parametrize("name", profile.names())
def test_every_profile_draws_power(name: str) -> None:
    there, draw = device(name)
    assert [t.name for t in draw.types] == [t.name for t in there.types]
    for t, kind in zip(draw.types, there.types, strict=True):
        assert sum(t.clusters) == kind.cores
        assert [p.khz for p in t.points] == sorted({p.khz for p in t.points})
        for below, above in pairwise(t.points):
            assert below.busy_w <= above.busy_w
        assert all(0 < p.idle_w < p.busy_w and p.shared_w > 0 for p in t.points)
        assert 0.05 < t.points[-1].busy_w < 12
        assert t.basis


# ---- what users write


@pytest.mark.parametrize(
    "text", ["", "fast", "deadline", "deadline:", "deadline:x", "deadline:-1", "deadline:nan", "power:0", "energy:1", 3, None]
)
def test_no_such_policy(text: object) -> None:
    with pytest.raises(InvalidArgumentError, match=r"policy|Deadline|Power"):
        frequency.parse(text)


@pytest.mark.parametrize("policy", [*frequency.NAMES, Deadline(12.5), Power(2)])
def test_policies_read_what_they_print(policy: frequency.Policy) -> None:
    assert frequency.parse(policy) == frequency.parse(str(policy)) == policy


def test_an_impossible_bound_gives_what_comes_nearest() -> None:
    there, draw = device("hikey970")
    survey = energy.survey(loads_of("resnet18", "hikey970"), there, draw)
    late, hot = frequency.choose(survey, Deadline(1e-3)), frequency.choose(survey, Power(1e-3))
    assert not late.is_met
    assert late.seconds == survey.seconds.min()
    assert not hot.is_met
    assert hot.watts == pytest.approx(min(j / s for j, s in zip(survey.joules.flat, survey.seconds.flat, strict=True) if s < np.inf))


def test_clocks_stretch_everything_but_memory() -> None:
    there, draw = device("hikey970")
    slow = energy.clocked(there, draw, Setting((2, 0), (682000, 0)))
    (kind,) = slow.types
    assert (kind.name, kind.cores, kind.of) == ("big", 2, 4)
    before, after = there.types[0].classes["gemm"], kind.classes["gemm"]
    names = devices.CLASSES["gemm"]
    ratio = {n: b / a for n, a, b in zip(names, before.alone, after.alone, strict=True) if a}
    assert ratio["macs"] == pytest.approx(2362 / 682)
    assert ratio["memory"] == pytest.approx(0.9 + 0.1 * 2362 / 682)
    assert all(r == pytest.approx(ratio["macs"]) for n, r in ratio.items() if n not in energy.OFF_CORE)


def test_clusters_wake_one_after_the_other() -> None:
    _, draw = device("rk3588")
    assert [t.clusters for t in draw.types] == [(2, 2), (4,)]
    assert [draw.types[0].awake(n) for n in range(5)] == [0, 1, 1, 2, 2]
