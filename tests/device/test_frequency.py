"""Clocks are fixed by the right writes in the right order, and whatever happens they come back."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asymo
from asymo.bench import cli
from asymo.device import cpufreq, profile, tree
from asymo.device.cpufreq import LIMITS, MAX, MIN, WAYS, Policy
from asymo.device.frequency import Clock, Levers
from tests.device._kernel import NAMES, unmount
from tests.device._kernel import Policy as Kernel
from tests.test_session import RELU

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


class Watch:
    """Everything that is changed below a folder, by inotify: (path, what), neighbours that are alike once."""

    MODIFY, ATTRIB, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
    NAMES = {MODIFY: "write", ATTRIB: "attributes", MOVED_FROM: "move", MOVED_TO: "move", CREATE: "create", DELETE: "delete"}

    def __init__(self, root: Path) -> None:
        library = ctypes.CDLL(None)
        self._handle = library.inotify_init1(os.O_NONBLOCK)
        self._folders = {}
        for folder in [root, *(p for p in root.rglob("*") if p.is_dir())]:
            self._folders[library.inotify_add_watch(self._handle, os.fsencode(folder), sum(self.NAMES))] = folder.relative_to(root)

    def seen(self) -> list[tuple[str, str]]:
        """Since the last call."""
        found: list[tuple[str, str]] = []
        try:
            events = os.read(self._handle, 1 << 16)
        except BlockingIOError:
            return found
        while events:
            watch, mask, _, size = struct.unpack_from("iIII", events)
            name = events[16 : 16 + size].rstrip(b"\0").decode()
            event = (str(self._folders[watch] / name), self.NAMES[mask & 0x3C6])
            found += [event] if event not in found[-1:] else []
            events = events[16 + size :]
        return found


def test_every_change_of_a_real_folder_is_one_of_these(tmp_path: Path) -> None:
    """By limits: both of policy0's move, of policy4's the minimum alone, for 2362 MHz is its maximum; and back in the same order."""
    board(tmp_path)
    watch = Watch(tmp_path / "sys")
    with levers(tmp_path).apply({0: 1018000, 4: 2362000}):
        set_by = [f"policy0/{MIN}", f"policy0/{MAX}", f"policy4/{MIN}"]
        assert watch.seen() == [(f"{CPUFREQ[4:]}/{path}", "write") for path in set_by]
    assert watch.seen() == [(f"{CPUFREQ[4:]}/{path}", "write") for path in set_by]


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


# ---- a kernel that answers


HIKEY = {
    "policy0": {"cpus": [0, 1, 2, 3], "steps": [509000, 1018000, 1210000, 1402000, 1844000], "low": 1018000, "high": 1402000},
    "policy4": {"cpus": [4, 5, 6, 7], "steps": [682000, 1018000, 1364000, 1863000, 2362000]},
}
TARGETS = {0: 509000, 4: 1364000}


class Fake:
    """A machine whose cpufreq folder is the file system of _kernel.py, or plain files ("plain"), which tell of nothing but what is in
    them and need no rights."""

    def __init__(self, root: Path, kind: str, changes: dict[str, Any]) -> None:
        self.root, self.folder, self.log = root, root / CPUFREQ, root / "log"
        self.process: subprocess.Popen[str] | None = None
        if kind == "plain":
            board(root)
        else:
            self.mount(changes)
        self.before = self.state()

    def mount(self, changes: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True)
        config = self.root / "config.json"
        config.write_text(json.dumps({policy: {**fields, **changes} for policy, fields in HIKEY.items()}))
        command = [sys.executable, str(Path(__file__).with_name("_kernel.py")), str(self.folder), str(self.log), str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            pytest.skip(f"FUSE needs root and /dev/fuse: {self.process.communicate()[1].splitlines()[-1]}")

    def state(self) -> dict[str, str]:
        names = ("scaling_governor", MIN, MAX)
        return {f"{p}/{name}": (self.folder / p / name).read_text().strip() for p in HIKEY for name in names}

    def clocks(self) -> list[int]:
        return [int((self.folder / p / ("scaling_cur_freq" if self.process else MAX)).read_text()) for p in HIKEY]

    def writes(self, policy: str = "") -> list[tuple[str, str]]:
        """(file, text) of what was written, errors too; of one policy, or with the policies' names."""
        entries = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [(path.removeprefix(f"{policy}/"), text) for path, text, _ in entries if path.startswith(policy)]

    def errors(self) -> list[str]:
        return [error for *_, error in map(json.loads, self.log.read_text().splitlines()) if error]

    def end(self) -> None:
        if self.process is not None:
            unmount(self.folder)
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Callable[..., Fake]]:
    made: list[Fake] = []

    def make(kind: str = "fuse", **changes: Any) -> Fake:
        made.append(Fake(tmp_path / str(len(made)), kind, changes))
        return made[-1]

    yield make
    for one in made:
        one.end()


@pytest.fixture(params=["fuse", "plain"])
def machine(request: pytest.FixtureRequest, fake: Callable[..., Fake]) -> Fake:
    return fake(request.param)


@pytest.mark.parametrize("governors", [["schedutil", "userspace"], ["schedutil", "performance"]], ids=["userspace", "limits"])
def test_clocks_move_and_come_back(governors: list[str], fake: Callable[..., Fake]) -> None:
    machine = fake(governors=governors, delay_s=0.02)
    with levers(machine.root).apply(TARGETS) as held:
        assert [(o.khz, o.way) for o in held.outcomes] == [
            (khz, ("limits", "userspace")["userspace" in governors]) for khz in TARGETS.values()
        ]
        assert machine.clocks() == list(TARGETS.values())
        assert sum(o.way != "" for o in held.change({0: 1844000})) == 2
    assert machine.state() == machine.before
    assert machine.errors() == []


def test_order_of_writes_by_userspace(fake: Callable[..., Fake]) -> None:
    """policy0 allows 1018 to 1402 MHz: the minimum comes down before the speed is set, and goes up before the governor changes back."""
    machine = fake(strict=True)
    with levers(machine.root).apply(TARGETS):
        assert machine.writes() == [
            (f"policy0/{MIN}", "509000"), ("policy0/scaling_governor", "userspace"), ("policy0/scaling_setspeed", "509000"),
            ("policy4/scaling_governor", "userspace"), ("policy4/scaling_setspeed", "1364000"),
        ]  # fmt: skip
    assert machine.writes("policy0")[3:] == [(MIN, "1018000"), ("scaling_governor", "schedutil")]
    assert machine.writes("policy4")[2:] == [("scaling_governor", "schedutil")]
    assert machine.errors() == []


@pytest.mark.parametrize(
    ("khz", "order"), [(1844000, [MAX, MIN]), (509000, [MIN, MAX]), (1210000, [MIN, MAX])], ids=["up", "down", "between"]
)
def test_order_of_writes_by_limits(khz: int, order: list[str], fake: Callable[..., Fake]) -> None:
    machine = fake(strict=True, governors=["schedutil"])
    with levers(machine.root).apply({0: khz}) as held:
        assert machine.writes("policy0") == [(name, str(khz)) for name in order]
        assert held.outcomes[0].way == "limits"
    assert machine.state() == machine.before
    assert machine.errors() == []


def test_a_refused_governor_leads_to_limits(fake: Callable[..., Fake]) -> None:
    machine = fake(refuse={"scaling_governor": "EACCES"})
    with levers(machine.root).apply(TARGETS) as held:
        assert [(o.khz, o.way) for o in held.outcomes] == [(khz, "limits") for khz in TARGETS.values()]
        assert all("userspace: scaling_governor: Permission denied" in o.notes for o in held.outcomes)
        assert machine.clocks() == list(TARGETS.values())
    assert machine.state() == machine.before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"refuse": {"scaling_setspeed": "EIO", MIN: "EIO"}}, "Input/output error"),
        ({"refuse": {"scaling_setspeed": "EBUSY", MAX: "EPERM"}}, "Operation not permitted"),
        ({"stuck": ["scaling_setspeed", MIN, MAX]}, "changed nothing"),
        ({"stuck": ["scaling_cur_freq"]}, "changed nothing"),
        ({"delay_s": 30.0}, "changed nothing"),
    ],
    ids=["EIO", "EPERM", "writes that are ignored", "clocks that never move", "clocks that take too long"],
)
def test_what_does_not_work_is_left_as_it_was(changes: dict[str, Any], says: str, fake: Callable[..., Fake]) -> None:
    machine = fake(**changes)
    with levers(machine.root).apply({4: 1364000}) as held:
        (outcome,) = held.outcomes
        assert outcome.way == ""
        assert outcome.khz == 2362000
        assert any(says in note for note in outcome.notes)
        assert machine.state() == machine.before
    assert machine.state() == machine.before


def test_writes_that_are_ignored_lead_to_the_next_lever(fake: Callable[..., Fake]) -> None:
    machine = fake(stuck=["scaling_setspeed"])
    with levers(machine.root).apply({4: 1364000}) as held:
        assert [(o.khz, o.way) for o in held.outcomes] == [(1364000, "limits")]
    assert machine.state() == machine.before


@pytest.mark.parametrize("governors", [["schedutil", "userspace"], ["schedutil"]], ids=["userspace", "limits"])
def test_heat_limits_the_clock(governors: list[str], fake: Callable[..., Fake]) -> None:
    machine = fake(cap=1863000, governors=governors)
    with levers(machine.root).apply({4: 2362000}) as held:
        (outcome,) = held.outcomes
        assert outcome.khz == 1863000
        assert any("heat or firmware" in note for note in outcome.notes)


def test_clocks_rest_between_changes(fake: Callable[..., Fake]) -> None:
    machine, now = fake(latency_ns=10_000_000), [0.0]
    made = Levers(machine.root / "sys", machine.root / "state.json", Clock(lambda: now[0], lambda s: now.__setitem__(0, now[0] + s)))
    with made.apply({4: 1364000}) as held:
        count = len(machine.writes())
        now[0] += 0.09
        assert "has to wait" in held.change({4: 1018000})[0].notes[0]
        assert held.change({4: 1364100})[0].khz == 1364000
        assert len(machine.writes()) == count
        now[0] += 0.02
        assert held.change({4: 1018000})[0].khz == 1018000


def test_nothing_outside_the_policies_is_touched(fake: Callable[..., Fake]) -> None:
    machine = fake()
    outside = {p: p.read_bytes() for p in machine.root.rglob("*") if p.is_file() and machine.folder not in p.parents and p != machine.log}
    with levers(machine.root).apply({**TARGETS, 7: 1000000}) as held:
        assert "no such policy" in held.outcomes[0].notes[0]
    allowed = {f"{policy}/{name}" for policy in HIKEY for name in ("scaling_governor", "scaling_setspeed", MIN, MAX)}
    assert {path for path, _ in machine.writes()} <= allowed
    after = {p: p.read_bytes() for p in machine.root.rglob("*") if p.is_file() and machine.folder not in p.parents and p != machine.log}
    assert after == outside
    assert machine.errors() == []


def test_boost_is_switched_only_when_asked(tmp_path: Path) -> None:
    before = board(tmp_path) | {f"{CPUFREQ}/boost": "1"}
    tree.write({f"{CPUFREQ}/boost": "1"}, tmp_path)
    with levers(tmp_path).apply({0: 1018000}):
        assert (tmp_path / CPUFREQ / "boost").read_text().strip() == "1"
    with levers(tmp_path).apply({0: 1018000}, boost=False):
        assert (tmp_path / CPUFREQ / "boost").read_text() == "0"
    assert (tmp_path / CPUFREQ / "boost").read_text().strip() == before[f"{CPUFREQ}/boost"]


# ---- whatever happens


CHILD = """
import os, signal, sys, time
from asymo.device.frequency import Levers
levers = Levers(sys.argv[1] + "/sys", __import__("pathlib").Path(sys.argv[1]) / "state" / "frequency.json")
signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup and shells in the background leave these two ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)
{before}
with levers.apply({{0: 509000, 4: 1364000}}) as held:
    assert all(o.way for o in held.outcomes), held.outcomes
    print("set", flush=True)
    {inside}
"""


def child(machine: Fake, inside: str = "time.sleep(60)", before: str = "") -> subprocess.Popen[str]:
    code = CHILD.format(before=before, inside=inside)
    root = Path(__file__).parent.parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(machine.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "set\n", process.communicate()[1]
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_restore(number: signal.Signals, machine: Fake) -> None:
    process = child(machine)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == -number
    assert machine.state() == machine.before
    assert list((machine.root / "state").iterdir()) == []


def test_earlier_handlers_are_called_after_the_clocks_are_back(machine: Fake) -> None:
    tell = f"print(open({str(machine.folder)!r} + '/policy4/scaling_governor').read().strip(), flush=True)"
    process = child(machine, before=f"signal.signal(signal.SIGTERM, lambda *a: ({tell}, sys.exit(7)))")
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == "schedutil\n"
    assert process.returncode == 7


def test_an_ignored_signal_stays_ignored(machine: Fake) -> None:
    process = child(machine, before="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert process.poll() is None
    assert machine.clocks() == [509000, 1364000]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert machine.state() == machine.before


@pytest.mark.parametrize(
    ("inside", "code"),
    [
        ("raise ValueError('mine')", 1),
        ("sys.exit(3)", 3),
        ("pass", 0),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
    ],
    ids=["exception", "exit", "end", "kill itself"],
)
def test_every_end_restores(inside: str, code: int, machine: Fake) -> None:
    process = child(machine, inside)
    assert ("mine" in process.communicate(timeout=20)[1]) == (code == 1)
    assert process.returncode == code
    assert machine.state() == machine.before


def test_a_context_that_is_never_left_is_restored_at_exit(machine: Fake) -> None:
    before = "import builtins; c = builtins.c = levers.apply({0: 509000, 4: 1364000}); c.__enter__(); print('set', flush=True); sys.exit(0)"
    process = child(machine, before=before)
    process.communicate(timeout=20)
    assert machine.state() == machine.before


def test_a_forked_child_leaves_the_clocks_alone(machine: Fake) -> None:
    inside = "pid = os.fork()\n    if not pid: sys.exit(0)\n    os.waitpid(pid, 0); print('after', flush=True); time.sleep(60)"
    process = child(machine, inside)
    assert process.stdout is not None
    assert process.stdout.readline() == "after\n"
    assert machine.clocks() == [509000, 1364000]
    process.terminate()
    process.communicate(timeout=20)
    assert machine.state() == machine.before


def killed(machine: Fake) -> None:
    process = child(machine)
    process.kill()
    process.communicate()
    assert machine.clocks() == [509000, 1364000]
    assert (machine.root / "state" / "frequency.json").exists()


def test_after_sigkill_restore_puts_it_back(machine: Fake) -> None:
    killed(machine)
    restored = levers(machine.root).restore()
    assert restored.files > 0
    assert restored.problems == ()
    assert machine.state() == machine.before
    assert levers(machine.root).restore().files == 0


@pytest.fixture
def here(fake: Callable[..., Fake], monkeypatch: pytest.MonkeyPatch) -> Fake:
    """A machine of plain files that sessions and commands take for this one."""
    machine = fake("plain")
    (machine.root / "run").mkdir()
    (machine.root / "state").mkdir()
    (machine.root / "run" / "asymo").symlink_to(machine.root / "state")
    monkeypatch.setenv("ASYMO_ROOT", str(machine.root))
    return machine


def test_after_sigkill_the_command_puts_it_back(here: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    process = child(here)
    assert cli.main(["frequency", "--restore"]) == 1
    assert f"held by process {process.pid}" in capsys.readouterr().err
    assert here.clocks() == [509000, 1364000]
    process.kill()
    process.communicate()
    assert cli.main(["frequency", "--restore"]) == 0
    assert "files put back" in capsys.readouterr().out
    assert here.state() == here.before


def test_the_command_lists_what_can_be_set(here: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["frequency"]) == 0
    text = capsys.readouterr().out
    assert "policy0 (CPUs 0-3): limits" in text
    assert "userspace: the kernel has no governor" in text


def test_after_sigkill_the_next_session_puts_it_back(here: Fake) -> None:
    machine, process = here, child(here)
    asymo.load(RELU)
    assert machine.clocks() == [509000, 1364000], "their owner lives"
    process.kill()
    process.communicate()
    asymo.load(RELU)
    assert machine.state() == machine.before


def test_after_sigkill_the_next_apply_remembers_what_was_first(machine: Fake) -> None:
    killed(machine)
    with levers(machine.root).apply({0: 1402000}) as held:
        assert held.outcomes[0].khz == 1402000
        assert machine.state()["policy4/scaling_governor"] == "schedutil"
    assert machine.state() == machine.before


def test_after_sigkill_and_a_reboot_nothing_is_put_back(machine: Fake) -> None:
    killed(machine)
    ledger = machine.root / "state" / "frequency.json"
    ledger.write_text(ledger.read_text().replace('"boot": "', '"boot": "another '))
    assert levers(machine.root).restore().files == 0
    assert machine.clocks() == [509000, 1364000]


def test_what_cannot_be_put_back_stays_in_the_ledger(fake: Callable[..., Fake]) -> None:
    machine = fake("plain")
    killed(machine)
    stubborn = machine.folder / "policy4" / MAX
    stubborn.unlink()
    stubborn.symlink_to(stubborn.name)
    (problem,) = levers(machine.root).restore().problems
    assert "policy4 is not as it was: scaling_max_freq" in problem
    left = json.loads((machine.root / "state" / "frequency.json").read_text())["before"]
    assert left[f"{CPUFREQ[4:]}/policy4/{MAX}"] == "2362000"
    assert all("policy4" in path for path in left)
    stubborn.unlink()
    stubborn.write_text("1364000")
    assert levers(machine.root).restore().problems == ()
    assert machine.state() == machine.before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"before": 3}', '{"before": {"../../../etc/passwd": "x"}}'])
def test_a_ledger_that_is_none_harms_nobody(text: str, tmp_path: Path) -> None:
    before = board(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "frequency.json").write_text(text)
    assert levers(tmp_path).restore().files == 0
    with levers(tmp_path).apply({0: 1018000}):
        pass
    assert {p: t.strip() for p, t in snapshot(tmp_path).items()} == {p: t.strip() for p, t in before.items()}


def test_only_cpufreq_is_ever_written(tmp_path: Path) -> None:
    """A ledger that names other files, as somebody might plant for root to restore."""
    board(tmp_path)
    victim = tmp_path / "sys" / "victim"
    victim.write_text("mine")
    ledger = levers(tmp_path).ledger()
    ledger.write(
        {
            "victim": "x",
            "../sys/victim": "x",
            "devices/system/cpu/cpufreq/policy0/../../../../../victim": "x",
            f"{CPUFREQ[4:]}/policy0/x": "x",
        }
    )
    assert levers(tmp_path).restore().files == 0
    assert victim.read_text() == "mine"


def test_the_second_process_is_told_whose_clocks_they_are(machine: Fake) -> None:
    process = child(machine)
    with levers(machine.root).apply({0: 1402000}) as held:
        assert held.outcomes[0].way == ""
        assert f"held by process {process.pid} (" in held.outcomes[0].notes[0]
    assert levers(machine.root).available().settable == {}
    assert machine.clocks() == [509000, 1364000]
    process.terminate()
    process.communicate(timeout=20)
    assert machine.state() == machine.before


def test_no_place_for_the_ledger_means_no_writes(tmp_path: Path) -> None:
    before = board(tmp_path)
    (tmp_path / "state").write_text("a file, where a folder should be")
    with levers(tmp_path).apply({0: 1018000}) as held:
        assert held.outcomes[0].way == ""
        assert "nothing is changed that could not be put back" in held.outcomes[0].notes[0]
        assert snapshot(tmp_path) == before


def test_without_permission_it_says_what_to_do(tmp_path: Path) -> None:
    """Links to themselves: nobody writes them, not even root."""
    board(tmp_path)
    for name in (MIN, MAX, "scaling_governor"):
        path = tmp_path / CPUFREQ / "policy0" / name
        path.unlink()
        path.symlink_to(name)
    made = levers(tmp_path)
    assert list(made.available().settable) == [4]
    assert "docs/energy.md" in "\n".join(made.available().explain())
    assert made.commands({4: 1364000}) == [f"echo 1364000 | sudo tee {tmp_path}/{CPUFREQ}/policy4/{name}" for name in (MIN, MAX)]


def test_no_cpufreq(tmp_path: Path) -> None:
    made = levers(tmp_path)
    assert "no policies" in made.available().explain()[0]
    with made.apply({0: 1}) as held:
        assert held.outcomes[0].way == ""
    assert not (tmp_path / "state").exists()


# ---- any tree, any targets


class Modelled(Levers):
    """Levers whose every write is answered by the model at once, and is seen in the files afterwards."""

    def __init__(self, root: Path, policies: dict[str, Kernel]) -> None:
        now = [0.0]
        super().__init__(root / "sys", root / "state.json", Clock(lambda: now[0], lambda s: now.__setitem__(0, now[0] + 20 * s)))
        self.models, self.log, self.shown = policies, [], {}
        for policy in policies:
            (self.root / cpufreq.FOLDER / policy).mkdir(parents=True)
        self.show()

    def show(self) -> None:
        for policy, model in self.models.items():
            for name in NAMES:
                text = model.read(name, self.clock.now())
                if self.shown.get((policy, name)) != text:
                    (self.root / cpufreq.FOLDER / policy / name).write_text(text)
                    self.shown[policy, name] = text

    def write(self, path: str, text: str) -> str:
        policy, name = path.split("/")[-2:]
        error = self.models[policy].write(name, text, self.clock.now())
        self.log.append((policy, name, error))
        self.show()
        return os.strerror(error) if error else ""


def kernels() -> st.SearchStrategy[Kernel]:
    steps = st.lists(st.integers(3, 30).map(lambda s: 100_000 * s), min_size=1, max_size=6, unique=True).map(sorted)
    errors = st.dictionaries(
        st.sampled_from(["scaling_governor", "scaling_setspeed", MIN, MAX]), st.sampled_from(["EACCES", "EIO", "EBUSY"]), max_size=2
    )

    def make(table: list[int], a: int, b: int, governors: list[str], **rest: Any) -> Kernel:
        low, high = sorted((table[a % len(table)], table[b % len(table)]))
        return Kernel([0], table, governors[0], governors, low, high, **rest)

    governors = st.sampled_from([["schedutil", "userspace"], ["userspace", "performance"], ["performance"], ["schedutil", "powersave"]])
    picks = st.integers(0, 5)
    stuck = st.lists(st.sampled_from(["scaling_setspeed", MIN, MAX, "scaling_cur_freq"]), max_size=1)
    cap = st.sampled_from([10**9, 2_000_000])
    return st.builds(make, steps, picks, picks, governors, refuse=errors, stuck=stuck, strict=st.booleans(), cap=cap)


@settings(max_examples=40)
@given(kernels(), kernels(), st.lists(st.dictionaries(st.sampled_from([0, 4]), st.integers(0, 4_000_000)), min_size=1, max_size=3))
def test_any_machine_any_targets(a: Kernel, b: Kernel, targets: list[dict[int, int]]) -> None:
    """No exception; a lever that says so has set the nearest clock or what limits allow; all is back at the end unless the file refuses."""
    with tempfile.TemporaryDirectory() as folder:
        made = Modelled(Path(folder), {"policy0": a, "policy4": b})
        before = [(k.governor, k.limits()) for k in (a, b)]
        with made.apply({}) as held:
            for wanted in targets:
                for outcome in held.change(wanted):
                    model = made.models[f"policy{outcome.policy}"]
                    if outcome.way:
                        nearest = min(model.steps, key=lambda s, o=outcome: abs(s - o.asked))
                        assert outcome.khz == model.current(made.clock.now())
                        assert outcome.khz == nearest or outcome.notes
                made.clock.sleep(1.0)
            sane = [policy for policy, model in made.models.items() if not model.stuck and not model.refuse]
            assert not any(error == errno.EINVAL for policy, _, error in made.log if policy in sane)
        assert not made.ledger().before()
        assert [(k.governor, k.limits()) for k in (a, b)] == before
