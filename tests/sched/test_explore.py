"""explore.c: every interleaving of small loops is right; and a protocol with one of its precautions left out is found to be wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from _compile import compile_c

QUICK = ["rescue", "runs", "static", "serial", "horizon", "ring", "tso", "tso-static", "tso-more", "three"]
LARGE = ["three-units", "three-apart"]  # up to 4 million states, 1 GB
DOUBLE = "a unit is computed twice, and not by a rescue"
MISSING = "a loop returns before all its units are computed"
LATE = "a unit is computed after the horizon, or after the run"
LOOP = "the description of a loop is written while a worker reads it"
CONTEXT = "the context of a step is written while a worker uses it"
RUNNING = "a loop returns while a chunk is running that may not be computed again"
STUCK = "the end cannot be reached any more: somebody waits for ever"
MUTATIONS = [
    ("no-call-check", "tso", LOOP),
    ("no-tag", "rescue", DOUBLE),
    ("no-tag", "static", LATE),
    ("holds-too-late", "rescue", MISSING),
    ("no-horizon", "horizon", LATE),
    ("no-ring-wait", "ring", LOOP),
    ("no-context-wait", "serial", CONTEXT),
    ("no-leave-wait", "runs", LATE),
    ("no-sleep-check", "static", STUCK),
    ("no-watch-check", "rescue", STUCK),
    ("rescues-all", "rescue", RUNNING),
    ("open-store", "tso", STUCK),
    ("close-store", "tso", LOOP),
    ("busy-store", "tso", LOOP),
    ("asleep-store", "tso-static", STUCK),
]


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_c(tmp_path_factory.mktemp("explore") / "explore", ["tests/sched/explore.c"], "-O2")


def explore(explorer: Path, *arguments: str) -> tuple[int, str]:
    """(exit code, first line) of the explorer."""
    result = subprocess.run([explorer, *arguments], capture_output=True, text=True, timeout=600, check=False)
    return result.returncode, result.stdout.split("\n")[0]


@pytest.mark.parametrize("config", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_every_interleaving_is_right(explorer: Path, config: str) -> None:
    code, line = explore(explorer, config)
    assert code == 0, line
    assert int(line.split()[0]) > 5000


@pytest.mark.parametrize(("mutation", "config", "wrong"), MUTATIONS)
def test_each_precaution_is_needed(explorer: Path, mutation: str, config: str, wrong: str) -> None:
    assert explore(explorer, config, mutation) == (1, wrong)
