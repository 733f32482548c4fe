"""Which cores a program's runs use, after what was measured: driven by a made-up machine."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from _compile import compile_c
from cffi import FFI
from hypothesis import given
from hypothesis import strategies as st

PLANNED, BIG, ALONE = range(3)

ffi = FFI()
ffi.cdef(
    """
    typedef struct { uint32_t run, due, trial, last, pause; float before; float ticks[3]; } asymo_trial;
    int32_t trial_choose(const asymo_trial *t, const float *at_least);
    void trial_learn(asymo_trial *t, int32_t crew, float took);
    """
)


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Any:
    target = compile_c(tmp_path_factory.mktemp("trial") / "trial.so", ["tests/sched/trial.c"], "-O2", "-shared", "-fPIC")
    return ffi.dlopen(str(target))


def drive(lib: Any, runs: int, took: Callable[[int, int], float], at_least: list[float]) -> list[int]:
    """The crew of each run on a machine where run i with a crew takes took(i, crew)."""
    trial = ffi.new("asymo_trial *", {"due": 32, "pause": 8})
    crews = []
    for i in range(runs):
        trial.run = i
        crew = lib.trial_choose(trial, at_least)
        lib.trial_learn(trial, crew, took(i, crew))
        crews.append(crew)
    return crews


def test_a_crew_that_wins_takes_over(lib: Any) -> None:
    crews = drive(lib, 400, lambda i, crew: (130.0, 120.0, 100.0)[crew], [0.0, 50.0, 90.0])
    assert crews[:32] == [PLANNED] * 32
    assert crews.count(ALONE) > 250
    assert set(crews) == {PLANNED, BIG, ALONE}


def test_the_planned_crew_stays_when_it_is_as_good(lib: Any) -> None:
    crews = drive(lib, 1000, lambda i, crew: (100.0, inf, 99.0)[crew], [0.0, inf, 90.0])
    assert crews.count(ALONE) <= 2 * (1000 // 64 + 1)


def test_a_crew_that_cannot_win_is_never_tried(lib: Any) -> None:
    assert set(drive(lib, 1000, lambda i, crew: 100.0, [0.0, inf, 126.0])) == {PLANNED}


@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_crew_is_worth_what_it_takes_on_the_whole(lib: Any, block: int) -> None:
    """A second core that comes and goes: half of the runs are much quicker with it, and the mean is slower."""
    crews = drive(lib, 3000, lambda i, crew: 100.0 if crew == ALONE else (60.0, 150.0)[i // block % 2], [0.0, inf, 90.0])
    assert crews.count(ALONE) > 2000


def test_a_change_is_noticed_soon(lib: Any) -> None:
    """At run 200 the second core becomes useless, at run 600 it is back."""
    crews = drive(lib, 1000, lambda i, crew: 100.0 if crew == ALONE else 160.0 if 200 <= i < 600 else 60.0, [0.0, inf, 80.0])
    assert crews[200:600].count(ALONE) > 350
    assert crews[600:].count(PLANNED) > 300


def test_a_disturbed_moment_is_soon_forgotten(lib: Any) -> None:
    """Both cores take three times as long around the first trial, and as little as ever a moment later."""
    crews = drive(lib, 200, lambda i, crew: 100.0 if crew == ALONE else 180.0 if 20 <= i < 40 else 60.0, [0.0, inf, 80.0])
    assert ALONE in crews[:40]
    assert crews[40:].count(ALONE) < 20


def test_trials_become_rare_when_they_change_nothing(lib: Any) -> None:
    crews = drive(lib, 2000, lambda i, crew: 100.0 if crew == ALONE else 130.0, [0.0, inf, 90.0])
    assert crews[1000:].count(PLANNED) <= 2 * (1000 // 64 + 1)


@given(st.lists(st.floats(1, 1e12), min_size=3, max_size=3), st.integers(0, 2**32 - 1), st.lists(st.floats(0.5, 4), max_size=50))
def test_any_times_give_a_crew(lib: Any, ticks: list[float], start: int, noise: list[float]) -> None:
    trial = ffi.new("asymo_trial *", {"run": start, "due": (start + 3) % 2**32, "last": start, "pause": 8})
    for factor in noise:
        crew = lib.trial_choose(trial, [0.0, 0.0, 0.0])
        assert 0 <= crew < 3
        lib.trial_learn(trial, crew, ticks[crew] * factor)
        assert all(0 <= t <= 4.1e12 for t in trial.ticks)
        trial.run = (trial.run + 1) % 2**32
