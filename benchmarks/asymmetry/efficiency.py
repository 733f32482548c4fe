"""Arithmetic and tables of the asymmetry benchmarks. Pure: no clocks, no processes.

    efficiency = T(full core alone) / (T(both cores) x (1 + s))

where s is what the slow core delivers of a full one: 1/r for a core r times slower, or the share that a hog leaves. 1 is ideal; 1 / (1 + s)
is what a runtime reaches that might as well have left the slow core alone; 2 s / (1 + s) is an equal split that waits for the slow core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from asymo.bench.report import Row


@dataclass(frozen=True)
class Sample:
    """One visit to a runtime: medians of a batch on the full core alone and of one on both cores.

    who: the runtime or the policy. how: in which way the core was slow. Samples of the same model, who and how are of one cell.
    near: the two cores shared a cache."""

    model: str
    who: str
    how: str
    share: float
    alone_ms: float
    both_ms: float
    utilisation: tuple[float, ...] = ()
    near: bool = True

    @property
    def efficiency(self) -> float:
        return efficiency(self.alone_ms, self.both_ms, self.share)

    @property
    def slowdown(self) -> float:
        """T(both) / T(full core alone): above 1 the second core does harm."""
        return self.both_ms / self.alone_ms

    def row(self) -> Row:
        return asdict(self)


def efficiency(alone_ms: float, both_ms: float, share: float) -> float:
    """See the top of this file."""
    return alone_ms / (both_ms * (1 + share))


def parse_numbers(text: str) -> tuple[float, ...]:
    """ "1.5,2" -> (1.5, 2.0)"""
    return tuple(float(part) for part in text.split(",") if part.strip())


def by_distance(samples: Sequence[Sample]) -> list[tuple[str, list[Sample]]]:
    """The samples taken on cores that share a cache, and those on cores that do not, each with its name; only what there is."""
    both = (("cores share a cache", True), ("cores share no cache", False))
    return [(name, found) for name, near in both if (found := [s for s in samples if s.near == near])]


def cells(samples: Sequence[Sample]) -> dict[tuple[str, str, str], list[Sample]]:
    """Samples by model, who and how, in the order in which they first appear; those on cores without a common cache only where there
    are no others."""
    near = {(s.model, s.who, s.how) for s in samples if s.near}
    samples = [s for s in samples if s.near or (s.model, s.who, s.how) not in near]
    found: dict[tuple[str, str, str], list[Sample]] = {}
    for sample in samples:
        found.setdefault((sample.model, sample.who, sample.how), []).append(sample)
    return found


def pivot(samples: Sequence[Sample], columns: str, value: Callable[[Sample], float]) -> list[Row]:
    """A row per model and one more for the median over the models; a column for every `who` or `how`; in each cell the median over the
    rounds of the value. Rounds of one cell are as good as each other: none is left out."""
    grid: dict[str, dict[str, list[float]]] = {}
    for sample in samples:
        grid.setdefault(sample.model, {}).setdefault(getattr(sample, columns), []).append(value(sample))
    names = list(dict.fromkeys(getattr(s, columns) for s in samples))
    medians = {model: {name: median(found[name]) for name in names if name in found} for model, found in grid.items()}
    rows: list[Row] = [{"model": model, **{name: medians[model].get(name) for name in names}} for model in medians]
    overall = {name: [line[name] for line in medians.values() if name in line] for name in names}
    if len(medians) > 1:
        rows.append({"model": "median", **{name: median(values) for name, values in overall.items()}})
    return rows


def utilisations(samples: Sequence[Sample], who: str) -> list[Row]:
    """A row per model: in a column for each `how` the medians of the workers' utilisation in percent, "99 / 93"."""
    rows: dict[str, Row] = {}
    for (model, name, how), found in cells(samples).items():
        if name == who and found[0].utilisation:
            parts = [median(values) for values in zip(*(s.utilisation for s in found), strict=True)]
            rows.setdefault(model, {"model": model})[how] = " / ".join(f"{100 * part:.0f}" for part in parts)
    return list(rows.values())


def two_digits(rows: Sequence[Row]) -> list[Row]:
    """The rows with every float as text of two digits."""
    return [{key: f"{value:.2f}" if isinstance(value, float) else value for key, value in row.items()} for row in rows]


@dataclass(frozen=True)
class Verdict:
    """A promise, whether it was kept, and by which cells it was broken."""

    promise: str
    broken: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'no ' if self.broken else 'yes'}  {self.promise}" + (f": broken by {', '.join(self.broken)}" if self.broken else "")


def at_least(samples: Sequence[Sample], who: str, floors: Mapping[str, float]) -> Verdict:
    """The median efficiency of `who` reaches the floor of its model ("" holds for models that are not named)."""
    broken = []
    for (model, name, how), found in cells(samples).items():
        floor = floors.get(model, floors.get("", 0.0))
        if name == who and (reached := median(s.efficiency for s in found)) < floor:
            broken.append(f"{model} {how} {reached:.2f} < {floor:.2f}")
    return Verdict(f"{who} reaches its floor of efficiency", tuple(broken))


def never_slower(samples: Sequence[Sample], who: str, tolerance: float = 0.03) -> Verdict:
    """Both cores never take longer than the full one alone, but for the tolerance."""
    broken = []
    for (model, name, how), found in cells(samples).items():
        if name == who and (slowdown := median(s.slowdown for s in found)) > 1 + tolerance:
            broken.append(f"{model} {how} {slowdown:.2f}")
    return Verdict(f"{who} on both cores is never more than {tolerance:.0%} slower than on the full core alone", tuple(broken))


def best(samples: Sequence[Sample], who: str, tolerance: float = 0.01) -> Verdict:
    """No other `who` has a higher efficiency in any model and how, but for the tolerance."""
    medians = {key: median(s.efficiency for s in found) for key, found in cells(samples).items()}
    broken = []
    for (model, name, how), mine in medians.items():
        if name != who:
            continue
        other, most = max(((n, e) for (m, n, h), e in medians.items() if (m, h) == (model, how)), key=lambda pair: pair[1])
        if mine < (1 - tolerance) * most:
            broken.append(f"{model} {how}: {other} {most:.2f}, {who} {mine:.2f}")
    return Verdict(f"{who} is the best or within {tolerance:.0%} of it", tuple(broken))
