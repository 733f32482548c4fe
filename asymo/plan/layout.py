"""Layouts of packed weights: what the C core wants constants to look like. Pure functions of the array and the instruction set in use.

Everything here is meant for `Lowering.derive`, so that a weight is packed once per session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod

import numpy as np

from asymo import _core

Floats = np.ndarray
Factor = np.ndarray | None
"""What the output channels of weights are multiplied by, in float64 and rounded once; None: as they are."""


def product(w: Floats, k: np.ndarray) -> Floats:
    """w k in double, each element rounded once; numpy widens block by block."""
    result = empty(w.shape)
    np.multiply(w, k, out=result, dtype=np.float64, casting="same_kind")
    return result


_panel: ContextVar[int | None] = ContextVar("panel", default=None)
"""Columns of a panel of packed weights; None: those of the instruction set in use."""


def geometry() -> tuple[int, int]:
    """(mr, nr) of the GEMM layout."""
    return _core.gemm_geometry()[:2]


@contextmanager
def packing_for(nr: int) -> Iterator[None]:
    """In this thread weights are packed into panels of nr columns, for an instruction set that need not be this CPU's."""
    token = _panel.set(None if nr == geometry()[1] else nr)
    try:
        yield
    finally:
        _panel.reset(token)


def pack_panels(b: Floats, nr: int) -> Floats:
    """B[k, n] as panels [ceil(n / nr)][k][nr], zero-filled on the right: what the C core packs for an instruction set of this nr."""
    k, n = b.shape
    wide = np.zeros((k, -(-n // nr) * nr), np.float32)
    wide[:, :n] = b
    return np.ascontiguousarray(wide.reshape(k, wide.shape[1] // nr, nr).transpose(1, 0, 2)).reshape(-1)


def unpack_panels(packed: Floats, k: int, n: int, nr: int) -> Floats:
    """B[k, n] of its panels."""
    panels = -(-n // nr)
    wide: Floats = packed.reshape(panels, k, nr).transpose(1, 0, 2).reshape(k, panels * nr)
    return wide[:, :n]


def pack_gemm(b: Floats, factor: Factor = None) -> Floats:
    """B[..., k, n] fp32, any strides, packed entry after entry: [entries * packed_size(k, n)]. factor: (... * n,), of the columns."""
    nr = _panel.get()
    if b.ndim == 2:
        if nr is None:
            return _core.gemm_pack(b, factor)
        return pack_panels(b if factor is None else product(b, factor), nr)
    matrices = b.reshape(-1, *b.shape[-2:])
    factors = [None] * len(matrices) if factor is None else factor.reshape(len(matrices), -1)
    entries = [pack_gemm(*entry) for entry in zip(matrices, factors, strict=True)]
    if len(entries) == 1:  # nothing to copy
        return entries[0]
    return np.concatenate(entries) if entries else np.empty(0, np.float32)


def pack_gemm_transposed(b: Floats) -> Floats:
    """Like pack_gemm for B[..., n, k]."""
    return pack_gemm(np.swapaxes(b, -1, -2))


def pack_conv(groups: int) -> Callable[..., Floats]:
    """A function of W[M, C / groups, kernel...] and perhaps a factor, which packs group by group as
    B[k = (kernel..., C / groups), n = M / groups]."""

    def pack(w: Floats, factor: Factor = None) -> Floats:
        n, c = w.shape[0] // groups, w.shape[1]
        taps = prod(w.shape[2:])
        return pack_gemm(w.reshape(groups, n, c, taps).transpose(0, 3, 2, 1).reshape(groups, taps * c, n), factor)

    return pack


def pack_depthwise(w: Floats, factor: Factor = None) -> Floats:
    """W[C, 1, kernel...] as [kernel...][C]."""
    taps = np.ascontiguousarray(w.reshape(w.shape[0], -1).T)
    return taps if factor is None else product(taps, factor)


def pack_winograd(tile: int) -> Callable[..., Floats]:
    """A function of W[n, c, r, r] and perhaps a factor, which transforms and packs for F(tile x tile, r x r)."""

    def pack(w: Floats, factor: Factor = None) -> Floats:
        packed, nr = _core.winograd_pack(tile, w, factor), _panel.get()
        if nr is None:
            return packed
        n, c, kernel, _ = w.shape
        points = packed.reshape((tile + kernel - 1) ** 2, -1)
        return np.concatenate([pack_panels(unpack_panels(point, c, n, geometry()[1]), nr) for point in points])

    return pack


def pack_rnn(cell: int, direction: int) -> Callable[[Floats], Floats]:
    """A function that packs one direction of R[directions, gates * hidden, hidden]. cell: 0 RNN, 1 LSTM, 2 GRU."""
    return lambda r: _core.rnn_pack(cell, r[direction])


def empty(shape: tuple[int, ...]) -> Floats:
    """Uninitialised weights."""
    return _core.weights.empty(prod(shape)).reshape(shape)


RNN_BLOCK = 16
"""Hidden columns of a block of packed recurrent weights."""


def rnn_gate_groups(cell: int) -> tuple[int, ...]:
    """A block of packed recurrent weights is one [k][gates of the group][RNN_BLOCK] after the other (csrc/kernels/rnn/rnn.h)."""
    return {0: (1,), 1: (4,), 2: (2, 1)}[cell]


def rnn_state_bytes(cell: int, batch: int, hidden: int) -> int:
    """Bytes of an rnn step's scratch operand."""
    return _core.rnn_state_bytes(cell, batch, hidden)
