"""Utilisation clamps: what a thread tells the schedutil governor about the clock it wants. Needs no permission for one's own threads.

The system call is made directly: glibc has no wrapper for it before 2.41, bionic none before API level 37. Android's filter for apps has
let it through since Android 8. Kernels without CONFIG_UCLAMP_TASK answer EOPNOTSUPP; governors other than schedutil ignore the clamp; it
ends with the thread.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Collection
from pathlib import Path

FULL = 1024
"""The utilisation of a thread that keeps the biggest core busy at its highest clock."""

NUMBERS = {
    "x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275), "loongarch64": (274, 275), "armv7l": (380, 381),
    "armv8l": (380, 381), "i686": (351, 352), "ppc64le": (355, 356), "s390x": (345, 346),
}  # fmt: skip
"""Machine -> numbers of sched_setattr and sched_getattr, by the kernel's unistd.h."""

KEEP_ALL, CLAMP_MIN, CLAMP_MAX = 0x08 | 0x10, 0x20, 0x40


class _Attributes(ctypes.Structure):
    """struct sched_attr of include/uapi/linux/sched/types.h, 56 bytes."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
        ("util_min", ctypes.c_uint32),
        ("util_max", ctypes.c_uint32),
    ]


def _call(which: int, thread: int, *arguments: object) -> None:
    numbers = NUMBERS.get(platform.machine())
    foreign = ctypes.sizeof(ctypes.c_void_p) == 4 and platform.machine() in ("x86_64", "aarch64")
    if numbers is None or foreign:
        raise OSError(errno.ENOSYS, f"the number of this system call on {platform.machine()} is not known")
    system = ctypes.CDLL(None, use_errno=True)
    if system.syscall(ctypes.c_long(numbers[which]), ctypes.c_int(thread), *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _attributes(thread: int) -> _Attributes:
    found = _Attributes()
    size = ctypes.sizeof(found)
    _call(1, thread, ctypes.byref(found), ctypes.c_uint(size), ctypes.c_uint(0))
    return found


def get(thread: int = 0) -> tuple[int, int]:
    """The clamps (least, most) of a thread of this process, 0: the caller. Raises OSError."""
    found = _attributes(thread)
    return found.util_min, found.util_max


def put(thread: int, least: int, most: int) -> None:
    """Clamps a thread's utilisation to least..most of FULL; everything else of it stays. Raises OSError: EOPNOTSUPP without
    CONFIG_UCLAMP_TASK, EPERM or ENOSYS where a filter forbids it, ESRCH when the thread has ended."""
    wanted = _attributes(thread)
    wanted.size, wanted.flags = ctypes.sizeof(wanted), KEEP_ALL | CLAMP_MIN | CLAMP_MAX
    wanted.util_min, wanted.util_max = least, most
    _call(0, thread, ctypes.byref(wanted), ctypes.c_uint(0))


def refusal() -> str:
    """Why clamps cannot be set here, "" when they can. Tries it: sets the calling thread's clamps to what they are."""
    try:
        least, most = get()
        put(0, least, most)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return "the kernel was built without CONFIG_UCLAMP_TASK"
        return error.strerror or str(error)
    return ""


def utilisation(khz: int, highest: int, capacity: int, headroom: bool) -> int:
    """The clamp for which schedutil chooses khz on a core of this capacity (FULL for the biggest) that reaches `highest` kHz.

    headroom: the kernel adds a quarter to the clamped utilisation before it chooses (up to 6.7; later it clamps after adding)."""
    share = min(1.0, khz / highest) * capacity
    return max(0, min(FULL, round(share / 1.25 if headroom else share)))


def adds_headroom(release: str = "") -> bool:
    """Whether this kernel (release: as in uname -r) adds the quarter."""
    numbers = (release or platform.release()).split(".")[:2]
    try:
        major, minor = int(numbers[0]), int(numbers[1].split("-")[0])
    except (ValueError, IndexError):
        return False
    return (major, minor) < (6, 8)


def pinned(cpus: Collection[int]) -> list[int]:
    """The threads of this process that may run on these CPUs only."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        try:
            if os.sched_getaffinity(int(task.name)) <= set(cpus):
                found.append(int(task.name))
        except OSError:
            continue  # it has ended
    return sorted(found)
