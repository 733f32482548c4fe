"""Utilisation clamps: the system call's numbers and structure against the kernel's headers, and what the levers ask of it."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymo.device import frequency, uclamp
from asymo.device.frequency import Levers
from tests.device.test_frequency import CPUFREQ, board

HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "i686": "/usr/include/x86_64-linux-gnu/asm/unistd_32.h",
    "aarch64": "/usr/aarch64-linux-gnu/include/asm-generic/unistd.h",
}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_the_headers(machine: str) -> None:
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip(f"no {header}")
    numbers = dict(re.findall(r"#define __NR_(sched_[sg]etattr) (\d+)", header.read_text()))
    assert uclamp.NUMBERS[machine] == (int(numbers["sched_setattr"]), int(numbers["sched_getattr"]))


def test_the_structure_is_the_kernels() -> None:
    """Version 1 of struct sched_attr: 56 bytes, the clamps at its end."""
    assert ctypes.sizeof(uclamp._Attributes) == 56
    assert (uclamp._Attributes.util_min.offset, uclamp._Attributes.util_max.offset) == (48, 52)


@pytest.mark.skipif(platform.machine() not in uclamp.NUMBERS, reason="the number of the system call is not known here")
def test_this_kernel_answers() -> None:
    """Whatever it allows, the thread is as it was; and an answer for a thread that is none is the right error."""
    before = (os.sched_getscheduler(0), os.nice(0), os.sched_getaffinity(0), uclamp.get())
    assert uclamp._attributes(0).policy == before[0]
    assert uclamp._attributes(0).nice == before[1]
    assert uclamp.refusal() == "" or "CONFIG_UCLAMP_TASK" in uclamp.refusal() or "not permitted" in uclamp.refusal()
    assert (os.sched_getscheduler(0), os.nice(0), os.sched_getaffinity(0), uclamp.get()) == before
    with pytest.raises(OSError, match="No such process") as caught:
        uclamp.get(2**22 + 1)
    assert caught.value.errno == errno.ESRCH


def test_an_unknown_machine_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    assert "vax" in uclamp.refusal()


@given(st.integers(1, 4_000_000), st.integers(1, 4_000_000), st.integers(1, 1024))
def test_schedutil_would_choose_the_clock(khz: int, highest: int, capacity: int) -> None:
    """By the kernel's formulas: highest x utilisation / capacity from 6.8 on, 1.25 times that before; to half a step of utilisation."""
    khz = min(khz, highest)
    step = highest / capacity
    assert abs(highest * uclamp.utilisation(khz, highest, capacity, False) / capacity - khz) <= 0.51 * step
    assert abs(1.25 * highest * uclamp.utilisation(khz, highest, capacity, True) / capacity - khz) <= 1.25 * 0.51 * step


@pytest.mark.parametrize(
    ("release", "adds"),
    [("5.10.110-android12", True), ("6.7.12", True), ("6.8.0-31-generic", False), ("6.18", False), ("7.0-rc1", False), ("odd", False)],
)
def test_headroom_by_release(release: str, adds: bool) -> None:
    assert uclamp.adds_headroom(release) == adds


def test_threads_pinned_inside_a_policy() -> None:
    ids, go = [], threading.Event()
    cpu = min(os.sched_getaffinity(0))

    def work() -> None:
        os.sched_setaffinity(0, {cpu})
        ids.append(threading.get_native_id())
        go.wait()

    thread = threading.Thread(target=work)
    thread.start()
    while not ids:
        os.sched_yield()
    assert ids[0] in uclamp.pinned({cpu})
    assert ids[0] not in uclamp.pinned({cpu + 4000})
    go.set()
    thread.join()


@pytest.fixture
def clamps(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, tuple[int, int]]]:
    """A kernel with CONFIG_UCLAMP_TASK: thread -> clamps."""
    threads = {11: (0, 1024), 12: (0, 1024), 13: (0, 1024)}

    def put(thread: int, least: int, most: int) -> None:
        if thread not in threads:
            raise ProcessLookupError(errno.ESRCH, "No such process")
        threads[thread] = (least, most)

    monkeypatch.setattr(uclamp, "refusal", lambda: "")
    monkeypatch.setattr(uclamp, "get", lambda thread=0: threads[thread])
    monkeypatch.setattr(uclamp, "put", put)
    monkeypatch.setattr(uclamp, "adds_headroom", lambda release="": False)
    return threads


def unprivileged(root: Path) -> Levers:
    """A Kirin 970 whose files nobody may write: links to themselves, for root reads and writes everything else."""
    board(root)
    for path in (root / CPUFREQ).glob("policy*/scaling_m*_freq"):
        text = path.read_text()
        path.with_name(f"was_{path.name}").write_text(text)
        path.unlink()
        path.symlink_to(path.name)
    (root / "sys/devices/system/cpu/cpu4").mkdir(parents=True)
    (root / "sys/devices/system/cpu/cpu4/cpu_capacity").write_text("1024")
    (root / "sys/devices/system/cpu/cpu0").mkdir(parents=True)
    (root / "sys/devices/system/cpu/cpu0/cpu_capacity").write_text("360")
    return Levers(root / "sys", root / "state" / "frequency.json")


def test_without_permission_threads_are_clamped_and_let_go(tmp_path: Path, clamps: dict[int, tuple[int, int]]) -> None:
    levers = unprivileged(tmp_path)
    with levers.apply({0: 922000, 4: 1364000}, threads={0: [11], 4: [12, 13]}) as held:
        assert [(o.policy, o.way) for o in held.outcomes] == [(0, frequency.UCLAMP), (4, frequency.UCLAMP)]
        big = round(1024 * 1364 / 2362)
        little = round(360 * held.outcomes[0].khz / 1844000)
        assert clamps == {11: (little, little), 12: (big, big), 13: (big, big)}
        del clamps[13]  # the thread ends
    assert clamps == {11: (0, 1024), 12: (0, 1024)}
    assert not (tmp_path / "state").exists(), "nothing was written, so there is nothing to remember"


def test_no_thread_there(tmp_path: Path, clamps: dict[int, tuple[int, int]]) -> None:
    with unprivileged(tmp_path).apply({4: 1364000}, threads={}) as held:
        assert held.outcomes[0].way == ""
        assert "uclamp: no thread of this process is pinned there" in held.outcomes[0].notes
