"""What lowering works with: memory without a place yet, views of it, and steps that are not final."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asymo.graph.ir import Node
from asymo.plan.plan import Args
from asymo.record import NamedTuple


class Buffer:
    """A piece of memory during lowering. Exactly one of array (a constant), port (an input) or neither (arena or output)."""

    __slots__ = ("nbytes", "array", "input")

    def __init__(self, nbytes: int, array: np.ndarray | None = None, input: int | None = None) -> None:
        self.nbytes = nbytes
        self.array = array
        self.input = input

    @property
    def is_writable(self) -> bool:
        return self.array is None and self.input is None


class Tensor(NamedTuple):
    """A dense row-major view of a buffer."""

    buffer: Buffer
    offset_bytes: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def at(self, elements: int) -> Tensor:
        """The same memory, starting some elements later (shape kept: steps take theirs from their arguments)."""
        return Tensor(self.buffer, self.offset_bytes + elements * self.dtype.itemsize, self.shape, self.dtype)


class Draft:
    """A step whose operands have no places yet."""

    __slots__ = ("kind", "args", "operands", "node")

    def __init__(self, kind: str, args: Args, operands: list[Tensor | None], node: Node) -> None:
        self.kind = kind
        self.args = args
        self.operands = operands
        self.node = node


class Move(NamedTuple):
    """target[i . dst] = source[i . src], as steps that plan/moves.py may find not to be needed."""

    source: Tensor
    target: Tensor
    shape: Sequence[int]
    src: Sequence[int]
    dst: Sequence[int]
    steps: Sequence[Draft]
