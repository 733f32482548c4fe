#!/usr/bin/python3
"""The first process of the virtual machine of boot.py: mounts, loads the clocks' driver, runs guest.py, turns the machine off."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

FINIT_MODULE = 273
POWER_OFF = 0x4321FEDC

libc = ctypes.CDLL(None, use_errno=True)


def load(path: str, parameters: str = "") -> None:
    module = os.open(path, os.O_RDONLY)
    if libc.syscall(ctypes.c_long(FINIT_MODULE), module, parameters.encode(), 0):
        print(f"{path}: {os.strerror(ctypes.get_errno())}")
    os.close(module)


def main() -> None:
    for kind, place in (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp"), ("tmpfs", "/run")):
        libc.mount(kind.encode(), place.encode(), kind.encode(), ctypes.c_ulong(0), None)
    console = os.open("/dev/console", os.O_RDWR)
    for stream in range(3):
        os.dup2(console, stream)
    words = Path("/proc/cmdline").read_text().split()
    for name in ("cpufreq_userspace", "cpufreq_powersave"):
        load(f"/modules/{name}.ko")
    load("/modules/blcpufreq.ko", next(word for word in words if word.startswith("fail=")))
    environment = {"PATH": "/usr/bin", "HOME": "/tmp", "PYTHONPATH": "/asymo", "PYTHONDONTWRITEBYTECODE": "1"}
    code = subprocess.run([sys.executable or "/usr/bin/python3", "/asymo/guest.py"], env=environment).returncode
    print(f"guest: {code}", flush=True)
    os.sync()
    libc.reboot(ctypes.c_int(POWER_OFF))


main()
