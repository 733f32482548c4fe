"""Device profiles: what is known of a board or SoC, one JSON file each in profiles/ or sent in by a user (`asymo-bench device capture`).

Unknown is None. A field that Profile.is_estimate names is somebody's guess: never print it as a fact.
"""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asymo.errors import InvalidArgumentError

FOLDER = Path(__file__).parent / "profiles"
SCHEMA = "asym-device-profile/1"


@dataclass(frozen=True, slots=True)
class Soc:
    vendor: str
    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """What identifies the machine: /proc/device-tree/compatible and model, getprop ro.board.platform."""

    dt_compatible: tuple[str, ...] = ()
    dt_model: str | None = None
    android_board_platform: str | None = None


@dataclass(frozen=True, slots=True)
class Midr:
    """implementer and part: hexadecimal text as in /proc/cpuinfo."""

    implementer: str
    part: str
    variant: int = 0
    revision: int = 0

    @property
    def value(self) -> int:
        """As in MIDR_EL1."""
        return int(self.implementer, 16) << 24 | self.variant << 20 | 0xF << 16 | int(self.part, 16) << 4 | self.revision


@dataclass(frozen=True, slots=True)
class Opp:
    """An operating point. uv: microvolt. peak_kbps: bandwidth votes tied to it."""

    khz: int
    uv: int | None = None
    turbo: bool = False
    clock_latency_us: float | None = None
    peak_kbps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class IdleState:
    name: str
    entry_us: int
    exit_us: int
    min_residency_us: int


@dataclass(frozen=True, slots=True)
class Simd:
    neon: bool | None = None
    dotprod: bool | None = None
    i8mm: bool | None = None
    fp16: bool | None = None
    sve: bool | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """Cores of one frequency domain and design.

    cpu_ids: as commonly seen; boot order changes them. capacity_dmips_mhz: the device tree's, not normalised; cpu_capacity_expected: what
    the kernel makes of it. dynamic_power_coefficient: uW/MHz/V^2 per CPU. l2_kb: one L2; l2_shared_by: CPUs on it. fp32_fma_per_cycle:
    multiply-adds per core, lanes counted.
    """

    name: str
    core: str
    count: int
    cpu_ids: tuple[int, ...]
    in_order: bool | None = None
    capacity_dmips_mhz: int | None = None
    cpu_capacity_expected: int | None = None
    min_freq_khz: int | None = None
    max_freq_khz: int | None = None
    opps: tuple[Opp, ...] = ()
    dynamic_power_coefficient: int | None = None
    l1i_kb: int | None = None
    l1d_kb: int | None = None
    l2_kb: int | None = None
    l2_shared_by: int | None = None
    l3_kb: int | None = None
    simd: Simd = Simd()
    fp32_fma_per_cycle: int | None = None
    fp32_fma_basis: str = ""
    idle_states: tuple[IdleState, ...] = ()
    marketing: str | None = None
    dt_compatible: tuple[str, ...] = ()
    mpidr: tuple[str, ...] = ()
    midr: Midr | None = None
    hw_features: tuple[str, ...] = ()
    vendor_sched_energy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Dram:
    """measured_memcpy_mbps: cluster -> bytes copied per second by one thread, in MB/s."""

    type: str | None = None
    theoretical_gbps: float | None = None
    measured_memcpy_mbps: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class CpuFreq:
    driver: str
    transition_latency_ns: int
    policies: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Source:
    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One device. sysfs: the text of the files that a capture recorded, by path without the leading slash; empty in the others."""

    schema: str
    name: str
    title: str
    soc: Soc
    match: Match
    n_cpus: int
    clusters: tuple[Cluster, ...]
    dram: Dram = Dram()
    cpufreq: CpuFreq | None = None
    measured_clock_khz: Mapping[str, Mapping[str, int]] | None = None
    power_sensors: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    estimates: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    sysfs: Mapping[str, str] = field(default_factory=dict)

    def is_estimate(self, cluster: str, name: str) -> bool:
        """True if that field of that cluster is an estimate or general knowledge, not read in a source."""
        for entry in self.estimates:
            place, _, rest = entry.partition("].")
            if place in (f"clusters[{cluster}", "clusters[*") and name in rest.partition("(")[0].replace(",", " ").split():
                return True
        return False


def names() -> list[str]:
    """The profiles that come with Asymo."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str | os.PathLike[str]) -> Profile:
    """A profile by name, or from a file when that is a path or ends in .json.

    Raises InvalidArgumentError for an unknown name, naming the known ones, and for a broken file, naming file and field.
    """
    text = os.fspath(name)
    if text in names():
        path = FOLDER / f"{text}.json"
    elif text.endswith(".json") or os.sep in text:
        path = Path(text)
    else:
        raise InvalidArgumentError(f"no device profile {text!r}; there are {', '.join(names())}, and paths of .json files")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgumentError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidArgumentError(f"{path}: not JSON: {error}") from None
    return parse(data, str(path))


def parse(data: Any, where: str) -> Profile:
    """The profile in decoded JSON; where: what errors call it. Raises InvalidArgumentError."""
    try:
        profile: Profile = _decode(Profile, data, "")
        _check(profile)
    except _Wrong as wrong:
        raise InvalidArgumentError(f"{where}: {wrong}") from None
    return profile


class _Wrong(Exception):
    pass


def _decode(kind: Any, data: Any, where: str) -> Any:
    """Decoded JSON as a value of a type: a scalar, X | None, a tuple, a mapping or one of the dataclasses above."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if origin is types.UnionType:
        return None if data is None else _decode(arguments[0], data, where)
    if dataclasses.is_dataclass(kind):
        return _decode_record(kind, data, where)
    if origin is tuple:
        if not isinstance(data, list):
            raise _Wrong(f"{where}: a list is wanted, not {data!r:.60}")
        return tuple(_decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is not None:
        if not isinstance(data, dict):
            raise _Wrong(f"{where}: an object is wanted, not {data!r:.60}")
        return {key: _decode(arguments[1], item, f"{where}.{key}") for key, item in data.items()}
    wanted = (int, float) if kind is float else (kind,)
    if not isinstance(data, wanted) or (isinstance(data, bool) and kind is not bool):
        raise _Wrong(f"{where}: {kind.__name__} is wanted, not {data!r:.60}")
    if kind is not bool and isinstance(data, int | float) and not 0 <= data < 2**53:
        raise _Wrong(f"{where}: {data!r} is out of range")
    return data


def _decode_record(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _Wrong(f"{where or 'the file'}: an object is wanted, not {data!r:.60}")
    hints = typing.get_type_hints(kind)
    for key in data:
        if key not in hints:
            raise _Wrong(f"{where}{'.' if where else ''}{key}: no such field")
    for f in dataclasses.fields(kind):
        if f.name not in data and f.default is f.default_factory is dataclasses.MISSING:
            raise _Wrong(f"{where}{'.' if where else ''}{f.name}: missing")
    return kind(**{key: _decode(hints[key], item, f"{where}{'.' if where else ''}{key}") for key, item in data.items()})


def _check(profile: Profile) -> None:
    def require(good: bool, place: str, what: str) -> None:
        if not good:
            raise _Wrong(f"{place}: {what}")

    require(profile.schema == SCHEMA, "schema", f"{SCHEMA!r} is wanted, not {profile.schema!r}")
    require(bool(profile.clusters), "clusters", "empty")
    require(len({c.name for c in profile.clusters}) == len(profile.clusters), "clusters", "two have the same name")
    ids = sorted(cpu for c in profile.clusters for cpu in c.cpu_ids)
    require(len(ids) == profile.n_cpus, "n_cpus", f"{profile.n_cpus}, but the clusters hold {len(ids)} CPUs")
    require(len(set(ids)) == len(ids), "clusters", "a CPU stands in two places")
    require(bool(profile.sysfs) or ids == list(range(len(ids))), "clusters", f"their cpu_ids are {ids}, not 0 to {len(ids) - 1}")
    for i, cluster in enumerate(profile.clusters):
        place = f"clusters[{i}]"
        require(cluster.count == len(cluster.cpu_ids) > 0, f"{place}.count", f"{cluster.count}, but cpu_ids are {list(cluster.cpu_ids)}")
        clocks = [o.khz for o in cluster.opps]
        require(clocks == sorted(set(clocks)), f"{place}.opps", "not in ascending order of khz")
        require((cluster.min_freq_khz or 0) <= (cluster.max_freq_khz or 2**53), f"{place}.min_freq_khz", "above max_freq_khz")
        if cluster.midr is not None:
            for name in ("implementer", "part"):
                try:
                    int(getattr(cluster.midr, name), 16)
                except ValueError:
                    raise _Wrong(f"{place}.midr.{name}: {getattr(cluster.midr, name)!r} is not hexadecimal") from None
