"""Fixes the clocks of cores, and puts back what was there. The only writer of cpufreq, and of utilisation clamps.

    levers = Levers()
    print("\\n".join(levers.available().explain()))
    with levers.apply({0: 1_018_000, 4: 1_364_000}) as held:       # policy id -> kHz
        for outcome in held.outcomes: ...                          # which lever took it, at which clock, what was refused
        held.change({4: 1_498_000})

Levers, in this order, for each policy: the governor `userspace` with scaling_setspeed; scaling_min_freq = scaling_max_freq; the utilisation
clamps of this process's threads. Where none works the clock stays as it is and the outcome says why: the caller still has the core set.

What stood in the files is in a ledger on disk before the first write (docs/energy.md). It is put back when the context ends, at exit, on
SIGINT, SIGTERM and SIGHUP, and, after a SIGKILL, by `recover` at the next start or by `asymo-bench frequency --restore`.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from asymo import knobs, log
from asymo.device import cpufreq, uclamp
from asymo.device.cpufreq import FOLDER, GOVERNOR, LIMITS, MAX, MIN, SETSPEED, USERSPACE, WAYS, Policy
from asymo.device.files import Files, format_cpu_list
from asymo.device.ledger import Ledger
from asymo.device.places import state_path
from asymo.device.undo import Undo

__all__ = ["Access", "Available", "Clock", "Held", "Levers", "Outcome", "Policy", "Restored", "recover"]


UCLAMP = "uclamp"

SETTLE_LATENCIES, SETTLE_S = 20, 0.1
"""How long a clock may take to arrive: so many transition latencies, at least so many seconds (governors look every 10 to 20 ms)."""

REST_LATENCIES, REST_S = 10, 0.02
"""A policy's clock stays for so many transition latencies, at least so many seconds, before it is changed again: less costs more than it
can bring."""

BOOSTS = {f"{FOLDER}/boost": ("0", "1"), "devices/system/cpu/intel_pstate/no_turbo": ("1", "0")}
"""Switches of the whole machine -> what stands there without and with boost. A policy's own switch is its file `boost`."""

OWNED = re.compile(rf"{FOLDER}/policy\d+/({'|'.join(cpufreq.FILES)}|boost)")
"""The files that may be written, besides BOOSTS."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that pass, and waiting. Tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Access:
    """What can be done with a policy. levers: each with why it cannot work, "" when it may; first choice first."""

    policy: Policy
    levers: Mapping[str, str]

    @property
    def ways(self) -> tuple[str, ...]:
        """The levers that may work."""
        return tuple(way for way, why in self.levers.items() if not why)

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why the others cannot, a sentence each."""
        return tuple(f"{way}: {why}" for way, why in self.levers.items() if why)


@dataclass(frozen=True, slots=True)
class Available:
    """What can be set on this machine.

    Attributes:
        policies: by id, () where the kernel shows no clocks. uclamp: why threads cannot be clamped, "" when they can.
        holder: who holds the clocks, "" when they are free. remedy: what gives this user the right to set them, "" when nothing is lacking.
    """

    policies: tuple[Access, ...]
    uclamp: str
    holder: str
    remedy: str

    @property
    def settable(self) -> dict[int, Policy]:
        """The policies whose clock can be fixed through their files, by id."""
        return {a.policy.id: a.policy for a in self.policies if set(a.ways) & set(WAYS)} if not self.holder else {}

    def explain(self) -> list[str]:
        """For people, a sentence a line."""
        if not self.policies:
            return [f"no clock can be set: {self.remedy}"]
        lines = [f"the clocks are held by {self.holder}: wait for it, or end it"] if self.holder else []
        for access in self.policies:
            cpus = format_cpu_list(access.policy.cpus)
            lines.append(f"policy{access.policy.id} (CPUs {cpus}): {', '.join(access.ways) or 'cannot be set, choose cores instead'}")
            lines += [f"  {refusal}" for refusal in access.refusals]
        return lines + ([self.remedy] if self.remedy else [])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one policy's target. khz: the clock that holds, 0 unknown. way: "userspace", "limits", "uclamp", or "" when the clock
    is as it was. notes: what was refused or is otherwise than asked."""

    policy: int
    asked: int
    khz: int
    way: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Restored:
    """files: how many are as they were. problems: what is not, and why; it stays in the ledger."""

    files: int = 0
    problems: tuple[str, ...] = ()


class Levers:
    """The clocks of a machine.

    Args:
        root: where sysfs is (default: below the knob ASYMO_ROOT). state: the ledger's file (default: `state_path()`). clock: the time.
    """

    def __init__(self, root: str | os.PathLike[str] = "", state: Path | None = None, clock: Clock | None = None) -> None:
        self.root = Path(root or Path(str(knobs.ROOT.get())) / "sys")
        self.clock = clock or Clock()
        self.state = Path(state or state_path())

    def policies(self) -> dict[int, Policy]:
        """The policies as they stand, by id."""
        return cpufreq.read_all(self.root)

    def available(self) -> Available:
        """What can be set, else why not and what to do about it. Changes nothing."""
        policies = self.policies()
        clamps = uclamp.refusal()
        accesses = tuple(self.access(policy, clamps) for policy in policies.values())
        holder = self._holder() if policies else ""
        if not policies:
            remedy = f"{self.root / FOLDER} has no policies (a virtual machine, or firmware owns the clocks); choose cores instead"
        elif all(set(a.ways) & set(WAYS) for a in accesses):
            remedy = ""
        else:
            remedy = _permission()
        return Available(accesses, clamps, holder, remedy)

    def commands(self, targets: Mapping[int, int]) -> list[str]:
        """What a user with the right to it would type to fix the clocks at these targets (policy id -> kHz)."""
        lines = []
        for policy, khz in self._known(targets):
            way = USERSPACE if "userspace" in policy.governors else LIMITS
            files = cpufreq.writes(policy, way, policy.nearest(khz))
            lines += [f"echo {text} | sudo tee {self.root / policy.folder / name}" for name, text in files]
        return lines

    @contextmanager
    def apply(
        self, targets: Mapping[int, int], *, threads: Mapping[int, Sequence[int]] | None = None, boost: bool | None = None
    ) -> Iterator[Held]:
        """Fixes the clocks while the context lasts.

        Args:
            targets: policy id -> kHz; the nearest clock that the policy has is taken.
            threads: policy id -> thread ids to clamp where the policy's files cannot be written. Default: this process's threads that are
                pinned inside the policy.
            boost: switches boost on or off too; None leaves it.

        Raises nothing for what the machine refuses: Held.outcomes has it.
        """
        held = Held(self, self.ledger(), threads, boost)
        try:
            held.change(targets)
            yield held
        finally:
            held.release()

    def restore(self) -> Restored:
        """Puts back what an earlier process left changed. The lock tells a process that was killed from one that is at work."""
        ledger = self.ledger()
        if not ledger.before():
            return Restored()
        if holder := ledger.lock():
            return Restored(problems=(f"the clocks are held by {holder}: it puts them back when it ends",))
        try:
            return self.put_back(ledger)
        finally:
            ledger.unlock()

    def ledger(self) -> Ledger:
        """An owner of the machine's ledger; the lock is its own."""
        return Ledger(self.state, self.root, FOLDER)

    def put_back(self, ledger: Ledger) -> Restored:
        """Puts back what the ledger holds; the caller has its lock."""
        left = {path: text for path, text in ledger.before().items() if path in BOOSTS or OWNED.fullmatch(path)}
        problems = []
        entries = len(left)
        for path in [p for p in left if p in BOOSTS or p.endswith("/boost")]:
            if Files(self.root).text(path) == left[path] or not (why := self.write(path, left[path])):
                del left[path]
            else:
                problems.append(f"{self.root / path} is not back at {left[path]!r}: {why}")
        for policy in sorted({int(m[1]) for path in left if (m := re.search(r"policy(\d+)", path))}):
            now = cpufreq.read(Files(self.root), policy)
            before = {path.rpartition("/")[2]: text for path, text in left.items() if path.startswith(f"{now.folder}/")}
            if not now.cpus:
                problems.append(f"{self.root / now.folder} is not back: its CPUs are offline")
                continue
            refused = self.undo(policy, before)
            problems += [f"{self.root / now.folder} is not as it was: {why}" for why in refused]
            if not refused:
                left = {path: text for path, text in left.items() if not path.startswith(f"{now.folder}/")}
        try:
            if problems:
                ledger.write(left)
            else:
                ledger.clear()
        except OSError as error:
            problems.append(f"{ledger.path}: {error.strerror}")
        return Restored(entries - len(left) if problems else entries, tuple(problems))

    def undo(self, policy: int, before: Mapping[str, str]) -> list[str]:
        """Puts a policy's files back (file name -> text). Returns what was refused."""
        for _ in ("limits and governor", "speed"):
            wanted = cpufreq.undo(cpufreq.read(Files(self.root), policy), before)
            if refused := [why for name, text in wanted if (why := self.write(f"{FOLDER}/policy{policy}/{name}", text))]:
                return refused
        return []

    def write(self, path: str, text: str) -> str:
        """Writes a file that exists. Returns why it could not, "" on success."""
        try:
            handle = os.open(self.root / path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(handle, text.encode())
            finally:
                os.close(handle)
        except OSError as error:
            return f"{path.rpartition('/')[2]}: {error.strerror}"
        return ""

    def _known(self, targets: Mapping[int, int]) -> list[tuple[Policy, int]]:
        policies = self.policies()
        return [(policies[i], khz) for i, khz in targets.items() if i in policies]

    def access(self, policy: Policy, clamps: str) -> Access:
        """What can be done with a policy. clamps: why threads cannot be clamped, "" when they can."""

        def lacking(*names: str) -> str:
            paths = [self.root / policy.folder / name for name in names]
            missing = [p.name for p in paths if not p.exists()]
            closed = [p.name for p in paths if p.exists() and not os.access(p, os.W_OK)]
            return f"no {', '.join(missing)}" if missing else f"no permission to write {', '.join(closed)}" if closed else ""

        levers = {
            USERSPACE: lacking(GOVERNOR, SETSPEED) if "userspace" in policy.governors else "the kernel has no governor `userspace`",
            LIMITS: lacking(MIN, MAX),
            UCLAMP: clamps or (f"only schedutil obeys clamps, the governor is {policy.governor}" if policy.governor != "schedutil" else ""),
        }
        return Access(policy, levers)

    def _holder(self) -> str:
        """Who has the lock; it is free again when this returns."""
        probe = self.ledger()
        holder = probe.lock()
        probe.unlock()
        return holder


@dataclass
class Held:
    """Clocks that are fixed until `release`. outcomes: the latest of each policy."""

    levers: Levers
    ledger: Ledger
    threads: Mapping[int, Sequence[int]] | None = None
    boost: bool | None = None
    problems: tuple[str, ...] = ()
    _outcomes: dict[int, Outcome] = field(default_factory=dict)
    _changed: dict[int, float] = field(default_factory=dict)
    _clamped: dict[int, tuple[int, int]] = field(default_factory=dict)
    _process: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        self._undo = Undo(self.release)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self._outcomes.values())

    def change(self, targets: Mapping[int, int]) -> tuple[Outcome, ...]:
        """Moves the clocks (policy id -> kHz). A policy that is there already, or was changed a moment ago (REST_LATENCIES), stays."""
        with self._undo.uninterrupted():
            policies = self.levers.policies()
            for policy in [i for i in targets if i not in policies]:
                self._outcomes[policy] = Outcome(policy, targets[policy], 0, "", ("there is no such policy, or its CPUs are offline",))
            moving = {policies[i]: khz for i, khz in targets.items() if i in policies and not self._stays(policies[i], khz)}
            if moving:
                clamps = uclamp.refusal()
                accesses = [self.levers.access(policy, clamps) for policy in moving]
                refusal = self._claim([a.policy for a in accesses if set(a.ways) & set(WAYS)])
                for access in accesses:
                    self._outcomes[access.policy.id] = self._fix(access, moving[access.policy], refusal)
                    self._changed[access.policy.id] = self.levers.clock.now()
        return self.outcomes

    def release(self) -> None:
        """Puts everything back. Harmless when there is nothing to put back; in a forked child it does nothing."""
        if self._process != os.getpid():
            return
        with self._undo.uninterrupted():
            for thread, (least, most) in self._clamped.items():
                try:
                    uclamp.put(thread, least, most)
                except OSError:
                    continue  # the thread has ended, and its clamp with it
            self._clamped.clear()
            if self.ledger.held:
                self.problems = self.levers.put_back(self.ledger).problems
                for problem in self.problems:
                    log.warning("%s; try: asymo-bench frequency --restore", problem)
                self.ledger.unlock()
            self._outcomes.clear()
            self._undo.disarm()

    def _stays(self, policy: Policy, khz: int) -> bool:
        last = self._outcomes.get(policy.id)
        if last is None or not last.way:
            return False
        if cpufreq.near(last.khz, policy.nearest(khz)):
            return True
        rest = max(REST_S, REST_LATENCIES * policy.latency_s)
        if self.levers.clock.now() - self._changed[policy.id] >= rest:
            return False
        note = f"{khz} kHz has to wait: the clock was changed less than {1e3 * rest:.0f} ms ago"
        self._outcomes[policy.id] = replace(last, notes=(note,))
        return True

    def _claim(self, policies: Sequence[Policy]) -> str:
        """Takes the lock and enters what stands in the policies' files. Returns why nothing may be written, "" when all may."""
        if not policies:
            return ""
        first = not self.ledger.held
        if holder := self.ledger.lock():
            return f"the clocks are held by {holder}: wait for it, or end it"
        if first and self.ledger.before():
            for problem in self.levers.put_back(self.ledger).problems:
                log.warning("left by an earlier process: %s", problem)
        switches = self._switches(policies)
        paths = [*switches, *(f"{p.folder}/{name}" for p in policies for name in cpufreq.FILES)]
        files = Files(self.levers.root)
        before = {path: text for path in paths if (text := files.text(path))}
        self._undo.arm()
        try:
            self.ledger.write({**before, **self.ledger.before()})
        except OSError as error:
            self.ledger.unlock()
            return f"{self.ledger.path}: {error.strerror}, and nothing is changed that could not be put back"
        for path, text in switches.items():
            if files.text(path) != text and (why := self.levers.write(path, text)):
                log.warning("boost is as it was: %s", why)
        return ""

    def _switches(self, policies: Sequence[Policy]) -> dict[str, str]:
        """The boost switches to write, with their texts."""
        if self.boost is None:
            return {}
        own = [f"{p.folder}/boost" for p in policies if (self.levers.root / p.folder / "boost").exists()]
        if own:
            return {path: str(int(self.boost)) for path in own}
        return {path: texts[self.boost] for path, texts in BOOSTS.items() if (self.levers.root / path).exists()}

    def _fix(self, access: Access, khz: int, refusal: str) -> Outcome:
        policy, wanted, notes = access.policy, access.policy.nearest(khz), [refusal] if refusal else []
        for way, why in access.levers.items():
            found = wanted
            if way == UCLAMP:
                why = why or self._clamp(policy, wanted)
            elif not why and refusal:
                continue
            elif not why:
                found, why = self._try(policy.id, way, wanted)
            if not why:
                limited = [] if cpufreq.near(found, wanted) else [f"{found} kHz for {wanted}: heat or firmware limits the clock"]
                return Outcome(policy.id, khz, found, way, tuple(notes + limited))
            notes.append(f"{way}: {why}")
        return Outcome(policy.id, khz, cpufreq.read(Files(self.levers.root), policy.id).current, "", tuple(notes))

    def _try(self, policy: int, way: str, khz: int) -> tuple[int, str]:
        """(the clock that came of it, why it did not work). What did not work is put back."""
        before = cpufreq.read(Files(self.levers.root), policy)
        why = ""
        for name, text in cpufreq.writes(before, way, khz):
            if why := self.levers.write(f"{before.folder}/{name}", text):
                break
        else:
            if found := self._wait(before, way, khz):
                return found, ""
            why = "the writes succeeded and changed nothing"
        old = {GOVERNOR: before.governor, MIN: str(before.floor), MAX: str(before.ceiling), SETSPEED: str(before.current)}
        refused = self.levers.undo(policy, old)
        return 0, "; ".join([why, *refused])

    def _wait(self, before: Policy, way: str, khz: int) -> int:
        """The clock that was granted, 0 when none came in time. An idle core's clock may move only when it works: so we wait there."""
        clock, files = self.levers.clock, Files(self.levers.root)
        end = clock.now() + max(SETTLE_S, SETTLE_LATENCIES * before.latency_s)
        with _running_on(before.cpus):
            while True:
                found = cpufreq.granted(before, cpufreq.read(files, before.id), way, khz)
                if found or clock.now() >= end:
                    return found
                clock.sleep(max(1e-3, before.latency_s))

    def _clamp(self, policy: Policy, khz: int) -> str:
        """Clamps the threads that work on the policy. Returns why it cannot be."""
        threads = uclamp.pinned(policy.cpus) if self.threads is None else self.threads.get(policy.id, ())
        if not threads:
            return "no thread of this process is pinned there"
        capacity = Files(self.levers.root).number(f"devices/system/cpu/cpu{policy.cpus[0]}/cpu_capacity") or uclamp.FULL
        value = uclamp.utilisation(khz, policy.highest or khz, capacity, uclamp.adds_headroom())
        for thread in threads:
            try:
                self._clamped.setdefault(thread, uclamp.get(thread))
                self._undo.arm()
                uclamp.put(thread, value, value)
                if uclamp.get(thread) != (value, value):
                    return "the clamps were accepted and changed nothing"
            except OSError as error:
                return error.strerror or str(error)
        return ""


def recover() -> None:
    """Puts back what a killed process left behind; warns of what it cannot. One look at a file when nothing is left, and while the process
    that changed the clocks is alive."""
    levers = Levers()
    ledger = levers.ledger()
    if not ledger.before() or ledger.lock():
        return
    try:
        for problem in levers.put_back(ledger).problems:
            log.warning("left by a process that was killed: %s; try: sudo asymo-bench frequency --restore", problem)
    finally:
        ledger.unlock()


def _permission() -> str:
    if sys.platform == "android" or Path("/system/build.prop").exists():
        return "on Android only root sets clocks: su -c 'echo KHZ > FILE'; docs/energy.md says who may do what"
    return "root may set clocks; for a group once and for all: the tmpfiles snippet in docs/energy.md"


@contextmanager
def _running_on(cpus: Sequence[int]) -> Iterator[None]:
    """The calling thread on these CPUs, where it is allowed to."""
    mask = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, mask & set(cpus))
    except OSError:  # none of them is ours
        yield
        return
    try:
        yield
    finally:
        os.sched_setaffinity(0, mask)
