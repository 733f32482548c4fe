"""What was measured while running: one row per step and worker, written as Chrome trace-event JSON."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asymo.plan.plan import Plan


@dataclass(frozen=True)
class Record:
    """One run of one segment. times_ns: [step][worker][begin, end], CLOCK_MONOTONIC; 0, 0: the worker had no part in the step."""

    plan: Plan
    times_ns: np.ndarray
    cpus: tuple[int, ...]


class Profile:
    """Collects records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def begin(self, plan: Plan, workers: int) -> np.ndarray:
        """The array a run writes its times into."""
        return np.zeros((len(plan.steps), workers, 2), np.int64)

    def end(self, plan: Plan, times_ns: np.ndarray, cpus: list[int]) -> None:
        self.records.append(Record(plan, times_ns, tuple(cpus)))

    def events(self) -> list[dict[str, object]]:
        """Trace events: a row per worker, a complete event ("X") per step and worker; times in microseconds."""
        if not self.records:
            return []
        pid = os.getpid()
        start = min(int(r.times_ns[r.times_ns > 0].min(initial=np.iinfo(np.int64).max)) for r in self.records)
        events: list[dict[str, object]] = [{"name": "process_name", "ph": "M", "pid": pid, "args": {"name": "asymo"}}]
        for worker, cpu in enumerate(self.records[-1].cpus):
            name = f"worker {worker}" + (f", cpu {cpu}" if cpu >= 0 else "")
            events.append({"name": "thread_name", "ph": "M", "pid": pid, "tid": worker, "args": {"name": name}})
        for record in self.records:
            for step, rows in zip(record.plan.steps, record.times_ns, strict=True):
                for worker, (begin, end) in enumerate(rows):
                    if end:
                        events.append(
                            {
                                "name": step.node,
                                "cat": "Node",
                                "ph": "X",
                                "ts": (int(begin) - start) / 1000,
                                "dur": int(end - begin) / 1000,
                                "pid": pid,
                                "tid": worker,
                                "args": {"op_name": step.op, "kind": step.kind, "provider": "AsymoExecutionProvider"},
                            }
                        )
        return events

    def write(self, prefix: str) -> str:
        """Writes <prefix>_<date>.json and returns its path."""
        path = f"{prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
        with open(path, "w") as file:
            json.dump({"traceEvents": self.events(), "displayTimeUnit": "ms"}, file)
        return path


def summarise(records: Sequence[Record]) -> list[dict[str, object]]:
    """One row per step over all records: median time from the first worker's begin to the last one's end, and its share of the total."""
    spans: dict[tuple[int, int], list[float]] = {}
    for record in records:
        for i, rows in enumerate(record.times_ns):
            ran = rows[rows[:, 1] > 0]
            if len(ran):
                spans.setdefault((id(record.plan), i), []).append(float(ran[:, 1].max() - ran[:, 0].min()) / 1e3)
    plans = {id(record.plan): record.plan for record in records}
    medians = {key: float(np.median(values)) for key, values in spans.items()}
    total = sum(medians.values())
    return [
        {"step": i, "kind": s.kind, "op": s.op, "node": s.node, "serial": s.sharing.is_serial, "us": us, "share_%": 100 * us / total}
        for (plan, i), us in medians.items()
        for s in [plans[plan].steps[i]]
    ]
