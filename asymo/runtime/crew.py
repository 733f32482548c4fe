"""Who works for a session: which CPUs, how many workers on them, and how fast these are. Pure decisions over a Topology."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from asymo._core import Worker
from asymo.cost.features import CLASSES
from asymo.cost.speeds import Machine, Rates, TypeSpeeds
from asymo.device.topology import Core, Topology, parse_cpu_list
from asymo.errors import InvalidArgumentError
from asymo.record import NamedTuple

MAX_TYPES = 4
"""Core types a pool tells apart; smaller ones count as one."""

Speeds = Callable[[Topology], Machine]
"""How fast the cores of a topology are: its types by their names, fastest first."""


class Wish(NamedTuple):
    """What the user asked for. cores: as `Topology.select` takes them, None: all. threads: workers, 0: one per core that the quota pays."""

    cores: str | tuple[int, ...] | None = None
    threads: int = 0


class Crew(NamedTuple):
    """The workers of a session, in the order of their types.

    machine: the speeds of exactly these cores; types[w.type] is the type of worker w. designs: the core design under each worker, "" where
    it is unknown. spins: whether workers may spin; where there are more of them than the quota pays for, that would burn it.
    """

    workers: tuple[Worker, ...]
    machine: Machine
    designs: tuple[str, ...]
    spins: bool

    @property
    def cpus(self) -> tuple[int, ...]:
        """The CPU each worker belongs on."""
        return tuple(w.cpu for w in self.workers)

    @property
    def type_names(self) -> tuple[str, ...]:
        """The name of each worker's core type."""
        return tuple(self.machine.types[w.type].name for w in self.workers)


def muster(topology: Topology, wish: Wish, speeds: Speeds, *, must_fit: bool = False) -> Crew:
    """The crew for a wish: the fastest cores of its set, and never more workers than these are, which would only take turns.
    Raises InvalidArgumentError for a wish that cannot be met.

    must_fit: take what is left of the core set when the machine no longer has all of it, where otherwise InvalidArgumentError is raised.
    """
    if not isinstance(wish.threads, int | np.integer) or wish.threads < 0:
        raise InvalidArgumentError(f"intra_op_num_threads={wish.threads!r}: give the number of workers, or 0 for one per core")
    cpus = _select(topology, wish, must_fit)
    topology = topology.including(cpus)
    chosen = topology.best(cpus, min(wish.threads or topology.usable, len(cpus)))
    spins = not 0 < topology.quota < len(chosen)
    machine = speeds(topology)
    names, known = topology.type_names, {c.cpu: c for c in topology.cores}
    order = [t.name for t in machine.types]
    cores = sorted((known[cpu] for cpu in chosen), key=lambda c: (order.index(names[c.cpu]), *_place(c, chosen)))
    present = [t for t in machine.types if any(names[c.cpu] == t.name for c in cores)]
    index = {t.name: min(i, MAX_TYPES - 1) for i, t in enumerate(present)}
    types = [t._replace(cores=sum(names[c.cpu] == t.name for c in cores)) for t in present]
    if len(types) > MAX_TYPES:
        types[MAX_TYPES - 1 :] = [_merged(types[MAX_TYPES - 1 :])]
    groups = _groups([(index[names[c.cpu]], c) for c in cores])
    workers = [Worker(c.cpu, index[names[c.cpu]], group, bool(c.in_order)) for c, group in zip(cores, groups, strict=True)]
    return Crew(tuple(workers), machine._replace(types=tuple(types)), tuple(c.name for c in cores), spins)


def emulate(crew: Crew, factors: Sequence[float]) -> Crew:
    """The crew with worker i made factors[i] times slower; those beyond the list stay as they are."""
    factors = [*factors, *[1.0] * len(crew.workers)][: len(crew.workers)]
    workers = tuple(w._replace(slowdown=f) for w, f in zip(crew.workers, factors, strict=True))
    if (n := len({(w.type, w.slowdown) for w in workers})) > MAX_TYPES:
        raise InvalidArgumentError(f"slowdowns {factors} on these cores make {n} core types; {MAX_TYPES} are told apart")
    return _divided(crew._replace(workers=workers), factors)


def paced(crew: Crew, factors: Mapping[int, float]) -> Crew:
    """The crew with cores, by their CPUs, planned as so many times slower: MAX_TYPES pairs of a type and a factor at most."""
    return _divided(crew, [factors.get(w.cpu, 1.0) for w in crew.workers])


def _divided(crew: Crew, factors: Sequence[float]) -> Crew:
    """The crew whose workers of one type and one factor are a type, so many times slower; fastest first."""
    if all(f == 1 for f in factors):
        return crew
    mac_s = [t.classes["gemm"].alone[CLASSES["gemm"].index("macs")] for t in crew.machine.types]
    kinds = sorted({(w.type, f) for w, f in zip(crew.workers, factors, strict=True)}, key=lambda kind: (mac_s[kind[0]] * kind[1], kind))
    seats = [(kinds.index((w.type, f)), w, d) for w, f, d in zip(crew.workers, factors, crew.designs, strict=True)]
    seats.sort(key=lambda seat: seat[0])
    groups = _numbered([(kind, w.group if w.group >= 0 else -1 - w.cpu) for kind, w, _ in seats])
    types = [
        slower(crew.machine.types[type], factor)._replace(cores=sum(seat == kind for seat, _, _ in seats))
        for kind, (type, factor) in enumerate(kinds)
    ]
    workers = tuple(w._replace(type=kind, group=group) for (kind, w, _), group in zip(seats, groups, strict=True))
    return crew._replace(workers=workers, machine=crew.machine._replace(types=tuple(types)), designs=tuple(d for *_, d in seats))


def everyone(crew: Crew) -> Crew:
    """The crew as it is."""
    return crew


def slower(type: TypeSpeeds, factor: float) -> TypeSpeeds:
    """A core type that takes `factor` times as long for everything."""
    if factor == 1:
        return type
    classes = {
        name: Rates(tuple(s * factor for s in rates.alone), tuple(s * factor for s in rates.busy)) for name, rates in type.classes.items()
    }
    return type._replace(name=f"{type.name} / {factor:g}", classes=classes)


def _select(topology: Topology, wish: Wish, must_fit: bool) -> tuple[int, ...]:
    wanted = wish.cores if wish.cores is not None else "all"
    try:
        return topology.select(wanted)
    except InvalidArgumentError:
        if not must_fit:
            raise
    allowed = tuple(c.cpu for c in (*topology.cores, *topology.others) if c.allowed)
    wanted = parse_cpu_list(wanted) if isinstance(wanted, str) else wanted
    return tuple(cpu for cpu in wanted if cpu in allowed) or topology.select("all")


def _place(core: Core, chosen: Sequence[int]) -> tuple[int, int, int]:
    """Sorts the cores of a type: second hardware threads last, neighbours on one L2 side by side."""
    return sum(s < core.cpu for s in core.siblings if s in chosen), min(core.l2_cpus, default=core.cpu), core.cpu


def _groups(cores: Sequence[tuple[int, Core]]) -> list[int]:
    """A number for each set of cores of one type on one L2, -1 for a core that has its own."""
    return _numbered([(type, min(core.l2_cpus)) if core.l2_cpus else (type, -1 - core.cpu) for type, core in cores])


def _numbered(keys: Sequence[tuple[int, int]]) -> list[int]:
    """A number for each key that is there more than once, -1 for the others."""
    shared = [key for key in dict.fromkeys(keys) if keys.count(key) > 1]
    return [shared.index(key) if key in shared else -1 for key in keys]


def _merged(types: Sequence[TypeSpeeds]) -> TypeSpeeds:
    """Several types as one, as fast as most of its cores are."""
    return max(types, key=lambda t: t.cores)._replace(name=types[-1].name, cores=sum(t.cores for t in types))
