"""Machines for the tests of planning: plain figures, of device profiles too."""

from __future__ import annotations

from asymo.cost.devices import from_profile
from asymo.cost.speeds import Machine, generic
from asymo.device import profile
from asymo.plan.plan import Args

NAMES = ("big", "mid", "little", "tiny")


def machine(*types: tuple[int, float], wake_s: float = 5e-6, barrier_s: float = 0.5e-6, memory_B: float = 1e12) -> Machine:
    """A machine of core types (cores, FLOP/s of one core in a GEMM), fastest first, with 8 x 8 register tiles and an L2 of 256 KiB."""
    made = tuple(
        generic(name, cores, clock=flops / 2 / 8 / 0.9, fma=8, l2_bytes=256 << 10, memory_B=memory_B)
        for name, (cores, flops) in zip(NAMES, types, strict=False)
    )
    return Machine(made, wake_s, barrier_s, memory_B, "a test", "neon", (8, 8))


def recorded(name: str) -> Machine:
    """The machine of a device profile."""
    return from_profile(profile.load(name))


def gemm(m: int, n: int, k: int) -> Args:
    """Arguments of a gemm step, the units left out."""
    zero = (0, 0, 0)
    return {
        "m": m, "n": n, "k": k, "lda": k, "ldc": n, "ldr": n, "batch": (1, 1, 1), "a_stride": zero, "b_stride": zero, "c_stride": zero,
        "r_stride": zero, "act": 0, "p": 0.0, "q": 0.0,
    }  # fmt: skip
