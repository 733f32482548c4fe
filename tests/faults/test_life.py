"""Forks, the end of the interpreter, exceptions and the garbage collector find sessions in the middle of things."""

from __future__ import annotations

import pytest
from _child import run


def test_a_child_makes_workers_of_its_own() -> None:
    told = run("""
session = asymo.load(model)
first = session(x)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    try:
        second = session(x)
        alive = sum("asymo-worker" in open(f"/proc/self/task/{t}/comm").read() for t in os.listdir("/proc/self/task"))
        os.write(writing, json.dumps([second.tobytes() == first.tobytes(), alive == len(session.placement) - 1]).encode())
    finally:
        os._exit(0)
os.waitpid(child, 0)
third = session(x)
tell(right=right(first), child=json.loads(os.read(reading, 100)), same=third.tobytes() == first.tobytes())
""")
    assert told["right"]
    assert told["child"] == [True, True]
    assert told["same"]
    assert told["said"] == []


def test_a_fork_while_other_threads_run() -> None:
    """A lock that another thread holds stays locked in the child, where that thread is not."""
    told = run("""
session = asymo.load(model)
good, stop = session(x).tobytes(), threading.Event()
def work():
    while not stop.is_set():
        session(x)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
codes = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if session(x).tobytes() == good else 3)
        finally:
            os._exit(4)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for thread in threads:
    thread.join()
tell(codes=codes)
""")
    assert told["codes"] == [0] * 8


ENDS = {
    "running in a daemon thread": """
session = asymo.load(model)
begun = threading.Event()
def work():
    while True:
        session(x)
        begun.set()
threading.Thread(target=work, daemon=True).start()
begun.wait()
tell(ok=True)
""",
    "sys.exit with a session in a cycle": """
session = asymo.load(model)
session(x)
session.itself = session
tell(ok=True)
sys.exit(0)
""",
    "an exception in a feed": """
session = asymo.load(model)
for bad in ({}, {"x": x.astype(np.float64)}, {"x": x[:, :3]}):
    try:
        session.run(None, bad)
    except asymo.AsymoError:
        pass
tell(ok=right(session(x)))
""",
    "collected in any order": """
import gc
for i in range(6):
    sessions = [asymo.load(model, threads=1 + i % 2), asymo.load(model)]
    ok = all(right(s(x)) for s in sessions)
    sessions[0].other, sessions[1].other = sessions[1], sessions[0]
    del sessions
    if i % 2:
        gc.collect()
gc.collect()
alive = sum("asymo-worker" in open(f"/proc/self/task/{t}/comm").read() for t in os.listdir("/proc/self/task"))
tell(ok=ok and alive == 0)
""",
    "gone as soon as nobody needs them": """
import gc, weakref
gc.collect()
gc.disable()
session = asymo.load(model)
session(x)
pool = weakref.ref(session._team.pool)
session.plans()
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
session(x)
tell(ok=len(session.placement) == 1 and (pool() is None or pool() is session._team.pool))
""",
    "made and dropped while another thread runs": """
session = asymo.load(model)
stop, good = threading.Event(), []
def work():
    while not stop.is_set():
        good.append(right(session(x)))
thread = threading.Thread(target=work)
thread.start()
for i in range(12):
    asymo.load(model, threads=1 + i % 2)(x)
stop.set()
thread.join()
tell(ok=all(good))
""",
}


@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS.keys())
def test_ends(script: str) -> None:
    assert run(script)["ok"]
