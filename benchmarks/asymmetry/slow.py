"""A core made slow, and what the two cores deliver right now. Needs root or CAP_SYS_NICE, a C compiler and two CPUs."""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType

from asymo import _core
from benchmarks.kernels import PEAK_FLAGS

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "asymmetry"
MAX_SECONDS = 7200
"""No hog lives longer."""
NEAR_NS = 150.0
SWITCH_US = 9.0
"""What a period costs beyond the hog's own time, to start the calibration from."""


class NotPossible(RuntimeError):
    """This machine cannot have a slow core; the message says what is missing."""


def build(name: str, sources: Sequence[Path], *flags: str) -> Path:
    """Compiles C files into the cache once, and again when they or the flags change."""
    key = hashlib.sha256(b"".join(s.read_bytes() for s in sources) + " ".join(flags).encode()).hexdigest()[:12]
    target = CACHE / f"{name}-{key}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{os.getpid()}")
        command = ["cc", "-std=gnu11", "-O3", "-ffp-contract=fast", "-pthread", *flags, *map(str, sources), "-o", str(part)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise NotPossible("no C compiler is called cc") from None
        except subprocess.CalledProcessError as error:
            raise NotPossible(f"cc cannot compile {name}: {error.stderr.strip()}") from None
        part.replace(target)
    return target


def real_time() -> None:
    """Puts this process, and all that it starts from now on, above everything else on the machine (SCHED_RR, lowest priority)."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        raise NotPossible("real-time scheduling needs root or CAP_SYS_NICE (in a container: --cap-add SYS_NICE)") from None


class Hog:
    """Takes a share of one CPU; switched off at first. Ends with the `with` block, with this process, and after MAX_SECONDS."""

    def __init__(self, cpu: int, busy_us: float, period_us: float) -> None:
        command: list[str | Path] = [
            build("asymcpu", [HERE / "asymcpu.c"]),
            str(cpu),
            f"{busy_us:.2f}",
            f"{period_us:.2f}",
            str(MAX_SECONDS),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise NotPossible(self._process.communicate()[1].strip())
        self.off()

    def on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def off(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Hog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True)
class Placement:
    """What the two CPUs deliver at once: GFLOP/s of each, and nanoseconds to pass a cache line to the other and back."""

    gflops: tuple[float, float]
    exchange_ns: float

    @property
    def is_near(self) -> bool:
        """The two cores share a cache: a line goes there and back in about 60 ns on Zen 4, else in 300."""
        return self.exchange_ns < NEAR_NS


class Probe:
    """Short FMA loops on two CPUs. `best` is the most that one CPU has delivered so far: the measure of what is good."""

    SECONDS = 0.003
    GOOD = 0.88
    """Of the best rate: below that the CPU is shared with somebody, or both are threads of one core."""

    def __init__(self, cpus: tuple[int, int] = (0, 1)) -> None:
        self.cpus = cpus
        isa = next(i for i in ("avx2", "neon") if i in _core.isas())
        sources = [HERE / "pairprobe.c", HERE.parent / "fmapeak.c"]
        self._library = ctypes.CDLL(str(build("pairprobe.so", sources, "-shared", "-fPIC", *PEAK_FLAGS[isa])))
        self._library.probe_rate.restype = ctypes.c_double
        self._library.probe_rate.argtypes = [ctypes.c_int, ctypes.c_double]
        self._library.probe_pair.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_double, ctypes.POINTER(ctypes.c_double)]
        self.best = 0.0
        for _ in range(20):
            self.placement()

    def rate(self, cpu: int, seconds: float) -> float:
        """GFLOP/s of one CPU over some time, preemptions included."""
        return float(self._library.probe_rate(cpu, seconds))

    def placement(self) -> Placement:
        out = (ctypes.c_double * 3)()
        if self._library.probe_pair(*self.cpus, self.SECONDS, out) or min(out) < 0:
            raise NotPossible(f"CPUs {self.cpus[0]} and {self.cpus[1]} are not both there for this process")
        self.best = max(self.best, out[0], out[1])
        return Placement((out[0], out[1]), out[2])

    def is_good(self, placement: Placement) -> bool:
        """Both CPUs deliver the full rate at once: they are two cores, and nobody else uses them."""
        return min(placement.gflops) > self.GOOD * self.best


def share_left(probe: Probe, hog: Hog, cpu: int, seconds: float) -> float:
    """The share of its FMA rate that the hog, which is on, leaves the CPU. Switches it off for a moment, and on again."""
    slow = probe.rate(cpu, seconds)
    hog.off()
    full = probe.rate(cpu, seconds / 4)
    hog.on()
    return slow / full


def calibrate(probe: Probe, cpu: int, share: float, period_us: float, steps: int = 6) -> float:
    """The busy time that leaves the CPU this share of its FMA rate: each step corrects by the median of what it measured."""
    busy_us = max(0.0, (1 - share) * period_us - SWITCH_US)
    seconds = max(0.03, 60e-6 * period_us)
    for _ in range(steps):
        with Hog(cpu, busy_us, period_us) as hog:
            hog.on()
            measured = median(share_left(probe, hog, cpu, seconds) for _ in range(3))
        busy_us = min(max(0.0, busy_us + 0.8 * (measured - share) * period_us), 0.96 * period_us)
    return busy_us
