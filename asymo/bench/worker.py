"""One runtime in a process of its own: python -m asymo.bench.worker PEER MODEL THREADS INPUTS.npz OUTPUTS.npz CACHE CPUS

Answers one JSON line when the model is loaded, then one for every command, a JSON line on stdin:

    {"runs": n}           runs the model n times: {"ns": [...], "peak_mb": m}
    {"pin": [cpu, ...]}   binds the threads that do the work to one CPU each, the calling thread to the first: {"pinned": n}
    {"policy": name}      Asymo only: another scheduling policy from now on: {}
    {"stats": true}       Asymo only: what its workers have done since they were made: {"workers": [...]}

PEER is a name of peers.PEERS; CACHE a folder for converted models; CPUS those this process may run on ("0,1"; "" leaves them as they
are). All that the runtimes print themselves goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asymo.bench.peers import PEERS, Feeds, Peer, file_for

PIN_SECONDS = 0.3
"""How long the model runs to show which threads do the work."""


def peak_memory_mb() -> float:
    """Peak resident memory of this process (VmHWM), 0 where the kernel does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def _cpu_ns() -> dict[int, int]:
    """CPU time of every thread of this process."""
    times = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            times[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue  # it has ended
    return times


def pin(peer: Peer, feeds: Feeds, cpus: Sequence[int]) -> int:
    """Binds the busiest threads to one of cpus each and all others to the first. Returns how many were busy.

    The calling thread gets the first CPU. Under a real-time policy the kernel may leave two threads of a runtime on one CPU."""
    before, begin = _cpu_ns(), time.perf_counter()
    while time.perf_counter() - begin < PIN_SECONDS:
        peer.run(feeds)
    used = {thread: ns - before.get(thread, 0) for thread, ns in _cpu_ns().items()}
    hot = sorted((t for t in used if used[t] > 0.05 * max(used.values())), key=lambda t: (t != os.getpid(), -used[t]))
    place = {thread: cpus[min(i, len(cpus) - 1)] for i, thread in enumerate(hot)}
    for thread in used:
        try:
            os.sched_setaffinity(thread, {place.get(thread, cpus[0])})
        except OSError:
            continue  # it has ended
    return len(hot)


def obey(peer: Any, feeds: Feeds, command: dict[str, Any]) -> dict[str, Any]:
    """Carries out one command and returns the answer."""
    if "pin" in command:
        return {"pinned": pin(peer, feeds, command["pin"])}
    if "policy" in command:
        peer.set_policy(command["policy"])
        return {}
    if "stats" in command:
        return {"workers": peer.stats()}
    samples = []
    for _ in range(command["runs"]):
        start = time.perf_counter_ns()
        peer.run(feeds)
        samples.append(time.perf_counter_ns() - start)
    return {"ns": samples, "peak_mb": peak_memory_mb()}


def main() -> None:
    name, model, threads, inputs, outputs, cache, cpus = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if cpus:
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
    feeds = dict(np.load(inputs))
    try:
        file = file_for(name, Path(model), feeds, Path(cache))
        begin = time.perf_counter()
        peer = PEERS[name](Path(model), int(threads), feeds, file)
        loaded = time.perf_counter()
        results = peer.run(feeds)
        first = time.perf_counter()
    except Exception as error:  # whatever a runtime raises on a model it cannot run
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}), file=answers)
        return
    np.savez(outputs, *results)
    ready = {"version": peer.version, "load_ms": 1e3 * (loaded - begin), "first_ms": 1e3 * (first - loaded)}
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        print(json.dumps(obey(peer, feeds, json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
