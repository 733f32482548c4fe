"""How large a unit is: the smallest block of a step's output that one core computes without being split further.

Pure arithmetic on shapes, the register tile (mr, nr) and the number of workers. A unit's operands should stay in a core's own cache
and there should be at least UNITS_PER_WORKER units a worker, so that claiming and stealing can even out what cores do not share
equally; but a unit is worth at least MIN_UNIT_FLOPS, below which claiming costs more than it brings. Unit sizes never change a result.
"""

from __future__ import annotations

from math import prod

L2_BYTES = 256 * 1024
"""What one core may count on: the smallest private L2 of the cores we know (A55, A57 per core); the larger ones lose little."""

UNITS_PER_WORKER = 4
MIN_UNIT_FLOPS = 200_000
"""About 4 us of one core at 50 FLOP/ns; a claim is about 50 ns."""

LANES = 16
"""Floats of the virtual vector (csrc/kernels/simd)."""


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def round_up(a: int, b: int) -> int:
    return ceil_div(a, b) * b


def wanted_units(flops: float, workers: int) -> int:
    """Units a step should have at least: 1 when it is tiny, UNITS_PER_WORKER a worker when it is not."""
    return max(1, min(int(flops / MIN_UNIT_FLOPS), UNITS_PER_WORKER * workers))


def gemm_units(m: int, n: int, k: int, mr: int, nr: int, workers: int, entries: int = 1) -> tuple[int, int, int]:
    """(unit_m, unit_n, n_fastest) of C[m, n] += A[m, k] B[k, n], `entries` times (batch entries, groups).

    unit_m is a multiple of mr and unit_n of nr. A strip and B block take at most half of L2 each, unless one tile does not fit.
    n_fastest is chosen so that the operand that is read again for every unit is the smaller stream.
    """
    m, n, k = max(m, 1), max(n, 1), max(k, 1)
    half = L2_BYTES // 2 // (4 * k)
    unit_m = min(round_up(m, mr), max(mr, half // mr * mr))
    unit_n = min(round_up(n, nr), max(nr, half // nr * nr))
    wanted = wanted_units(2.0 * entries * m * n * k, workers)
    while entries * ceil_div(m, unit_m) * ceil_div(n, unit_n) < wanted and (unit_m > mr or unit_n > nr):
        if unit_n > nr and (unit_n >= unit_m or unit_m == mr):
            unit_n = round_up(ceil_div(unit_n, 2), nr)
        else:
            unit_m = round_up(ceil_div(unit_m, 2), mr)
    unit_m = round_up(ceil_div(m, ceil_div(m, unit_m)), mr)
    unit_n = round_up(ceil_div(n, ceil_div(n, unit_n)), nr)
    a, b = m * k, k * n
    n_first = a + b * ceil_div(m, unit_m)
    m_first = b + a * ceil_div(n, unit_n)
    return unit_m, unit_n, int(n_first <= m_first)


def dwconv_units(batch: int, out: tuple[int, int], channels: int, kernel: tuple[int, int], width: int, workers: int) -> tuple[int, int]:
    """(unit_rows, unit_c) of a depthwise convolution whose input rows are `width` pixels wide.

    unit_c is a multiple of LANES unless it is all channels: the input rows under one output row take at most half of L2.
    """
    rows = max(out[0], 1)
    fit = L2_BYTES // 2 // (4 * max(width, 1) * (kernel[0] + 1)) // LANES * LANES
    unit_c = min(round_up(channels, LANES), max(LANES, fit))
    unit_c = round_up(ceil_div(channels, ceil_div(channels, unit_c)), LANES)
    blocks = batch * ceil_div(channels, unit_c)
    wanted = wanted_units(2.0 * batch * channels * prod(out) * prod(kernel), workers)
    unit_rows = max(1, ceil_div(rows, ceil_div(wanted, max(blocks, 1))))
    return unit_rows, min(unit_c, channels)


WINOGRAD_COSTS = {0: (9, 0, 0), 2: (16, 64, 50), 4: (36, 216, 170)}
"""tile (0: a direct convolution) -> products of a place; v16 instructions of its input and of its output transform."""


def winograd_tile(c: int, n: int, out: tuple[int, ...], batch: int) -> int:
    """2 or 4: the tile with which a 3x3, stride 1 convolution of c to n channels is cheapest; 0: Winograd does not pay.

    Costs are FLOPs per pair of channels: products, transforms over whole vectors of channels, and the weights, a byte of which costs
    8 FLOPs unless they stay in 1 MiB of cache from run to run. Winograd must save a quarter. A GEMM of fewer than 4 places is no
    cheaper than one of 4. docs/kernels-conv.md holds this against measurements.
    """

    def cost(tile: int) -> float:
        products, enter, leave = WINOGRAD_COSTS[tile]
        places = batch * prod(ceil_div(size, tile or 1) for size in out)
        transforms = 2.0 * (enter * round_up(c, LANES) + leave * round_up(n, LANES)) / (c * n)
        weights = 4 * products if 4 * products * c * n > 1 << 20 else 0
        return max(places, 4) * (2 * products + transforms) + 8 * weights

    tile = min(2, 4, key=cost)
    return tile if cost(tile) < 0.75 * cost(0) else 0


def winograd_units(tiles: int, c: int, n: int, tile: int, workers: int) -> int:
    """unit_tiles: every unit reads all transformed weights, so 8 tiles at least; its transformed input, and output of at most 128
    channels at a time, should fit in L2. Of 2, 4, 8, 14, 28, 42 tiles 8 were best on 64 to 256 channels (Zen 4, one core and two)."""
    fit = L2_BYTES // (4 * (tile + 2) ** 2 * (c + min(n, 128)))
    wanted = wanted_units(2.0 * tiles * (tile + 2) ** 2 * c * n, workers)
    unit = max(8, min(fit, ceil_div(tiles, wanted)))
    return ceil_div(tiles, ceil_div(tiles, unit))


def inner_units(outer: int, reduce: int, inner: int, workers: int) -> int:
    """unit_inner of a reduction of X[outer, reduce, inner] over its middle: whole vectors, enough units."""
    wanted = ceil_div(wanted_units(8.0 * outer * reduce * inner, workers), max(outer, 1))
    unit = round_up(ceil_div(max(inner, 1), wanted), LANES)
    return max(1, min(unit, max(inner, 1)))


def row_units(rows: int, work: float, workers: int) -> int:
    """Rows of a unit for a step of `rows` equal rows and `work` FLOPs in all."""
    return max(1, ceil_div(rows, wanted_units(work, workers)))


def rnn_units(hidden: int, gates: int, batch: int, workers: int) -> int:
    """unit_n of a recurrent step: hidden columns, a multiple of LANES; a time step is small and ends at a barrier: one unit a worker."""
    wanted = max(1, min(int(2.0 * gates * batch * hidden * hidden / MIN_UNIT_FLOPS), workers))
    return round_up(ceil_div(max(hidden, 1), wanted), LANES)
