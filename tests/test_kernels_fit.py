"""Cores that lack what others have: the kernels in use are those that every core runs, and cores that cannot run them are left out."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from _models import model, node

import asymo
from asymo import _core
from asymo.errors import UnsupportedError
from asymo.runtime import kernels
from asymo.runtime.kernels import Found, Kernels, common, visit

sys.path.insert(0, str(Path(__file__).parent / "sched"))
from _compile import compile_c

MINE = sorted(os.sched_getaffinity(0))
ALL = tuple(_core.isas())


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = _core.isa_name()
    yield
    _core.select_isa(before)


def lacking(cpu: int, isa: str) -> Callable[[], Found]:
    """A machine one of whose cores has less than the others. It looks at the mask of the thread that asks, as an instruction would."""

    def look() -> Found:
        (here,) = os.sched_getaffinity(0)
        return Found(tuple(i for i in ALL if here != cpu or i != isa))

    return look


two_cores = pytest.mark.skipif(len(MINE) < 2, reason="needs two CPUs")
something_to_lack = pytest.mark.skipif(len(ALL) < 2, reason="this CPU has portable kernels only")


# ---- what is decided

BIG, LITTLE = Found(("portable", "avx2", "avx512")), Found(("portable", "avx2"))


@pytest.mark.parametrize(
    ("found", "wanted", "chosen", "says"),
    [
        ({0: BIG, 1: BIG}, "avx512", "avx512", ""),
        ({0: BIG, 1: BIG, 2: LITTLE, 3: LITTLE}, "avx512", "avx2", "CPUs 2-3 do not run the kernels for avx512, which CPUs 0-1 run"),
        ({0: BIG, 1: BIG, 2: LITTLE, 3: LITTLE}, "avx512", "avx2", "`taskset -c 0-1` before the command keeps avx512"),
        ({0: BIG, 1: LITTLE}, "avx2", "avx2", ""),
        ({0: LITTLE, 1: LITTLE}, "avx512", "avx2", "CPUs 0-1 do not run the kernels for avx512: those for avx2 are used"),
        ({0: BIG, 4: Found(("portable",))}, "avx512", "portable", "CPUs 4 do not"),
        ({0: Found(("portable", "neon")), 4: Found(("portable",))}, "neon", "portable", "CPUs 4 do not run the kernels for neon"),
        ({0: Found(()), 1: BIG}, "avx2", "portable", "CPUs 0 do not"),
    ],
)
def test_common(found: dict[int, Found], wanted: str, chosen: str, says: str) -> None:
    got, told = common(found, wanted)
    assert got == chosen
    assert says in told
    assert bool(told) == bool(says)


# ---- what is found


def test_each_core_is_visited() -> None:
    found = visit(MINE, lambda: Found((str(sorted(os.sched_getaffinity(0))),)))()
    assert {cpu: f.isas for cpu, f in found.items()} == {cpu: (str([cpu]),) for cpu in MINE}
    assert sorted(os.sched_getaffinity(0)) == MINE, "the caller's own mask is untouched"


def test_cores_that_cannot_be_visited_are_left_out() -> None:
    assert visit([MINE[0], 8191], kernels.here)().keys() == {MINE[0]}


def test_what_has_begun_is_waited_for() -> None:
    seen: list[int] = []

    def look() -> Found:
        seen.extend(os.sched_getaffinity(0))
        return kernels.here()

    known = Kernels(look)
    known.begin(MINE[:1])
    known.begin(MINE[:1])
    assert known.fit(MINE) == set(MINE)
    known.begin(MINE)
    assert known.fit(MINE) == set(MINE)
    assert seen == MINE, "each core is looked at once"


def test_this_machine_runs_what_it_claims() -> None:
    assert kernels.here().isas == ALL


def test_kernels_of_other_architectures_do_not_run() -> None:
    assert not {"neon", "avx2"} <= set(_core.isas_here())


@something_to_lack
@two_cores
def test_one_core_lacks_the_best(caplog: pytest.LogCaptureFixture) -> None:
    known = Kernels(lacking(MINE[1], ALL[-1]))
    _core.select_isa(ALL[-1])
    assert known.fit(MINE) == set(MINE), "all cores are used, with the kernels that all have"
    assert _core.isa_name() == ALL[-2]
    assert f"CPUs {MINE[1]} do not run the kernels for {ALL[-1]}" in caplog.text
    caplog.clear()
    assert known.fit(MINE) == set(MINE)
    assert "do not run" not in caplog.text, "it is said once"


@something_to_lack
@two_cores
def test_a_poor_core_that_comes_later_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    known = Kernels(lacking(MINE[1], ALL[-1]))
    _core.select_isa(ALL[-1])
    assert known.fit([MINE[0]]) == {MINE[0]}
    assert _core.isa_name() == ALL[-1]
    assert known.fit(MINE) == set(MINE) - {MINE[1]}
    assert _core.isa_name() == ALL[-1], "weights are packed for it"
    assert "left out" in caplog.text
    with pytest.raises(UnsupportedError, match="none of the CPUs"):
        known.fit([MINE[1]])


@something_to_lack
@two_cores
def test_a_named_instruction_set_that_a_core_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYMO_ISA", ALL[-1])
    _core.select_isa(ALL[-1])
    with pytest.raises(UnsupportedError, match=f"ASYMO_ISA={ALL[-1]}.*unset ASYMO_ISA"):
        Kernels(lacking(MINE[1], ALL[-1])).fit(MINE)
    assert _core.isa_name() == ALL[-1]


@something_to_lack
@two_cores
def test_a_session_on_such_a_machine(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(3)
    w, x = rng.standard_normal((40, 70)).astype(np.float32), rng.standard_normal((9, 40)).astype(np.float32)
    blob = model([node("MatMul", ["x", "w"], ["y"])], {"x": x}, ["y"], {"w": w}).SerializeToString()
    _core.select_isa(ALL[-1])
    monkeypatch.setattr(kernels, "process", Kernels(lacking(MINE[1], ALL[-1])))
    session = asymo.load(blob)
    assert session.plans()[0].machine.isa == ALL[-2]
    np.testing.assert_allclose(session(x), x.astype(np.float64) @ w, rtol=1e-4, atol=1e-4)
    assert len(session.placement) == len(MINE)


def test_a_cpu_without_vector_kernels_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("ASYMO_ISA", raising=False)
    _core.select_isa("portable")
    with caplog.at_level(logging.WARNING, "asymo"):
        assert Kernels(lambda: Found(("portable",))).fit(MINE) == set(MINE)
    assert "portable kernels are used" in caplog.text
    caplog.clear()
    monkeypatch.setenv("ASYMO_ISA", "portable")
    Kernels(lambda: Found(("portable",))).fit(MINE)
    assert caplog.text == "", "who asked for them is not told"


# ---- the instruction that a core does not have


def test_illegal_instructions(tmp_path: Path) -> None:
    program = compile_c(tmp_path / "illegal", ["tests/_illegal.c", "csrc/common/illegal.c"], "-O2")
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
