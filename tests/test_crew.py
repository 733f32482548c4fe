"""Who works for a session, on every recorded device and under every limit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asymo.cost.speeds import Machine, from_topology
from asymo.device import profile, tree
from asymo.device.topology import Core, Topology
from asymo.errors import InvalidArgumentError
from asymo.runtime.crew import MAX_TYPES, Crew, Wish, emulate, muster, paced

DEVICES = {name: tree.machine(profile.load(name)) for name in profile.names()}


def speeds(machine: Topology) -> Machine:
    return from_topology(machine, "neon", (8, 8))


def crew(machine: Topology, cores: str | tuple[int, ...] | None = None, threads: int = 0, must_fit: bool = False) -> Crew:
    return muster(machine, Wish(cores, threads), speeds, must_fit=must_fit)


def limited(machine: Topology, allowed: set[int], quota: float = 0.0) -> Topology:
    """The machine with only these CPUs allowed."""
    return machine._replace(
        cores=tuple(c for c in machine.cores if c.cpu in allowed),
        others=tuple(c._replace(allowed=False, reason="offline") for c in machine.cores if c.cpu not in allowed),
        quota=quota,
    )


def check(found: Crew, machine: Topology) -> None:
    """What holds of every crew."""
    cores = {c.cpu: c for c in (*machine.cores, *machine.others)}
    types = [w.type for w in found.workers]
    assert types == sorted(types)
    assert len(found.designs) == len(found.workers)
    assert set(types) == set(range(len(found.machine.types)))
    assert len(found.machine.types) <= MAX_TYPES
    assert [t.cores for t in found.machine.types] == [types.count(i) for i in range(len(found.machine.types))]
    pinned = [(w, cores[w.cpu]) for w in found.workers if w.cpu >= 0]
    assert all(core.allowed for _, core in pinned)
    for worker, core in pinned:
        assert worker.in_order == bool(core.in_order)
        if worker.group >= 0:
            mates = [c for w, c in pinned if w.group == worker.group and w is not worker]
            assert mates
            assert all(w.type == worker.type for w, c in pinned if c in mates)
            assert all(m.cpu in core.l2_cpus for m in mates)


@pytest.mark.parametrize("name", DEVICES)
def test_every_core_works(name: str) -> None:
    machine = DEVICES[name]
    found = crew(machine)
    check(found, machine)
    assert sorted(found.cpus) == [c.cpu for c in machine.cores]
    assert [tuple(sorted(w.cpu for w in found.workers if w.type == i)) for i in range(len(machine.types))] == [
        tuple(c.cpu for c in kind) for kind in machine.types
    ]
    assert found.type_names == tuple(machine.type_names[cpu] for cpu in found.cpus)
    assert found.spins


def test_clusters_share_an_interval() -> None:
    found = crew(DEVICES["hikey970"])
    assert [w.group for w in found.workers] == [0] * 4 + [1] * 4
    assert [w.in_order for w in found.workers] == [False] * 4 + [True] * 4
    assert {w.group for w in crew(DEVICES["rk3588"]).workers} == {-1}, "each core has an L2 of its own"


@settings(max_examples=80, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(DEVICES)), quota=st.sampled_from([0.0, 0.5, 1.0, 2.5, 64.0]))
def test_any_limits_and_wishes(data: st.DataObject, name: str, quota: float) -> None:
    whole = DEVICES[name]
    ids = sorted(c.cpu for c in whole.cores)
    machine = limited(whole, data.draw(st.sets(st.sampled_from(ids), min_size=1)), quota)
    cores = data.draw(
        st.none() | st.sampled_from(["all", "big", "little"]) | st.lists(st.sampled_from(ids), min_size=1, unique=True).map(tuple)
    )
    threads = data.draw(st.integers(0, len(ids) + 2))
    allowed = {c.cpu for c in machine.cores}
    if isinstance(cores, tuple) and not allowed.issuperset(cores):
        with pytest.raises(InvalidArgumentError, match="offline"):
            crew(machine, cores, threads)
        fitted = crew(machine, cores, threads, must_fit=True)
        check(fitted, machine)
        assert set(fitted.cpus) <= (allowed & set(cores) or allowed)
        assert len(set(fitted.cpus)) == len(fitted.cpus)
        return
    found = crew(machine, cores, threads)
    check(found, machine)
    chosen = set(machine.select(cores or "all"))
    assert len(found.workers) == min(threads or machine.usable, len(chosen)), "more workers than cores would only take turns"
    assert found.spins == (len(found.workers) <= (quota or len(chosen)))
    assert len(set(found.cpus)) == len(found.cpus)
    assert set(found.cpus) <= chosen
    speed = {c.cpu: c.speed for c in machine.cores}
    left = [speed[cpu] for cpu in chosen - set(found.cpus)]
    assert max(left, default=0) <= min(speed[cpu] for cpu in found.cpus), "the fastest ones work"


def core(cpu: int, **what: object) -> Core:
    return Core(cpu, name="x", speed=1024, siblings=(cpu,))._replace(**what)  # type: ignore[arg-type]


def test_second_hardware_threads_come_last_within_their_type() -> None:
    twins = [core(c, siblings=(c // 2 * 2, c // 2 * 2 + 1), l2_cpus=(c // 2 * 2, c // 2 * 2 + 1)) for c in range(4)]
    assert crew(Topology(tuple(twins))).cpus == (0, 2, 1, 3)


def test_isolated_cores_may_be_named() -> None:
    machine = Topology((core(0), core(1)), (core(2, reason="isolated"), core(3, reason="offline", allowed=False)))
    assert crew(machine).cpus == (0, 1)
    assert crew(machine, "2").cpus == (2,)
    assert crew(machine, (1, 2)).cpus == (1, 2)


def test_six_types_become_four() -> None:
    machine = Topology(tuple(core(i, name=f"core-{i}", speed=1024 >> i // 2) for i in range(6)), basis="cpu_capacity")
    found = crew(machine)
    check(found, machine)
    assert [w.type for w in found.workers] == [0, 1, 2, 3, 3, 3]
    assert found.machine.types[3].name == "little"


@pytest.mark.parametrize("threads", ["4", 2.5, None, -1, True + 0.5], ids=str)
def test_numbers_of_threads_that_are_none(threads: object) -> None:
    with pytest.raises(InvalidArgumentError, match="intra_op_num_threads"):
        crew(Topology((core(0),)), None, threads)  # type: ignore[arg-type]


def test_emulated_slow_cores_are_types() -> None:
    machine = Topology(tuple(core(i) for i in range(4)))
    found = emulate(crew(machine), (1, 3, 1.5))
    assert [(w.cpu, w.type, w.slowdown) for w in found.workers] == [(0, 0, 1), (3, 0, 1), (2, 1, 1.5), (1, 2, 3)]
    assert [t.cores for t in found.machine.types] == [2, 1, 1]
    fast, middle, slow = (t.classes["gemm"].alone[0] for t in found.machine.types)
    assert middle == pytest.approx(1.5 * fast)
    assert slow == pytest.approx(3 * fast)
    assert emulate(crew(machine), (1,)) == crew(machine)
    with pytest.raises(InvalidArgumentError, match="5 core types"):
        emulate(crew(Topology(tuple(core(i) for i in range(5)))), (1, 2, 3, 4, 5))


def test_cores_planned_as_slower_are_types() -> None:
    """The second of two big cores on one L2 with a third, throttled below the little ones; nobody is held up."""
    big = [core(i, name="big", speed=1024, l2_cpus=(0, 1, 2)) for i in range(3)]
    little = [core(i, name="little", speed=400, l2_cpus=(3, 4)) for i in range(3, 5)]
    whole = crew(Topology((*big, *little), basis="cpu_capacity"))
    found = paced(whole, {1: 4.0})
    assert [(w.cpu, w.type, w.group, w.slowdown) for w in found.workers] == [
        (0, 0, 0, 1),
        (2, 0, 0, 1),
        (3, 1, 1, 1),
        (4, 1, 1, 1),
        (1, 2, -1, 1),
    ]
    assert [(t.name, t.cores) for t in found.machine.types] == [("big", 2), ("little", 2), ("big / 4", 1)]
    assert found.designs == ("big", "big", "little", "little", "big")
    assert paced(whole, {}) == paced(whole, {7: 3.0}) == whole
