"""The simulator: timelines worked by hand, what must hold for any loop, and policies where one knows who wins."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.plan.plan import POLICIES
from asymo.sim.engine import Slowdown, share_memory, work_through
from asymo.sim.hardware import Hardware, Kind
from asymo.sim.run import Result, crew_of, simulate
from asymo.sim.task import Task, uniform

EQUAL = Hardware((Kind("core", 2),))
UNEQUAL = Hardware((Kind("big", 1), Kind("little", 1)))


def chunks(result: Result) -> list[tuple[int, float, float, int, int]]:
    """(core, begin, end, first unit, end of units), in order of core and time."""
    return sorted((s.core, s.begin, s.end, s.chunk.begin, s.chunk.end) for _, s in result.events)


# ---- by hand


def test_two_equal_cores_and_four_units() -> None:
    result = simulate([uniform("a", 4, (1.0,), cores=(2,))], EQUAL)
    assert chunks(result) == [(0, 0, 1, 0, 1), (0, 1, 2, 1, 2), (1, 0, 1, 2, 3), (1, 1, 2, 3, 4)]
    assert (result.seconds, result.busy, result.claims, result.units, result.steals) == (2, (2, 2), (2, 2), (2, 2), (0, 0))


def test_shares_follow_speeds() -> None:
    """3 units of 1 s on the big core while the little one does its one of 3 s."""
    result = simulate([uniform("a", 4, (1.0, 3.0), cores=(1, 1))], UNEQUAL)
    assert result.seconds == 3
    assert result.units == (3, 1)
    assert result.utilisation == (1, 1)


def test_an_equal_split_waits_for_the_slow_core() -> None:
    result = simulate([uniform("a", 4, (1.0, 3.0), cores=(1, 1))], UNEQUAL, "static")
    assert chunks(result) == [(0, 0, 2, 0, 2), (1, 0, 6, 2, 4)]
    assert result.busy == (2, 6)


def test_half_a_share_for_each_next_type() -> None:
    result = simulate([uniform("a", 6, (1.0, 3.0), cores=(1, 1))], UNEQUAL, "fixed")
    assert result.units == (4, 2)
    assert result.seconds == 6


def test_a_queue_deals_chunks_of_a_quarter_of_an_equal_share() -> None:
    result = simulate([uniform("a", 16, (1.0, 3.0), cores=(1, 1))], UNEQUAL, "queue")
    assert [end - begin for _, _, _, begin, end in chunks(result)] == [2] * 8
    assert result.units == (12, 4)
    assert result.seconds == 12


def test_the_big_type_alone() -> None:
    result = simulate([uniform("a", 4, (1.0, 1.5), cores=(1, 1))], UNEQUAL, "big")
    assert result.seconds == 4
    assert result.units == (4, 0)


def test_claims_wakes_and_barriers_take_time() -> None:
    hardware = Hardware((Kind("core", 2, claim_s=0.1),), wake_s=0.5, barrier_s=0.25)
    result = simulate([uniform("a", 2, (1.0,), cores=(2,))], hardware)
    assert chunks(result) == [(0, 0, 1.1, 0, 1), (1, 0.5, 1.6, 1, 2)]
    assert result.seconds == pytest.approx(1.85)


def test_a_worker_that_has_spun_enough_sleeps() -> None:
    hardware = Hardware((Kind("core", 2),), wake_s=0.25, park_s=1.0, spin_s=2.0)
    shared, serial = uniform("a", 2, (4.0,), cores=(2,)), uniform("s", 3, (1.0,))
    assert simulate([shared, shared], hardware).step_seconds == (4.25, 4.25)
    assert simulate([shared, serial, shared], hardware).step_seconds == (4.25, 3.0, 5.0)


def test_a_serial_step_is_one_call_of_the_caller() -> None:
    result = simulate([uniform("a", 5, (1.0, 2.0))], Hardware((Kind("big", 1, claim_s=9.0), Kind("little", 1)), barrier_s=9.0))
    assert chunks(result) == [(0, 0, 5, 0, 5)]


def test_two_cores_share_the_memory() -> None:
    """Each wants 10 bytes/s of the 10 that there are."""
    alone = uniform("a", 2, (1.0,), 10.0)
    both = uniform("a", 2, (1.0,), 10.0, cores=(2,))
    assert simulate([alone], Hardware((Kind("core", 2),), memory_B=10)).seconds == 2
    assert simulate([alone], Hardware((Kind("core", 2),), memory_B=5)).seconds == 4
    assert simulate([both], Hardware((Kind("core", 2),), memory_B=10)).seconds == 2
    assert simulate([both], Hardware((Kind("core", 2),), memory_B=15)).seconds == pytest.approx(20 / 15)


def test_memory_is_shared_by_who_wants_more() -> None:
    assert share_memory([1, 2], 3) == [1, 1]
    assert share_memory([1, 8, 8], 7) == [1, 3 / 8, 3 / 8]
    assert share_memory([0, 4], 2) == [1, 0.5]
    assert share_memory([5, 5], inf) == [1, 1]


def test_interference_slows_a_core_while_it_lasts() -> None:
    assert work_through(4, 0, 0, [Slowdown(0, 1, 5, 4)]) == 7
    result = simulate([uniform("a", 4, (1.0,))], EQUAL, slowdowns=[Slowdown(0, 1, 5, 4), Slowdown(1, 0, 9, 9)])
    assert result.seconds == 7


def test_the_caller_computes_a_stragglers_chunk_again() -> None:
    """Core 1 hangs on its one unit. A quarter late, the caller takes it over, has it at 1.25 + 1, and runs on to the horizon."""
    task = replace(uniform("a", 2, (1.0,), cores=(2,)), horizon=2)
    serial = uniform("s", 1, (1.0,))
    result = simulate([task, serial, serial], EQUAL, slowdowns=[Slowdown(1, 0, 100, 100)])
    assert result.rescues == 1
    assert result.step_seconds[0] == pytest.approx(2.25, abs=1e-6)
    assert result.step_seconds[1] == pytest.approx(1)
    assert result.seconds == pytest.approx(101)  # the horizon, where the caller must wait for the straggler, and one step


def test_a_rescue_ends_when_the_straggler_does() -> None:
    """The little core should take 2.4 s for its two units and takes 3.6. From 3.0 on the caller repeats them, from the back."""
    task = replace(uniform("a", 4, (1.0, 1.2), cores=(1, 1)), chunk=(1, 2))
    result = simulate([task], UNEQUAL, slowdowns=[Slowdown(1, 0, 100, 1.5)])
    assert [(s.chunk.begin, s.chunk.end) for _, s in result.events if s.chunk.repeated] == [(3, 4)]
    assert result.seconds == pytest.approx(4, abs=1e-6)


def test_without_interference_nothing_is_computed_twice() -> None:
    result = simulate([uniform("a", 64, (1.0, 2.5), cores=(1, 1))] * 3, UNEQUAL)
    assert sum(result.units) == 192 + sum(s.chunk.end - s.chunk.begin for _, s in result.events if s.chunk.repeated)


def test_cores_on_one_l2_own_an_interval_together() -> None:
    hardware = Hardware((Kind("big", 2, group=2), Kind("little", 4, group=2)))
    crew = crew_of(uniform("a", 100, (1.0, 2.0), cores=(2, 4)), hardware, (2, 4))
    groups = [w.group for w in crew]
    assert groups[0] == groups[1]
    assert groups[2] == groups[3] != groups[4] == groups[5]
    assert len(set(groups)) == 3


def test_a_small_step_calls_no_more_cores_than_it_has_chunks() -> None:
    hardware = Hardware((Kind("big", 2), Kind("little", 4)))
    assert len(crew_of(uniform("a", 3, (1.0, 2.0), cores=(2, 4)), hardware, (2, 4))) == 3
    assert crew_of(uniform("a", 1, (1.0, 2.0), cores=(2, 4)), hardware, (2, 4)) == []
    assert [w.type for w in crew_of(uniform("a", 9, (1.0, 2.0), cores=(2, 4)), hardware, (0, 4))] == [1] * 4


# ---- for any loop


@st.composite
def cases(draw: st.DrawFn) -> tuple[Task, Hardware]:
    costs = draw(st.lists(st.sampled_from([1.0, 1.3, 2.0, 3.5, 8.0]), min_size=1, max_size=3, unique=True).map(sorted))
    counts = [draw(st.integers(1, 4)) for _ in costs]
    units, chunk = draw(st.integers(1, 200)), draw(st.integers(1, 8))
    traffic = draw(st.sampled_from([0.0, 1.0, 20.0]))
    kinds = tuple(Kind(f"t{i}", n, draw(st.integers(1, 4))) for i, n in enumerate(counts))
    return uniform("a", units, costs, traffic, cores=counts, chunk=chunk), Hardware(kinds, memory_B=10.0)


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from(POLICIES))
def test_each_unit_is_computed_once_and_no_faster_than_possible(case: tuple[Task, Hardware], policy: str) -> None:
    task, hardware = case
    result = simulate([task], hardware, policy)
    first = [s for _, s in result.events if not s.chunk.repeated]
    assert sorted(u for s in first for u in range(s.chunk.begin, s.chunk.end)) == list(range(task.units))
    for core in result.cores:
        spans = sorted((s.begin, s.end) for _, s in result.events if s.core == core)
        assert all(end <= begin + 1e-9 for (_, end), (begin, _) in pairwise(spans)), "a core does one thing at a time"
    fastest = float(task.seconds[0][1])
    speed = sum(kind.cores / float(s[1]) for kind, s in zip(hardware.kinds, task.seconds, strict=True))
    least = max(task.units / speed, fastest, float(task.traffic[-1]) / hardware.memory_B)
    assert result.seconds >= least * (1 - 1e-9)
    assert sum(result.busy) <= result.seconds * hardware.cores * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_ours_loses_less_than_a_chunk_of_every_core(case: tuple[Task, Hardware]) -> None:
    """Greedy: no core idles while units are left that it would end in time, so the end is within one chunk of the sum of the speeds."""
    task, hardware = case
    task = replace(task, traffic=task.traffic * 0)
    result = simulate([task], hardware)
    speed = sum(kind.cores / float(s[1]) for kind, s in zip(hardware.kinds, task.seconds, strict=True))
    chunk = task.chunk[0] * float(task.seconds[0][1])
    assert result.seconds <= task.units / speed + 3 * chunk + float(task.seconds[-1][1]) * task.chunk[0]


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(0, 3), st.floats(1.5, 50), st.floats(0, 30))
def test_interference_costs_at_most_what_the_core_is_worth(case: tuple[Task, Hardware], core: int, factor: float, begin: float) -> None:
    """A slower core costs no more than if all were slower, and the chunk that the caller computes again in vain."""
    task, hardware = case
    core %= hardware.cores
    calm = simulate([task], hardware)
    disturbed = simulate([task], hardware, slowdowns=[Slowdown(core, begin, 1e9, factor)])
    first = [s for _, s in disturbed.events if not s.chunk.repeated]
    assert sum(s.chunk.end - s.chunk.begin for s in first) == task.units
    assert disturbed.seconds >= calm.seconds * 0.5
    assert disturbed.seconds <= calm.seconds * (factor + 1) + 1e-6


# ---- who wins


def test_ours_is_the_best_policy_where_units_are_many() -> None:
    hardware = Hardware((Kind("big", 4), Kind("little", 4)))
    task = uniform("a", 400, (1.0, 2.6), cores=(4, 4))
    seconds = {policy: simulate([task], hardware, policy).seconds for policy in POLICIES}
    ideal = 400 / (4 + 4 / 2.6)
    assert seconds["guided"] <= 1.03 * ideal
    assert seconds["guided"] <= 1.02 * min(seconds.values())
    assert seconds["static"] == pytest.approx(50 * 2.6)
    assert seconds["big"] == pytest.approx(100)
    assert seconds["fixed"] > 1.05 * ideal


def test_one_unit_is_not_given_to_a_slow_core() -> None:
    """Two units, one big core: the little one, 5 times slower, must not hold the last."""
    result = simulate([uniform("a", 2, (1.0, 5.0), cores=(1, 1))], UNEQUAL)
    assert result.seconds <= 5.0
    assert simulate([uniform("a", 2, (1.0, 5.0), cores=(1, 1))], UNEQUAL, "static").seconds == 5


def test_the_same_run_gives_the_same_timeline() -> None:
    hardware = Hardware((Kind("big", 3), Kind("little", 4)), memory_B=5.0)
    task = uniform("a", 97, (1.0, 2.2), 1.7, cores=(3, 4))
    assert chunks(simulate([task] * 3, hardware)) == chunks(simulate([task] * 3, hardware))


def test_a_remembered_phase_is_the_same_as_a_simulated_one() -> None:
    hardware = Hardware((Kind("big", 2), Kind("little", 2)), wake_s=0.1, barrier_s=0.1)
    tasks = [uniform("a", 50, (1.0, 2.2), cores=(2, 2)), uniform("s", 3, (1.0, 2.0))] * 3
    plain, remembered = simulate(tasks, hardware), simulate(tasks, hardware, memo={})
    assert remembered.seconds == pytest.approx(plain.seconds)
    assert remembered.units == plain.units
    assert remembered.busy == pytest.approx(plain.busy)
