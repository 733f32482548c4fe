"""The process's pools: sessions with the same crew share their workers. A forked child starts with none and makes its own."""

from __future__ import annotations

import os
import threading
from typing import Any
from weakref import WeakValueDictionary

from asymo import knobs
from asymo._core import Pool
from asymo.runtime.crew import Crew

_pools: WeakValueDictionary[tuple[Any, ...], Pool] = WeakValueDictionary()
_lock = threading.Lock()


def pool(crew: Crew, spin_ns: int | None, instead_of: Pool | None = None) -> Pool:
    """The pool of a crew. spin_ns: as for Pool. instead_of: a pool that no longer is what it was; another one takes its place."""
    key = (crew.workers, spin_ns if crew.spins else 0, knobs.SCHED.get())
    with _lock:
        found = _pools.get(key)
        if found is None or found is instead_of:
            found = _pools[key] = Pool(crew.workers, key[1])
        return found


def _start_again() -> None:
    """Threads do not survive fork(), and the lock may be held by one that is not there."""
    global _lock, _pools
    _lock, _pools = threading.Lock(), WeakValueDictionary()


os.register_at_fork(after_in_child=_start_again)
