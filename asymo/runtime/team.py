"""A session's workers while they live: the crew, its pool, and what becomes of both when the machine changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from asymo import _core, knobs, log
from asymo.cost import calibration
from asymo.cost.speeds import Machine, from_topology
from asymo.device import topology
from asymo.device.topology import Topology, format_cpu_list
from asymo.errors import InvalidArgumentError
from asymo.runtime import kernels, pools
from asymo.runtime.crew import Crew, Wish, emulate, everyone, muster, paced
from asymo.runtime.pace import Learned, Pace, slowness
from asymo.runtime.watch import Watch

if TYPE_CHECKING:
    from asymo.runtime.stats import SessionStats


ANDROID = "on Android keep the app in the foreground (Termux: termux-wake-lock, battery use unrestricted)"
FEWER = f"ask who took them (taskset -p, the cgroup's cpuset.cpus and cpu.max; {ANDROID}), or name fewer cores or threads"
UNPINNED = f"results are right, but the kernel may put two workers on one core: name cores that are allowed and online; {ANDROID}"
UNKNOWN = "check the cores' types with `asymo-bench topology`; cores= and `asymo-bench calibrate` overrule them"


class Team:
    """The crew of a wish and its pool.

    crew, pool: as they are now. replans: how often they have been replaced. Before each run: `if monotonic() >= team.due and
    team.changed(...): plan anew`. spin_ns: as for Pool.
    """

    crew: Crew
    pool: _core.Pool

    def __init__(self, wish: Wish, spin_ns: int | None = None) -> None:
        self._wish, self._spin_ns = wish, spin_ns
        self._root = str(knobs.ROOT.get())
        self._watch = Watch(self._root)
        self.due = self._watch.due
        self._is_warned = False
        self.replans = 0
        self._confine: Callable[[Crew], Crew] = everyone
        self._pace = Pace(monotonic())
        found, crew = self._muster(must_fit=False)
        self._start(crew, None)
        if wish.threads > len(self.crew.workers):
            log.info("%d threads were asked for; there are %s", wish.threads, self)
        if found.notes:
            more = f" (and {len(found.notes) - 1} more such notes)" if len(found.notes) > 1 else ""
            self._warn(f"what the system tells of its cores is not all clear: {found.notes[0]}{more}", UNKNOWN)

    def changed(self, learned: Learned) -> bool:
        """Whether crew or pool are new, because what this process may use, or the speed of its cores, is not what it was.

        learned: what the programs that were made for this crew know of its speed."""
        news, is_forked = self._watch.news(), self._watch.take_fork()
        self.due = self._watch.due
        moved = [] if is_forked else self._moved()
        if not news and not moved and not is_forked:
            return self._is_paced_anew(learned)
        before = self.crew
        _, crew = self._muster(must_fit=True)
        if crew == before and not moved and not is_forked:
            return False
        self._start(crew, self.pool)
        self.replans += 1
        what = news or (f"the system moved workers off CPUs {format_cpu_list(moved)}" if moved else "the process forked")
        now = f"{what}: planned anew for {self}"
        if len(self.crew.workers) < len(before.workers):
            self._warn(now, FEWER)
        else:
            log.info("%s", now)
        return True

    def _is_paced_anew(self, learned: Learned) -> bool:
        """Whether the crew is planned at other speeds from now on: a core has not been as fast as it was planned for a while."""
        now = monotonic()
        if len(self.crew.workers) < 2 or not self._pace.is_due(now):
            return False
        late = slowness(learned, [w.type for w in self.crew.workers])
        if not self._pace.look({self.crew.cpus[w]: factor for w, factor in late.items()}, self._types, now):
            return False
        _, crew = self._muster(must_fit=True)
        if crew.workers != self.crew.workers:
            self._start(crew, None)
        self.crew = crew
        self.replans += 1
        slow = ", ".join(f"CPU {cpu} as {factor:g} times slower than it was known" for cpu, factor in sorted(self._pace.factors.items()))
        log.info("the speeds of the cores have changed: planned anew with %s", slow or "all cores as they were known")
        return True

    def _moved(self) -> list[int]:
        """The CPUs whose workers are no longer pinned there. Worker 0 does not count: it is the caller, and each has a mask of its own."""
        return [cpu for cpu, now in zip(self._placed[1:], self.pool.placement()[1:], strict=True) if cpu != now]

    def confine(self, change: Callable[[Crew], Crew]) -> None:
        """Lets a policy take cores out of the crew, or their clocks down, from now on."""
        self._confine = change
        _, crew = self._muster(must_fit=True)
        self._start(crew, None)

    def forked(self) -> None:
        """This is a child process: it has none of the workers."""
        self._watch.forked()
        self.due = 0.0

    def stats(self) -> SessionStats:
        """What each worker has done."""
        from asymo.runtime.stats import SessionStats, WorkerReport

        counted = self.pool.stats()
        units = sum(c.units for c in counted) or 1
        reports = [
            WorkerReport(
                cpu=cpu,
                wanted=wanted,
                type=type,
                core=design,
                utilisation=c.busy_ns / ((c.busy_ns + c.wait_ns) or 1),
                share=c.units / units,
                **c._asdict(),
            )
            for cpu, wanted, type, design, c in zip(
                self.pool.placement(), self.crew.cpus, self.crew.type_names, self.crew.designs, counted, strict=True
            )
        ]
        return SessionStats(tuple(reports), self.replans, self.crew.machine.basis, dict(self._pace.factors))

    def __str__(self) -> str:
        cpus = [cpu for cpu in self._placed if cpu >= 0]
        n = len(self.crew.workers)
        where = f"on CPUs {format_cpu_list(cpus)}" if cpus else "where the kernel puts them"
        return f"{n} worker{'s' * (n > 1)} {where}" + (f", {n - len(cpus)} not pinned" if 0 < len(cpus) < n else "")

    def _muster(self, must_fit: bool) -> tuple[Topology, Crew]:
        mask, kinds = self._watch.limits.mask, {}
        if self._root == "/":
            mask, kinds = kernels.process.fit(mask), kernels.process.kinds
        found = topology.read(self._root, mask, kinds)
        crew = muster(found, self._wish, lambda cores: _speeds(cores, may_measure=not must_fit), must_fit=must_fit)
        if factors := _slowdown():
            crew = emulate(crew, factors)
        self._types = dict(zip(crew.cpus, crew.type_names, strict=True))
        return found, self._confine(paced(crew, self._pace.factors))

    def _start(self, crew: Crew, instead_of: _core.Pool | None) -> None:
        self.pool = pools.pool(crew, self._spin_ns, instead_of)
        self.crew = crew
        self._placed = self.pool.placement()
        refused = [cpu for cpu, placed in zip(crew.cpus, self._placed, strict=True) if cpu != placed]
        if refused:
            self._warn(f"the system refused to pin workers to CPUs {format_cpu_list(refused)}", UNPINNED)

    def _warn(self, what: str, remedy: str) -> None:
        """One warning a session; what comes later is for those who listen to everything."""
        say = log.info if self._is_warned else log.warning
        say("%s; %s", what, remedy)
        self._is_warned = True


def look_ahead() -> None:
    """Begins to try the kernels on this process's cores; a Team will wait for what is found."""
    if knobs.ROOT.get() == "/":
        kernels.process.begin(os.sched_getaffinity(0))


def wish(cores: str | Sequence[int] | None, threads: int) -> Wish:
    """What a session wants by its arguments, else by the knobs."""
    if cores is None:
        return Wish(knobs.CORES.get(), threads if threads != 0 else knobs.NUM_THREADS.get() or 0)
    return Wish(cores if isinstance(cores, str) else tuple(int(c) for c in cores), threads)


def _speeds(machine: Topology, may_measure: bool) -> Machine:
    """The kept calibration. Without one: equal cores need none, unequal ones are measured for a second, but not in the middle of a user's
    run; recorded machines cannot be measured."""
    if knobs.ROOT.get() == "/":
        return calibration.machine(machine, quick=may_measure and len(machine.types) > 1)
    mr, nr, _ = _core.gemm_geometry()
    return from_topology(machine, _core.isa_name(), (mr, nr))


def _slowdown() -> tuple[float, ...]:
    text = knobs.SLOWDOWN.get() or ""
    try:
        factors = tuple(float(part) for part in text.split(",") if part.strip())
        if not all(1 <= f <= 64 for f in factors):
            raise ValueError
    except ValueError:
        raise InvalidArgumentError(f'{knobs.SLOWDOWN.name}={text!r}: give a factor from 1 to 64 for each worker, such as "1,3"') from None
    return factors
