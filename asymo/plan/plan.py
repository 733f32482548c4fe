"""The plan: what runs, in which order, on what memory. Plain data that can be printed, stored and compared.

A program addresses memory by slot: slot 0 is the arena, then come the constants, the inputs and the outputs, in this order.
"""

from __future__ import annotations

import numpy as np

from asymo.cost.speeds import Machine
from asymo.plan.access import Access
from asymo.record import NamedTuple

Number = int | float
Args = dict[str, Number | tuple[Number, ...]]

ARENA = 0
"""Slot of the arena."""


class Ref(NamedTuple):
    """Where an operand lives. slot -1: absent."""

    slot: int
    offset_bytes: int = 0


ABSENT = Ref(-1)

POLICIES = ("guided", "big", "static", "queue", "shards", "fixed")
"""Ways to share units, the knob ASYMO_SCHED. guided is ours; the others are how other runtimes do it, to be compared with:

big: the biggest type alone. static: equal contiguous parts, no stealing (ncnn, OpenMP). queue: one queue (ggml). shards: equal parts,
stealing half of what is left (pthreadpool). fixed: each next type gets half of the previous one's share per core, no stealing (MNN)."""


class Sharing(NamedTuple):
    """How workers share the units of a step. Entries are one per core type of the machine, biggest first.

    cores: how many workers of each type take part; () when the caller alone runs the step and wakes nobody.
    chunk: units of a type's smallest claim, at least 1.
    unit_ns: predicted time of a unit on one worker of the type while all these workers are busy. Shares, guards against late steals and
        rescues rest on it.
    spin_ns: how long workers spin after the step before they sleep; -1: the pool's default; 0: a long serial stretch follows.
    """

    cores: tuple[int, ...] = ()
    chunk: tuple[int, ...] = ()
    unit_ns: tuple[float, ...] = ()
    spin_ns: int = -1

    @property
    def is_serial(self) -> bool:
        return sum(self.cores) == 0


SERIAL = Sharing()


class Step(NamedTuple):
    """One step of the C program. `kind` and `args` are those of csrc/asymo.h; `node` and `op` say what it came from.

    ns: predicted time from the step's first unit to the start of the next step, 0 when nothing was predicted.
    horizon: index of the first later step that must not start while a worker is still at this one, because it writes memory that this step
        reads or writes; at most the own index when no later step may.
    """

    kind: str
    args: Args
    operands: tuple[Ref, ...]
    node: str
    op: str
    sharing: Sharing = SERIAL
    ns: float = 0.0
    horizon: int = 0


class Port(NamedTuple):
    """A tensor that enters or leaves: its name in the model, dtype and concrete shape."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


class Plan(NamedTuple):
    """Everything one native segment needs.

    constants: arrays behind slots 1 ... len(constants); inputs and outputs: the slots after them. machine: the cores it was made for, and
    what was known of them. run_bytes: bytes of constants that a run reads, as the predictions took them. accesses: the memory that each
    step reads and writes; () of a plan that was stored.
    """

    steps: tuple[Step, ...]
    arena_bytes: int
    constants: tuple[np.ndarray, ...]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    machine: Machine | None = None
    run_bytes: int = 0
    accesses: tuple[Access, ...] = ()

    @property
    def first_input_slot(self) -> int:
        return 1 + len(self.constants)

    @property
    def first_output_slot(self) -> int:
        return self.first_input_slot + len(self.inputs)

    @property
    def slots(self) -> int:
        return self.first_output_slot + len(self.outputs)

    def __str__(self) -> str:
        lines = [f"arena {self.arena_bytes} bytes, {len(self.constants)} constants, {len(self.steps)} steps"]
        lines += [f"{i:4d} {s.kind:10s} {s.op:20s} {s.node}" for i, s in enumerate(self.steps)]
        return "\n".join(lines)
