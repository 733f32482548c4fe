"""The machine shrinks and grows under a session: results stay right, one warning says what to do, placement tells the truth."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _child import run

from asymo.device import profile, tree

CPUS = sorted(os.sched_getaffinity(0))
CPU = "sys/devices/system/cpu"
needs_two = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU")


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A machine with the CPUs of this one, two by default, of two types."""
    files = {f"{CPU}/present": f"0-{max(CPUS)}", f"{CPU}/online": f"0-{max(CPUS)}"}
    return tree.write(files, tmp_path)


@needs_two
def test_the_mask_shrinks_and_grows_between_runs() -> None:
    told = run("""
cpus = sorted(os.sched_getaffinity(0))
session = asymo.load(model)
first, before = session(x), session.placement
os.sched_setaffinity(0, cpus[:1])
second, shrunk = session(x), session.placement
os.sched_setaffinity(0, cpus)
third, after = session(x), session.placement
tell(right=right(first), same=[first.tobytes() == y.tobytes() for y in (second, third)], places=[before, shrunk, after], cpus=cpus)
""")
    cpus = told["cpus"]
    assert told["right"]
    assert told["same"] == [True, True]
    assert told["places"] == [cpus, cpus[:1], cpus]
    (warning,) = told["said"]
    assert "CPUs this process may use changed from" in warning
    assert "taskset" in warning


@needs_two
def test_named_cores_that_are_gone() -> None:
    """What is left of the set is used, and all that is allowed when nothing is."""
    told = run("""
cpus = sorted(os.sched_getaffinity(0))
session = asymo.load(model, cores=str(cpus[-1]))
places = [session.placement]
os.sched_setaffinity(0, cpus[:1])
y = session(x)
tell(right=right(y), places=[*places, session.placement], cpus=cpus)
""")
    assert told["right"]
    assert told["places"] == [told["cpus"][-1:], told["cpus"][:1]]


@needs_two
def test_threads_that_have_masks_of_their_own_change_nothing() -> None:
    told = run("""
cpus = sorted(os.sched_getaffinity(0))
session = asymo.load(model)
places, ok = [], []
def work(cpu):
    os.sched_setaffinity(0, [cpu])
    for _ in range(5):
        ok.append(right(session(x)))
    places.append(session.placement)
for cpu in cpus[:2]:
    thread = threading.Thread(target=work, args=(cpu,))
    thread.start()
    thread.join()
tell(ok=ok, places=places, cpus=cpus)
""")
    assert all(told["ok"])
    assert all(len(place) == len(told["cpus"]) for place in told["places"])
    assert told["said"] == []


@needs_two
def test_a_new_thread_shows_that_cores_are_back() -> None:
    told = run("""
cpus = sorted(os.sched_getaffinity(0))
session = asymo.load(model)
os.sched_setaffinity(0, cpus[:1])
session(x)
places, ok = [session.placement], []
def work():
    os.sched_setaffinity(0, cpus)
    ok.append(right(session(x)))
thread = threading.Thread(target=work)
thread.start()
thread.join()
tell(ok=ok, places=[*places, session.placement], cpus=cpus)
""")
    assert told["ok"] == [True]
    assert told["places"] == [told["cpus"][:1], told["cpus"]]


@needs_two
def test_the_mask_changes_during_runs() -> None:
    """Every thread of the process, workers included, is sent here and there while two threads run the model."""
    told = run("""
cpus = sorted(os.sched_getaffinity(0))
session = asymo.load(model)
good = session(x).tobytes()
stop, same = threading.Event(), []
def work():
    while not stop.is_set():
        same.append(session(x).tobytes() == good)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for i in range(60):
    for task in os.listdir("/proc/self/task"):
        try:
            os.sched_setaffinity(int(task), [[cpus[0]], [cpus[-1]], cpus][i % 3])
        except ProcessLookupError:
            pass
stop.set()
for thread in threads:
    thread.join()
tell(same=all(same), n=len(same))
""")
    assert told["same"]
    assert told["n"] > 0


def test_cores_that_the_system_refuses(tmp_path: Path) -> None:
    """The tree tells of more CPUs than there are."""
    files = {f"{CPU}/{name}": f"0-{max(CPUS) + 2}" for name in ("present", "online")}
    told = run(
        """
session = asymo.load(model)
y = session(x)
tell(right=right(y), places=session.placement)
""",
        tree.write(files, tmp_path),
    )
    assert told["right"]
    assert told["places"][-2:] == [-1, -1]
    (warning,) = told["said"]
    assert f"refused to pin workers to CPUs {max(CPUS) + 1}-{max(CPUS) + 2}" in warning
    assert "cores" in warning


def test_a_core_goes_offline_and_comes_back(tmp_path: Path) -> None:
    files = tree.files(profile.load("rpi5"))
    root = tree.write(files, tmp_path)
    told = run(
        """
from pathlib import Path
online = Path(os.environ["ASYMO_ROOT"]) / "sys/devices/system/cpu/online"
session = asymo.load(model)
results, sizes = [session(x)], [len(session.placement)]
for text in ("0-2", "0", "", "\\0\\xff", "0-3"):
    online.write_text(text)
    results.append(session(x))
    sizes.append(len(session.placement))
tell(right=right(results[0]), same=[y.tobytes() == results[0].tobytes() for y in results], sizes=sizes)
""",
        root,
    )
    assert told["right"]
    assert all(told["same"])
    assert told["sizes"] == [4, 3, 1, 4, 4, 4], "a file that tells nothing takes nothing away"
    assert len(told["said"]) == 1


QUOTAS = [("50000 100000", 1), ("100000 100000", 1), ("150000 100000", 2), ("max 100000", 4), ("nonsense", 4), ("", 4)]


def test_the_quota_changes(tmp_path: Path) -> None:
    root = tree.write(tree.files(profile.load("rpi5")) | {"sys/fs/cgroup/cpu.max": "max 100000"}, tmp_path)
    told = run(
        f"""
from pathlib import Path
quota = Path(os.environ["ASYMO_ROOT"]) / "sys/fs/cgroup/cpu.max"
session = asymo.load(model)
results, sizes = [session(x)], []
for text, _ in {QUOTAS!r}:
    quota.write_text(text)
    results.append(session(x))
    sizes.append(len(session.placement))
tell(right=right(results[0]), same=[y.tobytes() == results[0].tobytes() for y in results], sizes=sizes)
""",
        root,
    )
    assert told["right"]
    assert all(told["same"])
    assert told["sizes"] == [workers for _, workers in QUOTAS]


def test_garbage_in_every_file(tmp_path: Path) -> None:
    files = tree.files(profile.load("rk3399")) | {"sys/fs/cgroup/cpu.max": "x"}
    garbage = ["", "?", "-1", "9" * 30, "0-9999999", "4096 x", "\0"]
    for i, text in enumerate(garbage):
        tree.write(dict.fromkeys(files, text), tmp_path / str(i))
    told = run(f"""
ok, warnings = [], []
for i in range({len(garbage)}):
    os.environ["ASYMO_ROOT"] = f"{tmp_path}/{{i}}"
    session = asymo.load(model)
    ok.append(right(session(x)) and len(session.placement) > 0)
    warnings.append(len(said.lines))
    said.lines.clear()
tell(ok=ok, warnings=warnings)
""")
    assert all(told["ok"])
    assert max(told["warnings"]) == 1


def test_the_same_bits_on_every_recorded_machine(tmp_path: Path) -> None:
    """Other core types, groups, units and shares, and threads that are pinned nowhere: the same numbers."""
    for name in profile.names():
        tree.write(tree.files(profile.load(name)), tmp_path / name)
    told = run(f"""
model, x, expected = make(300, 200, 128)
good, odd, sizes = asymo.load(model)(x), [], {{}}
for name in sorted(os.listdir("{tmp_path}")):
    os.environ["ASYMO_ROOT"] = f"{tmp_path}/{{name}}"
    session = asymo.load(model)
    sizes[name] = len(session.placement)
    if session(x).tobytes() != good.tobytes():
        odd.append(name)
tell(right=right(good), odd=odd, sizes=sizes)
""")
    assert told["right"]
    assert told["odd"] == []
    assert told["sizes"] == {name: profile.load(name).n_cpus for name in profile.names()}


def test_unreadable_files(tmp_path: Path) -> None:
    """Links that lead nowhere but to themselves: not even root reads them."""
    root = tree.write(tree.files(profile.load("rpi5")), tmp_path)
    for path in root.rglob("*"):
        if path.is_file() and path.name not in ("online", "present"):
            path.unlink()
            path.symlink_to(path.name)
    told = run("session = asymo.load(model)\ny = session(x)\ntell(right=right(y), places=session.placement)", root)
    assert told["right"]
    assert len(told["places"]) == 4
    (warning,) = told["said"]
    assert "asymo-bench topology" in warning or "refused" in warning


def test_no_sysfs_at_all(tmp_path: Path) -> None:
    told = run("session = asymo.load(model)\ny = session(x)\ntell(right=right(y), places=session.placement)", tmp_path)
    assert told["right"]
    assert len(told["places"]) == 1


@needs_two
def test_workers_that_were_moved_are_replaced() -> None:
    """As when a CPU goes offline and comes back before anybody looks: the kernel unpins its worker."""
    told = run("""
cpus = sorted(os.sched_getaffinity(0))
session = asymo.load(model)
first, places = session(x), [session.placement]
for task in os.listdir("/proc/self/task"):
    if open(f"/proc/self/task/{task}/comm").read().strip() == "asymo-worker":
        os.sched_setaffinity(int(task), cpus)
places.append(session.placement)
second = session(x)
tell(right=right(first), same=first.tobytes() == second.tobytes(), places=[*places, session.placement], replans=session.stats().replans)
""")
    cpus = CPUS
    assert told["right"]
    assert told["same"]
    assert told["places"] == [cpus, [cpus[0]] + [-1] * (len(cpus) - 1), cpus]
    assert told["replans"] == 1


@pytest.mark.parametrize("slow", [[0, 1, 2, 3], [5], [4]], ids=["the little ones", "a big one", "the caller's"])
def test_cores_that_are_much_slower_than_planned_for_good(slow: list[int], tmp_path: Path) -> None:
    """Their learned costs are made up: what they would be if they were five times slower than planned, and then no more."""
    told = run(
        f"slow = {slow}"
        """
from asymo.runtime import pace
from asymo.runtime.stage import Segment
pace.LOOK_S = pace.REST_S = 0.0
model, x, expected = make(512, 256, 256)
session = asymo.load(model)
results, slowed, placed, late = [session(x)], [], [], 5.0

def learned(segment):
    stats = session.stats()
    types = list(dict.fromkeys(w.type for w in stats.workers))
    rows = []
    for step in segment.plan.steps:
        planned = step.sharing.unit_ns or [1.0] * len(types)
        factors = [(late if w.wanted in slow else 1.0) / stats.slowed.get(w.wanted, 1.0) for w in stats.workers]
        rows.append([planned[types.index(w.type)] * f for w, f in zip(stats.workers, factors)])
    return np.float32(rows)

Segment.learned = learned
for late in (5.0, 1.0):
    results += [session(x) for _ in range(8)]
    slowed.append(session.stats().slowed)
    placed.append([w.wanted for w in session.stats().workers])
same = all(y.tobytes() == results[0].tobytes() for y in results)
tell(right=right(results[0]), same=same, slowed=slowed, placed=placed, replans=session.stats().replans)
""",
        tree.write(tree.files(profile.load("rk3399")), tmp_path),
    )
    assert told["right"]
    assert told["same"]
    assert told["slowed"] == [{str(cpu): 5.0 for cpu in slow}, {}]
    assert sorted(told["placed"][0][-len(slow) :]) == slow, "the slowest come last"
    assert told["placed"][1] == [4, 5, 0, 1, 2, 3]
    assert told["replans"] == 2
