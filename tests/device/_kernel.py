"""cpufreq as the kernel does it: clamps, snaps to its table, refuses, takes its time. A model, and a file system with the model behind it:
every write is answered as the kernel would answer it, and logged. Needs root and /dev/fuse.

    python tests/device/_kernel.py FOLDER LOG CONFIG.json

FOLDER becomes devices/system/cpu/cpufreq. The log has a line [path, text, errno] for each write, and for each attempt to make, remove or
rename anything. The model follows the kernel's documentation of cpufreq; it shares no line with asymo/device.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import struct
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Policy:
    """One policy. strict: a minimum above the maximum is refused (kernels before 5.4), not clamped. cap: a limit of somebody else, heat for
    example. delay_s: how long the clock takes. refuse: file -> name of the error. stuck: files whose writes succeed and change nothing."""

    cpus: list[int]
    steps: list[int]
    governor: str = "schedutil"
    governors: list[str] = field(default_factory=lambda: ["performance", "powersave", "schedutil", "userspace"])
    low: int = 0
    high: int = 0
    cap: int = 10**9
    latency_ns: int = 300000
    driver: str = "cpufreq-dt"
    strict: bool = False
    delay_s: float = 0.0
    refuse: dict[str, str] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)
    speed: int = 0
    clock: int = 0
    before: int = 0
    moved: float = -1e9

    def __post_init__(self) -> None:
        self.low, self.high = self.low or self.steps[0], self.high or self.steps[-1]
        self.clock = self.before = self.target()

    def limits(self) -> tuple[int, int]:
        high = min(self.high, self.cap)
        return min(self.low, high), high

    def target(self) -> int:
        low, high = self.limits()
        wanted = {"performance": high, "powersave": low, "userspace": max(low, min(high, self.speed or high))}.get(self.governor, high)
        above = [step for step in self.steps if wanted <= step <= high]
        return above[0] if above else max((step for step in self.steps if step <= high), default=self.steps[0])

    def current(self, now: float) -> int:
        return self.clock if now - self.moved >= self.delay_s else self.before

    def write(self, name: str, text: str, now: float) -> int:
        """0, or the errno."""
        if name in self.refuse:
            return int(getattr(errno, self.refuse[name]))
        if name in self.stuck:
            return 0
        if name == "scaling_governor":
            if text not in self.governors:
                return errno.EINVAL
            if text == "userspace" and self.governor != "userspace":
                self.speed = self.current(now)
            self.governor = text
        elif not text.isdecimal():
            return errno.EINVAL
        elif name == "scaling_setspeed":
            if self.governor != "userspace":
                return errno.EINVAL
            self.speed = int(text)
        elif name in ("scaling_min_freq", "scaling_max_freq"):
            khz = max(self.steps[0], min(self.steps[-1], int(text)))
            if self.strict and (khz > self.high if name == "scaling_min_freq" else khz < self.low):
                return errno.EINVAL
            if name == "scaling_min_freq":
                self.low = khz
            else:
                self.high = khz
        else:
            return errno.EACCES
        if (target := self.target()) != self.clock and "scaling_cur_freq" not in self.stuck:
            self.before, self.clock, self.moved = self.current(now), target, now
        return 0

    def read(self, name: str, now: float) -> str:
        low, high = self.limits()
        return {
            "affected_cpus": " ".join(map(str, self.cpus)), "related_cpus": " ".join(map(str, self.cpus)),
            "cpuinfo_min_freq": str(self.steps[0]), "cpuinfo_max_freq": str(self.steps[-1]),
            "cpuinfo_transition_latency": str(self.latency_ns), "scaling_driver": self.driver,
            "scaling_available_frequencies": " ".join(map(str, self.steps)) + " ",
            "scaling_available_governors": " ".join(self.governors) + " ",
            "scaling_governor": self.governor, "scaling_min_freq": str(low), "scaling_max_freq": str(high),
            "scaling_cur_freq": str(self.current(now)),
            "scaling_setspeed": str(self.current(now)) if self.governor == "userspace" else "<unsupported>",
        }[name]  # fmt: skip


NAMES = (
    "affected_cpus", "related_cpus", "cpuinfo_min_freq", "cpuinfo_max_freq", "cpuinfo_transition_latency", "scaling_driver",
    "scaling_available_frequencies", "scaling_available_governors", "scaling_governor", "scaling_min_freq", "scaling_max_freq",
    "scaling_cur_freq", "scaling_setspeed",
)  # fmt: skip
WRITABLE = ("scaling_governor", "scaling_min_freq", "scaling_max_freq", "scaling_setspeed")


class Log:
    def __init__(self, path: str) -> None:
        self._out = open(path, "a", buffering=1)  # noqa: SIM115

    def add(self, path: str, text: str, error: int) -> None:
        self._out.write(json.dumps([path, text, errno.errorcode.get(error, "")]) + "\n")


# ---- FUSE, by include/uapi/linux/fuse.h

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, BATCH_FORGET = (
    1, 2, 3, 4, 14, 15, 16, 17, 18, 25, 26, 27, 28, 29, 34, 42,
)  # fmt: skip
CHANGES = {8: "mknod", 9: "mkdir", 10: "unlink", 11: "rmdir", 12: "rename", 13: "link", 6: "symlink", 35: "create", 45: "rename"}
DIRECT_IO = 1


class FileSystem:
    """Node 1 is the folder; then the policies, then their files."""

    def __init__(self, policies: dict[str, Policy], log: Log) -> None:
        self.policies, self.log = policies, log
        self.nodes = ["", "", *policies, *(f"{p}/{n}" for p in policies for n in NAMES)]

    def attributes(self, node: int) -> bytes:
        path = self.nodes[node]
        is_file = "/" in path
        mode = (stat.S_IFREG | (0o644 if path.endswith(WRITABLE) else 0o444)) if is_file else stat.S_IFDIR | 0o755
        return struct.pack("<QQQQQQIIIIIIIIII", node, 4096 if is_file else 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, opcode: int, node: int, body: bytes) -> bytes | int:
        """The reply's payload, or an errno."""
        if opcode == INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, 0)
        if opcode in CHANGES:
            self.log.add(f"{self.nodes[node]}/{body.rstrip(bytes(1)).rpartition(bytes(1))[2].decode()}", CHANGES[opcode], errno.EPERM)
            return errno.EPERM
        if opcode == LOOKUP:
            path = f"{self.nodes[node]}/{body.rstrip(bytes(1)).decode()}".lstrip("/")
            if path not in self.nodes[2:]:
                return errno.ENOENT
            found = self.nodes.index(path, 2)
            return struct.pack("<QQQQII", found, 0, 0, 0, 0, 0) + self.attributes(found)
        if opcode in (GETATTR, SETATTR):
            return struct.pack("<QII", 0, 0, 0) + self.attributes(node)
        if opcode in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, DIRECT_IO if opcode == OPEN else 0, 0)
        if opcode == READ:
            offset, size = struct.unpack_from("<QI", body, 8)
            policy, name = self.nodes[node].split("/")
            return (self.policies[policy].read(name, time.monotonic()) + "\n").encode()[offset : offset + size]
        if opcode == WRITE:
            (size,) = struct.unpack_from("<I", body, 16)
            policy, name = self.nodes[node].split("/")
            text = body[40 : 40 + size].decode().strip()
            error = self.policies[policy].write(name, text, time.monotonic())
            self.log.add(self.nodes[node], text, error)
            return error or struct.pack("<II", size, 0)
        if opcode == READDIR:
            offset, _ = struct.unpack_from("<QI", body, 8)
            prefix = f"{self.nodes[node]}/" if self.nodes[node] else ""
            children = [
                (i, p[len(prefix) :]) for i, p in enumerate(self.nodes) if i > 1 and p.startswith(prefix) and "/" not in p[len(prefix) :]
            ]
            entries = b""
            for place, (child, name) in enumerate(children[offset:], offset + 1):
                raw = name.encode()
                entries += struct.pack("<QQII", child, place, len(raw), 8 if "/" in self.nodes[child] else 4) + raw + bytes(-len(raw) % 8)
            return entries[: struct.unpack_from("<I", body, 16)[0]]
        if opcode == STATFS:
            return bytes(80)
        return b"" if opcode in (RELEASE, RELEASEDIR, FLUSH, ACCESS) else errno.ENOSYS

    def serve(self, device: int) -> None:
        while True:
            try:
                request = os.read(device, 1 << 17)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                continue
            _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
            if opcode in (FORGET, BATCH_FORGET):
                continue
            reply = self.answer(opcode, node, request[40:])
            error, payload = (-reply, b"") if isinstance(reply, int) else (0, reply)
            try:
                os.write(device, struct.pack("<IiQ", 16 + len(payload), error, unique) + payload)
            except OSError:
                continue  # who asked was killed


def mount(folder: Path) -> int:
    """Mounts FUSE there; returns the device. Raises OSError."""
    device = os.open("/dev/fuse", os.O_RDWR)
    library = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other,default_permissions"
    if library.mount(b"asymo-test", os.fsencode(folder), b"fuse", ctypes.c_ulong(0), options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return device


def unmount(folder: Path) -> None:
    ctypes.CDLL(None).umount2(os.fsencode(folder), 2)


def main() -> None:
    folder, log, config = sys.argv[1:]
    wanted: dict[str, Any] = json.loads(Path(config).read_text())
    policies = {name: Policy(**fields) for name, fields in wanted.items()}
    device = mount(Path(folder))
    print("ready", flush=True)
    FileSystem(policies, Log(log)).serve(device)


if __name__ == "__main__":
    main()
