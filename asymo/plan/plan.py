"""The plan: what runs, in which order, on what memory. Plain data that can be printed, stored and compared.

A program addresses memory by slot: slot 0 is the arena, then come the constants, the inputs and the outputs, in this order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Number = int | float
Args = dict[str, Number | tuple[Number, ...]]

ARENA = 0
"""Slot of the arena."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Where an operand lives. slot -1: absent."""

    slot: int
    offset_bytes: int = 0


ABSENT = Ref(-1)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the C program. `kind` and `args` are those of csrc/asymo.h; `node` and `op` say what it came from."""

    kind: str
    args: Args
    operands: tuple[Ref, ...]
    node: str
    op: str
    serial: bool = False
    min_chunk: int = 1


@dataclass(frozen=True, slots=True)
class Port:
    """A tensor that enters or leaves: its name in the model, dtype and concrete shape."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """Everything one native segment needs.

    constants: arrays behind slots 1 ... len(constants); inputs and outputs: the slots after them.
    """

    steps: tuple[Step, ...]
    arena_bytes: int
    constants: tuple[np.ndarray, ...] = field(repr=False)
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()

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
