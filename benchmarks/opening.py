"""python -m benchmarks.opening [MODEL ...] [--rounds N] [--pause S]: milliseconds until a session on an `.asymo` file is ready.

Each model (a file, or a name of the benchmark set, which is compiled first) is opened twice in N new processes, in turn. Between the import
of asymo and the first session a process sleeps for --pause seconds: after numpy's import OpenBLAS's thread spins on the other core for 40
ms, and that is not what is measured here. A loop of 200,000 additions in Python right before (the best of 3) tells how fast the core was;
"calm" are those processes in which it took at most a sixth longer than at its best. faults: minor page faults of the first session, of 1 to
3 us each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from typing import NamedTuple

from asymo.bench import compile_cli
from asymo.runtime.compile import compile_model
from benchmarks import models

CHILD = """
import resource, sys, time
import asymo
session = asymo.InferenceSession
time.sleep(float(sys.argv[2]))
clock, faults = time.perf_counter, lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def loop():
    x, begin = 0, clock()
    for i in range(200000):
        x += i
    return clock() - begin

yardstick = min(loop() for _ in range(3))
before, begin = faults(), clock()
first = session(sys.argv[1])
middle, after = clock(), faults()
later = session(sys.argv[1])
print(yardstick, middle - begin, clock() - middle, after - before)
"""


class Opened(NamedTuple):
    """Milliseconds of the loop, of the first session of a process and of a later one; page faults of the first."""

    loop: float
    first: float
    later: float
    faults: float


def opened(file: str, pause: float) -> Opened:
    """One new process."""
    command = [sys.executable, "-c", CHILD, file, str(pause)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    *times, faults = map(float, out.split())
    return Opened(*(1e3 * t for t in times), faults)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opening", description=__doc__)
    parser.add_argument("models", nargs="*", default=["alexnet", "resnet50", "minilm_l6_s128", "mobilenet_v2"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--pause", type=float, default=0.15)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in args.models:
            files[name] = name if name.endswith(".asymo") else os.path.join(folder, f"{name}.asymo")
            if files[name] != name:
                compile_model(models.path(name), files[name], compile_cli.machines(None, None, None, 0))
            opened(files[name], 0)
        runs = [{name: opened(file, args.pause) for name, file in files.items()} for _ in range(args.rounds)]
        best = min(run[name].loop for run in runs for name in files)
        print(f"loop {best:.1f} ms at its best, {statistics.median(run[n].loop for run in runs for n in files):.1f} in the middle")
        print("| model | MB | first: calm | all | least | later: calm | all | faults | calm |\n| --- |" + " ---: |" * 8)
        for name, file in files.items():
            all_runs = [run[name] for run in runs]
            calm = [run for run in all_runs if run.loop <= 7 / 6 * best] or all_runs
            first = [statistics.median(run.first for run in some) for some in (calm, all_runs)]
            later = [statistics.median(run.later for run in some) for some in (calm, all_runs)]
            least, faults = min(run.first for run in all_runs), statistics.median(run.faults for run in all_runs)
            cells = [*(f"{ms:.1f}" for ms in (*first, least, *later)), f"{faults:.0f}", f"{len(calm)} of {args.rounds}"]
            print(f"| {os.path.basename(name)} | {os.path.getsize(file) / 1e6:.0f} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
