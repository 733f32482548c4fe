"""Cross compilers and emulated CPUs: COMPILERS and CPUS are the lists, the rest builds and runs what they name."""

from __future__ import annotations

import importlib.util
import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from _scheduler import SOURCES as SCHEDULER  # noqa: E402

CACHE = ROOT / ".cache" / "arm"
BUILD = runpy.run_path(str(ROOT / "asymo/_build.py"))

CPUS = ("cortex-a53", "cortex-a55", "cortex-a76", "max")
"""CPU models of qemu: in-order ones without and with dot products, an out-of-order one, all features."""


@dataclass(frozen=True)
class Cross:
    """A compiler for some machine. cpus: the models that its programs are run on."""

    name: str
    arch: str
    command: tuple[str, ...]
    remedy: str
    cpus: tuple[str, ...] = CPUS

    @property
    def folder(self) -> Path:
        return CACHE / f"{self.name}-{self.arch}"

    def is_here(self) -> bool:
        if "ziglang" in self.command:
            return importlib.util.find_spec("ziglang") is not None
        return shutil.which(self.command[0]) is not None


def zig(target: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "ziglang", "cc", "-target", target)


COMPILERS = (
    Cross("gcc", "aarch64", ("aarch64-linux-gnu-gcc",), "apt install gcc-aarch64-linux-gnu"),
    Cross("clang", "aarch64", ("clang", "--target=aarch64-linux-gnu"), "apt install clang"),
    Cross("musl", "aarch64", zig("aarch64-linux-musl"), "pip install ziglang", cpus=("cortex-a76",)),
    Cross("musl", "x86_64", zig("x86_64-linux-musl"), "pip install ziglang"),
)


def native_libraries() -> list[str]:
    """What setup.py has built for this machine."""
    built = ROOT / "build" / f"temp.{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
    libraries = [str(built / f"lib{name}.a") for name, _ in BUILD["libraries"]()]
    if not all(Path(library).exists() for library in libraries):
        raise SystemExit("the core is not built: python setup.py build_ext --inplace")
    return libraries


def native_replay(folder: Path = CACHE) -> Path:
    """The program of replay.c for this machine, linked with the libraries that setup.py has built."""
    libraries = native_libraries()
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "replay"
    flags = [*BUILD["CFLAGS"], *os.environ.get("ASYMO_LDFLAGS", "").split()]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    run([*compiler, *flags, "tests/arm/replay.c", *libraries, *libraries, "-lm", "-lpthread", "-o", str(program)])
    return program


def build(cross: Cross) -> dict[str, Path]:
    """Static programs: `replay` holds the whole core, `stress` and `unequal` the scheduler alone. A warning is an error."""
    core = [(source, tuple(info["cflags"])) for _, info in BUILD["libraries"](cross.arch) for source in info["sources"]]
    base = tuple(BUILD["CFLAGS"])
    programs = {
        "replay": [*core, ("tests/arm/replay.c", base)],
        "stress": [("tests/sched/stress.c", base), *((source, base) for source in SCHEDULER)],
        "unequal": [("tests/sched/unequal.c", base), *((source, base) for source in SCHEDULER)],
    }
    compile_all(cross, {job for jobs in programs.values() for job in jobs})
    for name, jobs in programs.items():
        objects = [str(object_of(cross, source)) for source, _ in jobs]
        run([*cross.command, "-static", *objects, "-lm", "-lpthread", "-o", str(cross.folder / name)])
    return {name: cross.folder / name for name in programs}


def object_of(cross: Cross, source: str) -> Path:
    return cross.folder / Path(source).with_suffix(".o")


def compile_all(cross: Cross, jobs: set[tuple[str, tuple[str, ...]]]) -> None:
    """Compiles what is older than its source or any header."""
    headers = [p for suffix in ("*.h", "*.inc") for folder in ("csrc", "tests") for p in (ROOT / folder).rglob(suffix)]
    newest = max(p.stat().st_mtime for p in [*headers, ROOT / "asymo/_build.py"])

    def compile_one(job: tuple[str, tuple[str, ...]]) -> None:
        source, flags = job
        target = object_of(cross, source)
        if not target.exists() or target.stat().st_mtime < max(newest, (ROOT / source).stat().st_mtime):
            target.parent.mkdir(parents=True, exist_ok=True)
            run([*cross.command, *flags, "-Werror", "-c", source, "-o", str(target)])

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        list(workers.map(compile_one, sorted(jobs)))


def run(command: Sequence[str]) -> None:
    """Runs a compiler in the project's root; its messages go to the terminal."""
    subprocess.run(command, cwd=ROOT, check=True)


def emulator() -> str | None:
    """qemu-aarch64: the newest there is. .cache/qemu may hold a newer one than the system's (tests/arm/qemu.sh)."""
    own = ROOT / ".cache" / "qemu" / "qemu-aarch64"
    return str(own) if own.exists() else shutil.which("qemu-aarch64")


def known_cpus(qemu: str) -> list[str]:
    """Those of CPUS that this qemu has."""
    listed = subprocess.run([qemu, "-cpu", "help"], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    return [cpu for cpu in CPUS if cpu in listed]
