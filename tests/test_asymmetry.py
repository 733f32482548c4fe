"""benchmarks.asymmetry: its arithmetic, and that a hog slows one CPU down and never stays behind."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("onnx")

from benchmarks.asymmetry import efficiency, interference, slow, uniform
from benchmarks.asymmetry.efficiency import Sample
from benchmarks.asymmetry.interference import Run

ROOT = Path(__file__).parent.parent


def sample(who: str, both_ms: float, model: str = "m", how: str = "r = 2", alone_ms: float = 3.0, share: float = 0.5) -> Sample:
    return Sample(model, who, how, share, alone_ms, both_ms)


def test_efficiency_is_one_when_both_cores_give_all_they_have() -> None:
    assert efficiency.efficiency(3.0, 2.0, 0.5) == 1.0
    assert efficiency.efficiency(3.0, 3.0, 0.5) == pytest.approx(1 / 1.5), "the slow core left alone"
    assert efficiency.efficiency(3.0, 3.0, 0.5) == sample("a", 3.0).efficiency
    assert sample("a", 4.5).slowdown == 1.5


def test_pivot_takes_medians_over_rounds_and_models() -> None:
    samples = [sample("a", 2.0), sample("a", 2.0), sample("a", 9.0), sample("b", 4.0), sample("a", 4.0, model="n")]
    rows = efficiency.pivot(samples, "who", lambda s: s.both_ms)
    assert rows == [{"model": "m", "a": 2.0, "b": 4.0}, {"model": "n", "a": 4.0, "b": None}, {"model": "median", "a": 3.0, "b": 4.0}]
    assert efficiency.two_digits(rows)[0] == {"model": "m", "a": "2.00", "b": "4.00"}
    assert efficiency.pivot(samples[:1], "how", lambda s: s.efficiency) == [{"model": "m", "r = 2": 1.0}]


def test_cores_without_a_common_cache_count_only_where_there_are_no_others() -> None:
    far = replace(sample("a", 9.0), near=False)
    assert efficiency.cells([sample("a", 2.0), far]) == {("m", "a", "r = 2"): [sample("a", 2.0)]}
    assert efficiency.cells([far]) == {("m", "a", "r = 2"): [far]}
    assert [found for _, found in efficiency.by_distance([far, sample("a", 2.0)])] == [[sample("a", 2.0)], [far]]
    assert len(efficiency.by_distance([far])) == 1


@pytest.mark.parametrize(
    ("verdict", "broken"),
    [
        (lambda s: efficiency.at_least(s, "a", {"m": 0.9}), 0),
        (lambda s: efficiency.at_least(s, "a", {"": 1.01}), 1),
        (lambda s: efficiency.at_least(s, "b", {"m": 0.9}), 1),
        (lambda s: efficiency.never_slower(s, "a"), 0),
        (lambda s: efficiency.never_slower(s, "b"), 1),
        (lambda s: efficiency.best(s, "a"), 0),
        (lambda s: efficiency.best(s, "b"), 1),
        (lambda s: efficiency.best(s, "b", tolerance=0.6), 0),
    ],
)
def test_verdicts(verdict: object, broken: int) -> None:
    found = verdict([sample("a", 2.0), sample("b", 3.5)])  # type: ignore[operator]
    assert len(found.broken) == broken
    assert str(found).startswith("no" if broken else "yes")


def test_numbers_are_parsed() -> None:
    assert efficiency.parse_numbers("1.5,2") == (1.5, 2.0)
    with pytest.raises(ValueError, match="x"):
        efficiency.parse_numbers("x")


def test_utilisation_is_the_busy_part() -> None:
    before, after = (
        [{"busy_ns": 5, "wait_ns": 5}, {"busy_ns": 0, "wait_ns": 0}],
        [{"busy_ns": 14, "wait_ns": 6}, {"busy_ns": 0, "wait_ns": 0}],
    )
    assert uniform.utilisation(before, after) == (0.9, 0.0)


def test_utilisations_stand_side_by_side() -> None:
    found = [replace(sample("a", 2.0), utilisation=used) for used in ((1.0, 0.8), (0.98, 0.9), (0.98, 0.92))]
    assert efficiency.utilisations([*found, sample("b", 2.0)], "a") == [{"model": "m", "r = 2": "98 / 90"}]
    assert efficiency.utilisations([sample("a", 2.0)], "a") == [], "not known"


def test_interference_counts_the_runs_until_the_shares_have_moved() -> None:
    parts = {"before": [0.5] * 20, "during": [0.5, 0.4, 0.3] + [0.2] * 17, "after": [0.2] + [0.5] * 19}
    rows = interference.summary([Run(phase, 1.0, part) for phase, found in parts.items() for part in found])
    assert [row["slow core's part"] for row in rows] == [0.5, 0.2, 0.5]
    assert [row.get("runs until moved") for row in rows] == [None, 2, 0]
    assert interference.settling([0.5, 0.5, 0.5, 0.5], 0.5, 0.1) == 4, "never"


# ---- the hog


@pytest.fixture
def hog_is_possible() -> Iterator[None]:
    """Skips where no hog can be had. One test at a time: there is one hog per CPU."""
    if 1 not in os.sched_getaffinity(0):
        pytest.skip("there is no CPU 1 for this process")
    with (Path(tempfile.gettempdir()) / "asymo-tests-hog.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with slow.Hog(1, 50, 100):
                pass
        except slow.NotPossible as error:
            pytest.skip(f"no hog here: {error}")
        yield


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] not in "ZX"
    except OSError:
        return False


def ends(pid: int) -> bool:
    """Whether the process is gone within five seconds."""
    for _ in range(100):
        if not is_alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("hog_is_possible")
def test_a_hog_takes_time_when_it_is_on_and_none_when_it_is_off() -> None:
    with slow.Hog(1, 500, 1000) as hog:
        pid = hog._process.pid

        def used() -> int:
            before = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
            time.sleep(0.2)
            return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) - before

        time.sleep(0.02)
        assert used() == 0
        hog.on()
        assert used() > 10e6, "half of 200 ms is 100 ms, on a machine with nothing else to do"
        hog.off()
    assert not is_alive(pid)


@pytest.mark.usefixtures("hog_is_possible")
def test_one_hog_per_cpu() -> None:
    with slow.Hog(1, 50, 100), pytest.raises(slow.NotPossible, match="another one"):
        slow.Hog(1, 50, 100)


@pytest.mark.usefixtures("hog_is_possible")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("is_on", [False, True])
def test_a_hog_dies_with_its_parent(end: signal.Signals, is_on: bool) -> None:
    code = (
        "import time; from benchmarks.asymmetry.slow import Hog; hog = Hog(1, 50, 100)\n"
        f"{'hog.on()' if is_on else ''}\nprint(hog._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    hog = int(parent.stdout.readline())
    assert is_alive(hog)
    parent.send_signal(end)
    parent.wait()
    parent.stdout.close()
    assert ends(hog)


@pytest.mark.parametrize(
    "arguments", [[], ["0", "50", "100", "1"], ["1", "99", "100", "1"], ["1", "5", "10", "1"], ["1", "50", "100", "0"]]
)
def test_misuse_is_refused(arguments: list[str]) -> None:
    try:
        program = slow.build("asymcpu", [slow.HERE / "asymcpu.c"])
    except slow.NotPossible as error:
        pytest.skip(str(error))
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("asymcpu: ")
