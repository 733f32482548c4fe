"""How large a unit is: the smallest block of a step's output that is not split further, from the cost model.

Small units end together and are claimed often; large ones reuse what they have read and leave cores waiting for the last. With U units,
work W seconds on the slowest core, N cores and t seconds lost with every unit, both cost the same at

    U* = sqrt(W N / (2 t))           claiming-limited, as in docs/cost-model.md, for the core type that wants the smallest tasks

but the kernels decide in more detail: whole register tiles, panels, strips and rows of tiles, and what is read again from which cache. So
`candidates` names a few sizes between a unit for each core and SMALLEST of its work, and `fit` takes the one whose predicted time on all
cores (asymo/plan/share.py) is least. The operands of a unit stay in the smallest L2. Unit sizes never change a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf, isqrt, prod
from typing import Any

from asymo.cost.features import winograd_products
from asymo.plan.plan import Args
from asymo.plan.share import GAIN, Sharer, Sketch
from asymo.record import NamedTuple

UNITS_PER_CORE = (1, 3, 8, 20, 50)
"""Numbers of units that are weighed."""

L2_BYTES = 256 * 1024
"""Of a core of which nothing is known: the smallest private L2 of the cores we know (A55, A57 per core); the larger ones lose little."""

SOME_TILES = 8
"""Register tiles of rows that the pointwise parts of a separable unit fill."""

SPILL = 8
"""How many times the tiles that fit in L2, or register tiles, a Winograd unit may take."""

ELTWISE_BLOCK, COPY_ROWS = 256, 16
"""Elements that an elementwise step computes at a time, rows that a transposing copy takes together."""

LANES = 16
"""Floats of the virtual vector (csrc/kernels/simd)."""


class Target(NamedTuple):
    """What unit sizes depend on: the register tile, the smallest L2 of a core, and how many cores there are of the first type, of the
    first two, ..., of all."""

    mr: int
    nr: int
    l2_bytes: int
    crews: tuple[int, ...]

    @property
    def cores(self) -> int:
        return self.crews[-1]

    @property
    def wanted(self) -> tuple[int, ...]:
        """Numbers of units that are weighed, fewest first. On one core nobody waits for the last: units are as large as caches allow."""
        if self.cores == 1:
            return (1,)
        return (*self.crews[:-1], *(self.cores * n for n in UNITS_PER_CORE))


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def round_up(a: int, b: int) -> int:
    return ceil_div(a, b) * b


def even(size: int, unit: int, multiple: int) -> int:
    """The smallest multiple that cuts `size` into as many units as `unit` does."""
    return round_up(ceil_div(size, ceil_div(size, unit)), multiple)


def gemm_candidates(m: int, n: int, k: int, target: Target, entries: int = 1, row: float = 0.0) -> Iterator[Args]:
    """unit_m, unit_n, n_fastest of C[m, n] += A[m, k] B[k, n], `entries` times (batch entries, groups).

    unit_m is a multiple of mr and unit_n of nr, as square as m and n allow. A strip and B block take at most half of L2 each, unless one
    tile does not fit; row: floats of memory under a row of A, where rows overlap (0: k). Either order is weighed. But where B stays in half
    of L2 anyway, several cores take whole rows: most of the rows of A that a core reads are then those that it wrote itself.
    """
    mr, nr, l2_bytes, _ = target
    m, n, k = max(m, 1), max(n, 1), max(k, 1)
    half = l2_bytes // 2 // 4
    most_m = min(round_up(m, mr), max(mr, int(half / max(min(row, k) or k, 1)) // mr * mr))
    most_n = min(round_up(n, nr), max(nr, half // k // nr * nr))
    for units in target.wanted:
        outputs = max(entries * m * n // units, 1)
        unit_m = min(max(isqrt(outputs) // mr, 1) * mr, most_m)
        unit_n = min(max(round(outputs / min(unit_m, m) / nr), 1) * nr, most_n)
        unit_m = min(max(round(outputs / min(unit_n, n) / mr), 1) * mr, most_m)
        unit_m, unit_n = even(m, unit_m, mr), even(n, unit_n, nr)
        yield {"unit_m": unit_m, "unit_n": unit_n, "n_fastest": 1}
        if unit_m < m and unit_n < n and not (target.cores > 1 and n * k <= half):
            yield {"unit_m": unit_m, "unit_n": unit_n, "n_fastest": 0}


def dwconv_candidates(
    batch: int, out: tuple[int, int], channels: int, kernel: tuple[int, int], width: int, target: Target
) -> Iterator[Args]:
    """unit_rows, unit_c of a depthwise convolution whose input rows are `width` pixels wide.

    unit_c is a multiple of LANES unless it is all channels: the input rows under one output row take at most half of L2. Where there are
    fewer rows than units are wanted, it is the channels that are cut.
    """
    rows = max(out[0], 1)
    fit = target.l2_bytes // 2 // (4 * max(width, 1) * (kernel[0] + 1)) // LANES * LANES
    most = min(even(channels, min(round_up(channels, LANES), max(LANES, fit)), LANES), channels)
    for units in target.wanted:
        blocks = max(ceil_div(channels, most), units // (batch * rows), 1)
        unit_c = min(even(channels, ceil_div(channels, blocks), LANES), channels)
        cuts = ceil_div(units, max(batch * ceil_div(channels, unit_c), 1))
        yield {"unit_rows": even(rows, max(ceil_div(rows, cuts), 1), 1), "unit_c": unit_c}


def separable_candidates(batch: int, rows: int, width: int, stride: int, reach: int, row_bytes: int, target: Target) -> Iterator[Args]:
    """unit_rows of a depthwise convolution with pointwise ones around it: some register tiles of its pixels at least. reach: rows under
    one of its output. row_bytes: of a row of E, of which half of L2 should hold those of a unit."""
    fit = max((target.l2_bytes // 2 // row_bytes - reach) // stride + 1, 1) if row_bytes else rows
    least = ceil_div(SOME_TILES * target.mr, max(width, 1))
    for units in target.wanted:
        yield {"unit_rows": even(rows, min(max(ceil_div(rows * batch, units), least, 1), fit, rows), 1)}


WINOGRAD_COSTS: dict[tuple[int, ...], dict[int, tuple[int, int, int]]] = {
    (3, 3): {0: (9, 0, 0), 2: (16, 64, 50), 4: (36, 216, 170)},
    (5, 5): {0: (25, 0, 0), 2: (36, 650, 360)},
}
"""kernel -> tile (0: a direct convolution) -> products of a place; v16 instructions of its input and of its output transform.
Those of 5x5, 216 and 120, cost three times as much as measured (docs/kernels-conv.md): an output has 9 transformed elements, of F(4x4, 3x3)
it has 2.25."""

WEIGHT_FLOPS = 3.3
"""What reading a byte of weights from memory costs, of which the products hide a part: between 2.8 and 3.8 the choices for ResNet-18 and
VGG-16 are those that were quickest within the networks (docs/kernels-conv.md)."""


def winograd_tile(kernel: tuple[int, ...], c: int, n: int, out: tuple[int, ...], batch: int) -> int:
    """2 or 4: the tile with which a convolution of c to n channels, stride 1, is cheapest; 0: Winograd does not pay, or has no such kernel.

    Costs are FLOPs per pair of channels: products, transforms over whole vectors of channels, and the weights, unless they stay in 1 MiB of
    cache from run to run. Winograd must save a quarter. A GEMM of fewer than 4 places is no cheaper than one of 4.
    docs/kernels-conv.md holds this against measurements.
    """
    costs = WINOGRAD_COSTS.get(kernel, {0: (1, 0, 0)})

    def cost(tile: int) -> float:
        products, enter, leave = costs[tile]
        places = batch * prod(ceil_div(size, tile or 1) for size in out)
        transforms = 2.0 * (enter * round_up(c, LANES) + leave * round_up(n, LANES)) / (c * n)
        weights = 4 * products if 4 * products * c * n > 1 << 20 else 0
        return max(places, 4) * (2 * products + transforms) + WEIGHT_FLOPS * weights

    tile = min(costs, key=cost)
    return tile if cost(tile) < 0.75 * cost(0) else 0


def winograd_candidates(tiles: int, c: int, n: int, products: int, target: Target) -> Iterator[Args]:
    """unit_tiles, unit_n: all ways to cut the tiles, of `products` each, and 1, 2, 4, ... blocks of output channels, a multiple of nr.

    The weights are read again for every block of tiles, so that holds a register tile of them at least, or 8, or a few times as many; its
    transformed input, and output of at most 128 channels at a time, should fit in L2 beside the weights that pass through, or where the
    weights are large in a few times as much. It is transformed again for every chunk of its channels.
    """
    mr, nr, l2_bytes, _ = target
    n, least = max(n, 1), min(target.mr, 8)
    most = max(l2_bytes // (4 * products * (c + min(n, 128))), mr)
    is_large = 4 * products * c * n > SPILL * l2_bytes
    bounds = sorted({least, min(2 * least, most), most, *((SPILL * most, SPILL * mr) if is_large else ())})
    for units in target.wanted:
        for wanted_n in (1 << i for i in range(min(units, ceil_div(n, nr)).bit_length())):
            unit_n = even(n, ceil_div(n, wanted_n), nr)
            wanted_tiles = ceil_div(tiles, ceil_div(units, ceil_div(n, unit_n)))
            for bound in bounds:
                yield {"unit_tiles": even(tiles, min(max(wanted_tiles, least), bound), 1), "unit_n": unit_n}


def inner_candidates(outer: int, inner: int, target: Target) -> Iterator[Args]:
    """unit_inner of a reduction over the middle of X[outer, reduce, inner]: whole vectors, unless it is all."""
    for units in target.wanted:
        yield {"unit_inner": max(1, min(even(inner, round_up(ceil_div(inner, ceil_div(units, max(outer, 1))), LANES), LANES), inner))}


def rnn_candidates(hidden: int, target: Target) -> Iterator[Args]:
    """unit_n of a recurrent step: hidden columns, a multiple of LANES. Each time step ends at a barrier."""
    for units in target.wanted:
        yield {"unit_n": even(max(hidden, 1), ceil_div(max(hidden, 1), units), LANES)}


def row_candidates(rows: int, target: Target) -> Iterator[Args]:
    """unit_rows of a step of equal rows."""
    for units in target.wanted:
        yield {"unit_rows": even(max(rows, 1), ceil_div(max(rows, 1), units), 1)}


def attention_candidates(entries: int, rows: int, target: Target) -> Iterator[Args]:
    """unit_rows of an attention: whole register tiles of the queries of an entry."""
    rows = max(rows, 1)
    for units in target.wanted:
        yield {"unit_rows": even(rows, ceil_div(rows, max(units // max(entries, 1), 1)), target.mr)}


def finer_candidates(name: str, whole: int, most: int, multiple: int, target: Target) -> Iterator[Args]:
    """The unit that the operator asks for, and smaller ones where that makes fewer units than wanted."""
    for units in target.wanted:
        yield {name: min(even(max(whole, 1), ceil_div(max(whole, 1), units), multiple), most)}


def _conv(a: Mapping[str, Any], target: Target) -> Iterator[Args]:
    m, k = a["batch"] * prod(a["out"]), a["c"] * prod(a["kernel"])
    return gemm_candidates(m, a["n"], k, target, a["groups"], a["batch"] * prod(a["in"]) * a["c"] / max(m, 1))


def _winograd(a: Mapping[str, Any], target: Target) -> Iterator[Args]:
    tiles = a["batch"] * prod(ceil_div(size, a["tile"]) for size in a["out"])
    return winograd_candidates(max(tiles, 1), a["c"], a["n"], winograd_products(a), target)


def _dwconv(a: Mapping[str, Any], target: Target) -> Iterator[Args]:
    width = a["x_stride"][0] // max(a["x_stride"][1], 1)
    return dwconv_candidates(a["batch"], a["out"], a["channels"], a["kernel"], width, target)


def _copy(a: Mapping[str, Any], target: Target) -> Iterator[Args]:
    most = a["unit_rows"]
    rows = prod(a["shape"][: max(a["rank"] - 1, 0)])
    return finer_candidates("unit_rows", rows, most, COPY_ROWS if most % COPY_ROWS == 0 else 1, target)


def _separable(a: Mapping[str, Any], target: Target) -> Iterator[Args]:
    reach = (a["kernel"][0] - 1) * a["dilation"][0] + 1
    row_bytes = 4 * a["in"][1] * a["e"] * a["expands"]
    return separable_candidates(a["batch"], a["out"][0], a["out"][1], a["stride"][0], reach, row_bytes, target)


CANDIDATES: dict[str, Callable[[Mapping[str, Any], Target], Iterator[Args]]] = {
    "gemm": lambda a, t: gemm_candidates(a["m"], a["n"], a["k"], t, prod(a["batch"])),
    "conv": _conv,
    "winograd": _winograd,
    "dwconv": _dwconv,
    "eltwise": lambda a, t: finer_candidates("unit_size", prod(a["shape"][: a["rank"]]), a["unit_size"], ELTWISE_BLOCK, t),
    "copy": _copy,
    "separable": _separable,
    "reduce": lambda a, t: inner_candidates(a["outer"], max(a["inner"], 1), t),
    "softmax": lambda a, t: inner_candidates(a["outer"], max(a["inner"], 1), t),
    "attention": lambda a, t: attention_candidates(prod(a["batch"]), a["rows"], t),
    "lrn": lambda a, t: row_candidates(a["rows"], t),
    "rnn": lambda a, t: rnn_candidates(a["hidden"], t),
}
"""Step kind -> sizes that its units may have, largest units first. The units of other kinds are fixed by the kind or by their operator."""


LATE_S, LATE_PART = 25e-6, 1 / 32
"""A core that is interrupted, or slower than predicted, keeps the others waiting for a unit. Where cores share a step, what a unit lasts
longer than this, or than this part of the step, is added to the step's time when sizes are compared; of sizes of nearly the same time
(GAIN) those that are short are taken. With a second core that was there 35 % of the time (100 us periods) ResNet-50 came to 0.92 of the sum
of the cores with units of any length and to 0.97 with short ones, MobileNetV1 to 0.73 and 0.93; of 1/8 and 1/32 the latter was better
(Zen 4, 2026-11-22, `python -m benchmarks.asymmetry sliced`). Added and not forbidden: a unit that reads large weights once may be long and
still save more (ResNet-18 on 34 device profiles: 8 % less time)."""


class Fitter:
    """Chooses unit sizes for one machine; choices are kept per arguments."""

    def __init__(self, sharer: Sharer) -> None:
        machine = sharer.machine
        l2 = min((t.l2_bytes // t.l2_sharers for t in machine.types if t.l2_bytes), default=L2_BYTES)
        self.target = Target(*machine.geometry, l2, tuple(accumulate(t.cores for t in machine.types)))
        self._sharer = sharer
        self._fitted: dict[tuple[Any, ...], Args] = {}

    def fit(self, kind: str, args: Args) -> Args:
        """The arguments with the units of the least predicted time, lateness included; of times within GAIN of it, the largest units that
        are no longer than LATE_S where several cores share the step."""
        if kind not in CANDIDATES:
            return args
        key = (kind, *args.items())
        if key not in self._fitted:
            sizes = {tuple(c.values()): c for c in CANDIDATES[kind](args, self.target)}
            self._fitted[key] = self._best(kind, [{**args, **c} for c in sizes.values()])
        return self._fitted[key]

    def _best(self, kind: str, options: Sequence[Args]) -> Args:
        if len(options) == 1:
            return options[0]
        sketches = [self._sharer.sketch(kind, o) for o in options]
        limit = inf
        found: dict[int, tuple[float, float]] = {}
        for i in sorted(range(len(options)), key=lambda i: sketches[i].bound):
            if self._timed(sketches[i], sketches[i].bound)[0] <= limit:
                found[i] = self._timed(sketches[i], sketches[i].seconds())
                limit = min(limit, found[i][0] * (1 + GAIN))
        times = sorted(found.items())
        least = min(seconds for seconds, _ in found.values())
        near, near_unit = next((i, unit) for i, (seconds, unit) in times if seconds <= least * (1 + GAIN / 4))
        short = [i for i, (seconds, unit) in times if seconds <= limit and unit <= LATE_S]
        return options[near if near_unit <= LATE_S else [*short, near][0]]

    def _timed(self, sketch: Sketch, seconds: float) -> tuple[float, float]:
        """Of a step that takes so many seconds: these and its lateness, and one unit; 0 where a core is alone."""
        unit_s = seconds * self.target.cores / sketch.units if self.target.cores > 1 else 0.0
        return seconds + lateness(unit_s, seconds), unit_s


def lateness(unit_s: float, seconds: float) -> float:
    """What units of so many seconds add to a step that takes `seconds`."""
    return max(unit_s - max(LATE_S, seconds * LATE_PART), 0.0)
