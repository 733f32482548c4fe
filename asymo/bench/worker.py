"""One runtime in a process of its own: python -m asymo.bench.worker PEER MODEL THREADS INPUTS.npz OUTPUTS.npz

Answers one JSON line when the model is loaded, then one for every line {"runs": n} on stdin. PEER is a name of peers.PEERS. All that
the runtimes print themselves goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from asymo.bench.peers import PEERS


def peak_memory_mb() -> float:
    """Peak resident memory of this process (VmHWM), 0 where the kernel does not tell."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def main() -> None:
    name, model, threads, inputs, outputs = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    feeds = dict(np.load(inputs))
    try:
        begin = time.perf_counter()
        peer = PEERS[name](Path(model), int(threads), feeds)
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
        samples = []
        for _ in range(json.loads(line)["runs"]):
            start = time.perf_counter_ns()
            peer.run(feeds)
            samples.append(time.perf_counter_ns() - start)
        print(json.dumps({"ns": samples, "peak_mb": peak_memory_mb()}), file=answers)


if __name__ == "__main__":
    main()
