"""Compiles the small C programs of these tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CC = os.environ.get("CC") or next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def compile_c(target: Path, sources: list[str], *flags: str) -> Path:
    """Builds target from sources (relative to the root of the project); skips the test where the compiler lacks a sanitizer."""
    if CC is None:
        pytest.skip("no C compiler")
    command = [*CC.split(), "-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror", '-DASYMO_VERSION="0"', *flags]
    if sanitizers := [flag for flag in flags if flag.startswith("-fsanitize")]:
        probe = target.with_suffix(".probe.c")
        probe.write_text("int main(void) { return 0; }\n")
        built = subprocess.run([*CC.split(), *sanitizers, probe, "-o", target], capture_output=True, check=False)
        if built.returncode or subprocess.run([target], capture_output=True, check=False).returncode:
            pytest.skip(f"{CC} has no {' '.join(sanitizers)} that works here")
    subprocess.run([*command, *(str(ROOT / source) for source in sources), "-o", str(target), "-lpthread"], check=True)
    return target
