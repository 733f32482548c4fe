"""The static analysis of `make arm` against cycles counted by hand from its rules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "arm"))

import mca

A53, A55 = mca.CORES[3], mca.CORES[2]

BACK = ["subs\tx3, x3, #0x1", "b.ne\t0 <tile_8>"]
"""The end of a loop: both pair with a multiply-add."""


def fmas(n: int) -> list[str]:
    """Multiply-adds that do not wait for each other within a turn."""
    return [f"fmla\tv{i}.4s, v30.4s, v31.s[0]" for i in range(n)]


@pytest.mark.parametrize(
    ("core", "loop", "cycles"),
    [
        (A55, [*fmas(16), *BACK], 16),
        (A53, [*fmas(16), *BACK], 16),
        (A55, [*fmas(1), *BACK], 4),  # each waits for the one before
        (A55, [*fmas(8), "ldr\tq29, [x0]", *BACK], 11),  # two cycles for the load alone, one for the rest
        (A55, [fmas(8)[0], "ldr\td29, [x0]", *fmas(8)[1:], *BACK], 8),  # beside a multiply-add
        (A53, [fmas(8)[0], "ldr\td29, [x0]", *fmas(8)[1:], *BACK], 9),  # not beside one
        (A55, [*fmas(8), "ldr\tx1, [x0]", "ins\tv30.d[1], x1", *BACK], 12),  # load, insert and multiply-add wait in turn
    ],
)
def test_cycles_of_an_inorder_core(core: mca.Core, loop: list[str], cycles: int) -> None:
    assert mca.inorder_cycles(core, loop) == pytest.approx(cycles)


def test_the_innermost_loop_is_found() -> None:
    inner = [*fmas(3), "b.ne\t8 <tile_8+0x8>"]
    code = ["mov\tx0, x1", "mov\tx2, x3", *inner, *fmas(8), "b.ne\t0 <tile_8>", "ret"]
    assert mca.innermost_loop(list(zip(range(0, 4 * len(code), 4), code, strict=True))) == inner
