"""A real cpuset and a real quota, where this process may make control groups of version 1 (root in many containers)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from _child import run

ROOTS = {name: Path("/sys/fs/cgroup") / name for name in ("cpuset", "cpu")}
CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture
def groups() -> Iterator[dict[str, Path]]:
    made: dict[str, Path] = {}
    try:
        for name, root in ROOTS.items():
            if not (root / "cgroup.procs").exists():
                pytest.skip(f"no {name} groups of version 1")
            group = root / f"asymo-test-{os.getpid()}"
            group.mkdir()
            made[name] = group
        (made["cpuset"] / "cpuset.mems").write_text((ROOTS["cpuset"] / "cpuset.mems").read_text())
        (made["cpuset"] / "cpuset.cpus").write_text(",".join(map(str, CPUS)))
    except OSError as error:
        pytest.skip(f"control groups cannot be made: {error}")
    try:
        yield made
    finally:
        for group in made.values():
            group.rmdir()


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU")
def test_a_cpuset_and_a_quota_that_shrink_and_grow(groups: dict[str, Path]) -> None:
    told = run(f"""
cpuset, cpu = {str(groups["cpuset"])!r}, {str(groups["cpu"])!r}
def write(path, text):
    with open(path, "w") as file:
        file.write(str(text))
for group in (cpuset, cpu):
    write(group + "/cgroup.procs", os.getpid())
cpus = {CPUS!r}
session = asymo.load(model)
results, places = [session(x)], [session.placement]
def step(path, text):
    write(path, text)
    results.append(session(x))
    places.append(session.placement)
step(cpuset + "/cpuset.cpus", cpus[-1])
step(cpuset + "/cpuset.cpus", ",".join(map(str, cpus)))
step(cpu + "/cpu.cfs_quota_us", 100000)
step(cpu + "/cpu.cfs_quota_us", -1)
tell(right=right(results[0]), same=all(y.tobytes() == results[0].tobytes() for y in results), places=places)
""")
    assert told["right"]
    assert told["same"]
    assert told["places"][:3] == [CPUS, CPUS[-1:], CPUS]
    assert [len(place) for place in told["places"][3:]] == [1, len(CPUS)]
