"""stress.c and unequal.c under the sanitizers: each unit once, barriers, scratch, several callers, parking, placement, fork; core types,
policies, chunks computed again, horizons."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from _compile import compile_c
from _scheduler import SOURCES

BUILDS = {
    "plain": ["-O2", "-DNDEBUG"],
    "thread": ["-O1", "-fsanitize=thread"],
    "address-undefined": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
}


def run(program: Path, *arguments: str, n_cpus: int, timeout: float) -> str:
    """What it prints on n_cpus CPUs."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < n_cpus:
        pytest.skip(f"{len(cpus)} CPU")
    result = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cpus[:n_cpus]),
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("n_cpus", [1, 2])
def test_stress(build: str, n_cpus: int, tmp_path: Path) -> None:
    program = compile_c(tmp_path / "stress", ["tests/sched/stress.c", *SOURCES], *BUILDS[build])
    assert run(program, n_cpus=n_cpus, timeout=120) == "ok\n"


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("runs", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_unequal(build: str, runs: int, tmp_path: Path) -> None:
    program = compile_c(tmp_path / "unequal", ["tests/sched/unequal.c", *SOURCES], *BUILDS[build])
    assert run(program, str(runs), n_cpus=2, timeout=600).startswith("ok, ")
