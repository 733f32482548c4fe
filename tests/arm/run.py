"""make arm: the bits of NEON are the bits of x86, and those of musl are those of glibc.

Records plans on this machine (record.py), compiles the core, replay.c and the scheduler's stress programs with every compiler of
cross.COMPILERS, replays the plans and stresses the scheduler, aarch64 under qemu on several CPU models; first natively, which checks the
runner. On an aarch64 machine only what runs there is run, NEON for real. Exit code: 0 all bits are equal, 1 some differ or a step kind has
no case or a NEON kernel leaves the FMA units idle (mca.py), 2 a tool is missing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cross
import mca
import record
from cross import BUILD, CACHE, COMPILERS

from asymo import _core

UNEQUAL_RUNS = "300"
"""How many random runs `unequal` makes on each CPU: a few seconds under qemu."""


@dataclass(frozen=True)
class Result:
    """What a program said."""

    what: str
    passed: bool
    text: str
    seconds: float


def execute(what: str, command: list[str]) -> Result:
    begin = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return Result(what, done.returncode == 0, done.stdout.strip(), time.monotonic() - begin)


def report(result: Result) -> bool:
    """Prints a result and returns whether it passed."""
    *failures, last = result.text.splitlines() or ["nothing was printed"]
    for line in failures[:20]:
        print(f"  {line}")
    if len(failures) > 20:
        print(f"  ... and {len(failures) - 20} more")
    print(f"{'ok    ' if result.passed else 'FAILED'} {result.what:34} {last} ({result.seconds:.0f} s)", flush=True)
    return result.passed


def jobs(plans: Path, models: Path, qemu: str | None) -> list[Callable[[], Result]]:
    """A replay and a stress of the scheduler for each compiler and CPU model that can be run here; whole models once for each compiler."""
    result: list[Callable[[], Result]] = []
    for compiler in COMPILERS:
        if not compiler.is_here():
            print(f"left out: {compiler.name} for {compiler.arch} is not installed: {compiler.remedy}")
            continue
        is_native = compiler.arch == BUILD["ARCH"]
        if not is_native and (compiler.arch != "aarch64" or qemu is None):
            continue
        programs = {name: str(path) for name, path in cross.build(compiler).items()}
        cpus = [None] if is_native else [cpu for cpu in cross.known_cpus(str(qemu)) if cpu in compiler.cpus]
        best = "neon" if compiler.arch == "aarch64" else "portable"
        for cpu in cpus:
            prefix = [] if cpu is None else [str(qemu), "-cpu", cpu]
            wanted = [("replay", "replay", [str(plans)]), ("unequal", "unequal", [UNEQUAL_RUNS])]
            if cpu == cpus[-1]:
                wanted.insert(0, ("models", "replay", [str(models), best, "3 workers"]))
            for label, name, arguments in wanted:
                what = f"{compiler.arch}, {compiler.name}, {cpu or 'native'}: {label}"
                result.append(lambda what=what, command=[*prefix, programs[name], *arguments]: execute(what, command))
    return result


def missing_tools(qemu: str | None) -> str:
    """A sentence about what `make arm` cannot do without, empty when all is there."""
    absent = [] if COMPILERS[0].is_here() else [COMPILERS[0].remedy]
    absent += [] if qemu else ["apt install qemu-user"]
    return f"something is missing; on Debian and Ubuntu: {' && '.join(absent)}" if absent else ""


def main() -> int:
    """Everything; returns the exit code."""
    is_arm = BUILD["ARCH"] == "aarch64"
    qemu = None if is_arm else cross.emulator()
    if not is_arm and (problem := missing_tools(qemu)):
        print(f"make arm: {problem}")
        return 2
    begin = time.monotonic()
    recording = record.record_all()
    CACHE.mkdir(parents=True, exist_ok=True)
    plans, models = CACHE / "plans.bin", CACHE / "models.bin"
    record.write(recording.cases, plans)
    whole = record.record_models()
    record.write([case for each in whole.values() for case in each.cases], models)
    steps = recording.steps()
    print(f"recorded {len(recording.cases)} cases, {plans.stat().st_size / 1e6:.0f} MB, {time.monotonic() - begin:.0f} s; ", end="")
    print(f"{recording.without_steps} segments had no steps")
    print("steps: " + ", ".join(f"{kind} {count}" for kind, count in steps.items()), flush=True)
    print(f"outputs: sha256 {recording.digest()[:16]}, equal on {', '.join(_core.isas())}", flush=True)
    for name, each in whole.items():
        print(f"  {name:24} sha256 {each.digest()[:16]}")
    absent = [kind for kind, count in steps.items() if not count]
    if absent:
        print(f"FAILED: no case has a step of kind {', '.join(absent)}")
    passed = report(execute(f"{BUILD['ARCH']}, native: replay", [str(cross.native_replay()), str(plans)])) and not absent
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for result in workers.map(lambda job: job(), jobs(plans, models, qemu)):
            passed = report(result) and passed
    passed = mca.report() and passed
    print(f"{'all bits are equal' if passed else 'FAILED'} ({time.monotonic() - begin:.0f} s)")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
