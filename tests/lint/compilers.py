"""Compiles every C file for each compiler that is installed, with more warnings than a build has; a warning is an error. Writes nothing.

`python tests/lint/compilers.py`
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = runpy.run_path(str(ROOT / "asymo/_build.py"))
WARNINGS = ["-Werror", "-Wshadow", "-Wvla", "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wundef", "-Wpointer-arith"]
COMPILERS = {"gcc": BUILD["ARCH"], "clang": BUILD["ARCH"], "aarch64-linux-gnu-gcc": "aarch64"}


def commands() -> list[list[str]]:
    """One per compiler and file; a file of an instruction set goes to the compilers of its architecture."""
    isas = BUILD["isas"]()
    result = []
    for compiler, machine in COMPILERS.items():
        for path in sorted((ROOT / "csrc").rglob("*.c")):
            arch, flags = isas.get(path.stem.rpartition("_")[2], ("any", []))
            if shutil.which(compiler) and arch in ("any", machine):
                result.append([compiler, *BUILD["CFLAGS"], *flags, *WARNINGS, "-fsyntax-only", str(path)])
    return result


def main() -> int:
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        results = list(workers.map(lambda command: subprocess.run(command, capture_output=True, text=True), commands()))
    failures = [r.stderr for r in results if r.returncode]
    print("".join(failures), end="")
    print(f"{len(results)} compilations, {len(failures)} with warnings")
    return 1 if failures or not results else 0


if __name__ == "__main__":
    sys.exit(main())
