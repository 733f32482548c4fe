"""Runs inside the virtual machine of boot.py, on its kernel's own sysfs: topology, levers, and every way a process can end.

Exit code 1 when something is not as it should be. asymo is there without its compiled core: device, errors and knobs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from asymo.device import topology
from asymo.device.frequency import Levers
from asymo.device.places import state_path

TARGETS = {0: 1_000_000, 4: 1_800_000}
DOES_NOTHING = Path("/sys/module/blcpufreq/parameters/fail").read_text().strip() == "1"
wrong: list[str] = []


def standing() -> str:
    policies = Levers().policies().values()
    return "; ".join(f"policy{p.id} {p.governor} {p.floor // 1000}-{p.ceiling // 1000} MHz" for p in policies)


def check(what: str, good: bool) -> None:
    print(f"{'ok   ' if good else 'WRONG'} {what}", flush=True)
    if not good:
        wrong.append(what)


def child() -> subprocess.Popen[str]:
    """Another process that holds the clocks until it is ended."""
    process = subprocess.Popen([sys.executable, __file__, "hold"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def hold() -> None:
    with Levers().apply(TARGETS):
        print("held", flush=True)
        time.sleep(60)


def main() -> int:
    machine = topology.read()
    print(f"types {[[c.cpu for c in kind] for kind in machine.types]} by {machine.basis}, speeds {[c.speed for c in machine.cores]}")
    check("two types by capacity", [[c.cpu for c in kind] for kind in machine.types] == [[4, 5, 6, 7], [0, 1, 2, 3]])
    print("\n".join(Levers().available().explain()))
    first = standing()
    print(first)
    with Levers().apply(TARGETS) as held:
        for outcome in held.outcomes:
            print(f"policy{outcome.policy}: {outcome.asked} -> {outcome.khz} by {outcome.way or 'nothing'}; {'; '.join(outcome.notes)}")
        print(standing())
        if DOES_NOTHING:
            check("a driver that does nothing is found out", all(not o.way for o in held.outcomes))
        else:
            check("clocks are set", {o.policy: o.khz for o in held.outcomes if o.way} == TARGETS)
    check("and come back", standing() == first)
    if DOES_NOTHING:
        return len(wrong)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = child()
        process.send_signal(number)
        process.wait()
        check(f"they come back on {number.name}", standing() == first)
    process = child()
    with Levers().apply(TARGETS) as second:
        print(second.outcomes[0].notes[0])
        check("the second process is told who holds them", f"process {process.pid}" in second.outcomes[0].notes[0])
    process.kill()
    process.wait()
    check("after SIGKILL they are as they were left", standing() != first and os.path.exists(state_path()))
    restored = Levers().restore()
    print(f"restored {restored.files} files, problems: {restored.problems}")
    check("and the next process puts them back", standing() == first and not os.path.exists(state_path()))
    check("with one CPU of a cluster offline too", _with_a_cpu_offline(first))
    return len(wrong)


def _with_a_cpu_offline(first: str) -> bool:
    online = Path("/sys/devices/system/cpu/cpu5/online")
    with Levers().apply(TARGETS) as held:
        online.write_text("0")
        if len(Levers().policies()[4].cpus) != 3:
            return False
        held.change({4: 1_200_000})
    online.write_text("1")
    return standing() == first


if __name__ == "__main__":
    if sys.argv[1:] == ["hold"]:
        hold()
    print(os.uname().release)
    sys.exit(main())
