"""How far ahead of a late worker the others may be: which later step overwrites what a step still reads or writes.

A worker that was preempted in the middle of a chunk holds nobody up when another one computes the chunk again and all go on (csrc/sched,
rescue). The late worker then reads and writes, some steps later, what belonged to its step. That is harmless as long as no later step has
written there: until its step's horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Any

from asymo.plan.access import Access
from asymo.plan.views import rows_of

AHEAD = 32
"""Steps that are looked at; a horizon is no further."""


_TARGETS: dict[str, Callable[[Mapping[str, Any], int], range]] = {
    "gemm": lambda a, n: range(5, 6),
    "conv": lambda a, n: range(5, 6),
    "dwconv": lambda a, n: range(5, 6),
    "separable": lambda a, n: range(8, 9),
    "winograd": lambda a, n: range(5, 6),
    "gemm_pack": lambda a, n: range(1, 2),
    "pool": lambda a, n: range(1, 3),
    "eltwise": lambda a, n: range(n - a["n_out"], n),
    "typed": lambda a, n: range(n - 1, n),
    "copy": lambda a, n: range(1, 2),
    "fill": lambda a, n: range(1, 2),
    "gather": lambda a, n: range(2, 3),
    "reduce": lambda a, n: range(1, 2),
    "argreduce": lambda a, n: range(1, 2),
    "softmax": lambda a, n: range(1, 2),
    "attention": lambda a, n: range(4, 5),
    "norm": lambda a, n: range(3, 6),
    "lrn": lambda a, n: range(1, 2),
    "resample": lambda a, n: range(3, 4),
    "rnn": lambda a, n: range(7, 11),
}
"""Step kind -> which of its n operands it writes (csrc/asymo.h)."""


def targets(kind: str, args: Mapping[str, Any], operands: int) -> range:
    """The operands that a step writes."""
    return _TARGETS[kind](args, operands)


def columns(kind: str, args: Mapping[str, Any], operand: int) -> tuple[int, int] | None:
    """(bytes of a row, bytes from row to row) of an operand whose rows lie apart, a part of a concatenation; None of any other."""
    found = rows_of(kind, args, operand)
    if found is None:
        return None
    size, width, pitch = args.get("size_bytes", 4), found[0], gcd(*found[1])
    return (width * size, pitch * size) if pitch > width else None


def horizons(steps: Sequence[Access]) -> list[int]:
    """For every step the index of the first later step that writes what it reads or writes, len(steps) when none does; its own index when
    it writes what it reads itself."""
    found = []
    for i, step in enumerate(steps):
        if any(w.meets(r) for w in step.writes for r in step.reads):
            found.append(i)
            continue
        touched = step.reads + step.writes
        last = min(i + AHEAD, len(steps))
        found.append(next((j for j in range(i + 1, last) if any(w.meets(t) for w in steps[j].writes for t in touched)), last))
    return found
