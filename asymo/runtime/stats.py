"""What the workers of a session have done."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker, since its pool was made or its counters were reset.

    Attributes:
        cpu: where it is pinned, -1 where the kernel chooses. wanted: where it was to be pinned.
        type: its core type by name. core: the design, "" unknown.
        busy_ns: from its first look at a step to its last. wait_ns: the rest of the time in which a model ran.
        utilisation: busy_ns as a part of both. share: its part of all units; units of different steps count alike.
        claims: chunks of its own interval. steals_same, steals_from_faster, steals_from_slower: chunks of others', by how fast their cores
            are against this one. rescues: chunks of late workers that it computed again.
    """

    cpu: int
    wanted: int
    type: str
    core: str
    busy_ns: int
    wait_ns: int
    utilisation: float
    share: float
    steps: int
    units: int
    claims: int
    steals_same: int
    steals_from_faster: int
    steals_from_slower: int
    rescues: int


@dataclass(frozen=True, slots=True)
class SessionStats:
    """workers: one report each. replans: how often the machine has changed under the session. basis: where the speeds that it planned with
    come from. slowed: CPUs that turned out to be slower than these, and how many times. Sessions on the same cores share their workers
    and what these count."""

    workers: tuple[WorkerReport, ...]
    replans: int
    basis: str
    slowed: dict[int, float]

    def __str__(self) -> str:
        names = [f.name for f in fields(WorkerReport)]
        rows = [names] + [[_text(getattr(w, name)) for name in names] for w in self.workers]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*lines, f"speeds by {self.basis}, planned anew {self.replans} times"])


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value) or "?"
