"""Which cores there are, of which type, and which of them this process may use. Reads sysfs below an injectable root; writes nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asymo.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Core:
    """One CPU. capacity: the kernel's cpu_capacity (1024 is the fastest), 0 unknown. max_mhz: highest clock, 0 unknown."""

    cpu: int
    capacity: int = 0
    max_mhz: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        """What sorts cores from little to big."""
        return self.capacity, self.max_mhz


@dataclass(frozen=True, slots=True)
class Topology:
    """The cores this process may use, in the order of their ids."""

    cores: tuple[Core, ...]

    @property
    def types(self) -> list[tuple[Core, ...]]:
        """The cores grouped by type, biggest type first."""
        ranks = sorted({c.rank for c in self.cores}, reverse=True)
        return [tuple(c for c in self.cores if c.rank == rank) for rank in ranks]

    def select(self, cores: str | Sequence[int]) -> tuple[int, ...]:
        """CPU ids of a core set: "all", "big" (the biggest type), "little" (the smallest), a list such as "0-3,6", or ids.

        Raises InvalidArgumentError when the set names a core that this process may not use, or none."""
        if isinstance(cores, str):
            match cores.strip():
                case "all":
                    return tuple(c.cpu for c in self.cores)
                case "big":
                    return tuple(c.cpu for c in self.types[0])
                case "little":
                    return tuple(c.cpu for c in self.types[-1])
            wanted = parse_cpu_list(cores)
        else:
            wanted = tuple(int(c) for c in cores)
        allowed = {c.cpu for c in self.cores}
        if not wanted or len(set(wanted)) != len(wanted) or not allowed.issuperset(wanted):
            raise InvalidArgumentError(
                f"cores={cores!r} is not a set of CPUs this process may use ({format_cpu_list(sorted(allowed))}); "
                'give "all", "big", "little" or a list such as "0-3"'
            )
        return wanted


def read(root: str | os.PathLike[str] = "/", allowed: Sequence[int] | None = None) -> Topology:
    """The topology below `root`; allowed: CPU ids (default: this process's affinity mask)."""
    base = Path(root) / "sys/devices/system/cpu"
    ids = sorted(os.sched_getaffinity(0)) if allowed is None else sorted(allowed)
    return Topology(
        tuple(
            Core(
                cpu,
                _number(base / f"cpu{cpu}/cpu_capacity"),
                _number(base / f"cpu{cpu}/cpufreq/cpuinfo_max_freq") // 1000,
            )
            for cpu in ids
        )
    )


def _number(path: Path) -> int:
    """The file's decimal number, 0 when it is missing, unreadable or something else."""
    try:
        return max(int(path.read_text()), 0)
    except (OSError, ValueError):
        return 0


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """ "0-3,6" -> (0, 1, 2, 3, 6), the kernel's list format. Raises InvalidArgumentError."""
    cpus: list[int] = []
    try:
        for part in text.split(","):
            first, *last = (int(number) for number in part.split("-"))
            if len(last) > 1 or sum(last) - first > 4096:
                raise ValueError
            cpus.extend(range(first, sum(last or [first]) + 1))
    except ValueError:
        raise InvalidArgumentError(f'{text!r} is no list of CPUs; write "all", "big", "little", or for example "0-3,6"') from None
    return tuple(cpus)


def format_cpu_list(cpus: Sequence[int]) -> str:
    """(0, 1, 2, 3, 6) -> "0-3,6"."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
