"""Which cores take part in a step, and how they share it: worked by hand, on device profiles, and as properties."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest
from _machines import gemm, machine, recorded
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.device import profile
from asymo.plan.plan import SERIAL, Args
from asymo.plan.share import Sharer, counts, makespan, spin_ns, wait
from asymo.plan.tiles import Fitter


def test_makespan_by_hand() -> None:
    """14 units on 4 cores of 1 s and 4 cores of 3.3 s: the fast ones alone need 4 s; in 3.3 s they do 12 and the slow ones 4."""
    assert makespan(14, [(4, 1.0)]) == 4
    assert makespan(14, [(4, 1.0), (4, 3.3)]) == pytest.approx(3.3)
    assert makespan(56, [(4, 0.25), (4, 0.825)]) == pytest.approx(2.75)
    assert makespan(16, [(4, 1.0), (0, 3.3)]) == 4
    assert makespan(1, [(1, 2.0), (1, 5.0)]) == 2
    assert makespan(7, [(1, 1.0), (1, 3.0)]) == pytest.approx(6)  # 5.25 if units could be split: then 5 and 1 are done


@given(st.integers(1, 200), st.lists(st.tuples(st.integers(0, 4), st.floats(0.1, 10)), min_size=1, max_size=3))
def test_makespan_is_the_least(units: int, crews: list[tuple[int, float]]) -> None:
    """Every core takes the next unit that would end first: what a list scheduler with exact figures needs."""
    cores, unit_s = [n for n, _ in crews], [u for _, u in crews]
    if not sum(cores):
        return
    ends = [(u, u) for n, u in crews for _ in range(n)]
    last = 0.0
    for _ in range(units):
        ends.sort()
        last, u = ends[0]
        ends[0] = (last + u, u)
    assert makespan(units, list(zip(cores, unit_s, strict=True))) == pytest.approx(last, rel=1e-6)


def test_wait_by_hand() -> None:
    """4 units on a core of 1 s and one of 3 s fit exactly: 3 and 1. At 2.4 s the fast one still does 3; at 3.75 s the slow one is late."""
    late = (3 - 4 / (1 + 1 / 2.4) + 0 + 3.75 - 4 / (1 + 1 / 3.75)) / 3
    assert wait(4, [(1, 1.0), (1, 3.0)]) == pytest.approx(late)
    assert wait(400, [(1, 0.01), (1, 0.03)]) < late / 20
    assert wait(2, [(2, 1.0)]) == pytest.approx((1 - 2 / 2.25 + 0 + 1.25 - 2 / 1.8) / 3)


def test_counts() -> None:
    assert counts(4) == [1, 2, 3, 4]
    assert counts(12) == [*range(1, 9), 10, 12]
    assert counts(64)[-3:] == [48, 56, 64]
    assert len(counts(128)) < 30


def decide(there: Sharer, m: int, n: int, k: int) -> tuple[int, ...]:
    return there.decide("gemm", Fitter(there).fit("gemm", gemm(m, n, k))).sharing.cores


def test_a_small_step_wakes_nobody() -> None:
    """16 x 16 x 16 is 8192 FLOPs: 0.4 us at 20 GFLOP/s, less than a barrier."""
    there = Sharer(machine((4, 20e9), (4, 6e9)))
    assert decide(there, 16, 16, 16) == ()
    assert there.decide("gemm", Fitter(there).fit("gemm", gemm(16, 16, 16))).sharing == SERIAL


def test_a_large_step_takes_all() -> None:
    assert decide(Sharer(machine((4, 20e9), (4, 6e9))), 784, 256, 1152) == (4, 4)


def test_cores_that_bring_nothing_are_left_alone() -> None:
    """A type at a thousandth of the speed; a bandwidth that one core uses up."""
    assert decide(Sharer(machine((4, 20e9), (4, 20e6))), 784, 256, 1152) == (4, 0)
    starved = Sharer(machine((4, 200e9), memory_B=5e9), run_bytes=1 << 30)
    assert sum(decide(starved, 1, 4096, 4096)) <= 2


def test_waking_costs() -> None:
    """A step that four cores share when they wait is not worth waking them for."""
    there = Sharer(machine((4, 20e9), wake_s=1e-3))
    args = Fitter(there).fit("gemm", gemm(64, 64, 256))
    assert there.decide("gemm", args).sharing.cores == (4,)
    assert there.decide("gemm", args, asleep=True).sharing == SERIAL


def test_terms_by_hand() -> None:
    """96 units of a fill on 2 + 2 cores: the terms of the module's docstring."""
    there = machine((2, 20e9), (2, 10e9), barrier_s=1e-6)
    args: Args = {"size_bytes": 4, "count": 96000, "unit_size": 1000}
    option = next(o for o in Sharer(there).options("fill", args) if o.cores == (2, 2))
    fast, slow = option.unit_s
    assert slow == pytest.approx(2 * fast, rel=0.03)
    assert option.perfect == pytest.approx(96 / (2 / fast + 2 / slow))
    assert option.wait == pytest.approx(wait(96, [(2, u) for u in option.unit_s]))
    assert option.barrier == pytest.approx(3e-6)
    assert option.wake == 0
    assert option.seconds == pytest.approx(max(option.perfect + option.wait, option.memory) + option.claim + option.barrier)


shapes = st.tuples(st.integers(1, 2000), st.integers(1, 1000), st.integers(1, 2000))


@pytest.mark.parametrize("name", profile.names())
def test_every_device(name: str) -> None:
    """Shares make sense on every profile; more cores are never predicted to be slower."""
    there = recorded(name)
    sharer = Sharer(there)
    for shape in ((784, 256, 1152), (196, 64, 64), (1, 1000, 1280)):
        args = Fitter(sharer).fit("gemm", gemm(*shape))
        found = sharer.decide("gemm", args)
        sharing = found.sharing
        assert found.option.seconds <= min(o.seconds for o in sharer.options("gemm", args)) * 1.02
        if sharing is SERIAL:
            continue
        assert all(n <= t.cores for n, t in zip(sharing.cores, there.types, strict=True))
        assert sharing.cores[0] >= 1
        assert min(sharing.chunk) >= 1
        assert list(sharing.unit_ns) == sorted(sharing.unit_ns) or len(set(sharing.unit_ns)) == len(sharing.unit_ns)
    big = sharer.decide("gemm", Fitter(sharer).fit("gemm", gemm(784, 256, 1152)))
    assert big.option.workers > 1


@settings(deadline=None, max_examples=40)
@given(shapes, st.lists(st.tuples(st.integers(1, 4), st.floats(1e9, 50e9)), min_size=1, max_size=3))
def test_the_choice_is_the_best_of_all_sets(shape: tuple[int, int, int], types: list[tuple[int, float]]) -> None:
    there = machine(*sorted(types, key=lambda t: -t[1]))
    sharer = Sharer(there)
    args = Fitter(sharer).fit("gemm", gemm(*shape))
    options = {o.cores: o.seconds for o in sharer.options("gemm", args)}
    possible = product(*(range(t.cores + 1) for t in there.types))
    most = max(sum(c) for c in options)
    assert set(options) == {c for c in possible if c[0] >= 1 and sum(c) <= most}
    assert sharer.decide("gemm", args).option.seconds <= min(options.values(), default=inf) * 1.02


def test_parking() -> None:
    assert spin_ns(0.0) == -1
    assert 10_000 <= spin_ns(10e-6) <= 100_000
    assert spin_ns(1e-3) == 0


def test_a_step_without_units() -> None:
    args: Args = {"size_bytes": 4, "count": 0, "unit_size": 1}
    found = Sharer(machine((4, 20e9))).decide("fill", args)
    assert (found.sharing, found.option.seconds, found.units) == (SERIAL, 0.0, 0)
