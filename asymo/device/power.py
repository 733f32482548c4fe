"""Meters: what of this machine's power can be read, in joules and watts, whatever the vendor's units and signs.

    found = power.meters()                      found.meters, most inclusive first; found.reasons
    with Sampler(found.meters[0], cpu=3) as sampler:
        with sampler.window() as window:
            ...work...
        window.joules, window.watts

| meter     | reads                                            | covers                                   |
| rapl      | powercap energy counters, which wrap             | CPU packages, and their memory if listed |
| hwmon     | INA226, INA231, INA3221 and every other chip that tells power or energy | the rails it is wired to |
| battery   | power_now, or current_now x voltage_now          | the whole device, and only while it discharges |

Nothing is written. docs/energy.md has the traps that each rule here answers.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from asymo.device.files import Files

MICRO, MILLI = 1e-6, 1e-3

WINDOW_PERIODS, WINDOW_S = 20, 0.5
"""A window is so many periods of its meter long, at least so many seconds: its two ends are each off by up to a period."""

RAPL_S, HWMON_S, BATTERY_S = 1e-3, 0.1, 1.0
"""Periods where the files name none. RAPL counts every millisecond; INA drivers average over 1 to 140 ms; fuel gauges of phones tell
something new every 0.25 to 1 s."""

SAMPLE_S = 0.02
"""A sampler reads no more often than this: reading costs energy too."""

INPUT_RAILS = ("VDD_IN", "POM_5V_IN")
"""Labels of rails that feed the chip's other rails (Jetson modules): adding those would count them twice."""

FOREIGN = re.compile(r"amdgpu|radeon|nouveau|i915|xe|nvme|ucsi_.*|.*battery.*|corsair.*|.*psu.*", re.IGNORECASE)
"""hwmon chips whose power is not the CPU's, or is a battery's, which power_supply tells better."""

MILLI_BELOW_A, MILLI_BELOW_V = 10_000, 100_000
"""A battery's current_now and voltage_now are in millis, against the ABI, when they stay below: a device that is awake draws more than
10 mA from a battery of more than 0.1 V, and less than 10 A at less than 100 V."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One rail or counter. paths: the files whose numbers are multiplied; the product times `scale` is joules or watts. wraps: joules at
    which a counter starts again at 0; 0 for one that does not, and for watts."""

    label: str
    paths: tuple[str, ...]
    scale: float
    is_counter: bool
    wraps: float = 0.0


@dataclass(frozen=True, slots=True)
class Meter:
    """Channels that are added up. method: "rapl", "hwmon" or "battery". name: with the chips and rails, for reports. scope: what the energy
    belongs to. period_s: how often it tells something new. remark: what the reader of its figures must know."""

    method: str
    name: str
    scope: str
    channels: tuple[Channel, ...]
    period_s: float
    remark: str = ""

    @property
    def window_s(self) -> float:
        """The shortest window that means something."""
        return max(WINDOW_S, WINDOW_PERIODS * self.period_s)


@dataclass(frozen=True, slots=True)
class Found:
    """The meters of a machine, most inclusive first, and why others that are there cannot be used."""

    meters: tuple[Meter, ...]
    reasons: tuple[str, ...]


def meters(root: str | os.PathLike[str] = "/sys") -> Found:
    """All meters below `root` (that is /sys) that answer now."""
    found: list[Meter] = []
    reasons: list[str] = []
    for look in (_rapl, _hwmon, _battery):
        made, why = look(Files(root))
        for meter in made:
            try:
                read(meter, root)
                found.append(meter)
            except OSError as error:
                why.append(f"{meter.name}: {error.filename}: {error.strerror}" + _permission(error))
        reasons += why
    return Found(tuple(found), tuple(reasons))


def _permission(error: OSError) -> str:
    return "; root reads it, or after: sudo chmod a+r FILE" if isinstance(error, PermissionError) else ""


# ---- what there is


def _rapl(files: Files) -> tuple[list[Meter], list[str]]:
    """Packages, and the DRAM domains that lie beside them inside the same zones; psys, which holds everything, for itself. core and uncore
    are parts of a package."""
    folder, parts, platform = "class/powercap", [], []
    for zone in sorted(_entries(files, folder)):
        if not re.fullmatch(r"intel-rapl(:\d+){1,2}", zone):
            continue
        name = files.text(f"{folder}/{zone}/name")
        wraps = files.number(f"{folder}/{zone}/max_energy_range_uj") * MICRO
        channel = Channel(name, (f"{folder}/{zone}/energy_uj",), MICRO, True, wraps)
        if name.startswith("package") or name == "dram":
            parts.append(channel)
        elif name == "psys":
            platform.append(channel)
    made = [Meter("rapl", f"RAPL ({'+'.join(c.label for c in parts)})", "CPU packages", tuple(parts), RAPL_S)] if parts else []
    return made + [Meter("rapl", "RAPL (psys)", "whole machine", (c,), RAPL_S) for c in platform], []


def _hwmon(files: Files) -> tuple[list[Meter], list[str]]:
    """One meter from all rails that lie beside one another, and one from each rail that feeds the others."""
    rails: list[Channel] = []
    inputs: list[Channel] = []
    chips: list[str] = []
    period = 0.0
    for number in files.names("class/hwmon", "hwmon"):
        folder = f"class/hwmon/hwmon{number}"
        chip = files.text(f"{folder}/name")
        is_supply = bool(files.text(f"{folder}/device/type"))
        channels = [] if is_supply or FOREIGN.fullmatch(chip) else _channels(files, folder, chip)
        if not channels:
            continue
        period = max(period, _period(files, folder))
        feeding = [c for c in channels if c.label in INPUT_RAILS]
        inputs += feeding
        rails += [c for c in channels if c not in feeding]
        chips.append(chip)
    kinds = "+".join(dict.fromkeys(chips))
    made = [Meter("hwmon", f"{kinds} ({c.label})", "board", (c,), period) for c in inputs]
    if rails:
        made.append(Meter("hwmon", f"{kinds} ({'+'.join(c.label for c in rails)})", "rails", tuple(rails), period))
    return made, []


def _channels(files: Files, folder: str, chip: str) -> list[Channel]:
    """A chip's rails: energy counters where it has them, else power, else (INA3221) voltage times current of its three inputs."""
    for kind, scale, is_counter in (("energy", MICRO, True), ("power", MICRO, False)):
        numbers = sorted(int(m[1]) for e in _entries(files, folder) if (m := re.fullmatch(rf"{kind}(\d+)_(?:input|average)", e)))
        if numbers:
            paths = {n: _first(files, f"{folder}/{kind}{n}_input", f"{folder}/{kind}{n}_average") for n in dict.fromkeys(numbers)}
            return [Channel(_label(files, folder, chip, kind, n), (path,), scale, is_counter) for n, path in paths.items()]
    if not chip.startswith("ina3221"):
        return []
    inputs = [n for n in (1, 2, 3) if files.has(f"{folder}/curr{n}_input") and files.text(f"{folder}/in{n}_enable") != "0"]
    return [
        Channel(_label(files, folder, chip, "in", n), (f"{folder}/in{n}_input", f"{folder}/curr{n}_input"), MILLI * MILLI, False)
        for n in inputs
    ]


def _label(files: Files, folder: str, chip: str, kind: str, number: int) -> str:
    """The rail's name: its label, else the device tree's for the chip, else where the chip sits on its bus."""
    label = files.text(f"{folder}/{kind}{number}_label") or files.text(f"{folder}/label") or files.text(f"{folder}/device/of_node/label")
    if label:
        return label
    device = Path(files.path(f"{folder}/device"))
    return f"{chip}@{device.resolve().name}" if device.exists() else f"{chip}.{number}"


def _period(files: Files, folder: str) -> float:
    """By update_interval, or the power averages' own interval, in milliseconds."""
    return MILLI * (files.number(f"{folder}/update_interval") or files.number(f"{folder}/power1_average_interval")) or HWMON_S


def _battery(files: Files) -> tuple[list[Meter], list[str]]:
    """The batteries that feed the machine, of which none may be on a charger: what flows then is not what the machine draws."""
    channels: list[Channel] = []
    reasons = []
    for supply in sorted(_entries(files, "class/power_supply")):
        folder = f"class/power_supply/{supply}"
        if files.text(f"{folder}/type") != "Battery" or files.text(f"{folder}/scope") == "Device":
            continue
        if (status := files.text(f"{folder}/status")) != "Discharging":
            reasons.append(f"battery {supply}: {status or 'unknown status'}, unplug the charger to measure")
        elif files.has(f"{folder}/power_now"):
            channels.append(Channel(supply, (f"{folder}/power_now",), MICRO, False))
        elif files.has(f"{folder}/current_now"):
            volts = _first(files, f"{folder}/voltage_now", f"{folder}/voltage_avg", f"{folder}/voltage_ocv")
            scale = _unit(files, f"{folder}/current_now", MILLI_BELOW_A) * _unit(files, volts, MILLI_BELOW_V)
            channels.append(Channel(supply, (f"{folder}/current_now", volts), scale, False))
        else:
            reasons.append(f"battery {supply}: tells neither power nor current")
    if not channels or any("unplug" in reason for reason in reasons):
        return [], reasons
    name = f"battery ({'+'.join(c.label for c in channels)})"
    return [Meter("battery", name, "whole device", tuple(channels), BATTERY_S, "the screen and everything else included")], reasons


def _unit(files: Files, path: str, milli_below: int) -> float:
    try:
        return MILLI if abs(_number(Path(files.path(path)))) < milli_below else MICRO
    except OSError:
        return MICRO


def _first(files: Files, *paths: str) -> str:
    """The first path that exists, else the last."""
    return next(filter(files.has, paths), paths[-1])


def _entries(files: Files, folder: str) -> list[str]:
    try:
        return os.listdir(files.path(folder))
    except OSError:
        return []


# ---- reading


@dataclass(frozen=True, slots=True)
class Sample:
    """What a meter's channels said. at: seconds. values: joules of counters, watts of the others, in the order of the channels."""

    at: float
    values: tuple[float, ...]


def _number(path: Path) -> int:
    try:
        return int(path.read_text().strip())
    except ValueError:
        raise OSError(0, "no number", str(path)) from None


def _require_discharging(path: Path) -> None:
    status = path.with_name("status").read_text().strip()
    if status != "Discharging":
        raise OSError(0, status, str(path.with_name("status")))


def read(meter: Meter, root: str | os.PathLike[str] = "/sys", at: float = 0.0) -> Sample:
    """One sample. Batteries' signs differ by vendor: a discharging battery's power is its size. Raises OSError."""
    values = []
    for channel in meter.channels:
        value = channel.scale
        if meter.method == "battery":
            _require_discharging(Path(root) / channel.paths[0])
        for path in channel.paths:
            value *= _number(Path(root) / path)
        values.append(abs(value) if meter.method == "battery" else value)
    return Sample(at, tuple(values))


def joules(channels: Sequence[Channel], samples: Sequence[Sample]) -> float:
    """Energy from the first sample to the last: what counters advanced, once around at most between samples, and the area under watts.
    NaN when a counter went back that does not wrap: somebody has reset it."""
    total = 0.0
    for a, b in itertools.pairwise(samples):
        for channel, old, new in zip(channels, a.values, b.values, strict=True):
            if not channel.is_counter:
                total += 0.5 * (old + new) * (b.at - a.at)
            elif new >= old:
                total += new - old
            else:
                total += new - old + (channel.wraps or math.nan)
    return total


@dataclass
class Window:
    """A stretch of time under a meter. joules is NaN while it lasts, and when the meter failed; `problem` says how."""

    meter: Meter
    samples: list[Sample] = field(default_factory=list)
    problem: str = ""
    is_over: bool = False

    @property
    def seconds(self) -> float:
        return self.samples[-1].at - self.samples[0].at if self.samples else 0.0

    @property
    def joules(self) -> float:
        if not self.is_over or self.problem or len(self.samples) < 2:
            return math.nan
        return joules(self.meter.channels, self.samples)

    @property
    def watts(self) -> float:
        """The average."""
        return self.joules / self.seconds if self.seconds else math.nan


class Sampler:
    """Reads a meter in a thread of its own while windows are open. cpu: where that thread is pinned, a core that is not under test."""

    def __init__(self, meter: Meter, root: str | os.PathLike[str] = "/sys", cpu: int | None = None) -> None:
        self.meter, self.root, self.cpu = meter, Path(root), cpu
        self._lock = threading.Lock()
        self._open: list[Window] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="asymo-meter", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    @contextmanager
    def window(self) -> Iterator[Window]:
        """Measures what happens inside. Its first and last samples are taken here, at its ends."""
        window = Window(self.meter)
        self._take([window])
        with self._lock:
            self._open.append(window)
        try:
            yield window
        finally:
            with self._lock:
                self._open.remove(window)
            self._take([window])
            window.is_over = True

    def _run(self) -> None:
        if self.cpu is not None:
            try:
                os.sched_setaffinity(0, {self.cpu})
            except OSError:
                self.cpu = None
        while not self._stop.wait(max(SAMPLE_S, self.meter.period_s)):
            with self._lock:
                if self._open:
                    self._take(self._open)

    def _take(self, windows: Sequence[Window]) -> None:
        try:
            sample = read(self.meter, self.root, time.monotonic())
        except OSError as error:
            for window in windows:
                window.problem = f"{error.filename}: {error.strerror}"
            return
        for window in windows:
            window.samples.append(sample)


def spare_cpu(under_test: Sequence[int]) -> int | None:
    """A CPU for the sampler that no worker is pinned to, None when every allowed one is under test."""
    return max(os.sched_getaffinity(0) - set(under_test), default=None)
