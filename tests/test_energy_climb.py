"""The search by measurement: bounded, steady, and down to the cheapest neighbour."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from hypothesis import given
from hypothesis import strategies as st

from asymo.cost import power
from asymo.cost.energy import Setting
from asymo.device import profile
from asymo.plan.climb import DRIFT, SAMPLES, TRIALS, Climber, neighbours

DRAW = power.from_profile(profile.load("hikey970"))
BIG, LITTLE = ([p.khz for p in t.points] for t in DRAW.types)


def around(setting: Setting) -> list[Setting]:
    return neighbours(DRAW, setting)


def climb(climber: Climber, cost: Callable[[Setting], float]) -> list[Setting]:
    """Runs it to its end; the settings it tried."""
    tried = []
    while not climber.is_done:
        if not tried or tried[-1] != climber.setting:
            tried.append(climber.setting)
        climber.measured(cost(climber.setting))
    return tried


def test_neighbours_are_one_operating_point_or_one_core_away() -> None:
    found = around(Setting((4, 3), (1364000, 509000)))
    clocks = [Setting((4, 3), (1210000, 509000)), Setting((4, 3), (1498000, 509000)), Setting((4, 3), (1364000, 1018000))]
    cores = [Setting((3, 3), (1364000, 509000)), Setting((4, 2), (1364000, 509000)), Setting((4, 4), (1364000, 509000))]
    assert found == clocks + cores
    last = around(Setting((0, 1), (0, 1844000)))
    assert last == [Setting((0, 1), (0, 1690000)), Setting((0, 2), (0, 1844000))]
    assert Setting((1, 0), (682000, 0)) in around(Setting((1, 1), (682000, 509000)))


def test_types_of_one_clock_move_together() -> None:
    coupled = power.Draw((DRAW.types[0], DRAW.types[0]), ((0, 1),))
    assert neighbours(coupled, Setting((4, 4), (682000, 682000)))[0] == Setting((4, 4), (1018000, 1018000))


def test_a_core_that_costs_more_than_it_brings_is_left_out() -> None:
    climber = Climber(Setting((4, 0), (1364000, 0)), around)
    climb(climber, lambda s: 1.0 + 0.2 * s.cores[0] + abs(BIG.index(s.khz[0]) - 3))
    assert climber.setting == Setting((2, 0), (1364000, 0))


@given(start=st.integers(0, len(BIG) - 1), least=st.integers(0, len(BIG) - 1))
def test_a_valley_is_descended(start: int, least: int) -> None:
    def cost(s: Setting) -> float:
        return 1.0 + 0.1 * abs(BIG.index(s.khz[0]) - least) + (s.cores != (4, 0))

    climber = Climber(Setting((4, 0), (BIG[start], 0)), around)
    tried = climb(climber, cost)
    assert len(tried) <= TRIALS + 1
    assert len(set(tried)) == len(tried)
    if abs(start - least) <= 3:
        assert climber.setting.khz[0] == BIG[least]


def test_a_choice_that_nothing_beats_by_enough_stays() -> None:
    start = Setting((4, 0), (1364000, 0))
    climber = Climber(start, around)
    assert len(climb(climber, lambda s: 1.0 if s == start else 0.98)) == 1 + len(around(start))
    assert climber.setting == start


def test_one_odd_window_changes_nothing() -> None:
    start = Setting((4, 0), (1364000, 0))
    odd = cycle([5.0, 1.0, 1.0, 0.1, 1.0, 1.0, 0.1, 1.0, 1.0])
    climber = Climber(start, around)
    climb(climber, lambda _: next(odd))
    assert climber.setting == start


def test_it_begins_anew_when_what_was_found_costs_something_else_for_long() -> None:
    start = Setting((4, 0), (1364000, 0))
    climber = Climber(start, around)
    climb(climber, lambda s: 1.0 if s == start else 2.0)
    for cost in [1.0 + 2 * DRIFT] * (SAMPLES - 1) + [1.0] + [1.0 - DRIFT / 2] * 5:
        climber.measured(cost)
    assert climber.is_done
    for _ in range(SAMPLES):
        climber.measured(1.0 + 2 * DRIFT)
    assert not climber.is_done
    assert climber.setting == start
    assert climb(climber, lambda s: 1.3 if s == start else 1.0)
    assert climber.setting != start
