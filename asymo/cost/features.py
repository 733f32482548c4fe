"""What a step does, in countable things that take time: the features of its kernel class, from its arguments alone.

A step's seconds on one core are the sum over its features of count x seconds each (`speeds.Rates`). CLASSES says which features a class
has, CYCLES what one costs on a core that nobody has measured. Everything follows csrc/exec/*.c: the loops there are counted here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import gcd, log, prod
from typing import Any

from asymo.record import NamedTuple

Args = Mapping[str, Any]

CYCLES: dict[str, float] = {
    "macs": 1.0,  # multiply-adds, padded to whole vectors, over the peak
    "stall": 1.0,  # multiply-adds that a register tile of few rows leaves undone while it waits for its own results, over the peak
    "lane": 2.0,  # elements that an instruction or a load and a store pass through, over the width of a multiply-add
    "tap": 1.3,  # multiply-adds of a depthwise convolution, over the peak
    "tile": 30.0,  # register tiles begun and ended
    "output": 0.15,  # elements stored
    "add": 0.1,  # elements of a residual
    "row": 2.0,  # pointers to rows set
    "act": 0.5,  # elements through an activation that is not fused, times its weight (ACT_WEIGHT)
    "enter": 6.0,  # Winograd: elements of transformed inputs, over the peak: 0.25 (F(2x2)) to 0.38 (F(4x4)) operations of 16 lanes each
    "leave": 0.6,  # Winograd: elements of products transformed back
    "span": 40.0,  # runs of equal work begun: rows of a depthwise convolution, windows, rows copied
    "item": 4.0,  # elements handled one by one
    "unit": 60.0,  # units begun
    "near": 0.02,  # bytes from L2
    "alias": 0.1,  # multiply-adds on rows half of ALIAS apart, or loads of pixels that fall into few sets of L1, over the peak
    "copied": 0.3,  # elements of rows that are copied because they alias
    "pass": 10.0,  # groups of pixels of a depthwise convolution begun and ended
    "spill": 0.15,  # Winograd: bytes of transformed tiles that are written and read again and do not fit in their part of L2
    "far": 0.1,  # bytes from beyond L2, one after the other
    "rows": 0.1,  # bytes from beyond L2, from many rows at a time
    "memory": 0.3,  # bytes from memory
    "store": 0.1,  # bytes of outputs whose memory is beyond L2 when they are stored
    "allocate": 0.3,  # the same, in memory
    "start": 150.0,  # streams from memory begun by a matrix times a vector, by the taps of a depthwise convolution
    "narrow": 0.2,  # bytes from memory of panels that are streamed alone
}
"""Feature -> generic cycles of one (macs, stall, alias, lane, tap, enter: divided by the multiply-adds a cycle of the core)."""

STREAMS = ("far", "rows", "memory", "store", "allocate")
GEMM = ("macs", "stall", "tile", "output", "add", "row", "act", "unit", "near", "alias", "copied", *STREAMS)
GEMV = (*GEMM, "start", "narrow")
WINOGRAD = ("macs", "stall", "tile", "enter", "leave", "add", "act", "unit", "near", "spill", *STREAMS)
DWCONV = ("tap", "lane", "stall", "alias", "pass", "output", "add", "span", "act", "unit", "start", *STREAMS)
MOVE = ("lane", "item", "span", "unit", "far", "memory")
CLASSES: dict[str, tuple[str, ...]] = {
    "gemm": GEMM,
    "gemv": GEMV,
    "conv": GEMM,
    "winograd2": WINOGRAD,
    "winograd4": WINOGRAD,
    "dwconv": DWCONV,
    "separable": (*GEMM, *(f for f in DWCONV if f not in GEMM)),
    "pool": ("lane", "span", "unit", "far", "memory"),
    "eltwise": ("lane", "span", "unit", "far", "memory"),
    "typed": ("item", "unit", "far", "memory"),
    "copy": MOVE,
    "transpose": MOVE,
    "gather": ("lane", "unit", "far", "memory"),
    "reduce": ("lane", "span", "unit", "far", "memory"),
    "softmax": ("lane", "span", "unit", "far", "memory"),
    "attention": ("macs", "tile", "lane", "span", "unit", "near", "far", "memory"),
    "norm": ("lane", "span", "unit", "far", "memory"),
    "lrn": ("lane", "unit", "far", "memory"),
    "resample": ("lane", "unit", "far", "memory"),
    "rnn": ("macs", "act", "unit", "near", "far", "memory"),
}
"""Kernel class -> its features."""

ACT_WEIGHT = {
    0: 0.0, 1: 0.0, 2: 2.0, 3: 2.0, 4: 4.0, 5: 5.4, 6: 4.2, 7: 2.0, 8: 1.5, 9: 7.0, 10: 5.4, 11: 4.0, 12: 5.4, 13: 2.2, 14: 8.0, 15: 2.0,
    16: 1.5,
}  # fmt: skip
"""asymo_act -> what a pass of it over the outputs costs, relative to one another (tenths of ns an element on a Zen 4 at about 3.4 GHz);
0: fused into the kernel."""

STRIP = 256
"""ASYMO_GEMM_STRIP: rows whose pointers are set at a time."""

ACCUMULATORS = 8
"""Vectors of results a core keeps in flight: latency x pipes of a multiply-add."""

WIDE: dict[tuple[int, int], dict[int, int]] = {(14, 32): {1: 4, 2: 4, 3: 2}, (6, 16): {1: 4, 2: 2}, (8, 8): {1: 4, 2: 2}}
"""(mr, nr) -> rows -> panels that the kernel takes at a time (csrc/kernels/gemm/f32_avx512.c, f32_avx2.c, neon_body.h); else one."""

ALIAS, ALIAS_WAYS, COPIED = 1024, 4, 1 << 16
"""Elements between rows that alias in L1, rows from which on they are copied, elements of a copy (csrc/exec/gemm_block.h)."""

PAGE, L1_WAYS = 4096, 8
"""Bytes apart that fall into one set of L1, and how many lines a set holds (x86; most Arm cores have 4 and hash nothing either)."""

REENTERED = 0.5
"""What it costs to transform a Winograd input again, of the first time: it is in the cache (a seventh to a half on Zen 4)."""

TILES_SHARE, WEIGHTS_CROWD = 0.75, 1.5
"""Winograd: part of L2 that the transformed tiles of a unit fill while the weights pass through it; bytes of the last-level cache for each
byte of weights that is to be there for the next unit. From there it hides behind the products of 7 tiles or more (docs/kernels-conv.md)."""

START_BYTES = 16 << 10
"""From so many bytes on a cold stream of a gemv costs a whole start."""

FEW_CHANNELS, WINOGRAD_BLOCK, NORM_COLUMNS, RNN_BLOCK, LANES = 16, 128, 64, 16, 16

KINDS = (
    "gemm", "gemm_pack", "conv", "dwconv", "separable", "winograd", "pool", "eltwise", "typed", "copy", "fill", "gather", "reduce",
    "argreduce", "softmax", "attention", "norm", "lrn", "resample", "rnn",
)  # fmt: skip
"""The step kinds of csrc/exec/steps.inc."""


Gaps = tuple[tuple[float, float], ...]
"""(part of a tensor, bytes touched since the last step that used its memory), ...; (): nobody knows, its size has to tell."""


class Touched(NamedTuple):
    """How long ago the memory of a step's operands was used."""

    inputs: Gaps = ()
    outputs: Gaps = ()
    residual: Gaps = ()
    scratch: Gaps = ()


BY_SIZE = Touched()
"""Before a plan has given operands their places."""


class Place(NamedTuple):
    """Where a step runs, as far as its counts depend on it: the register tile, one core's cache sizes (0: unknown or none), how many
    cores run it, how many bytes are touched between two runs of it (its constants come from there), and since its operands' memory was
    used."""

    mr: int
    nr: int
    l1: int
    l2: int
    l3: int
    busy: int
    run_bytes: int
    touched: Touched = BY_SIZE


Counts = dict[str, float]

MEMORY = ("memory", "allocate")
"""Features of bytes that cross to memory."""

FAR, ROWS, STORED = ("far", "memory"), ("rows", "memory"), ("store", "allocate")
"""Features of bytes from beyond L2 and from memory: one after the other, in many rows at a time, stored."""


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def round_up(a: int, b: int) -> int:
    return ceil_div(a, b) * b


def classify(kind: str, args: Args, mr: int = 8) -> str:
    """The kernel class of a step. mr: rows of a register tile; a GEMM with no more of them is a `gemv`."""
    match kind:
        case "gemm":
            return "gemv" if args["m"] <= mr else "gemm"
        case "winograd":
            return "winograd2" if winograd_products(args) == 16 else "winograd4"
        case "conv":
            return "conv" if args["batch"] * prod(args["out"]) > mr else "gemv"
        case "copy":
            return "transpose" if _is_transpose(args) else "copy"
        case "fill":
            return "copy"
        case "gemm_pack":
            return "copy" if args["n_stride"] == 1 else "transpose"
        case "argreduce":
            return "reduce"
    return kind


def count(kind: str, args: Args, at: Place) -> Counts:
    """Feature -> how much of it the whole step (all phases) does; a feature that is left out is 0."""
    return _COUNTERS[kind](args, at)


def units(kind: str, args: Args, nr: int) -> int:
    """Units of one phase: what asymo_step_units says for kernels with panels of nr columns."""
    return max(_UNITS[kind](args, nr), 0)


def phases(kind: str, args: Args) -> int:
    """Phases of a step."""
    if kind != "rnn":
        return 1
    return int(max(args["seq"], 1)) * (2 if args["cell"] == 2 and not args["linear_before_reset"] else 1)


def misses(size: float, cache: int, full: float = 2.0) -> float:
    """Which part of something of this size is no longer in a cache when it is read again: none up to half the cache, all from `full`
    times the cache on."""
    if not cache or size <= cache / 2:
        return 0.0
    return min(1.0, (size / cache - 0.5) / (full - 0.5))


def beyond(at: Place, reuse: float, shared: float) -> tuple[float, float]:
    """The parts that come from beyond L2 and from memory of what was last touched `reuse` bytes ago. shared: the part that another core
    has."""
    memory = misses(reuse, at.l3 or at.l2)
    if memory == 1:
        return 0.0, memory
    return max(misses(reuse, at.l2), shared, memory) - memory, memory


def stream(counts: Counts, at: Place, size: float, reuse: float, shared: float = 0.0, levels: tuple[str, str] = FAR) -> None:
    """Adds `size` bytes that were last touched `reuse` bytes ago. levels: the features of those from beyond L2 and from memory."""
    far, memory = beyond(at, reuse, shared)
    from_far, from_memory = levels
    counts[from_far] = counts.get(from_far, 0.0) + size * far
    counts[from_memory] = counts.get(from_memory, 0.0) + size * memory


def last_touch(at: Place, size: float, together: float) -> float:
    """How many bytes ago an input or output of `size` bytes was touched: as many as the step has `together`; but the largest (from two to
    four times L2) come upon memory that was not touched since the last run, or drive each other out as if it were."""
    return together + max(at.run_bytes - together, 0.0) * misses(size, 4 * at.l2, 1.0)


def used(counts: Counts, at: Place, size: float, others: float, gaps: Gaps, levels: tuple[str, str]) -> None:
    """Adds `size` bytes that are read or written beside `others`, by (n - 1) / n of n cores in another one's cache."""
    together = size + others
    for part, gap in gaps or ((1.0, last_touch(at, size, together) - together),):
        stream(counts, at, part * size, gap + together, (at.busy - 1) / at.busy, levels)


def read(counts: Counts, at: Place, size: float, others: float, levels: tuple[str, str] = ROWS) -> None:
    """`used`, of an input."""
    used(counts, at, size, others, at.touched.inputs, levels)


def written(counts: Counts, at: Place, size: float, others: float, levels: tuple[str, str] = STORED) -> None:
    """`used`, of an output."""
    used(counts, at, size, others, at.touched.outputs, levels)


def residual(counts: Counts, at: Place, size: float) -> None:
    """Adds `size` bytes of a residual: made some steps before the inputs, so it has left L2."""
    counts["add"] = size / 4
    for part, gap in at.touched.residual or ((1.0, 2.0 * at.l2),):
        stream(counts, at, part * size, max(2 * size, gap), levels=ROWS)


# ---- GEMM and convolution


def _gemm(args: Args, at: Place) -> Counts:
    entries = prod(args["batch"])
    own = prod(b for b, s in zip(args["batch"], args["b_stride"], strict=True) if s)
    inputs = 4 * args["m"] * args["k"] * entries
    adds = args.get("ldr", 0) > 0
    return _blocks(args, at, args["m"], args["n"], args["k"], 1, entries, own, inputs, args["lda"] if args["m"] > ALIAS_WAYS else 0, adds)


def _conv(args: Args, at: Place) -> Counts:
    taps, k = _taps(args)
    m, groups = args["batch"] * prod(args["out"]), args["groups"]
    inputs = 4 * args["batch"] * prod(args["in"]) * args["c"] * groups
    step = args["stride"][2] * args["x_stride"][2] if taps == 1 and args["out"][2] > ALIAS_WAYS else 0
    return _blocks(args, at, m, args["n"], k, taps, groups, groups, inputs, step, args.get("r_batch", 0) > 0)


def _taps(args: Args) -> tuple[int, int]:
    """(pointers of a row, its depth): see shape_of in csrc/exec/conv.c."""
    depth, height, width = args["kernel"]
    joined = width > 1 and args["c"] <= FEW_CHANNELS and args["dilation"][2] == 1 and args["x_stride"][2] == args["c"]
    return depth * height * (1 if joined else width), depth * height * width * args["c"]


def _lanes(nr: int) -> int:
    """Columns by which a GEMM's cost grows: half a panel, on AVX-512 a quarter (broadcast_body.h; a half vector costs half)."""
    return max(min(nr // 2, 8), 1)


def _blocks(args: Args, at: Place, m: int, n: int, k: int, taps: int, entries: int, own: int, inputs: int, step: int, adds: bool) -> Counts:
    """`entries` GEMMs of m x n x k in units of unit_m x unit_n. own: how many of them have weights of their own. step: elements from a
    row of the only tap to the next. adds: a residual."""
    if m * n * entries == 0:
        return {}
    mr, nr, lanes = at.mr, at.nr, _lanes(at.nr)
    unit_m = args["unit_m"] if args["unit_m"] > 0 else m
    unit_n = round_up(args["unit_n"] if args["unit_n"] > 0 else n, nr)
    blocks_m, blocks_n = ceil_div(m, unit_m), ceil_div(n, unit_n)
    last_m = m - (blocks_m - 1) * unit_m
    vectors, panels = ceil_div(n, lanes), ceil_div(n, nr)
    rests: dict[int, int] = {}
    for rows, times in ((unit_m % mr, blocks_m - 1), (last_m % mr, 1)):
        if rows and times:
            rests[rows] = rests.get(rows, 0) + times
    whole = unit_m // mr * (blocks_m - 1) + last_m // mr
    tiles = whole + sum(rests.values())
    wide = WIDE.get((mr, nr), {}).get(m, 0)  # few rows take several panels at a time, those of neighbouring units too
    narrow = panels % wide if wide else panels
    idle = sum(t * max(0, ACCUMULATORS - 2 * r) for r, t in rests.items()) + whole * max(0, ACCUMULATORS - 2 * mr)
    stall = k * narrow * (nr // 2) * idle
    alias = step > 0 and step % ALIAS == 0
    limit = STRIP // mr * mr
    if alias:
        limit = min(limit, max(COPIED // k // mr * mr, mr))
    strips = (blocks_m - 1) * ceil_div(unit_m, limit) + ceil_div(last_m, limit)
    n_fastest = bool(args["n_fastest"]) or blocks_n == 1
    times_pointed = 1 if n_fastest and unit_m <= limit else blocks_n
    deep = 4 * k * (nr + min(mr, m)) > at.l1
    counts: Counts = {
        "macs": float(entries * k * m * vectors * lanes),
        "stall": float(entries * stall),
        "tile": float(entries * tiles * panels),
        "output": float(entries * m * n),
        "row": float(entries * m * taps * times_pointed),
        "act": float(entries * m * n * ACT_WEIGHT[args["act"]]),
        "unit": float(entries * blocks_m * blocks_n),
        "near": float(entries * tiles * panels * 4 * k * (nr + min(mr, m))) if deep else 0.0,
        "alias": float(entries * k * m * vectors * lanes) if step and not alias and step % (ALIAS // 2) == 0 else 0.0,
        "copied": float(entries * m * k * times_pointed) if alias else 0.0,
    }
    b_bytes = 4 * k * nr * panels
    if m <= mr:
        cold = beyond(at, max(at.run_bytes, own * 4 * k * nr * panels), 0.0)[1]
        counts["start"] = cold * own * min(1.0, b_bytes / START_BYTES)
        counts["narrow"] = cold * own * 4 * k * nr * (narrow if wide else 0)
    strip_bytes = 4 * k * min(limit, unit_m)
    block_bytes = 4 * k * unit_n
    outputs = 4 * entries * m * n
    weights = own * b_bytes
    stream(counts, at, weights, max(at.run_bytes, weights + inputs + outputs))
    stream(counts, at, (strips - 1) * entries * b_bytes, (b_bytes if n_fastest else block_bytes) + strip_bytes)
    read(counts, at, inputs, outputs + weights)
    written(counts, at, outputs, inputs + weights)
    if adds:
        residual(counts, at, outputs)
    if not n_fastest:
        stream(counts, at, (blocks_n - 1) * inputs, inputs + block_bytes, levels=ROWS)
    stream(counts, at, (panels - (1 if n_fastest else blocks_n)) * inputs, strip_bytes + 4 * k * nr, levels=ROWS)
    return counts


def _begun(entries: int, n_units: int, at: Place) -> float:
    """How often what the units of an entry share is made: once for each and once for every chunk, of which there are as many as
    asymo/plan/share.py expects claims."""
    chunks = at.busy * (2 + 2 * log(max(n_units / (2 * at.busy), 1))) if at.busy > 1 else 1.0
    return min(entries - 1 + chunks, n_units)


def _winograd(args: Args, at: Place) -> Counts:
    c, n, products = args["c"], args["n"], winograd_products(args)
    tiles = _winograd_tiles(args)
    if tiles * n == 0:
        return {}
    mr, nr, lanes = at.mr, at.nr, _lanes(at.nr)
    unit = min(args["unit_tiles"], tiles) if args["unit_tiles"] > 0 else tiles
    blocks = ceil_div(tiles, unit)
    n_units = _UNITS["winograd"](args, nr)
    entered = 1 + REENTERED * (_begun(blocks, n_units, at) / blocks - 1)  # every chunk begins with a transform of its own
    vectors, panels = ceil_div(n, lanes), ceil_div(n, nr)
    register_tiles = stall = 0
    for rows, times in ((unit, blocks - 1), (tiles - (blocks - 1) * unit, 1)):
        whole, rest = divmod(rows, mr)
        register_tiles += times * (whole + (rest > 0))
        stall += times * (whole * max(0, ACCUMULATORS - 2 * mr) + (max(0, ACCUMULATORS - 2 * rest) if rest else 0))
    pixels = args["batch"] * prod(args["out"])
    weights, inputs, outputs = 4 * products * c * panels * nr, 4 * args["batch"] * prod(args["in"]) * c, 4 * pixels * n
    scratch = winograd_scratch(args)
    counts: Counts = {
        "macs": float(products * c * tiles * vectors * lanes),
        "stall": float(products * c * panels * (nr // 2) * stall),
        "tile": float(products * register_tiles * panels),
        "enter": entered * tiles * products * round_up(c, LANES),
        "leave": float(tiles * products * round_up(n, LANES)),
        "act": float(pixels * n * ACT_WEIGHT[args["act"]]),
        "unit": float(n_units),
        "near": float(register_tiles * panels * products * 4 * c * nr),
        "spill": 2.0 * tiles * products * 4 * (entered * c + n) * misses(scratch / TILES_SHARE, at.l2, 1.0),
    }
    stream(counts, at, weights, max(at.run_bytes, weights + inputs + outputs))
    counts["memory"] += weights * (blocks - 1) * beyond(at, WEIGHTS_CROWD * weights + scratch, 0.0)[1]
    for part, gap in at.touched.scratch:
        stream(counts, at, at.busy * part * scratch, gap + scratch, levels=STORED)
    read(counts, at, inputs, outputs + weights)
    written(counts, at, outputs, inputs + weights)
    if args.get("r_batch", 0) > 0:
        residual(counts, at, outputs)
    return counts


def winograd_scratch(args: Args) -> int:
    """Bytes of the transformed tiles of a unit, inputs and products."""
    unit = min(args["unit_tiles"] or _winograd_tiles(args), _winograd_tiles(args))
    columns = sum(round_up(size, LANES) + LANES for size in (args["c"], min(args["n"], WINOGRAD_BLOCK)))
    return 4 * winograd_products(args) * unit * columns


def winograd_products(args: Args) -> int:
    """Products of a tile and a pair of channels: one for each element of the patch under it."""
    return int((args["tile"] + args["kernel"][0] - 1) ** 2)


def _winograd_tiles(args: Args) -> int:
    return int(args["batch"] * prod(ceil_div(size, args["tile"]) for size in args["out"]))


def _axis(args: Args, axis: int) -> tuple[int, int, tuple[int, ...]]:
    """(outputs whose taps all lie inside, the taps inside of all outputs together, those of each border output)."""
    return _taps_inside(*(args[name][axis] for name in ("out", "in", "kernel", "stride", "dilation", "pad")))


@lru_cache(maxsize=1024)
def _taps_inside(out: int, size: int, kernel: int, stride: int, dilation: int, pad: int) -> tuple[int, int, tuple[int, ...]]:
    border = []
    inner = 0
    for o in range(out):
        origin = o * stride - pad
        first = ceil_div(-origin, dilation) if origin < 0 else 0
        last = min(ceil_div(size - origin, dilation) if origin < size else 0, kernel)
        if last - first == kernel:
            inner += 1
        else:
            border.append(max(last - first, 0))
    return inner, inner * kernel + sum(border), tuple(border)


class _Row(NamedTuple):
    """What a row of a depthwise convolution takes under one kernel row, for LANES channels: multiply-adds, columns and weights loaded,
    multiply-adds that wait for each other, passes, spans with the same taps. pixels: of a full pass."""

    taps: int
    loads: int
    stall: int
    passes: int
    spans: int
    pixels: int


def _row(args: Args, at: Place) -> _Row:
    """The three ways of csrc/kernels/dwconv/dwconv_body.h."""
    kernel, stride = args["kernel"][1], args["stride"][1]
    is_common = args["dilation"][1] == 1 and ((kernel in (3, 5) and stride <= 2) or (kernel, stride) == (7, 1))
    has_32_registers = at.mr >= 8
    inner, inside, border = _axis(args, 1)
    if args["channels"] == 1 and inner >= LANES:
        return _line(inner, border, kernel, stride, 8 if at.nr >= 32 else 4)
    if is_common and has_32_registers and args["channels"] > 1:
        return _row_by_columns(args, inside)
    return _row_by_taps(inner, border, kernel, stride if is_common else 0, 8 if has_32_registers else 4)


def _row_by_columns(args: Args, inside: int) -> _Row:
    """Columns outside the image are left out, pixels behind the row are not. inside: taps of the row in the image."""
    (kernel, stride), pad = (args["kernel"][1], args["stride"][1]), args["pad"][1]
    end, width, pixels = args["in"][1] + pad, args["out"][1], 8
    passes, reach = ceil_div(width, pixels), (pixels - 1) * stride + kernel
    outside = pad + sum(max(at + reach - end, 0) for at in range(0, passes * pixels * stride, pixels * stride))
    behind = sum(max(min(end, at + kernel) - max(pad, at), 0) for at in range(width * stride, passes * pixels * stride, stride))
    return _Row(inside + behind, passes * (reach + kernel) - outside, 0, passes, 1, pixels)


def _row_by_taps(inner: int, border: Sequence[int], kernel: int, stride: int, widest: int) -> _Row:
    """stride: neighbours share columns; 0: they do not."""
    taps = loads = stall = passes = 0
    groups = [(widest, inner // widest, kernel), (2, inner % widest // 2, kernel), (1, inner % 2, kernel), *((1, 1, t) for t in border)]
    for p, times, t in groups:
        taps += times * p * t
        loads += times * (((p - 1) * stride + t if stride and t == kernel else p * t) + t)
        stall += times * t * max(0, ACCUMULATORS // 2 - p)
        passes += times
    return _Row(taps, loads, stall, passes, 1 + len(border), widest)


def _line(inner: int, border: Sequence[int], kernel: int, stride: int, vectors: int) -> _Row:
    """One channel, pixels side by side."""
    passes, blocks, ends = ceil_div(inner, LANES * vectors), ceil_div(inner, LANES), sum(border)
    loads = blocks * kernel + passes * (kernel + LANES * vectors * stride)
    return _Row(blocks * kernel + ends, loads + 2 * ends, 0, passes + len(border), 1 + len(border), vectors)


def _dwconv(args: Args, at: Place) -> Counts:
    (height, width), channels, batch = args["out"], args["channels"], args["batch"]
    unit_c, unit_rows = max(min(args["unit_c"], channels), 1), max(args["unit_rows"], 1)
    blocks = ceil_div(channels, unit_c)
    vectors = channels // unit_c * ceil_div(unit_c, LANES) + ceil_div(channels % unit_c, LANES)
    _, rows, _ = _axis(args, 0)
    row = _row(args, at)
    lanes = batch * rows * vectors * LANES
    apart = 4 * args["x_stride"][1]
    lines = ((row.pixels - 1) * args["stride"][1] + args["kernel"][1]) * args["kernel"][0]
    conflicts = lines > L1_WAYS * PAGE // gcd(PAGE, apart)
    inputs, outputs = 4 * batch * prod(args["in"]) * channels, 4 * batch * height * width * channels
    counts: Counts = {
        "tap": float(row.taps * lanes),
        "lane": float(row.loads * lanes),
        "stall": float(row.stall * lanes),
        "alias": float(row.loads * lanes) if conflicts else 0.0,
        "pass": float(row.passes * batch * height * vectors),
        "output": float(batch * height * width * vectors * LANES),
        "span": float(batch * height * blocks * row.spans),
        "act": float(batch * height * width * channels * ACT_WEIGHT[args["act"]]),
        "unit": float(batch * ceil_div(height, unit_rows) * blocks),
    }
    stream(counts, at, 4 * prod(args["kernel"]) * channels, at.run_bytes)
    counts["start"] = beyond(at, at.run_bytes, 0.0)[1] * prod(args["kernel"])
    read(counts, at, inputs, outputs, FAR if blocks == 1 else ROWS)
    written(counts, at, outputs, inputs)
    if args.get("r_batch", 0) > 0:
        residual(counts, at, outputs)
    return counts


def _separable(args: Args, at: Place) -> Counts:
    """Its parts as gemm and dwconv steps over the rows of a unit, as often as there are units; only X, R and Y come from beyond L2. Every
    chunk of units begins with the rows of E that its first one shares with the one before."""
    (height, width), (h, w), rows = args["in"], args["out"], args["unit_rows"]
    batch, c, e, n = args["batch"], args["c"], args["e"], args["n"]
    units = _UNITS["separable"](args, at.nr)
    if not units:
        return {}
    reach = (args["kernel"][0] - 1) * args["dilation"][0] + 1
    shared = max(reach - args["stride"][0], 0) * args["expands"]
    chunks = at.busy * (2 + 2 * log(max(units / (2 * at.busy), 1))) if at.busy > 1 else 1.0
    inside = at._replace(run_bytes=0, busy=1)
    depthwise = {
        "batch": batch, "channels": e, "in": args["in"], "out": args["out"], "kernel": args["kernel"], "stride": args["stride"],
        "dilation": args["dilation"], "pad": args["pad"], "x_stride": (width * e, e), "unit_rows": rows, "unit_c": e, "act": args["act"][1],
    }  # fmt: skip
    parts = [(1.0, _dwconv(depthwise, inside))]
    if args["expands"]:
        image = {**_POINTWISE, "m": min(rows * args["stride"][0], height) * width, "k": c, "n": e, "lda": c, "act": args["act"][0]}
        again = 1 + (min(chunks, units) - 1) * shared / (batch * height)
        parts.append((again * batch * height * width / image["m"], _gemm(image, inside)))
    if args["projects"]:
        image = {**_POINTWISE, "m": min(rows, h) * w, "k": e, "n": n, "lda": e, "ldr": n * args["adds"], "act": args["act"][2]}
        parts.append((batch * h * w / image["m"], _gemm(image, inside)))
    counts: Counts = {}
    for times, part in parts:
        for feature, each in part.items():
            if feature not in STREAMS:
                counts[feature] = counts.get(feature, 0.0) + times * each
    counts["lane"] += 0.5 * max(units - chunks, 0.0) * shared * width * e
    stream(counts, at, 4 * (args["kernel"][0] * args["kernel"][1] * e + args["expands"] * c * e + args["projects"] * e * n), at.run_bytes)
    inputs, outputs = 4 * batch * height * width * c, 4 * batch * h * w * n
    read(counts, at, inputs, outputs)
    written(counts, at, outputs, inputs)
    if args["adds"]:
        stream(counts, at, outputs, max(2 * outputs, 2 * at.l2), levels=ROWS)
    scratch = 4 * e * ((rows - 1) * args["stride"][0] + reach) * width * args["expands"]
    stream(counts, at, 2 * 4 * batch * height * width * e * args["expands"], scratch)
    return counts


_POINTWISE: dict[str, Any] = {"batch": (1, 1, 1), "b_stride": (0, 0, 0), "unit_m": 0, "unit_n": 0, "n_fastest": 1, "ldr": 0}
"""Of a gemm step of one unit."""


# ---- everything else


def _dense(counts: Counts, at: Place, taken: float, made: float) -> Counts:
    """Counts of a step that reads and writes so many bytes, each once."""
    used(counts, at, taken, made, at.touched.inputs, FAR)
    used(counts, at, made, taken, at.touched.outputs, FAR)
    return counts


def _pool(args: Args, at: Place) -> Counts:
    windows = args["batch"] * prod(args["out"])
    cells = prod(args["kernel"])
    inputs, outputs = 4 * args["batch"] * prod(args["in"]) * args["channels"], 4 * windows * args["channels"]
    work: Counts = {
        "lane": float(windows * cells * round_up(args["channels"], LANES)),
        "span": float(windows * (1 + 0.25 * cells)),
        "unit": float(_UNITS["pool"](args, at.nr)),
    }
    return _dense(work, at, inputs, outputs)


def _shape(args: Args) -> int:
    return prod(args["shape"][: args["rank"]])


def _eltwise(args: Args, at: Place) -> Counts:
    size = _shape(args)
    size_in, size_out = args["n_in"], args["n_out"]
    work: Counts = {
        "lane": float(size * max(args["n_code"] - size_in - size_out, 1)),
        "span": float(ceil_div(size, 256) * args["n_code"]),
        "unit": float(_UNITS["eltwise"](args, at.nr)),
    }
    return _dense(work, at, 4 * size * min(size_in, 2), 4 * size * size_out)


def _typed(args: Args, at: Place) -> Counts:
    size = _shape(args)
    return _dense({"item": float(size), "unit": float(_UNITS["typed"](args, at.nr))}, at, 8 * size, 8 * size)


def _is_transpose(args: Args) -> bool:
    """Whether the last dimension is not dense in both tensors."""
    if args["rank"] == 0:
        return False
    last = args["rank"] - 1
    return bool(args["shape"][last] > 1 and not args["src_stride"][last] == args["dst_stride"][last] == 1)


def _copy(args: Args, at: Place) -> Counts:
    """Rows by memcpy; a transpose by registers where one side's last dimension and the other's last but one are dense (4 bytes), two to
    four columns interleaved; anything else element by element: see csrc/exec/copy.c."""
    size, width, rank = _shape(args), args["size_bytes"], args["rank"]
    rows = prod(args["shape"][: max(rank - 1, 0)])
    work: Counts = {"unit": float(_UNITS["copy"](args, at.nr))}
    if not _is_transpose(args):
        work |= {"lane": size * width / 4, "span": float(rows)}
    else:
        cols, src, dst = args["shape"][rank - 1], args["src_stride"], args["dst_stride"]
        source_rows_dense = rank > 1 and src[rank - 2] == 1 and dst[rank - 1] == 1
        target_rows_dense = rank > 1 and src[rank - 1] == 1 and dst[rank - 2] == 1
        if width == 4 and source_rows_dense and 2 <= cols <= 4:
            work["span"] = float(rows)
        elif width == 4 and (source_rows_dense or target_rows_dense):
            work["lane"] = float(size)
        else:
            work["item"] = float(size)
    return _dense(work, at, size * width, size * width)


def _fill(args: Args, at: Place) -> Counts:
    size = args["count"] * args["size_bytes"]
    return _dense({"lane": size / 8, "unit": float(_UNITS["fill"](args, at.nr))}, at, 0, size)


def _pack(args: Args, at: Place) -> Counts:
    entries = prod(args["batch"])
    size = entries * args["k"] * round_up(args["n"], at.nr)
    panels = entries * ceil_div(args["n"], at.nr)
    work: Counts = {"unit": float(panels)}
    work |= {"lane": float(size), "span": float(panels * args["k"])} if args["n_stride"] == 1 else {"item": float(size)}
    return _dense(work, at, 4 * size, 4 * size)


def _gather(args: Args, at: Place) -> Counts:
    rows = args["outer"] * args["count"]
    size = rows * args["inner_bytes"]
    return _dense({"lane": size / 4, "unit": float(rows)}, at, size, size)


def _reduce(args: Args, at: Place) -> Counts:
    size = args["outer"] * args["reduce"] * args["inner"]
    work: Counts = {
        "lane": float(size),
        "span": float(args["outer"] * (1 if args["inner"] == 1 else args["reduce"])),
        "unit": float(args["outer"]),
    }
    return _dense(work, at, 4 * size, 4 * args["outer"] * args["inner"])


def _softmax(args: Args, at: Place) -> Counts:
    size = args["outer"] * args["reduce"] * args["inner"]
    work: Counts = {
        "lane": 6.0 * size,
        "span": float(args["outer"] * (1 if args["inner"] == 1 else args["reduce"])),
        "unit": float(_UNITS["softmax"](args, at.nr)),
    }
    return _dense(work, at, 4 * size, 4 * size)


def _attention(args: Args, at: Place) -> Counts:
    """Two products of register tiles, and softmax between them; K and V are packed for every chunk of an entry."""
    entries, rows, keys, depth, width = prod(args["batch"]), args["rows"], args["keys"], args["depth"], args["width"]
    n_units, lanes = _UNITS["attention"](args, at.nr), _lanes(at.nr)
    tiles = n_units * ceil_div(min(args["unit_rows"], rows), at.mr)
    packed = _begun(entries, n_units, at) * keys * (depth + width)
    panels = 4 * keys * (depth + width)
    work: Counts = {
        "macs": float(entries * rows * (depth * round_up(keys, lanes) + keys * round_up(width, lanes))),
        "tile": float(tiles * (ceil_div(keys, at.nr) + ceil_div(width, at.nr))),
        "lane": 6.0 * entries * rows * keys + packed,
        "span": float(entries * rows),
        "unit": float(n_units),
        "near": float(tiles * panels) if panels > at.l1 else 0.0,
    }
    return _dense(work, at, 4 * entries * (rows * depth + keys * (depth + width)), 4 * entries * rows * width)


def _norm(args: Args, at: Place) -> Counts:
    size = args["outer"] * args["groups"] * args["reduce"] * args["inner"]
    runs = args["outer"] * args["groups"] * (args["reduce"] if args["inner"] > 1 else 1)
    return _dense({"lane": 3.0 * size, "span": float(runs), "unit": float(_UNITS["norm"](args, at.nr))}, at, 8 * size, 4 * size)


def _lrn(args: Args, at: Place) -> Counts:
    size = args["rows"] * args["channels"]
    return _dense({"lane": size * (8.0 + args["size"]), "unit": float(_UNITS["lrn"](args, at.nr))}, at, 4 * size, 4 * size)


def _resample(args: Args, at: Place) -> Counts:
    rows = args["outer"] * args["count"]
    size = rows * args["inner"]
    return _dense({"lane": float(size * max(args["taps"], 1)), "unit": float(rows)}, at, 4 * size * args["taps"], 4 * size)


def _rnn(args: Args, at: Place) -> Counts:
    gates = {0: 1, 1: 4, 2: 3}[args["cell"]]
    steps, batch = max(args["seq"], 1), args["batch"]
    blocks = ceil_div(args["hidden"], RNN_BLOCK)
    width = blocks * RNN_BLOCK
    weights = 4 * gates * width * args["hidden"]
    macs = steps * batch * gates * width * args["hidden"]
    mine = weights / max(at.busy, 1)
    counts: Counts = {
        "macs": float(macs),
        "act": float(steps * batch * width * 4 * gates),
        "unit": float(phases("rnn", args) * _UNITS["rnn"](args, at.nr)),
        "near": float(steps * weights) if mine > at.l1 else 0.0,
    }
    stream(counts, at, weights, at.run_bytes)
    counts["far"] += (steps - 1) * weights * misses(mine, at.l2)
    return counts


_COUNTERS: dict[str, Callable[[Args, Place], Counts]] = {
    "gemm": _gemm, "gemm_pack": _pack, "conv": _conv, "dwconv": _dwconv, "separable": _separable, "winograd": _winograd, "pool": _pool,
    "eltwise": _eltwise, "typed": _typed, "copy": _copy, "fill": _fill, "gather": _gather, "reduce": _reduce, "argreduce": _reduce,
    "softmax": _softmax, "attention": _attention, "norm": _norm, "lrn": _lrn, "resample": _resample, "rnn": _rnn,
}  # fmt: skip


# ---- units


def _grid(args: Args, m: int, n: int, nr: int) -> int:
    unit_m = args["unit_m"] if args["unit_m"] > 0 else max(m, 1)
    unit_n = round_up(args["unit_n"] if args["unit_n"] > 0 else max(n, 1), nr)
    return ceil_div(m, unit_m) * ceil_div(n, unit_n)


def _norm_units(args: Args, _: int) -> int:
    columns = args["groups"] * args["inner"]
    by_columns = (args["inner"] == 1 and args["param"]) if args["inner_reduced"] else (columns > 1 or args["param"])
    return int(args["outer"] * (ceil_div(columns, NORM_COLUMNS) if by_columns else args["groups"]))


_UNITS: dict[str, Callable[[Args, int], int]] = {
    "gemm": lambda a, nr: prod(a["batch"]) * _grid(a, a["m"], a["n"], nr),
    "gemm_pack": lambda a, nr: prod(a["batch"]) * ceil_div(a["n"], nr),
    "conv": lambda a, nr: a["groups"] * _grid(a, a["batch"] * prod(a["out"]), a["n"], nr),
    "dwconv": lambda a, _: a["batch"] * ceil_div(a["out"][0], a["unit_rows"]) * ceil_div(a["channels"], a["unit_c"]),
    "separable": lambda a, _: a["batch"] * ceil_div(a["out"][0], a["unit_rows"]),
    "winograd": lambda a, nr: _grid({"unit_m": a["unit_tiles"], "unit_n": a["unit_n"]}, _winograd_tiles(a), a["n"], nr),
    "pool": lambda a, _: a["batch"] * a["out"][0] * a["out"][1] if a["out"][2] else 0,
    "eltwise": lambda a, _: ceil_div(_shape(a), a["unit_size"]),
    "typed": lambda a, _: ceil_div(_shape(a), a["unit_size"]),
    "copy": lambda a, _: ceil_div(prod(a["shape"][: max(a["rank"] - 1, 0)]), a["unit_rows"]) if _shape(a) else 0,
    "fill": lambda a, _: ceil_div(a["count"], a["unit_size"]),
    "gather": lambda a, _: a["outer"] * a["count"] if a["inner_bytes"] > 0 else 0,
    "reduce": lambda a, _: a["outer"] * ceil_div(a["inner"], a["unit_inner"]),
    "argreduce": lambda a, _: a["outer"],
    "softmax": lambda a, _: a["outer"] * ceil_div(a["inner"], a["unit_inner"]),
    "attention": lambda a, _: prod(a["batch"]) * ceil_div(a["rows"], a["unit_rows"]),
    "norm": _norm_units,
    "lrn": lambda a, _: ceil_div(a["rows"], a["unit_rows"]),
    "resample": lambda a, _: a["outer"] * a["count"],
    "rnn": lambda a, _: ceil_div(ceil_div(a["hidden"], RNN_BLOCK), ceil_div(a["unit_n"], RNN_BLOCK)),
}
