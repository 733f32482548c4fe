"""make arm: the bits of NEON are the bits of x86.

Records plans on this machine (record.py), compiles the core and replay.c for aarch64 with every cross compiler there is, and replays the
plans under qemu-aarch64 on several CPU models; first natively, which checks the runner. On an aarch64 machine the native replay is all:
it runs NEON for real. Exit code: 0 all bits are equal, 1 some differ or a step kind has no case, 2 a tool is missing.
"""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import record

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache" / "arm"
BUILD = runpy.run_path(str(ROOT / "asymo/_build.py"))

CPUS = ("cortex-a53", "cortex-a76", "max")
"""CPU models of qemu: an in-order one, an out-of-order one, all features."""


@dataclass(frozen=True)
class Cross:
    """A cross compiler for aarch64 and its Debian package."""

    name: str
    compiler: tuple[str, ...]
    package: str


GCC = Cross("gcc", ("aarch64-linux-gnu-gcc",), "gcc-aarch64-linux-gnu")
CLANG = Cross("clang", ("clang", "--target=aarch64-linux-gnu"), "clang")


def native_replay(folder: Path = CACHE) -> Path:
    """The program of replay.c for this machine, linked with the libraries that setup.py has built."""
    built = ROOT / "build" / f"temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    libraries = [str(built / f"lib{name}.a") for name, _ in BUILD["libraries"]()]
    if not all(Path(library).exists() for library in libraries):
        raise SystemExit("the core is not built: python setup.py build_ext --inplace")
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "replay"
    flags = [*BUILD["CFLAGS"], *os.environ.get("ASYMO_LDFLAGS", "").split()]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    run([*compiler, *flags, "tests/arm/replay.c", *libraries, *libraries, "-lm", "-lpthread", "-o", str(program)])
    return program


def cross_replay(cross: Cross) -> Path:
    """The static program of replay.c and the whole core for aarch64. Compiles what is older than its source or any header."""
    folder = CACHE / cross.name
    headers = [p for suffix in ("*.h", "*.inc") for p in (ROOT / "csrc").rglob(suffix)] + [ROOT / "asymo/_build.py"]
    newest = max(p.stat().st_mtime for p in headers)
    jobs = [(source, info["cflags"]) for _, info in BUILD["libraries"]("aarch64") for source in info["sources"]]
    jobs.append(("tests/arm/replay.c", BUILD["CFLAGS"]))

    def compile_one(job: tuple[str, list[str]]) -> str:
        source, flags = job
        result = folder / Path(source).with_suffix(".o")
        if not result.exists() or result.stat().st_mtime < max(newest, (ROOT / source).stat().st_mtime):
            result.parent.mkdir(parents=True, exist_ok=True)
            run([*cross.compiler, *flags, "-c", source, "-o", str(result)])
        return str(result)

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        objects = list(workers.map(compile_one, jobs))
    program = folder / "replay"
    run([*cross.compiler, "-static", *objects, "-lm", "-lpthread", "-o", str(program)])
    return program


def run(command: list[str]) -> None:
    """Runs a compiler in the project's root; its messages go to the terminal."""
    subprocess.run(command, cwd=ROOT, check=True)


def replay(command: list[str], plans: Path) -> tuple[bool, str, float]:
    """(all equal, what it printed, seconds)."""
    begin = time.monotonic()
    done = subprocess.run([*command, str(plans)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout.strip(), time.monotonic() - begin


def missing_tools() -> str:
    """A sentence about what `make arm` cannot do without, empty when all is there."""
    needed = {GCC.compiler[0]: GCC.package, "qemu-aarch64": "qemu-user"}
    absent = [tool for tool in needed if shutil.which(tool) is None]
    return (
        f"{' and '.join(absent)} not found; on Debian and Ubuntu: apt install {' '.join(map(needed.__getitem__, absent))}" if absent else ""
    )


def known_cpus() -> list[str]:
    """Those of CPUS that this qemu has."""
    listed = subprocess.run(["qemu-aarch64", "-cpu", "help"], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    return [cpu for cpu in CPUS if cpu in listed]


def report(what: str, result: tuple[bool, str, float]) -> bool:
    """Prints one replay and returns whether it passed."""
    passed, text, seconds = result
    *failures, last = text.splitlines() or ["nothing was printed"]
    for line in failures[:20]:
        print(f"  {line}")
    if len(failures) > 20:
        print(f"  ... and {len(failures) - 20} more")
    print(f"{'ok    ' if passed else 'FAILED'} {what:28} {last} ({seconds:.0f} s)", flush=True)
    return passed


def emulated(plans: Path) -> bool:
    """Replays under qemu, as many at a time as there are CPUs, and returns whether all passed."""
    compilers = [GCC]
    if shutil.which(CLANG.compiler[0]):
        compilers.append(CLANG)
    else:
        print(f"left out: clang is not installed; on Debian and Ubuntu: apt install {CLANG.package}")
    programs = {cross.name: str(cross_replay(cross)) for cross in compilers}
    runs = [
        (f"aarch64, {name}, {cpu}", ["qemu-aarch64", "-cpu", cpu, program]) for cpu in known_cpus() for name, program in programs.items()
    ]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        results = workers.map(lambda run: replay(run[1], plans), runs)
        return not [what for (what, _), result in zip(runs, results, strict=True) if not report(what, result)]


def main() -> int:
    """Everything; returns the exit code."""
    is_arm = BUILD["ARCH"] == "aarch64"
    if not is_arm and (problem := missing_tools()):
        print(f"make arm: {problem}")
        return 2
    begin = time.monotonic()
    recording = record.record_all()
    CACHE.mkdir(parents=True, exist_ok=True)
    plans = CACHE / "plans.bin"
    record.write(recording.cases, plans)
    steps = recording.steps()
    print(f"recorded {len(recording.cases)} cases, {plans.stat().st_size / 1e6:.0f} MB, {time.monotonic() - begin:.0f} s; ", end="")
    print(f"{recording.without_steps} segments had no steps")
    print("steps: " + ", ".join(f"{kind} {count}" for kind, count in steps.items()), flush=True)
    absent = [kind for kind, count in steps.items() if not count]
    if absent:
        print(f"FAILED: no case has a step of kind {', '.join(absent)}")
    passed = report(f"{BUILD['ARCH']}, native", replay([str(native_replay())], plans))
    passed = (is_arm or emulated(plans)) and passed and not absent
    print(f"{'all bits are equal' if passed else 'FAILED'} ({time.monotonic() - begin:.0f} s)")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
