"""The rules of share.h: who gets which units, how much at once, what is left to others, and a whole loop under random speeds."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymo import _core
from asymo.plan.plan import POLICIES

MOST = 2**24 - 1
CUTS = [policy for policy in POLICIES if policy != "big"]  # "big" is "guided" with fewer workers
costs = st.floats(1e-6, 1e6)
units = st.one_of(st.integers(0, 40), st.integers(0, MOST), st.just(MOST))


@dataclass
class Worker:
    """What the rules are told of a worker."""

    type: int
    group: int
    chunk: int = 1
    cost: float = 1.0
    usual: float = 1.0


@st.composite
def crews(draw: st.DrawFn, most: int = 9) -> list[Worker]:
    """Workers sorted by type; those of one group are neighbours of one type."""
    crew: list[Worker] = []
    for type_ in range(draw(st.integers(1, 4))):
        usual = draw(costs)
        for _ in range(draw(st.integers(0 if crew else 1, max(1, most // 4)))):
            joins = bool(crew) and crew[-1].type == type_ and draw(st.booleans())
            group = crew[-1].group if joins else draw(st.sampled_from([-1, len(crew)]))
            crew.append(Worker(type_, group, draw(st.integers(1, 50)), draw(costs), usual))
    return crew


def told(crew: list[Worker]) -> Any:
    return _core.shares([(w.type, w.group, w.chunk, w.cost, w.usual) for w in crew])


def weight(policy: str, worker: Worker) -> float:
    return {"guided": 1 / worker.cost, "fixed": 0.5**worker.type}.get(policy, 1.0)


def intervals(policy: str, crew: list[Worker]) -> list[list[int]]:
    """Which workers are to own each interval, from the definition: a group under "guided", everybody under "queue", else each alone."""
    if policy == "queue":
        return [list(range(len(crew)))]
    if policy != "guided":
        return [[i] for i in range(len(crew))]
    keys = [(worker.group, -1 if worker.group >= 0 else i) for i, worker in enumerate(crew)]
    return [[i for i, _ in owners] for _, owners in groupby(enumerate(keys), key=lambda item: item[1])]


@pytest.mark.parametrize("policy", CUTS)
@given(units=units, crew=crews())
def test_cut(policy: str, units: int, crew: list[Worker]) -> None:
    shares = told(crew)
    ends = _core.sched_cut(policy, units, shares)
    owners = intervals(policy, crew)
    assert len(ends) == len(owners)
    assert ends[-1] == units
    assert all(begin <= end for begin, end in zip([0, *ends], ends, strict=False))
    everything = math.fsum(weight(policy, worker) for worker in crew)
    reached = 0.0
    for index, (members, end) in enumerate(zip(owners, ends, strict=True)):
        reached = math.fsum([reached, *(weight(policy, crew[i]) for i in members)])
        assert abs(end - units * reached / everything) <= 0.5 + 1e-8 * units
        for i in members:
            assert (shares[i].interval, shares[i].sharers) == (index, len(members))
            assert shares[i].speed == pytest.approx(math.fsum(1 / crew[j].cost for j in members))
    for share, worker in zip(shares, crew, strict=True):
        clearly = [1 / other.usual for other in crew if other.usual < 0.8 * worker.usual]
        assert share.n_faster == len(clearly)
        assert share.faster == pytest.approx(math.fsum(clearly))


@pytest.mark.parametrize("policy", CUTS)
@given(total=st.integers(1, MOST), crew=crews(), data=st.data())
def test_part(policy: str, total: int, crew: list[Worker], data: st.DataObject) -> None:
    shares = told(crew)
    _core.sched_cut(policy, total, shares)
    left = data.draw(st.integers(1, total))
    me, owner = (shares + data.draw(st.integers(0, len(crew) - 1)) for _ in range(2))
    part = _core.sched_part(policy, me, owner, left, total)
    assert part >= 0
    if policy != "queue":
        assert part <= 1
    for steals in (False, True):
        rest, (begin, end) = _core.sched_take((0, left), steals, part, me.chunk)
        n = end - begin
        assert min(me.chunk, left) <= n <= left
        assert rest == ((0, begin) if steals else (end, left))
        if policy == "queue":
            assert n == min(left, max(me.chunk, math.ceil(total / (4 * len(crew)))))
    if policy == "guided":
        together = me.speed if me.interval == owner.interval else owner.speed + 1 / me.cost
        assert part == pytest.approx(0.5 / me.cost / together)


def test_policies_that_steal() -> None:
    assert {policy for policy in CUTS if _core.sched_steals(policy)} == {"guided", "shards"}


@given(crew=crews(), chunk=st.integers(1, 1000), left=st.integers(0, MOST))
def test_leaves(crew: list[Worker], chunk: int, left: int) -> None:
    shares = told(crew)
    _core.sched_cut("guided", MOST, shares)
    for i, worker in enumerate(crew):
        share = shares + i
        leaves = _core.sched_leaves(share, chunk, left)
        left_to_them = left + 0.75 * share.n_faster  # units, with what they hold
        if share.n_faster == 0:
            assert not leaves
        elif not math.isclose(left_to_them, chunk * worker.usual * share.faster, rel_tol=1e-9):
            assert leaves == (left_to_them / share.faster < chunk * worker.usual)  # they end before it would
        if leaves:
            assert _core.sched_leaves(share, chunk, left // 2)
            assert _core.sched_leaves(share, chunk + 1, left)


@given(usual=costs, redo=costs, late=st.floats(0, 100))
def test_redoes(usual: float, redo: float, late: float) -> None:
    redoes = [_core.sched_redoes(elapsed, usual, redo) for elapsed in (0, late * usual, 1.3 * usual + 2 * redo)]
    assert redoes[0] == (usual > redo)  # it has just begun, and we are quicker
    assert redoes[2]  # late by more than it costs us
    if 0.8 < late < 1.25 and redo > 0.2 * usual:
        assert not redoes[1]  # nearly done
    if late > 1.25 and late * usual < redo:
        assert not redoes[1]


# ---- one loop ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What became of a loop: how often each unit was computed, when each worker stopped, the longest chunk of anybody, in time."""

    done: list[int]
    ends: dict[int, float] = field(default_factory=dict)
    longest: float = 0.0


def play(policy: str, total: int, crew: list[Worker], speeds: list[float], starts: list[float]) -> Outcome:
    """The workers take chunks as loop.c's drain does, each unit taking 1 / speed; rescues aside."""
    shares = told(crew)
    ends = _core.sched_cut(policy, total, shares)
    ranges = list(zip([0, *ends[:-1]], ends, strict=True))
    outcome = Outcome([0] * total)
    owner = {shares[i].interval: i for i in reversed(range(len(crew)))}

    def left(interval: int) -> int:
        return ranges[interval][1] - ranges[interval][0]

    def leaves(i: int) -> bool:
        return i > 0 and policy == "guided" and _core.sched_leaves(shares + i, crew[i].chunk, sum(map(left, owner)))

    turns = [(start, i) for i, start in enumerate(starts)]
    heapq.heapify(turns)
    while turns:
        now, i = heapq.heappop(turns)
        others = [k for k in owner if k != shares[i].interval and left(k)]
        victim = max(others, key=lambda k: (crew[owner[k]].type == crew[i].type, left(k)), default=None)
        steals = left(shares[i].interval) == 0
        interval = victim if steals and _core.sched_steals(policy) else shares[i].interval
        if leaves(i) or interval is None or left(interval) == 0:
            outcome.ends[i] = now
            continue
        part = _core.sched_part(policy, shares + i, shares + owner[interval], left(interval), total)
        ranges[interval], (begin, end) = _core.sched_take(ranges[interval], steals, part, crew[i].chunk)
        for u in range(begin, end):
            outcome.done[u] += 1
        outcome.longest = max(outcome.longest, (end - begin) / speeds[i])
        heapq.heappush(turns, (now + (end - begin) / speeds[i], i))
    return outcome


@pytest.mark.parametrize("policy", CUTS)
@given(total=st.integers(0, 300), crew=crews(), data=st.data())
def test_each_unit_once(policy: str, total: int, crew: list[Worker], data: st.DataObject) -> None:
    speeds = [data.draw(costs) for _ in crew]
    starts = [data.draw(st.floats(0, 100)) for _ in crew]
    assert play(policy, total, crew, speeds, starts).done == [1] * total


@given(total=st.integers(50, 2000), crew=crews(), data=st.data())
def test_nobody_idles_longer_than_a_chunk(total: int, crew: list[Worker], data: st.DataObject) -> None:
    """With stealing, and without the guard, a worker stops only when nothing is left; so the last one ends at most a chunk later."""
    for worker in crew:
        worker.usual = 1.0
    speeds = [data.draw(st.floats(0.05, 20)) for _ in crew]
    outcome = play("guided", total, crew, speeds, [0.0] * len(crew))
    assert max(outcome.ends.values()) - min(outcome.ends.values()) <= outcome.longest * (1 + 1e-9)


@given(total=st.integers(200, 3000), types=st.lists(st.tuples(st.integers(1, 4), st.floats(1, 8)), min_size=1, max_size=3))
def test_makespan_as_planned(total: int, types: list[tuple[int, float]]) -> None:
    """Speeds as planned, chunks of one unit: the loop ends at most a unit of each type after the ideal moment. The last to leave its
    share to faster ones would have ended that much later itself; they still have to finish what they were at."""
    speed, crew = 1.0, []
    for type_, (n, slower) in enumerate(types):
        speed /= slower if type_ else 1
        crew += [Worker(type_, -1, 1, 1 / speed, 1 / speed)] * n
    speeds = [1 / worker.cost for worker in crew]
    end = max(play("guided", total, crew, speeds, [0.0] * len(crew)).ends.values())
    ideal = total / sum(speeds)
    assert ideal * (1 - 1e-9) <= end <= (ideal + sum({worker.cost for worker in crew})) * (1 + 1e-9)
