"""When a core's speed is news: slow for good, soon noticed, seldom, and never back and forth."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.plan.plan import Sharing, Step
from asymo.runtime.pace import KEPT, LOOK_S, LOOKS, NEWS, REST_S, RETRY_MAX_S, RETRY_S, Pace, levels, slowness


def plan(*steps: tuple[tuple[float, ...], float]) -> Any:
    """Steps as (unit_ns, ns)."""
    return SimpleNamespace(steps=[Step("fill", {}, (), "", "", Sharing((1,) * len(u), (1,) * len(u), u), ns) for u, ns in steps])


def test_slowness_is_relative_and_weighed() -> None:
    types = [0, 0, 1]
    even = np.float32([[10, 10, 30]])
    alike = {0: 1, 1: 1, 2: 1}
    assert slowness([(plan(((1.0, 3.0), 1)), even)], types) == pytest.approx(alike), "all alike: a matter of the unit of time"
    assert slowness([(plan(((1.0, 1.0), 1)), even)], types) == pytest.approx({**alike, 2: 3})
    assert slowness([(plan(((1.0, 9.0), 1)), even)], types) == pytest.approx({0: 3, 1: 3, 2: 1}), "the big ones are throttled"
    assert slowness([(plan(((1.0, 3.0), 1)), np.float32([[10, 25, 30]]))], types) == pytest.approx({**alike, 1: 2.5}), "one of a type"
    both = plan(((1.0, 1.0), 3), ((1.0, 1.0), 1))
    assert slowness([(both, np.float32([[1, 1, 4], [1, 1, 1]]))], types) == pytest.approx({**alike, 2: 4**0.75})


def test_who_has_not_worked_is_not_judged() -> None:
    types = [0, 1]
    assert slowness([(plan(((1.0, 1.0), 1)), np.float32([[5, 0]]))], types) == {0: 1.0}
    assert slowness([(plan(((1.0,), 1)), np.float32([[5, 5]]))], types) == {0: 1.0}, "the plan has no work for it"
    assert slowness([(plan(((1.0, 1.0), 1)), np.zeros((1, 2), np.float32))], types) == {}
    assert slowness([], types) == {}


def test_cores_that_are_alike_are_planned_alike() -> None:
    four = dict.fromkeys(range(4), "little")
    assert levels({0: 2.9, 1: 3.1, 2: 1.0, 3: 1.1}, four) == {0: 3.0, 1: 3.0}
    assert levels({0: 2.9, 1: 2.9}, {0: "big", 1: "little"}) == {0: 2.9, 1: 2.9}
    assert levels({0: 1.0, 1: 1.2, 2: 1.24, 3: 1.0}, four) == {}
    assert levels({}, four) == {}
    many = {cpu: 1.5**cpu for cpu in range(6)}
    two = {cpu: "big" if cpu < 3 else "little" for cpu in many}
    assert levels(many, two) == {**dict.fromkeys(range(3), 1.5), **dict.fromkeys(range(3, 6), 5.1)}, "as many types as are told apart"


class World:
    """Two cores whose true slowness the test sets; what is seen is relative to what is planned, as in a session."""

    def __init__(self) -> None:
        self.pace, self.now, self.replans = Pace(0.0), 0.0, 0
        self.true = {0: 1.0, 1: 1.0}
        self.left_out: set[int] = set()

    def run(self, seconds: float, noise: float = 1.0) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += LOOK_S
            late = {n: f / self.pace.factors.get(n, 1.0) for n, f in self.true.items() if n not in self.left_out}
            late[0] *= noise
            least = min(late.values())
            if self.pace.is_due(self.now) and self.pace.look({n: f / least for n, f in late.items()}, {0: "big", 1: "little"}, self.now):
                self.replans += 1


def test_a_throttled_core_is_planned_anew_once_and_back_once() -> None:
    world = World()
    world.run(100)
    assert world.replans == 0
    world.true[0] = 3.0
    world.run(LOOKS * LOOK_S)
    assert (world.replans, world.pace.factors) == (1, {0: 3.0})
    world.run(1000)
    assert world.replans == 1, "as slow as planned is no news"
    world.true[0] = 1.0
    world.run(1000)
    assert (world.replans, world.pace.factors) == (2, {})


def test_a_short_dip_and_a_small_one_are_left_to_the_scheduler() -> None:
    world = World()
    world.run(20)
    for factor, seconds in ((10.0, (LOOKS - 1) * LOOK_S), (1.0, 5), (0.95 * NEWS, 500)):
        world.true[1] = factor
        world.run(seconds)
    assert world.replans == 0


def test_a_core_that_is_left_out_is_tried_again_ever_more_seldom() -> None:
    world = World()
    world.run(20)
    world.true[1] = 8.0
    world.run(LOOKS * LOOK_S)
    tries = []
    for _ in range(7):
        world.left_out, begin = {1}, world.now
        while world.pace.factors:
            world.run(LOOK_S)
        tries.append(world.now - begin)
        world.left_out = set()
        world.run(REST_S + LOOKS * LOOK_S)
        assert world.pace.factors == {1: 8.0}
    assert tries == pytest.approx([min(RETRY_S * 2**i, RETRY_MAX_S) for i in range(7)], abs=REST_S + 5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 20), st.floats(0.1, 20), st.floats(1, 40), st.floats(0.5, 2)), min_size=1, max_size=30))
def test_never_more_often_than_it_may(story: list[tuple[float, float, float, float]]) -> None:
    world = World()
    for big, little, seconds, noise in story:
        world.true = {0: big, 1: little}
        world.run(seconds, noise)
        assert world.replans <= world.now / REST_S
        assert all(f >= KEPT for f in world.pace.factors.values())
    world.run(2 * REST_S)
    settled = world.replans
    world.run(500)
    assert world.replans == settled, "the same speeds are news only once"
