"""What stood in files before somebody changed them: on disk before the first change, gone when all is put back.

    if not ledger.lock():               one owner at a time, machine-wide
        ledger.write({path: text})      durable when it returns
        ...change the files, put them back...
        ledger.clear()
        ledger.unlock()

Whoever is killed in between leaves the ledger behind for the next owner, and gives the lock back by ending.
"""

from __future__ import annotations

import fcntl
import json
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_ALL: weakref.WeakSet[Ledger] = weakref.WeakSet()


def _drop_in_child() -> None:
    """A forked child shares the lock, and would keep it after the parent's end."""
    for ledger in _ALL:
        ledger.unlock()


os.register_at_fork(after_in_child=_drop_in_child)


class Ledger:
    """Paths are relative to `root`.

    Args:
        path: the ledger's file. root: the tree whose files are changed. guarded: the folder below root on which the lock is taken; a lock
            on what it protects needs no place that everybody can write to, and ends with the process that held it.
        boot: identifies the machine's uptime. A ledger of another boot is void: files of sysfs do not outlive it.
    """

    def __init__(self, path: Path, root: Path, guarded: str, boot: str | None = None) -> None:
        self.path, self.root, self.guarded = path, root, guarded
        self.boot = boot if boot is not None else _boot()
        self._lock = -1
        _ALL.add(self)

    def lock(self) -> str:
        """Takes the lock. Returns who has it when that is somebody else, "" on success; holding it already is success."""
        if self._lock >= 0:
            return ""
        try:
            handle = os.open(self.root / self.guarded, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            return f"{self.root / self.guarded}: {error.strerror}"
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _holder(handle)
            os.close(handle)
            return holder
        self._lock = handle
        return ""

    @property
    def held(self) -> bool:
        """Whether this owner has the lock."""
        return self._lock >= 0

    def unlock(self) -> None:
        """Gives the lock back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def before(self) -> dict[str, str]:
        """Path -> what stood there, {} when nothing is to be put back. A file that is no ledger of this tree and boot holds nothing."""
        try:
            found: Any = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        ours = isinstance(found, dict) and found.get("boot") == self.boot and found.get("root") == str(self.root.resolve())
        before = found.get("before") if ours else None
        if not isinstance(before, dict) or not all(isinstance(v, str) for v in before.values()):
            return {}
        return before

    def write(self, before: Mapping[str, str]) -> None:
        """Makes this the ledger, durably: written beside, synced, renamed, the folder synced. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        document = {"boot": self.boot, "root": str(self.root.resolve()), "process": os.getpid(), "before": dict(before)}
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        with open(beside, "w", encoding="utf-8") as out:
            json.dump(document, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, self.path)
        self._sync_folder()

    def clear(self) -> None:
        """Nothing is left to be put back."""
        self.path.unlink(missing_ok=True)
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _boot() -> str:
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _holder(handle: int) -> str:
    """Who holds the lock on an open file, by /proc/locks."""
    stat = os.fstat(handle)
    inode = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    try:
        lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    except OSError:
        lines = []
    for words in lines:
        if inode in words and "FLOCK" in words and "->" not in words:
            return _process(int(words[words.index(inode) - 1]))
    return "another process"


def _process(pid: int) -> str:
    if pid == os.getpid():
        return "another session of this process"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    return f"process {pid} ({command[:80]})" if command else f"process {pid}"
