"""The instruction set that every core can run. It is one for the whole process, because packed weights follow it.

Systems have claimed for all cores what only some of them have, so a thread goes from core to core and runs kernels of every instruction
set there (csrc/exec/probe.c). The best one that runs on all cores that the process may use is taken, once, before weights are packed.
Cores that may be used later, and cannot run it, are left out.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping

from asymo import _core, knobs, log
from asymo.device.topology import format_cpu_list
from asymo.errors import UnsupportedError
from asymo.record import NamedTuple

PATIENCE_S = 1.0
"""A core that somebody keeps from us for so long (a real-time task) is taken to be what the system says."""


class Found(NamedTuple):
    """What a core can run, worst first, and its unit in asymo/device/parts.py (HYBRID) where CPUID tells."""

    isas: tuple[str, ...]
    kind: str = ""


def here() -> Found:
    """What the core that runs this thread is."""
    return Found(_core.isas_here(), _core.core_kind_here())


def visit(cpus: Collection[int], look: Callable[[], Found]) -> Callable[[], dict[int, Found]]:
    """Sends a thread from CPU to CPU, pinned to one after the other, to `look` there. What it returns waits, and gives CPU -> what was
    found. CPUs that cannot be visited are left out."""
    found: dict[int, Found] = {}

    def walk() -> None:
        for cpu in sorted(cpus):
            try:
                os.sched_setaffinity(0, {cpu})
            except OSError:
                continue
            found[cpu] = look()

    thread = threading.Thread(target=walk, name="asymo-probe", daemon=True)
    thread.start()

    def outcome() -> dict[int, Found]:
        thread.join(PATIENCE_S)
        return dict(found)

    return outcome


def common(found: Mapping[int, Found], wanted: str) -> tuple[str, str]:
    """(the best instruction set up to `wanted` that all cores run, what to say when it is another one)."""
    lacking = [cpu for cpu, core in found.items() if wanted not in core.isas]
    if not lacking:
        return wanted, ""
    shared = [isa for isa in next(iter(found.values())).isas if all(isa in core.isas for core in found.values())]
    having = [cpu for cpu in found if cpu not in lacking]
    where = f", which CPUs {format_cpu_list(sorted(having))} run" if having else ""
    chosen = shared[-1] if shared else "portable"
    told = f"CPUs {format_cpu_list(sorted(lacking))} do not run the kernels for {wanted}{where}: those for {chosen} are used on all cores"
    if having:
        told += f"; `taskset -c {format_cpu_list(sorted(having))}` before the command keeps {wanted}"
    return chosen, told


class Kernels:
    """What is known of this process's cores."""

    def __init__(self, look: Callable[[], Found] = here) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._known: dict[int, Found] = {}
        self._coming: Callable[[], dict[int, Found]] = dict
        self._is_settled = False

    @property
    def kinds(self) -> dict[int, str]:
        """CPU -> its unit in parts.HYBRID, where CPUID tells."""
        return {cpu: core.kind for cpu, core in self._known.items() if core.kind}

    def begin(self, mask: Collection[int]) -> None:
        """Begins to look at the CPUs of a mask of which nothing is known, while the caller has other things to do; `fit` waits for it."""
        with self._lock:
            if not self._known and self._coming is dict:
                self._coming = visit(mask, self._look)

    def fit(self, mask: Collection[int]) -> frozenset[int]:
        """The CPUs of a mask that run the kernels in use. The first call decides which kernels these are.

        Raises UnsupportedError when ASYMO_ISA names an instruction set that some of them lack, or when none is left."""
        with self._lock:
            self._known.update(self._coming())
            self._coming = dict
            new = [cpu for cpu in mask if cpu not in self._known]
            if new:
                self._known.update(visit(new, self._look)())
            if not self._is_settled:
                self._settle({cpu: self._known[cpu] for cpu in mask if cpu in self._known})
                self._is_settled = True
            isa = _core.isa_name()
            unfit = {cpu for cpu in mask if cpu in self._known and isa not in self._known[cpu].isas}
            left = frozenset(mask) - unfit
            if not left:
                raise UnsupportedError(
                    f"the kernels in use are those for {isa}, which none of the CPUs {format_cpu_list(sorted(mask))} runs: start the "
                    "program on these CPUs, and the kernels are chosen for them"
                )
            if unfit and new:
                log.warning("CPUs %s do not run the kernels for %s and are left out", format_cpu_list(sorted(unfit)), isa)
            return left

    def _settle(self, found: Mapping[int, Found]) -> None:
        wanted = _core.isa_name()
        chosen, told = common(found, wanted) if found else (wanted, "")
        if told and knobs.ISA.get():
            raise UnsupportedError(f"{knobs.ISA.name}={wanted}: {told}; unset {knobs.ISA.name}, or name an instruction set that all have")
        if told:
            log.warning("%s", told)
            _core.select_isa(chosen)
        if chosen == "portable" and not knobs.ISA.get():
            log.warning("this CPU has neither AVX2 with FMA nor Advanced SIMD: portable kernels are used, which are several times slower")


process = Kernels()
"""This process's."""


def _in_child() -> None:
    """After fork(): other threads, which are not here, may have held the lock, or been under way."""
    process._lock = threading.Lock()
    process._coming = dict


os.register_at_fork(after_in_child=_in_child)
