"""A session's policy at work: what its cores draw, which setting it gets, and the clocks that are set for it.

The decision is `asymo.plan.frequency.choose`, the writing `asymo.device.frequency.Levers`; this ties them to a crew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from math import inf
from weakref import finalize

from asymo import knobs, log
from asymo.cost import energy, power
from asymo.cost.energy import Setting
from asymo.cost.power import Draw
from asymo.cost.speeds import Machine
from asymo.device import topology
from asymo.device.cpufreq import near
from asymo.device.frequency import Held, Levers, Outcome
from asymo.device.topology import Topology
from asymo.plan import frequency
from asymo.plan.climb import Climber, neighbours
from asymo.plan.frequency import Choice, Policy
from asymo.plan.plan import Plan
from asymo.runtime.crew import Crew
from asymo.runtime.metered import Metered, metered


def levers() -> Levers:
    """Those of the machine that is planned for: a recorded one brings its own sysfs."""
    return Levers(f"{str(knobs.ROOT.get()).rstrip('/')}/sys")


def draw_of(machine: Machine) -> Draw:
    """The watts of these cores of this machine. Types that a knob slows down draw what those do that they are made of."""
    known = power.from_topology(topology.read(str(knobs.ROOT.get())), levers().policies())
    named = [t._replace(name=t.name.partition(" / ")[0]) for t in machine.types]
    found = known.of(machine._replace(types=tuple(named)))
    return replace(found, types=tuple(replace(d, name=t.name) for d, t in zip(found.types, machine.types, strict=True)))


def targets(setting: Setting, machine: Machine, found: Topology) -> dict[int, int]:
    """Policy id -> kHz of a setting. A policy whose cores are not used is left alone."""
    names = found.type_names
    wanted = {t.name.partition(" / ")[0]: khz for t, khz in zip(machine.types, setting.khz, strict=True) if khz}
    return {c.policy: wanted[names[c.cpu]] for c in found.cores if c.policy >= 0 and names[c.cpu] in wanted}


def advice(setting: Setting, machine: Machine) -> list[str]:
    """What stands in the way of a setting, and what a user with the right to it would type; nothing where nothing is in the way."""
    there = levers()
    available = there.available()
    wanted: Mapping[int, int] = targets(setting, machine, topology.read(str(knobs.ROOT.get())))
    if wanted and set(wanted) <= set(available.settable):
        return []
    return [*available.explain(), *(there.commands(wanted) if available.policies else [])]


MEASURED = ("energy", "balanced")
"""Policies whose choice a meter can check."""


def confined(crew: Crew, draw: Draw, wanted: Mapping[str, tuple[int, int]]) -> Crew:
    """The crew with so many cores of each type, at such a clock (name -> cores, kHz), as far as it has them; all of it when it has none."""
    kept: list[int] = []
    for t, speeds in enumerate(crew.machine.types):
        kept += [i for i, w in enumerate(crew.workers) if w.type == t][: wanted.get(speeds.name, (0, 0))[0]]
    if not kept:
        return crew
    there = {t.name: t for t in draw.types}
    order = sorted({crew.workers[i].type for i in kept})
    types = []
    for t in order:
        speeds = crew.machine.types[t]
        at = energy.slower(speeds, there[speeds.name].slowdown(wanted[speeds.name][1]))
        types.append(at._replace(cores=sum(crew.workers[i].type == t for i in kept)))
    workers = tuple(crew.workers[i]._replace(type=order.index(crew.workers[i].type)) for i in kept)
    return crew._replace(workers=workers, machine=crew.machine._replace(types=tuple(types)), designs=tuple(crew.designs[i] for i in kept))


def _confinement(machine: Machine, draw: Draw, setting: Setting) -> Callable[[Crew], Crew]:
    """What a setting makes of a crew."""
    each = {t.name: (n, khz) for t, n, khz in zip(machine.types, setting.cores, setting.khz, strict=True)}
    return lambda crew: confined(crew, draw, each)


class Clocks:
    """The setting of one session.

    choice: what was chosen, None before the first plan. outcomes: what became of each cpufreq policy's clock; () where nothing was
    tried. Clocks stay as they were set until `close`, or until the session is no more.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.choice: Choice | None = None
        self.outcomes: tuple[Outcome, ...] = ()
        self._held: Held | None = None
        self._open = ExitStack()
        self._is_told = False
        self._climber: Climber | None = None
        self._metered: Metered | None = None
        finalize(self, self._open.close)

    def settle(self, plan: Plan, crew: Crew) -> Callable[[Crew], Crew]:
        """Chooses for a model, sets what may be set, and returns what the choice makes of a crew. plan: of the model on all of the crew."""
        self.close()
        machine, there = crew.machine, levers()
        draw = draw_of(machine)
        model = energy.loads([(s.kind, s.args) for s in plan.steps], machine, plan.run_bytes)
        best = frequency.choose(energy.survey(model, machine, draw), self.policy)
        found = topology.read(str(knobs.ROOT.get()))
        wanted = targets(best.setting, machine, found)
        if wanted and self._set(there, wanted):
            self.choice = best
            self._start_climbing(draw, crew)
        else:
            draw = draw.fixed()
            self.choice = frequency.choose(energy.survey(model, machine, draw), self.policy)
            self._tell(best.setting, machine)
        log.info("policy %s: %s", self.policy, described(self.choice.setting, machine))
        self._predict = partial(energy.at, model, machine, draw)
        self._confine = partial(_confinement, machine, draw)
        self._targets = partial(targets, machine=machine, found=found)
        return self._confine(self.choice.setting)

    def _start_climbing(self, draw: Draw, crew: Crew) -> None:
        """Lets measured runs check the choice, where its policy asks for energy and there is a meter."""
        if self.policy in MEASURED and self.choice is not None:
            self._metered = metered(levers().root, crew.cpus, self._open)
            self._climber = Climber(self.choice.setting, partial(neighbours, draw)) if self._metered else None

    def ran(self, seconds: float) -> Callable[[Crew], Crew] | None:
        """A run took so many seconds. What becomes of a crew when measurement asks for another setting, which is set then; else None."""
        if self._climber is None or self._metered is None or self._held is None or self.choice is None:
            return None
        if (cost := self._metered.ran(seconds)) is None:
            return None
        wanted = self._targets(self.choice.setting)
        holds = all(near(o.khz, wanted[o.policy]) for o in self.outcomes if o.policy in wanted)
        value = cost.joules if self.policy == "energy" else cost.joules * cost.seconds
        self._climber.measured(value if holds else inf)
        setting = self._climber.setting
        if setting == self.choice.setting:
            return None
        self.outcomes = self._held.change(self._targets(setting))
        self.choice = Choice(setting, *self._predict(setting))
        self._metered.restart()
        return self._confine(setting)

    def close(self) -> None:
        """Puts the clocks back."""
        self._open.close()
        self._held, self.outcomes = None, ()
        self._climber = self._metered = None

    def _set(self, there: Levers, wanted: Mapping[int, int]) -> bool:
        """Whether all of these clocks hold now. Where one is refused all are put back: half a setting is none."""
        if not set(wanted) <= set(there.available().settable):
            return False
        if self._held is None:
            self._held = self._open.enter_context(there.apply(wanted))
        else:
            self._held.change(wanted)
        self.outcomes = self._held.outcomes
        if all(o.way for o in self.outcomes if o.policy in wanted):
            return True
        refused = self.outcomes
        self.close()
        self.outcomes = refused
        return False

    def _tell(self, setting: Setting, machine: Machine) -> None:
        """Says once what would have been set, and how."""
        if not self._is_told:
            self._is_told = True
            say = log.warning if levers().policies() else log.info
            how = "; ".join(advice(setting, machine)) or "the kernel refused: see the session's `clocks`"
            say("policy %s chooses cores alone, it cannot set %s: %s", self.policy, described(setting, machine), how)


def described(setting: Setting, machine: Machine) -> str:
    """ "4 big 1364 MHz + 2 little 1018 MHz"."""
    each: Sequence[tuple[int, str, int]] = [
        (n, t.name, khz) for n, t, khz in zip(setting.cores, machine.types, setting.khz, strict=True) if n
    ]
    return " + ".join(f"{n} {name} {khz // 1000} MHz" if khz else f"{n} {name}" for n, name, khz in each)
