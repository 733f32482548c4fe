"""Clocks are fixed by the right writes in the right order, and whatever happens they come back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymo.device import cpufreq, profile, tree
from asymo.device.cpufreq import LIMITS, MAX, MIN, WAYS, Policy
from asymo.device.frequency import Levers

CPUFREQ = "sys/devices/system/cpu/cpufreq"


def board(root: Path, name: str = "hikey970", driver: str = "intel_pstate", governors: str = "performance schedutil") -> dict[str, str]:
    """A profile's cpufreq tree with the files that the kernel lets people write, as plain files. The default driver's clock is believed to
    stand where its limits stand."""
    device = profile.load(name)
    made = {path: text for path, text in tree.files(device).items() if CPUFREQ in path}
    for cluster in device.clusters:
        folder = f"{CPUFREQ}/policy{min(cluster.cpu_ids)}"
        lowest, highest = str(cluster.min_freq_khz), str(cluster.max_freq_khz)
        made |= {
            f"{folder}/{file}": text
            for file, text in {
                "scaling_driver": driver, "scaling_governor": "schedutil", "scaling_available_governors": governors,
                MIN: lowest, MAX: highest, "scaling_cur_freq": highest, "scaling_setspeed": "<unsupported>",
                "cpuinfo_transition_latency": "300000",
            }.items()
        }  # fmt: skip
    tree.write(made, root)
    return snapshot(root)


def snapshot(root: Path) -> dict[str, str]:
    return {str(path.relative_to(root)): path.read_text() for path in sorted((root / "sys").rglob("*")) if path.is_file()}


def levers(root: Path) -> Levers:
    return Levers(root / "sys", root / "state" / "frequency.json")


def test_limits_are_set_and_come_back(tmp_path: Path) -> None:
    before = board(tmp_path)
    with levers(tmp_path).apply({0: 1018000, 4: 1364000}) as held:
        assert [(o.policy, o.khz, o.way) for o in held.outcomes] == [(0, 1018000, "limits"), (4, 1364000, "limits")]
        now = snapshot(tmp_path)
        changed = {path: text for path, text in now.items() if before[path] != text}
        assert changed == {f"{CPUFREQ}/policy{p}/{f}": khz for p, khz in ((0, "1018000"), (4, "1364000")) for f in (MIN, MAX)}
    assert {p: t.strip() for p, t in snapshot(tmp_path).items()} == {p: t.strip() for p, t in before.items()}
    assert list((tmp_path / "state").iterdir()) == []


def test_the_second_is_told_who_holds_the_clocks(tmp_path: Path) -> None:
    board(tmp_path)
    with levers(tmp_path).apply({0: 1018000}):
        before = snapshot(tmp_path)
        with levers(tmp_path).apply({0: 1402000}) as second:
            (outcome,) = second.outcomes
        assert outcome.way == ""
        assert "held by another session of this process" in outcome.notes[0]
        assert "held by another session" in levers(tmp_path).restore().problems[0]
        assert "held by another session" in levers(tmp_path).available().explain()[0]
        assert snapshot(tmp_path) == before


clocks = st.integers(1, 30).map(lambda step: 100_000 * step)


@given(a=clocks, b=clocks, khz=clocks, way=st.sampled_from(WAYS), governor=st.sampled_from(["schedutil", "userspace"]))
def test_no_write_crosses_the_other_limit(a: int, b: int, khz: int, way: str, governor: str) -> None:
    """Of a kernel that refuses every write above the maximum or below the minimum, as kernels before 5.4 did, none is refused."""
    state = {MIN: min(a, b), MAX: max(a, b)}
    before = Policy(0, (0,), floor=min(a, b), ceiling=max(a, b), governor=governor)
    for name, text in cpufreq.writes(before, way, khz):
        if name in state:
            state[name] = int(text)
            assert state[MIN] <= state[MAX]
        elif name == "scaling_setspeed":
            assert state[MIN] <= int(text) <= state[MAX]
    assert way != LIMITS or state == {MIN: khz, MAX: khz}
    now = Policy(0, (0,), floor=state[MIN], ceiling=state[MAX], governor="userspace")
    for name, text in cpufreq.undo(now, {MIN: str(before.floor), MAX: str(before.ceiling)}):
        state[name] = int(text)
        assert state[MIN] <= state[MAX]
    assert state == {MIN: before.floor, MAX: before.ceiling}


@pytest.mark.parametrize("khz", [0, 1, 1_000_000, 1_018_001, 1_100_000, 10**9])
def test_the_nearest_clock_is_taken(khz: int) -> None:
    steps = (509_000, 1_018_000, 1_210_000)
    policy = Policy(0, (0,), steps=steps)
    assert policy.nearest(khz) in steps
    assert all(abs(policy.nearest(khz) - khz) <= abs(step - khz) for step in steps)
    assert 500 <= Policy(0, (0,), lowest=500, highest=900).nearest(khz) <= 900
