"""The core against Android's rules, without an Android: compiled by clang for it, looked at, never run.

clang compiles every C file and the cffi module for aarch64-linux-android24 (Termux's own target and level), over musl's headers, which,
like bionic's, declare no more than Linux and POSIX have. Then the objects must

* ask for nothing that bionic lacks at that level: the undefined symbols are looked up in bionic-symbols.txt;
* never name x18, which Android keeps for its shadow call stack.

What it cannot show: a name that musl and bionic declare differently.

    python tests/portable/bionic.py          exit code: 0 all holds, 1 something does not, 2 a tool is missing
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = runpy.run_path(str(ROOT / "asymo/_build.py"))
CACHE = ROOT / ".cache" / "bionic"

API = 24
"""The level of Termux's packages (Android 7)."""

TOOLS = {"clang": "clang", "aarch64-linux-gnu-nm": "binutils-aarch64-linux-gnu", "aarch64-linux-gnu-objdump": "binutils-aarch64-linux-gnu"}
"""What must be installed -> its Debian package."""


def symbols(level: int = API) -> set[str]:
    """Functions and data of bionic's libraries at an API level. Lines: library, name, level that introduced it."""
    lines = (Path(__file__).parent / "bionic-symbols.txt").read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {name for library, name, api in rows if library in ("libc", "libm", "libdl") and int(api) <= level}


def headers() -> list[str]:
    """clang's own headers first, then those of musl that come with zig."""
    import ziglang

    include = Path(ziglang.__file__).parent / "lib/libc/include"
    own = subprocess.run(["clang", "-print-resource-dir"], capture_output=True, text=True, check=True).stdout.strip()
    folders = [Path(own) / "include", *(include / n for n in ("aarch64-linux-musl", "generic-musl", "aarch64-linux-any", "any-linux-any"))]
    absent = [str(folder) for folder in folders if not folder.is_dir()]
    if absent:
        raise SystemExit(f"no headers in {', '.join(absent)}")
    return ["-nostdinc", *(word for folder in folders for word in ("-isystem", str(folder)))]


def compile_all() -> list[Path]:
    """Objects of the whole core and of the cffi module."""
    jobs = [(ROOT / source, info["cflags"]) for _, info in BUILD["libraries"]("aarch64") for source in info["sources"]]
    module = CACHE / "_asymo.c"
    module.parent.mkdir(parents=True, exist_ok=True)
    BUILD["ffibuilder"].emit_c_code(str(module))
    includes = [f"-I{ROOT}", f"-I{sysconfig.get_path('include')}"]
    jobs.append((module, [*BUILD["CFLAGS"], *includes, "-DPy_LIMITED_API", "-Wno-missing-field-initializers"]))
    common = [f"--target=aarch64-linux-android{API}", *headers(), "-Werror"]

    def compile_one(job: tuple[Path, list[str]]) -> Path:
        source, flags = job
        target = CACHE / f"{source.parent.name}-{source.stem}.o"
        subprocess.run(["clang", *common, *flags, "-c", str(source), "-o", str(target)], cwd=ROOT, check=True)
        return target

    with ThreadPoolExecutor(os.cpu_count()) as workers:
        return list(workers.map(compile_one, jobs))


def names(objects: list[Path], which: str) -> set[str]:
    """Symbols that `nm` lists as undefined or defined."""
    command = ["aarch64-linux-gnu-nm", f"--{which}-only", "--format=posix", *map(str, objects)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in text.splitlines() if len(line.split()) > 1}


GIVEN = {
    "_GLOBAL_OFFSET_TABLE_": "the linker's",
    "__emutls_get_address": "of the compiler's runtime library: thread-local variables before level 29",
    "__assert_fail": "what musl's assert calls; bionic's calls __assert2",
}
"""Names that need not be bionic's."""


def is_given(name: str) -> bool:
    """Not bionic's, but there; so are Python's C API and the atomics of the compiler's runtime library."""
    return name in GIVEN or name.startswith(("Py", "_Py", "__aarch64_"))


def missing(objects: list[Path], known: set[str]) -> list[str]:
    """Names that nothing on Android defines."""
    return sorted(name for name in names(objects, "undefined") - names(objects, "defined") - known if not is_given(name))


def uses_of_x18(objects: list[Path]) -> list[str]:
    """Disassembled lines that name x18 or w18."""
    text = subprocess.run(["aarch64-linux-gnu-objdump", "-d", *map(str, objects)], capture_output=True, text=True, check=True).stdout
    return [line for line in text.splitlines() if re.search(r"\t.*\b[xw]18\b", line)]


def main() -> int:
    absent = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if absent:
        print(f"missing; on Debian and Ubuntu: apt install {' '.join(absent)}")
        return 2
    objects = compile_all()
    failures = [f"{name} is not in bionic at API level {API}" for name in missing(objects, symbols())]
    failures += [f"x18 belongs to Android: {line.strip()}" for line in uses_of_x18(objects)]
    print("\n".join(failures), end="\n" if failures else "")
    print(f"{'FAILED' if failures else 'ok'}: {len(objects)} objects for Android, API level {API}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
