"""Runtimes in processes of their own, and batches of runs that count only while the two CPUs are two cores."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import TypeVar

import numpy as np

import asymo
from asymo import _core
from asymo.bench import demo
from asymo.bench.compare import Contestant, start
from benchmarks import models
from benchmarks.asymmetry.slow import CACHE, Probe

T = TypeVar("T")

CONVERTED = CACHE.parent / "peers"
WAIT_S = 20.0
"""How long two full cores are waited for."""


class Field:
    """The contestants of one model. All their processes end with the `with` block."""

    def __init__(self, model: str, cpus: tuple[int, int]) -> None:
        self.model, self.cpus = model, cpus
        self._path = models.path(model)
        self._folder = tempfile.TemporaryDirectory()
        self._inputs = Path(self._folder.name) / "inputs.npz"
        np.savez(self._inputs, **models.inputs(model, sizes={"seq": 128}))  # type: ignore[arg-type]
        self._contestants: list[Contestant] = []

    def alone(self, peer: str) -> Contestant:
        """The runtime with one thread on the full core."""
        return self._start(peer, self.cpus[:1], {})

    def both(self, peer: str, environment: Mapping[str, str] | None = None) -> Contestant:
        """The runtime with two threads, one on each core."""
        contestant = self._start(peer, self.cpus, environment or {})
        if peer != "asymo":  # which pins its own
            contestant.command(pin=list(self.cpus))
        return contestant

    def _start(self, peer: str, cpus: tuple[int, ...], environment: Mapping[str, str]) -> Contestant:
        contestant = start(
            peer, self._path, len(cpus), self._inputs, Path(self._folder.name), cache=CONVERTED, cpus=cpus, environment=environment
        )
        self._contestants.append(contestant)
        if "error" in contestant.info:
            say(f"{self.model} {peer}: {contestant.info['error']}")
        return contestant

    def __enter__(self) -> Field:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for contestant in self._contestants:
            contestant.kill()
        self._folder.cleanup()


def batch_ms(contestant: Contestant, seconds: float) -> float:
    """Median of a batch of about this long, and of at least 3 runs.

    Some runs before it are not timed: caches fill, and whoever learns how fast the cores are has learnt it."""
    known = contestant.ns[-3:] or contestant.ask(3)
    if not known:
        return float("nan")
    runs = max(3, int(seconds * 1e9 / median(known)))
    untimed = min(2 + runs // 4, 20)
    samples = contestant.ask(untimed + runs)[untimed:]
    return median(samples) / 1e6 if samples else float("nan")


class Gate:
    """Lets a visit count only when the two CPUs were two full cores before and after it.

    patience_s: how long, in all, is waited for cores that share a cache; after that any two cores will do."""

    def __init__(self, probe: Probe, patience_s: float = 0.0) -> None:
        self.probe = probe
        self.visits = self.rejected = 0
        self.is_near = False
        """The cores shared a cache during the last visit."""
        self._patience_s = patience_s

    def _wait(self) -> bool:
        """Waits until the placement is good; False when that took too long."""
        begin = time.monotonic()
        while time.monotonic() < begin + WAIT_S + self._patience_s:
            placement = self.probe.placement()
            waited = time.monotonic() - begin
            if self.probe.is_good(placement) and (placement.is_near or waited >= self._patience_s):
                if not placement.is_near:
                    self._patience_s = max(0.0, self._patience_s - waited)
                self.is_near = placement.is_near
                return True
            time.sleep(0.05)
        return False

    def visit(self, measure: Callable[[], T], tries: int = 6) -> T | None:
        """What `measure` returned between two good probes, None when that did not come about."""
        for _ in range(tries):
            if not self._wait():
                break
            self.visits += 1
            result = measure()
            after = self.probe.placement()
            if self.probe.is_good(after):
                self.is_near &= after.is_near
                return result
            self.rejected += 1
        return None


def say(text: str) -> None:
    """Progress goes to stderr."""
    print(text, file=sys.stderr, flush=True)


def _basis() -> str:
    """What Asymo knows the speeds of this machine from."""
    return asymo.load(demo.MODEL).stats().basis


def heading(what: str, gate: Gate) -> str:
    """Machine, date and command, as every table wants them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    machine = f"{date.today()}, {cpu}, Linux {platform.release()}, {_core.isa_name()}, FMA peak {gate.probe.best:.0f} GFLOP/s a core"
    return (
        f"{what}\n\n{machine}. Asymo plans by {_basis()}. Of {gate.visits} visits {gate.rejected} were rejected: not two full cores.\n\n"
        f"    python -m benchmarks.asymmetry {' '.join(sys.argv[1:])}\n"
    )
