"""Every environment variable that Asymo reads, one row each. Nothing else in the package touches os.environ.

    from asymo import knobs
    knobs.NUM_THREADS.get()      # int | None, read from the environment at each call

`asymo-bench knobs` prints KNOBS. A new knob is a new row.
"""

from __future__ import annotations

import os
from typing import Generic, TypeVar

from asymo.errors import InvalidArgumentError

T = TypeVar("T", str, int)
Kind = type[T]


class Knob(Generic[T]):
    """An environment variable: its name, the type of its value, the value when unset or empty, and what it does."""

    def __init__(self, name: str, type: Kind[T], default: T | None, doc: str, choices: tuple[str, ...] = ()) -> None:
        self.name = name
        self.type: Kind[T] = type
        self.default: T | None = default
        self.doc = doc
        self.choices = choices

    def get(self) -> T | None:
        """The value now. InvalidArgumentError names the variable when the text does not fit the type or the choices."""
        text = os.environ.get(self.name, "").strip()
        if not text:
            return self.default
        if self.choices and text not in self.choices:
            raise InvalidArgumentError(f"{self.name}={text!r}: choose one of {', '.join(self.choices)}")
        try:
            return self.type(text)
        except ValueError:
            raise InvalidArgumentError(f"{self.name}={text!r} is not an {self.type.__name__}") from None


ISA = Knob("ASYMO_ISA", str, None, "Instruction set of the kernels (portable, neon, avx2, avx512); unset: the best one this CPU has.")
NUM_THREADS = Knob("ASYMO_NUM_THREADS", int, None, "Workers of a session that names neither threads nor cores; unset: one per core used.")
CORES = Knob("ASYMO_CORES", str, None, 'Cores of a session that names none: "big", "all", or a list such as "0-3,6".')
SPIN_US = Knob("ASYMO_SPIN_US", int, None, "Microseconds a waiting worker spins before it sleeps; 0 sleeps at once; unset: 50.")
LOG = Knob("ASYMO_LOG", str, "warning", "Lowest level that is logged.", ("debug", "info", "warning", "error"))

SCHED = Knob(
    "ASYMO_SCHED", str, "guided", "Who gets which units of a step: guided is ours, the others are other runtimes' ways, to compare with.",
    ("guided", "big", "static", "queue", "shards", "fixed"),
)  # fmt: skip
SLOWDOWN = Knob("ASYMO_SLOWDOWN", str, None, 'Emulates unequal cores: how many times slower each worker is made, "1,2.5"; for tests.')
ROOT = Knob("ASYMO_ROOT", str, "/", "Folder below which sessions read sysfs and procfs: a recorded machine instead of this one.")
CALIBRATION = Knob("ASYMO_CALIBRATION", str, None, "File of this machine's calibration; unset: asymo/calibration.json in the cache folder.")
XDG_CACHE_HOME = Knob("XDG_CACHE_HOME", str, None, "The user's cache folder; unset: ~/.cache.")

KNOBS: tuple[Knob[str] | Knob[int], ...] = (ISA, NUM_THREADS, CORES, SPIN_US, LOG, SCHED, SLOWDOWN, CALIBRATION, XDG_CACHE_HOME, ROOT)
