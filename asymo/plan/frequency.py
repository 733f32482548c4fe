"""Which cores a whole inference gets, and at which clocks. Pure: every setting is in the survey (asymo/cost/energy.py), a policy picks one.

One setting for a whole inference, because clocks take milliseconds to change. The planner then makes the plan for these cores at these
clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from asymo.cost.energy import Doubles, Setting, Survey
from asymo.errors import InvalidArgumentError

NAMES = ("latency", "energy", "balanced")
"""Least time, least energy, least product of the two."""

EQUAL = 1e-9
"""Settings within this part of the best are equally good."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The least energy of the settings that are done in `ms` milliseconds."""

    ms: float

    def __post_init__(self) -> None:
        _check(self.ms, "Deadline: give milliseconds above 0")

    def __str__(self) -> str:
        return f"deadline:{self.ms:g}"


@dataclass(frozen=True, slots=True)
class Power:
    """The least time of the settings that draw no more than `watts` on average over an inference."""

    watts: float

    def __post_init__(self) -> None:
        _check(self.watts, "Power: give watts above 0")

    def __str__(self) -> str:
        return f"power:{self.watts:g}"


Policy = str | Deadline | Power

BOUNDS: dict[str, type[Deadline] | type[Power]] = {"deadline": Deadline, "power": Power}
"""How policies with a number are written: "deadline:30"."""


def _check(value: object, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
        raise InvalidArgumentError(f"{what}, not {value!r}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse(policy: object) -> Policy:
    """A policy as a user gives it: one of NAMES, "deadline:MS", "power:WATTS", or the object itself. Raises InvalidArgumentError."""
    if isinstance(policy, Deadline | Power):
        return policy
    if isinstance(policy, str):
        kind, _, number = policy.partition(":")
        if policy in NAMES:
            return policy
        if kind in BOUNDS and _is_number(number):
            return BOUNDS[kind](float(number))
    raise InvalidArgumentError(
        f'policy={policy!r}: choose one of {", ".join(NAMES)}, asymo.Deadline(ms), asymo.Power(watts) (in text: "deadline:30", "power:2.5")'
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting and what the model predicts of it. is_met: False when no setting keeps the deadline or the cap; then it is the one that
    comes nearest."""

    setting: Setting
    seconds: float
    joules: float
    is_met: bool = True

    @property
    def watts(self) -> float:
        return self.joules / self.seconds if self.seconds else 0.0

    @property
    def edp(self) -> float:
        """Energy-delay product, joule seconds."""
        return self.joules * self.seconds


def choose(survey: Survey, policy: Policy) -> Choice:
    """The best setting of the survey."""
    seconds, joules = survey.seconds.ravel(), survey.joules.ravel()
    match policy:
        case "latency":
            return _best(survey, seconds, joules)
        case "energy":
            return _best(survey, joules, seconds)
        case "balanced":
            return _best(survey, joules * seconds, seconds)
        case Deadline(ms):
            return _least(survey, seconds, 1e-3 * ms, joules)
        case Power(watts):
            return _least(survey, _watts(survey), watts, seconds)
    raise InvalidArgumentError(f"policy={policy!r} is none")


def _watts(survey: Survey) -> Doubles:
    seconds, joules = survey.seconds.ravel(), survey.joules.ravel()
    return np.divide(joules, seconds, out=np.full_like(joules, inf), where=np.isfinite(seconds) & (seconds > 0))


def _least(survey: Survey, bounded: Doubles, bound: float, goal: Doubles) -> Choice:
    """Of the settings within the bound the one with the least goal; without any the one with the least excess."""
    within = bounded <= bound
    if within.any():
        return _best(survey, np.where(within, goal, inf), bounded)
    return _best(survey, bounded, goal, is_met=False)


def _best(survey: Survey, goal: Doubles, then: Doubles, is_met: bool = True) -> Choice:
    best = np.flatnonzero(goal <= goal.min() * (1 + EQUAL))
    return _at(survey, int(best[np.argmin(then[best])]), is_met)


def _at(survey: Survey, place: int, is_met: bool = True) -> Choice:
    return Choice(survey.setting(place), float(survey.seconds.flat[place]), float(survey.joules.flat[place]), is_met)


def front(survey: Survey) -> list[Choice]:
    """The settings that no other one beats in time and energy, fastest first."""
    seconds, joules = survey.seconds.ravel(), survey.joules.ravel()
    order = np.lexsort((joules, seconds))
    order = order[np.isfinite(seconds[order])]
    least = np.minimum.accumulate(joules[order])
    is_new = np.concatenate([[True], least[1:] < least[:-1] * (1 - EQUAL)]) if len(order) else np.zeros(0, bool)
    return [_at(survey, int(place)) for place in order[is_new]]
