"""Notices that the CPUs which this process may use, or the time that it gets on them, have changed. Cheap enough for every run."""

from __future__ import annotations

import os
import threading
import time

from asymo.device import topology
from asymo.device.topology import Limits, format_cpu_list

MASK_S, FILES_S = 0.1, 5.0
"""Seconds between two looks at the masks (12 us with 2 workers) and at the files (0.2 ms): 0.02 % of the time in all."""


class Watch:
    """The limits that a session was planned under, and whether they still hold.

    The mask is that of the calling thread. CPUs that go offline or leave the cpuset vanish from it, so they are noticed without reading a
    file. Threads may have masks of their own: a thread that comes with another mask than the planned one changes nothing, one whose
    mask is another than when it came last does. A new thread counts if its mask shows that CPUs are back which were there at the start.

    due: the time.monotonic() from which on `news` may have something to tell.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._is_real = root == "/"
        self._thread = threading.local()
        self.limits = topology.limits(root)
        self._home = self.limits.mask
        self._thread.mask = self.limits.mask
        self._is_forked = False
        now = time.monotonic()
        self.due, self._files_due = now + MASK_S, now + FILES_S

    def forked(self) -> None:
        """This process is a child of the one that made the watch, and has none of its threads."""
        self._is_forked = True

    def take_fork(self) -> bool:
        """Whether `forked` was called since the last time."""
        was, self._is_forked = self._is_forked, False
        return was

    def news(self) -> str:
        """What has changed since the last call as the beginning of a sentence, "" when nothing has. `limits` are the new ones then."""
        now = time.monotonic()
        self.due = now + MASK_S
        before = self.limits
        if self._is_real:
            self._follow(frozenset(os.sched_getaffinity(0)))
        if now >= self._files_due and (not self._is_real or self._thread.mask == self.limits.mask):
            self._files_due = now + FILES_S
            self.limits = topology.limits(self._root)
        return "" if self.limits == before else _difference(before, self.limits)

    def _follow(self, mask: frozenset[int]) -> None:
        seen = getattr(self._thread, "mask", None)
        self._thread.mask = mask
        if self._is_forked or (mask != seen if seen is not None else self.limits.mask < mask <= self._home):
            self.limits = self.limits._replace(mask=mask)


def _difference(before: Limits, after: Limits) -> str:
    told = []
    if after.mask != before.mask:
        told.append(f"the CPUs this process may use changed from {_list(before.mask)} to {_list(after.mask)}")
    if gone := set(before.online) - set(after.online):
        told.append(f"CPUs {_list(gone)} went offline")
    if back := set(after.online) - set(before.online):
        told.append(f"CPUs {_list(back)} came online")
    if after.quota != before.quota:
        told.append(f"the control group's quota changed from {_cpus(before.quota)} to {_cpus(after.quota)}")
    return " and ".join(told)


def _list(cpus: set[int] | frozenset[int]) -> str:
    return format_cpu_list(sorted(cpus)) or "none"


def _cpus(quota: float) -> str:
    return f"{quota:g} CPUs" if quota else "none"
