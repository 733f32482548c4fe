"""Runs a step on every instruction set, on one worker and on three, beside unmapped memory, and insists on the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from _guard import guarded, guarded_copy
from _steps import run_step

from asymo import _core

CANARY = 0x7FC0DEAD


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal bit for bit; the sign and payload of NaN are not promised and do not count."""
    if a.dtype != np.float32:
        return np.array_equal(a, b)
    return np.array_equal(np.isnan(a), np.isnan(b)) and bool(np.all(np.isnan(a) | (a.view(np.uint32) == b.view(np.uint32))))


def _place(x: np.ndarray | tuple[Any, ...] | int | None, at: Literal["begin", "end"]) -> np.ndarray | None:
    if x is None or isinstance(x, np.ndarray):
        return None if x is None else guarded_copy(x, at)
    array = guarded(x // 4, np.float32, at) if isinstance(x, int) else guarded(*x, at)
    array.view(np.uint32)[...] = CANARY
    return array


def run_everywhere(kind: str, args: Mapping[str, Any], operands: Sequence[np.ndarray | tuple[Any, ...] | int | None]) -> list[np.ndarray]:
    """Runs the step once per instruction set, placement and number of workers. Returns its outputs.

    operands: arrays are inputs and must come back unchanged; a tuple (shape, dtype) is an output, of which every element must be written;
    an int is scratch of that many bytes, full of NaN; None is absent.
    """
    isa_before = _core.isa_name()
    first: list[np.ndarray] = []
    try:
        for isa in _core.isas():
            _core.select_isa(isa)
            for at, workers, min_chunk in (("end", 1, 1), ("begin", 3, 1), ("end", 3, 2)):
                arrays = [_place(x, at) for x in operands]
                outputs = [a for a, x in zip(arrays, operands, strict=True) if isinstance(x, tuple)]
                run_step(kind, args, arrays, workers=workers, min_chunk=min_chunk)
                for a, x in zip(arrays, operands, strict=True):
                    assert not isinstance(x, np.ndarray) or a.tobytes() == x.tobytes(), f"{kind} changed an input on {isa}"
                for y in outputs:
                    assert y.dtype == np.int64 or not np.any(y.view(np.uint32) == CANARY), f"{kind} left elements unwritten on {isa}"
                first = first or [y.copy() for y in outputs]
                for y, expected in zip(outputs, first, strict=True):
                    assert same_bits(y, expected), f"{kind} on {isa}, {workers} workers: other bits than on {_core.isas()[0]}, 1 worker"
    finally:
        _core.select_isa(isa_before)
    return first
