"""Runs one step of the C core on numpy arrays, for the tests of the step kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asymo import _core


def run_step(kind: str, args: Mapping[str, Any], operands: Sequence[np.ndarray | None], *, workers: int = 1, min_chunk: int = 1) -> None:
    """Runs the step in place: operand i is operands[i], from the array's first element on, whatever its strides; None is absent."""
    slots = _core.Slots(len(operands))
    for i, array in enumerate(operands):
        if array is not None:
            slots.set_strided(i, array)
    refs = [(i if array is not None else -1, 0) for i, array in enumerate(operands)]
    with _core.Program(1) as program, _core.Pool([-1] * workers) as pool:
        program.add(kind, args, refs, chunk=min_chunk)
        program.run(pool, slots)
