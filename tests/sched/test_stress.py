"""stress.c under the sanitizers: each unit once, barriers, scratch, several callers, parking, placement, fork."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from _compile import compile_c

SOURCES = [
    "tests/sched/stress.c",
    "csrc/sched/pool.c",
    "csrc/sched/loop.c",
    "csrc/sched/park_futex.c",
    "csrc/sched/pin_linux.c",
    "csrc/exec/program.c",
    "csrc/api.c",
    "csrc/common/status.c",
]
BUILDS = {
    "plain": ["-O2", "-DNDEBUG"],
    "thread": ["-O1", "-fsanitize=thread"],
    "address-undefined": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("n_cpus", [1, 2])
def test_stress(build: str, n_cpus: int, tmp_path: Path) -> None:
    program = compile_c(tmp_path / "stress", SOURCES, *BUILDS[build])
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < n_cpus:
        pytest.skip(f"{len(cpus)} CPU")
    result = subprocess.run(
        [program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cpus[:n_cpus]),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ok\n"
