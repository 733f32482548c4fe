"""Runtimes against each other: every one in its own process, the same inputs, rounds interleaved, medians and ratios."""

from __future__ import annotations

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import asymo
from asymo.bench import energy
from asymo.bench.energy import Energy, Span
from asymo.bench.measure import Samples
from asymo.bench.report import Row
from asymo.device.power import Sampler


@dataclass
class Contestant:
    """A runtime at a thread count: its process, or why there is none, its samples, and the infos of processes that only loaded."""

    peer: str
    threads: int
    process: subprocess.Popen[str] | None
    outputs: Path
    info: dict[str, Any]
    ns: list[int] = field(default_factory=list)
    more_loads: list[dict[str, Any]] = field(default_factory=list)
    peak_mb: float = 0.0
    spans: list[Span] = field(default_factory=list)

    def command(self, **command: Any) -> dict[str, Any]:
        """Sends a command of worker.py and returns the answer; empty when the process has died, which `info` tells from then on."""
        if self.process is None:
            return {}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait()
            self.info, self.process = {"error": "the process died"}, None
            return {}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, runs: int) -> list[int]:
        """Lets it run, takes its samples and returns them."""
        answer = self.command(runs=runs)
        samples: list[int] = answer.get("ns", [])
        self.ns += samples
        self.peak_mb = answer.get("peak_mb", self.peak_mb)
        return samples

    def visit(self, runs: int, sampler: Sampler | None) -> None:
        """Lets it run for a while, at most 2000 times unless a meter needs more."""
        if sampler is None:
            self.ask(min(runs, 2000))
            return
        with sampler.window() as window:
            done = len(self.ask(runs))
        if done:
            self.spans.append(Span(window.joules, window.seconds, done))

    def typical(self, name: str) -> float:
        """The median of a number over all its loads."""
        return float(np.median([info[name] for info in (self.info, *self.more_loads)]))

    def close(self) -> None:
        if self.process is not None:
            self.process.communicate()
            self.process = None

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def start(
    peer: str,
    model: Path,
    threads: int,
    inputs: Path,
    folder: Path,
    *,
    cache: Path | None = None,
    cpus: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> Contestant:
    """Starts a runtime's process and waits until it has run the model once.

    cache: where converted models are kept (default: in folder). cpus: those it may run on. environment: variables for it alone."""
    outputs = folder / f"{peer}-{threads}-{len(list(folder.iterdir()))}.npz"
    command = [sys.executable, "-m", "asymo.bench.worker", peer, str(model), str(threads), str(inputs), str(outputs)]
    command += [str(cache or folder), ",".join(map(str, cpus))]
    if environment:
        command = ["env", *(f"{name}={value}" for name, value in environment.items()), *command]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    info = json.loads(line) if line else {"error": "the process died while loading"}
    if "error" in info:
        process.communicate()
        return Contestant(peer, threads, None, outputs, info)
    return Contestant(peer, threads, process, outputs, info)


def compare(
    model: Path,
    feeds: Mapping[str, np.ndarray],
    peers: Sequence[str],
    threads: Sequence[int],
    *,
    rounds: int = 5,
    seconds: float = 0.4,
    loads: int = 1,
    cache: Path | None = None,
    pin: str = "mask",
    with_energy: bool = False,
    progress: Callable[[float], None] = lambda fraction: None,
) -> list[Row]:
    """One row per runtime and thread count: median, quartiles, ratio to Asymo at the same thread count (above 1: Asymo is faster),
    load time, peak memory, and the largest difference of an output from ONNX Runtime's (else from Asymo's), relative to the largest
    output.

    Each round visits every runtime in turn, for about `seconds`; runtimes that cannot run the model get a row that says why.

    cache: where converted models are kept; None: nowhere. pin: "mask" leaves the threads where the runtime and the kernel put them,
    "each" binds every thread that works to a CPU of its own (Asymo does so itself). with_energy: joules of each, idle power of the
    machine subtracted; every visit then lasts as long as the meter needs.

    Load times contain the import of each runtime and are medians over `loads` new processes, the runtimes in turn. Asymo's modules are
    compiled before, as pip does with all that it installs."""
    compileall.compile_dir(Path(asymo.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory() as name, energy.meter((), with_energy) as (sampler, found):
        if sampler is not None:
            seconds = max(seconds, sampler.meter.window_s)
        folder = Path(name)
        inputs = folder / "inputs.npz"
        np.savez(inputs, **dict(feeds))  # type: ignore[arg-type]
        field_: list[Contestant] = []
        try:
            for count in threads:
                names = ("asymo", *(p for p in peers if p != "asymo"))
                field_ += [start(peer, model, count, inputs, folder, cache=cache) for peer in names]
            alive = [c for c in field_ if c.process is not None]
            for _ in range(loads - 1):
                for contestant in alive:
                    again = start(contestant.peer, model, contestant.threads, inputs, folder, cache=cache)
                    again.close()
                    contestant.more_loads += [again.info] if "load_ms" in again.info else []
            if pin == "each":
                cpus = sorted(os.sched_getaffinity(0))
                for contestant in alive:
                    if contestant.peer != "asymo":
                        contestant.command(pin=cpus[: contestant.threads])
            for contestant in alive:
                contestant.ask(3)
            counts = {id(c): max(3, int(seconds * 1e9 / max(np.median(c.ns or [1]), 1))) for c in alive}
            for contestant in alive:
                contestant.ns.clear()
            idles = [energy.idle(sampler)] if sampler else []
            for turn in range(rounds):
                order = alive[turn % len(alive) :] + alive[: turn % len(alive)] if alive else []
                for i, contestant in enumerate(order):
                    if contestant.process is not None:
                        time.sleep(0.02)
                        contestant.visit(counts[id(contestant)], sampler)
                    progress((turn + (i + 1) / len(order)) / rounds)
            idles += [energy.idle(sampler)] if sampler else []
        finally:
            for contestant in field_:
                contestant.close()

        def spent(contestant: Contestant) -> Energy | None:
            if not with_energy:
                return None
            if sampler is not None:
                return energy.judge(sampler.meter, contestant.spans, idles)
            ours = energy.modelled(model, feeds, None, contestant.threads) if contestant.peer == "asymo" else None
            return ours or energy.unavailable(found)

        return _rows(model.stem, field_, spent)


def _rows(model: str, field_: list[Contestant], spent: Callable[[Contestant], Energy | None]) -> list[Row]:
    measured = [c for c in field_ if c.ns]
    ours = {c.threads: float(np.median(c.ns)) for c in measured if c.peer == "asymo"}
    oracle = next((c for c in measured if c.peer == "onnxruntime"), next(iter(measured), None))
    rows: list[Row] = []
    for c in field_:
        row: Row = {"model": model, "peer": c.peer, "threads": c.threads}
        if not c.ns:
            rows.append({**row, "error": c.info.get("error", "no samples")})
            continue
        assert oracle is not None
        off = difference(c.outputs, oracle.outputs)
        if off is None:
            rows.append({**row, "error": f"its outputs have other sizes than {oracle.peer}'s: it computed something else"})
            continue
        samples = Samples(tuple(c.ns))
        row |= {"median_ms": samples.median_ms, "p25_ms": samples.percentile_ms(25), "p75_ms": samples.percentile_ms(75)}
        row["ratio"] = samples.median_ms * 1e6 / ours[c.threads] if c.threads in ours else None
        row |= cost.row() if (cost := spent(c)) else {}
        row |= {"load_ms": c.typical("load_ms"), "first_ms": c.typical("first_ms"), "peak_mb": c.peak_mb}
        rows.append({**row, "difference": off, "version": c.info["version"]})
    return rows


def difference(a: Path, b: Path) -> float | None:
    """Largest difference between the outputs in two files, relative to the largest output; None when their sizes differ."""
    worst = 0.0
    with np.load(a) as left, np.load(b) as right:
        if len(left.files) != len(right.files):
            return None
        for name in left.files:
            x, y = left[name].astype(np.float64).ravel(), right[name].astype(np.float64).ravel()
            if x.size != y.size:
                return None
            worst = max(worst, float(np.abs(x - y).max(initial=0) / max(np.abs(y).max(initial=0), 1e-30)))
    return worst


def geometric_means(rows: Sequence[Row]) -> list[Row]:
    """For each peer and thread count, the geometric mean of its ratios to Asymo over the models, and how many there are."""
    groups: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        if row["peer"] != "asymo" and row.get("ratio"):
            groups.setdefault((row["peer"], row["threads"]), []).append(row["ratio"])
    return [
        {"peer": peer, "threads": threads, "models": len(ratios), "ratio": float(np.exp(np.mean(np.log(ratios)))), "worst": min(ratios)}
        for (peer, threads), ratios in groups.items()
    ]
