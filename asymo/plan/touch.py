"""How long ago the memory of a step's operands was used, from where a plan puts them: what the cost model cannot know before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from asymo.cost.features import BY_SIZE, Gaps, Touched, winograd_scratch
from asymo.plan.access import Access, Region
from asymo.plan.plan import Plan

SCRATCH = -1
"""A slot that no plan has: a worker's own memory."""

GRAIN = 4096
"""Bytes of a slot that are looked at together."""


def of_plan(plan: Plan) -> list[Touched]:
    """`touched` of a plan's steps; nothing is known of a plan that was stored."""
    if not plan.accesses:
        return [BY_SIZE] * len(plan.steps)
    first = plan.first_input_slot
    constants = [sum(plan.constants[ref.slot - 1].nbytes for ref in step.operands if 0 < ref.slot < first) for step in plan.steps]
    scratch = [winograd_scratch(step.args) if step.kind == "winograd" else 0 for step in plan.steps]
    return touched(plan.accesses, constants, run_bytes(plan), scratch)


def run_bytes(plan: Plan) -> int:
    """Bytes that a run touches."""
    return sum(array.nbytes for array in plan.constants) + plan.arena_bytes


def touched(steps: Sequence[Access], read_bytes: Sequence[float], run_bytes: int, scratch: Sequence[int] = ()) -> list[Touched]:
    """For every step, in the steady state of run after run, the bytes that were touched between the last step that used its operands'
    memory and itself.

    read_bytes: constants that each step reads. run_bytes: all that a run touches, which no gap exceeds. scratch: what each step writes and
    reads of its workers' memory, of one worker. A step's first region is its input; what else it reads counts as a residual.
    """
    own = [(Region(SCRATCH, 0, size),) if size else () for size in scratch] or [()] * len(steps)
    sizes: dict[int, int] = {}
    for access, work in zip(steps, own, strict=True):
        for region in access.reads + access.writes + work:
            sizes[region.slot] = max(sizes.get(region.slot, 0), region.end)
    last = {slot: np.full(-(-size // GRAIN), -float(run_bytes)) for slot, size in sizes.items()}
    found: list[Touched] = []
    now = 0.0
    for _ in range(2):
        found = []
        for access, constants, work in zip(steps, read_bytes, own, strict=True):
            gaps = [_gaps(last, r, now, run_bytes) for r in (access.reads[:1], access.writes, access.reads[1:], work)]
            found.append(Touched(*gaps))
            regions = set(access.reads + access.writes + work)
            now += constants + sum(_bytes(r) for r in regions)
            for region in regions:
                last[region.slot][_grains(region)] = now
    return found


def _gaps(last: dict[int, np.ndarray], regions: Sequence[Region], now: float, run_bytes: int) -> Gaps:
    if not regions:
        return ()
    gaps, counts = np.unique(now - np.concatenate([last[r.slot][_grains(r)] for r in regions]), return_counts=True)
    total = counts.sum()
    return tuple((float(n / total), min(float(gap), float(run_bytes))) for gap, n in zip(gaps, counts, strict=True))


def _bytes(region: Region) -> int:
    whole = region.end - region.begin
    return whole * region.width // region.pitch if region.pitch else whole


def _grains(region: Region) -> slice:
    return slice(region.begin // GRAIN, -(-region.end // GRAIN))
