"""Programs, pools and the door to C: what is refused and how, where workers land, the same bits for any number of workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from _steps import run_step

from asymo import _core, errors, knobs
from asymo._core import Pool, Program, Slots, Worker, ffi, lib

FILL = {"size_bytes": 4, "count": 1000, "unit_size": 7}
FILL_REFS = [(0, 0), (1, 0)]


def fill_slots(n: int = 1000) -> tuple[Slots, np.ndarray[Any, Any]]:
    """Slots of a fill step: the pattern 3.0 and a destination of zeros."""
    slots, target = Slots(2), np.zeros(n, np.float32)
    slots[0], slots[1] = np.array([3], np.float32), target
    return slots, target


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool([-1, -1]) as pool:
        yield pool


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_every_status_has_its_class() -> None:
    statuses = {name: getattr(lib, name) for name in ("ASYMO_INVALID_ARGUMENT", "ASYMO_OUT_OF_MEMORY", "ASYMO_THREAD_FAILED")}
    statuses |= {name: getattr(lib, name) for name in ("ASYMO_UNSUPPORTED", "ASYMO_FORKED")}
    for name, status in statuses.items():
        assert errors.BY_STATUS[status].__name__.removesuffix("Error") == name.removeprefix("ASYMO_").title().replace("_", "")
    assert sorted(statuses.values()) == sorted(errors.BY_STATUS)


def raw_add(program: Program, kind: int = 0, refs: Any = ffi.NULL, n_refs: int = 0, **sharing: Any) -> int:
    args, sharing = _core.step_args("fill", FILL), ffi.new("asymo_sharing *", sharing)
    return int(lib.asymo_program_add(program._open(), kind, args, refs, n_refs, sharing))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kind": -1}, "there is no step kind -1"),
        ({"kind": lib.asymo_step_kind_count()}, "there is no step kind"),
        ({"n_refs": 25}, "25 operands, at most 24"),
        ({"n_refs": -1}, "-1 operands"),
        ({"n_refs": 1}, "refs is NULL"),
        ({"refs": [(0, -8)], "n_refs": 1}, "at byte -8"),
        ({"chunk": [0, -1]}, "0 cores of type 1 that claim -1 units"),
        ({"cores": [1, 0, -2]}, "-2 cores of type 2"),
        ({"unit_ns": [1.0, float("nan")]}, "a unit of nan ns on type 1"),
    ],
)
def test_add_refuses(wrong: dict[str, Any], sentence: str) -> None:
    with Program(1) as program:
        wrong = {"kind": _core.step_kind("fill"), **wrong}
        with pytest.raises(errors.InvalidArgumentError, match=sentence):
            _core.check(raw_add(program, **{**wrong, "refs": ffi.new("asymo_ref[]", wrong["refs"]) if "refs" in wrong else ffi.NULL}))
        assert program.add("fill", FILL, FILL_REFS) == 0, "a refused step must leave no trace"
        with pytest.raises(errors.InvalidArgumentError, match="made for 1 steps"):
            program.add("fill", FILL, FILL_REFS)


def test_add_refuses_impossible_units() -> None:
    with Program(1) as program, pytest.raises(errors.InvalidArgumentError, match=r"step 0 \(fill\) has -\d+ units"):
        program.add("fill", {**FILL, "count": -14, "unit_size": 1}, FILL_REFS)


def test_run_refuses(pool: Pool) -> None:
    slots, target = fill_slots()
    with Program(2) as program:
        program.add("fill", FILL, FILL_REFS)
        for first, last in [(-1, 1), (0, 2), (1, 0)]:
            with pytest.raises(errors.InvalidArgumentError, match="of a program of 1"):
                program.run(pool, slots, first, last)
        with pytest.raises(errors.InvalidArgumentError, match="1 slots were given, the program uses 2"):
            program.run(pool, Slots(1))
        with pytest.raises(errors.InvalidArgumentError, match=r"operand 0 of step 0 \(fill\) is in slot 0, which is NULL"):
            program.run(pool, Slots(2))
        with pytest.raises(errors.InvalidArgumentError, match="times_ns must be"):
            program.run(pool, slots, times_ns=np.zeros((1, 1, 2), np.int64))
        assert not target.any()
        program.run(pool, slots, 1, 1)
        assert not target.any()
        program.run(pool, slots)
        assert (target == 3).all()


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [
        ([], "a pool of 0 workers: 1 to 1023"),
        ([-1] * 1024, "a pool of 1024 workers"),
        ([Worker(type=4)], "worker 0 is of core type 4; there are 0 to 3"),
        ([Worker(type=1), Worker()], "worker 1 is of a faster type"),
        ([Worker(slowdown=0.5)], "worker 0 is to be 0.5 times slower"),
        ([-1, Worker(slowdown=float("nan"))], "worker 1 is to be nan times slower"),
    ],
)
def test_pool_refuses(workers: list[Worker | int], sentence: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=sentence):
        Pool(workers)


def test_more_units_than_a_range_holds(pool: Pool) -> None:
    target = np.zeros((1 << 24) + 77, np.uint8)
    slots = Slots(2)
    slots[0], slots[1] = np.array([9], np.uint8), target
    with Program(1, 2) as program:
        program.add("fill", {"size_bytes": 1, "count": target.size, "unit_size": 1}, FILL_REFS, chunk=1 << 20)
        program.run(pool, slots)
    assert (target == 9).all()


def test_closed_owners_refuse(pool: Pool) -> None:
    program = Program(1)
    program.close()
    program.close()
    with pytest.raises(errors.InvalidArgumentError, match="program is closed"):
        program.run(pool, Slots(0))
    with pytest.raises(errors.InvalidArgumentError, match="at least 0"):
        pool.set_spin(-1)


def test_unknown_names() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="no step kind is called 'matmul'"):
        _core.step_args("matmul", {})
    with pytest.raises(errors.UnsupportedError, match="'mmx'"):
        _core.select_isa("mmx")


# ---- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("min_chunk", [1, 5])
def test_same_bits_for_any_workers(isa: str, rng: np.random.Generator, min_chunk: int) -> None:
    m, n, k = 61, 67, 129
    a, b = rng.standard_normal((m, k), np.float32), _core.gemm_pack(rng.standard_normal((k, n), np.float32))
    args = {"m": m, "n": n, "k": k, "lda": k, "ldc": n, "batch": (1, 1, 1), "unit_m": 7, "unit_n": 32}
    results = []
    for workers in (1, 2, 3, 4, 8):
        c = np.full((m, n), np.nan, np.float32)
        run_step("gemm", args, [a, b, None, None, None, c], workers=workers, min_chunk=min_chunk)
        results.append(c.view(np.int32))
    assert all((result == results[0]).all() for result in results)


def test_serial_steps_run_on_the_caller_alone(pool: Pool) -> None:
    slots, target = fill_slots()
    times = np.full((2, 2, 2), -1, np.int64)
    with Program(2) as program:
        program.add("fill", {**FILL, "count": 500}, FILL_REFS, serial=True)
        program.add("fill", {**FILL, "count": 500}, [(0, 0), (1, 2000)], chunk=500)
        program.run(pool, slots, times_ns=times)
    assert (target == 3).all()
    assert (times[:, 0] > 0).all()
    assert (times[:, 1] == 0).all()


def test_several_callers_share_a_pool(pool: Pool) -> None:
    with Program(1) as program:
        program.add("fill", FILL, FILL_REFS)
        wrong: list[int] = []

        def call(caller: int) -> None:
            slots, target = fill_slots()
            for _ in range(50):
                target[:] = 0
                program.run(pool, slots)
                if not (target == 3).all():
                    wrong.append(caller)

        threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


# ---- placement ------------------------------------------------------------------------------------------------------


def test_workers_are_pinned_and_the_mask_restored() -> None:
    before = os.sched_getaffinity(0)
    cpus = sorted(before)[:2]
    with Pool(cpus) as pool, Program(1) as program:
        assert pool.placement() == cpus
        program.add("fill", FILL, FILL_REFS)
        slots, target = fill_slots()
        program.run(pool, slots)
        assert (target == 3).all()
        assert os.sched_getaffinity(0) == before


def test_refused_cpus_are_reported() -> None:
    """A CPU that does not exist, and one outside the mask of the process."""
    before = os.sched_getaffinity(0)
    first, *others = sorted(before)
    try:
        os.sched_setaffinity(0, {first})
        wanted = [first, 8191, *others]
        with Pool(wanted) as pool, Program(1) as program:
            assert pool.placement() == [first, *[-1] * (len(wanted) - 1)]
            program.add("fill", FILL, FILL_REFS)
            slots, target = fill_slots()
            program.run(pool, slots)
            assert (target == 3).all()
        assert os.sched_getaffinity(0) == {first}
    finally:
        os.sched_setaffinity(0, before)


def in_python(code: str, **environment: str) -> str:
    """What a new interpreter prints, or its error."""
    environment = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False)
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def test_a_forked_child_is_told() -> None:
    assert in_python(
        """
import os
from asymo import _core, errors
pool, program = _core.Pool([-1, -1]), _core.Program(0)
if os.fork() == 0:
    try:
        program.run(pool, _core.Slots(0))
    except errors.ForkedError as error:
        print(error)
    pool.close()
    program.run(_core.Pool([-1, -1]), _core.Slots(0))
    print("child")
else:
    assert os.wait()[1] == 0
    program.run(pool, _core.Slots(0))
    print("parent")
"""
    ).split("\n") == ["this pool belongs to the parent process; threads do not survive fork(): make a new pool", "child", "parent"]


# ---- knobs and buffers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _core.isas())
def test_the_knob_selects_the_instruction_set(name: str) -> None:
    assert in_python("from asymo import _core; print(_core.isa_name())", ASYMO_ISA=name) == name


def test_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({knob.name for knob in knobs.KNOBS}) == len(knobs.KNOBS)
    monkeypatch.setenv("ASYMO_NUM_THREADS", " 3 ")
    assert knobs.NUM_THREADS.get() == 3
    monkeypatch.setenv("ASYMO_NUM_THREADS", "many")
    with pytest.raises(errors.InvalidArgumentError, match="ASYMO_NUM_THREADS='many' is not an int"):
        knobs.NUM_THREADS.get()
    monkeypatch.setenv("ASYMO_LOG", "loud")
    with pytest.raises(errors.InvalidArgumentError, match="debug, info"):
        knobs.LOG.get()
    monkeypatch.delenv("ASYMO_LOG")
    assert knobs.LOG.get() == "warning"


@pytest.mark.parametrize("n", [1, 63, 64, 1000])
def test_aligned_empty(n: int) -> None:
    block = _core.aligned_empty(n)
    assert block.nbytes == n
    assert _core.address(block) % 64 == 0


@pytest.mark.parametrize("sizes", [[1, 15, 16, 17, 1000], [1 << 20] * 5, [(1 << 20) + 1, 3, 1 << 22]], ids=["small", "blocks", "large"])
def test_weights_do_not_overlap(sizes: list[int]) -> None:
    arrays = [_core.weights.empty(n) for n in sizes]
    assert [a.shape for a in arrays] == [(n,) for n in sizes]
    assert all(_core.address(a) % 64 == 0 for a in arrays)
    for i, array in enumerate(arrays):
        array[:] = i
    assert all((array == i).all() for i, array in enumerate(arrays))


def test_slots_hold_their_arrays() -> None:
    slots = Slots(1)
    with pytest.raises((BufferError, ValueError)):
        slots[0] = np.zeros((4, 4), np.float32).T[1:]
    array = np.zeros((4, 4), np.float32)
    slots.set_strided(0, array.T[1:])
    assert int(ffi.cast("uintptr_t", slots.pointers[0])) == _core.address(array) + 4
    slots.clear(0)
    assert slots.pointers[0] == ffi.NULL
