"""The cost model: the equations against brute force, the worked example of the design, and properties of what is chosen."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from math import inf, isclose, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.cost import model
from asymo.cost.model import CoreType, Prediction, Terms, Work, choose, explain, predict, rivals, shares, terms, tile

EXAMPLE = Work("gemm", 256, 784, 1152)
BIG = CoreType("big", 4, F=20e9, F1=20e9, B=inf, B1=inf, t=1e-6)
LITTLE = CoreType("little", 4, F=6e9, F1=6e9, B=inf, B1=inf, t=1e-6)


def seconds(work: Work, core: CoreType, a: np.ndarray) -> np.ndarray:
    """T_c(a) of design section 6, all cores of the type busy, written down a second time."""
    W, K = work.m * work.n, work.k
    return (
        2 * K * W / (core.cores * core.F)
        + work.s * (2 * K * W / np.sqrt(a) + 2 * W) / core.B
        + (W / a) * core.t / core.cores
        + a * K / core.F
    )  # fmt: skip


def log(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.log(low), np.log(high)).map(lambda x: float(np.exp(x)))


@st.composite
def core_types(draw: st.DrawFn, name: str = "a", most: int = 4) -> CoreType:
    F, B = draw(log(1e9, 2e11)), draw(log(1e9, 1e12))
    return CoreType(
        name,
        draw(st.integers(1, most)),
        F=F,
        F1=F * draw(st.floats(1, 2)),
        B=B,
        B1=B * draw(st.floats(0.2, 1)),
        t=draw(st.one_of(st.just(0.0), log(1e-8, 1e-5))),
        l1_bytes=draw(st.sampled_from([0, 32 << 10, 64 << 10])),
        l2_bytes=draw(st.sampled_from([0, 128 << 10, 1 << 20])),
        l2_sharers=draw(st.sampled_from([1, 2, 4])),
    )


def works_up_to(most: int) -> st.SearchStrategy[Work]:
    size = log(1, most).map(round)
    units = st.sampled_from([(1, 1), (14, 32), (6, 16), (8, 12), (4, 8)])
    return st.builds(lambda m, n, k, s, unit: Work("gemm", m, n, k, s, *unit), size, size, size, st.sampled_from([1, 2, 4]), units)


works = works_up_to(5000)
small_works = works_up_to(500)
machines = st.integers(1, 3).flatmap(lambda n: st.tuples(*(core_types(name) for name in "abc"[:n])))
costs = st.one_of(st.just(0.0), log(1e-8, 1e-4))


# --- The worked example


def test_worked_example() -> None:
    for core, area, tasks, task_us in ((BIG, 933, 215, 107), (LITTLE, 511, 393, 196)):
        crew = core.crew(4)
        a = model.claiming_limited(EXAMPLE.outputs, EXAMPLE.k, 4, core.F, core.t)
        assert round(a) == area
        assert round(EXAMPLE.outputs / a) == tasks
        assert 2 * EXAMPLE.k * a / core.F * 1e6 == pytest.approx(task_us, abs=1)
        cost = terms(EXAMPLE, crew, sqrt(a), sqrt(a))
        assert isclose(cost.claim, cost.wait), "at the claiming-limited size both cost the same"
        assert model.newton(a, EXAMPLE.outputs, EXAMPLE.k, EXAMPLE.s, crew) == pytest.approx(a), "it is the minimum when memory is free"
    cost = terms(EXAMPLE, BIG.crew(4), sqrt(933), sqrt(933))
    assert cost.claim / cost.compute == pytest.approx(0.0093, rel=0.01)


def test_worked_example_tiles() -> None:
    big = tile(replace_units(EXAMPLE, 8, 8), BIG.crew(4))
    assert (big.m, big.n, big.k, big.limit) == (32, 32, 1152, "claiming")
    little = tile(replace_units(EXAMPLE, 8, 8), LITTLE.crew(4))
    assert (little.m, little.n) == (24, 24)


def replace_units(work: Work, mr: int, nr: int) -> Work:
    return replace(work, mr=mr, nr=nr)


def test_memory_limited_size() -> None:
    core = replace(BIG, B=10e9, B1=10e9, t=0.0)
    a = model.memory_limited(EXAMPLE.outputs, 4, core.F, core.B)
    assert a == pytest.approx((4 * 200704 * 2) ** (2 / 3))
    grid = a * np.linspace(0.5, 2, 1501)
    assert grid[np.argmin(seconds(EXAMPLE, core, grid))] == pytest.approx(a, rel=2e-3)


# --- The equations


@settings(deadline=None)
@given(works, core_types(), st.floats(0, 1))
def test_terms_are_the_equation(work: Work, core: CoreType, where: float) -> None:
    side = min(work.m, work.n) ** where
    cost = terms(work, core.crew(core.cores), side, side)
    assert cost.seconds == pytest.approx(float(seconds(work, core, np.float64(side**2))), rel=1e-9)


@settings(deadline=None)
@given(works, core_types())
def test_one_newton_step_is_near_the_minimum(work: Work, core: CoreType) -> None:
    W = work.outputs
    start = max(model.claiming_limited(W, work.k, core.cores, core.F, core.t), model.memory_limited(W, work.s, core.F, core.B))
    a = model.newton(start, W, work.k, work.s, core.crew(core.cores))
    grid = start * np.linspace(1, 2, 2001)
    cost = seconds(work, core, grid)
    best = grid[np.argmin(cost)]
    assert 0.86 * best <= a * 1.001
    assert a <= best * 1.001
    fixed = 2 * work.k * W / (core.cores * core.F) + work.s * 2 * W / core.B
    assert float(seconds(work, core, np.float64(a))) - fixed <= (cost.min() - fixed) * 1.01


@settings(deadline=None)
@given(works, core_types(), st.floats(1, 10))
def test_more_speed_is_never_slower(work: Work, core: CoreType, factor: float) -> None:
    crew = core.crew(core.cores)
    size = tile(work, crew)
    before = terms(work, crew, size.m, size.n)
    more_flops = terms(work, replace(crew, F=crew.F * factor), size.m, size.n)
    more_bytes = terms(work, replace(crew, B=crew.B * factor), size.m, size.n)
    assert more_flops == pytest.approx((before.compute / factor, before.memory, before.claim, before.wait / factor))
    assert more_bytes == pytest.approx((before.compute, before.memory / factor, before.claim, before.wait))


@settings(deadline=None)
@given(works, core_types(), st.floats(0, 1))
def test_a_share_shrinks_all_but_the_wait(work: Work, core: CoreType, share: float) -> None:
    cost = terms(work, core.crew(1), 8, 8)
    assert cost.of(1) == cost
    assert cost.of(share).seconds == pytest.approx(share * (cost.seconds - cost.wait) + cost.wait)


def test_a_crew_lies_between_one_core_and_all() -> None:
    core = CoreType("c", 4, F=10e9, F1=16e9, B=20e9, B1=8e9, t=0)
    assert [core.crew(n).F for n in (1, 2, 3, 4)] == [16e9, 14e9, 12e9, 10e9]
    assert [core.crew(n).B for n in (1, 2, 3, 4)] == [8e9, 16e9, 20e9, 20e9]
    assert replace(core, cores=1).crew(1).F == 10e9


# --- Tiles


@settings(deadline=None)
@given(works, core_types(), st.floats(0.01, 1), st.data())
def test_tile_bounds(work: Work, core: CoreType, share: float, data: st.DataObject) -> None:
    crew = core.crew(data.draw(st.integers(1, core.cores)))
    size = tile(work, crew, share)
    assert size.m % work.mr == 0
    assert size.n % work.nr == 0
    assert work.mr <= size.m < work.m + work.mr
    assert work.nr <= size.n < work.n + work.nr
    assert 1 <= size.k <= work.k
    if core.l1_bytes:
        assert size.k * work.nr * work.s <= core.l1_bytes / 2
    if core.l2_bytes:
        assert size.m == work.mr or size.m * size.k * work.s <= core.l2_bytes / core.l2_sharers / 2

    W = share * work.outputs
    claim_bound = min(core.t * crew.F * 10 / (2 * work.k), W / crew.n)
    a = min(size.m, work.m) * min(size.n, work.n)
    assert (size.m, size.n) == (work.mr, work.nr) or a <= max(W / (4 * crew.n), claim_bound) * (1 + 1e-9)


@settings(deadline=None)
@given(works, core_types())
def test_tiles_cover_the_outputs_once(work: Work, core: CoreType) -> None:
    size = tile(work, core.crew(1))
    for length, step, unit in ((work.m, size.m, work.mr), (work.n, size.n, work.nr)):
        edges = [*range(0, length, step), length]
        assert sum(b - a for a, b in itertools.pairwise(edges)) == length
        assert all(a % unit == 0 for a in edges[:-1]), "no unit is split between tasks"


def test_claiming_stays_below_a_tenth() -> None:
    work = replace_units(EXAMPLE, 4, 8)
    slow_claim = replace(BIG, t=300e-6)
    size = tile(work, slow_claim.crew(4))
    assert size.limit == "claim below 10%"
    cost = terms(work, slow_claim.crew(4), size.m, size.n)
    assert cost.claim <= 0.11 * cost.compute


def test_four_tasks_a_core() -> None:
    work = Work("gemm", 64, 64, 1152, mr=4, nr=8)
    starved = replace(BIG, B=1e9, B1=1e9, t=1e-8)
    size = tile(work, starved.crew(4))
    assert size.limit == "4 tasks a core"
    assert work.outputs / (size.m * size.n) >= 16


@pytest.mark.parametrize(
    ("m", "n", "cores", "unit", "expected"),
    [
        (100, 100, 4, (8, 16), (16, 32)),  # at most 625; 24 x 32 is too large, 16 x 32 leaves more than 24 x 16
        (112, 100, 4, (16, 8), (32, 16)),  # at most 700; 32 x 24 is too large, 32 x 16 leaves more than 16 x 24
        (1290, 2, 3, (1, 1), (107, 2)),  # at most 215; 108 x 2 is too large
    ],
)
def test_a_tile_that_became_too_large_loses_as_little_as_it_can(
    m: int, n: int, cores: int, unit: tuple[int, int], expected: tuple[int, int]
) -> None:
    starved = CoreType("starved", cores, F=20e9, F1=20e9, B=1e9, B1=1e9, t=1e-9)
    size = tile(Work("gemm", m, n, 500, 4, *unit), starved.crew(cores))
    assert (size.m, size.n) == expected


def test_strip_stays_in_its_part_of_l2() -> None:
    work = replace_units(EXAMPLE, 8, 8)
    core = replace(BIG, B=10e9, B1=10e9, l1_bytes=32 << 10, l2_bytes=512 << 10)
    alone, shared = tile(work, core.crew(4)), tile(work, replace(core, l2_sharers=4).crew(4))
    assert alone.k == shared.k == (16 << 10) // 32
    assert shared.limit == "A strip in L2"
    assert (alone.m, shared.m) == (112, 32)
    assert shared.n > alone.n, "what the strip loses in m, n makes up"


@settings(deadline=None)
@given(small_works, core_types())
def test_tile_is_near_the_best_tile(work: Work, core: CoreType) -> None:
    """No other multiple of (mr, nr) within the same bounds is much faster, where rounding to few units leaves room to choose."""
    core = replace(core, l1_bytes=0, l2_bytes=0)
    crew = core.crew(core.cores)
    size = tile(work, crew)
    W = work.outputs
    least = min(core.t * crew.F * 10 / (2 * work.k), W / crew.n)
    most = max(W / (4 * crew.n), least)
    m = np.arange(work.mr, work.m + work.mr, work.mr, dtype=np.float64)[:, None]
    n = np.arange(work.nr, work.n + work.nr, work.nr, dtype=np.float64)[None, :]
    a = np.minimum(m, work.m) * np.minimum(n, work.n)
    cost = (
        2 * work.k * W / (crew.n * crew.F)
        + work.s * W * (work.k * (1 / np.minimum(m, work.m) + 1 / np.minimum(n, work.n)) + 2) / crew.B
        + W / a * core.t / crew.n
        + a * work.k / crew.F
    )
    allowed = cost[(a <= most) & (a >= least)]
    if allowed.size:
        fine = 4 * work.mr <= size.m < work.m / 2 and 4 * work.nr <= size.n < work.n / 2
        assert terms(work, crew, size.m, size.n).seconds <= allowed.min() * (1.1 if fine else 1.6)


# --- Shares


@settings(deadline=None)
@given(st.integers(1, 10**6), st.lists(log(1e-3, 1e12), min_size=1, max_size=5))
def test_shares_are_proportional(units: int, speeds: list[float]) -> None:
    parts = shares(units, speeds)
    assert sum(parts) == units
    assert len(parts) == len(speeds)
    for part, speed in zip(parts, speeds, strict=True):
        assert part >= 0
        assert abs(part - units * speed / sum(speeds)) <= 1 + 1e-6


# --- Sets of cores


def every_set(work: Work, types: tuple[CoreType, ...], wake: float, barrier: float, memory: float) -> dict[tuple[int, ...], Prediction]:
    found = {}
    for counts in itertools.product(*(range(core.cores + 1) for core in types)):
        crews = [core.crew(n) for core, n in zip(types, counts, strict=True) if n]
        if crews and (prediction := predict(work, crews, wake, barrier, memory)):
            found[counts] = prediction
    return found


@settings(deadline=None)
@given(works, machines, costs, costs, st.one_of(st.just(inf), log(1e9, 1e12)))
def test_the_chosen_set_is_the_best_of_all(
    work: Work, types: tuple[CoreType, ...], wake: float, barrier: float, memory: float
) -> None:  # fmt: skip
    best = choose(work, types, wake, barrier, memory)
    everything = every_set(work, types, wake, barrier, memory)
    assert best.seconds == min(p.seconds for p in everything.values()), "the bound hides no better set, single types included"
    assert best.cores == min(p.cores for p in everything.values() if p.seconds == best.seconds)
    assert sum(part.units for part in best.parts) == work.units
    for part in best.parts:
        assert part.crew.n <= part.units
    if best.cores == 1:
        assert (best.parts[0].terms.wait, best.wake_s, best.barrier_s) == (0, 0, 0)


@settings(deadline=None)
@given(works, machines, core_types("new"), costs, costs)
def test_another_type_never_makes_it_worse(work: Work, types: tuple[CoreType, ...], new: CoreType, wake: float, barrier: float) -> None:
    assert choose(work, (*types, new), wake, barrier).seconds <= choose(work, types, wake, barrier).seconds


def faster(core: CoreType, rates: tuple[str, ...], factor: float) -> CoreType:
    return replace(core, **{name: getattr(core, name) * factor for name in rates})


@settings(deadline=None)
@given(works, machines, costs, costs, st.one_of(st.just(inf), log(1e9, 1e12)), st.sampled_from([0.5, 2.0, 1024.0]))
def test_a_machine_faster_in_everything_does_the_same_sooner(
    work: Work, types: tuple[CoreType, ...], wake: float, barrier: float, memory: float, factor: float
) -> None:
    """Nothing depends on the unit of time: a second may as well be two. Exact, as powers of two do not round."""
    quick = tuple(replace(faster(core, ("F", "F1", "B", "B1"), factor), t=core.t / factor) for core in types)
    then = choose(work, quick, wake / factor, barrier / factor, memory * factor)
    now = choose(work, types, wake, barrier, memory)
    assert then.seconds == now.seconds / factor
    assert [(p.crew.n, p.units, p.tile) for p in then.parts] == [(p.crew.n, p.units, p.tile) for p in now.parts]


@settings(deadline=None)
@given(works, machines, costs, costs, st.floats(1, 10), st.sampled_from([("F", "F1"), ("B", "B1")]))
def test_the_same_tiles_never_take_longer_on_a_faster_machine(
    work: Work, types: tuple[CoreType, ...], wake: float, barrier: float, factor: float, rates: tuple[str, ...]
) -> None:
    """Of one rate alone only this holds: other tiles suit the faster machine, and rounding them to (mr, nr) may cost more than it gains."""
    for part in choose(work, types, wake, barrier).parts:
        before = terms(work, part.crew, part.tile.m, part.tile.n)
        after = terms(work, faster(part.crew.type, rates, factor).crew(part.crew.n), part.tile.m, part.tile.n)
        assert all(b <= a * (1 + 1e-12) for a, b in zip(before, after, strict=True))
        assert after.seconds >= before.seconds / factor * (1 - 1e-12), "and no more is gained than was given"


PHONE = (
    CoreType("big", 4, F=20e9, F1=22e9, B=12e9, B1=10e9, t=1e-7, l1_bytes=64 << 10, l2_bytes=512 << 10),
    CoreType("little", 4, F=6e9, F1=6e9, B=4e9, B1=3e9, t=2e-7, l1_bytes=32 << 10, l2_bytes=128 << 10),
)


def test_compute_bound_steps_use_all_cores() -> None:
    best = choose(Work("gemm", 784, 256, 1152, mr=8, nr=8), PHONE, wake_s=1e-6, barrier_s=1e-6, memory_B=14e9)
    assert best.label == "4 big + 4 little"
    big, little = best.parts
    assert big.units / little.units == pytest.approx(20 / 6, rel=0.2), "F, and some for memory"
    assert big.terms.seconds - big.terms.wait == pytest.approx(little.terms.seconds - little.terms.wait, rel=0.01), "both end together"
    assert big.tile != little.tile


def test_small_steps_use_one_big_core() -> None:
    assert choose(Work("gemm", 1, 64, 64, mr=8, nr=8), PHONE, wake_s=1e-6, barrier_s=1e-6).label == "1 big"


def test_memory_bound_steps_use_few_cores() -> None:
    """Two big cores reach what the memory gives."""
    best = choose(Work("gemv", 1, 4096, 4096, mr=1, nr=8), PHONE, wake_s=5e-6, barrier_s=5e-6, memory_B=10e9)
    assert 1 < best.cores < 8
    without_limit = choose(Work("gemv", 1, 4096, 4096, mr=1, nr=8), PHONE, wake_s=5e-6, barrier_s=5e-6)
    assert without_limit.cores >= best.cores


def test_of_many_cores_a_few_numbers_are_weighed() -> None:
    assert model.counts(4) == [1, 2, 3, 4]
    assert model.counts(17) == [1, 2, 3, 4, 6, 8, 12, 16, 17]
    assert all(model.counts(n)[-1] == n for n in range(1, 200))


def test_of_equally_fast_sets_the_smallest() -> None:
    """Here everything waits for the shared memory, and cores cost nothing."""
    assert choose(Work("gemv", 1, 4096, 4096, nr=8), PHONE, wake_s=0.0, barrier_s=0.0, memory_B=1e9).cores == 1


def test_no_core_without_a_unit() -> None:
    best = choose(Work("gemm", 8, 24, 10**6, mr=8, nr=8), PHONE, wake_s=0.0, barrier_s=0.0)
    assert best.cores <= 3


def test_waking_is_dearer_than_working() -> None:
    work = Work("gemm", 196, 64, 64, mr=8, nr=8)
    cores = [choose(work, PHONE, wake_s=wake, barrier_s=0.0).cores for wake in (0.0, 1e-6, 1e-5, 1e-3)]
    assert cores == sorted(cores, reverse=True)
    assert cores[0] > cores[-1] == 1


# --- Explaining


def test_explain_names_everything() -> None:
    work = Work("gemm", 784, 256, 1152, mr=8, nr=8)
    others = rivals(work, PHONE, 1e-6, 1e-6, 14e9)
    assert [p.label for p in others] == ["1 big", "1 little", "4 big", "4 little", "4 big + 4 little"]
    best = choose(work, PHONE, 1e-6, 1e-6, 14e9)
    text = explain(work, best, others)
    for word in ("784 x 256 x 1152", "wake", "barrier", *Terms._fields, *(p.label for p in others), best.parts[0].tile.limit):
        assert word in text, word
    assert text.count("1 big:") == 1
    assert len(text.splitlines()) == 2 + 2 * len(best.parts) + len(others) - 1


def test_a_prediction_adds_up() -> None:
    best = choose(Work("gemm", 784, 256, 1152, mr=8, nr=8), PHONE, 1e-6, 2e-6)
    assert best.seconds == max(sum(part.terms) for part in best.parts) + 7e-6 + 14e-6
    json.dumps(best._asdict(), default=str)
