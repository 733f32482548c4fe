"""What the control group takes away: CPU time (quota) and CPUs (cpuset), of versions 1 and 2."""

from __future__ import annotations

from asymo.device.files import Files

MOUNT = "sys/fs/cgroup"


def _folders(files: Files, controller: str) -> list[str]:
    """The folders that hold this process's group for `controller` and its parents, innermost first; the root always ends the list.

    Inside a container the path of /proc/self/cgroup may be the host's and absent here: then the mount's root is the container's group.
    """
    folders: list[str] = []
    for line in files.text("proc/self/cgroup").splitlines() or ["0::/"]:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        bases = [MOUNT, f"{MOUNT}/unified"] if not controllers else [f"{MOUNT}/{controller}", f"{MOUNT}/{controllers}"]
        names = [name for name in path.split("/") if name and name != ".."]
        for base in dict.fromkeys(bases):
            folders += ["/".join([base, *names[:n]]) for n in range(len(names), -1, -1)]
    return folders


def quota(files: Files) -> float:
    """CPUs' worth of time that the group and its parents may use, 0 without a limit."""
    limits: list[float] = []
    for folder in _folders(files, "cpu"):
        if text := files.text(f"{folder}/cpu.max"):
            path, words = f"{folder}/cpu.max", text.split()
        elif text := files.text(f"{folder}/cpu.cfs_quota_us"):
            path, words = f"{folder}/cpu.cfs_quota_us", [text, files.text(f"{folder}/cpu.cfs_period_us")]
        else:
            continue
        if words[0] in ("max", "-1"):
            continue
        try:
            time, period = (int(word) for word in words)
            if time <= 0 or period <= 0:
                raise ValueError
            limits.append(time / period)
        except ValueError:
            files.note(path, f"{' '.join(words)[:40]!r} is no quota")
    return min(limits, default=0.0)


def cpuset(files: Files) -> frozenset[int]:
    """The CPUs of the group, empty when there is no such file."""
    for folder in _folders(files, "cpuset"):
        for name in ("cpuset.cpus.effective", "cpuset.effective_cpus"):
            if cpus := files.cpus(f"{folder}/{name}"):
                return frozenset(cpus)
    return frozenset()
