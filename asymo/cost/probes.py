"""The synthetic steps that calibration measures: per kernel class a few shapes like those of real networks. Data only.

Unit sizes follow `units_of`: some probes are cut finely, some coarsely, so that what a unit costs can be told from what its work costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from asymo.cost.features import ceil_div, round_up

Operand = int | np.ndarray | None
"""Floats in the measuring buffer, a constant, or absent."""


@dataclass(frozen=True)
class Probe:
    """One step. fed: the operand that the step before it would have written."""

    kind: str
    args: dict[str, Any]
    operands: tuple[Operand, ...]
    fed: int = 0

    @property
    def written(self) -> tuple[int, ...]:
        """The operands that it writes: memory that steps shortly before have used."""
        return (7, 10) if self.kind == "rnn" else (max(i for i, o in enumerate(self.operands) if isinstance(o, int)),)

    @property
    def added(self) -> int:
        """Floats of its residual, which steps some time before have written; 0 without one."""
        floats = self.operands[3] if self.kind in ("gemm", "conv", "winograd", "dwconv") else 0
        return floats if isinstance(floats, int) else 0


CLIP = {"act": 1, "p": 0.0, "q": 6.0}
ACTS: dict[int, dict[str, Any]] = {
    0: {"act": 0, "p": 0.0, "q": 0.0},
    1: CLIP,
    6: {"act": 6, "p": 1.0, "q": 0.0},
    8: {"act": 8, "p": 0.0, "q": 0.0},
    9: {"act": 9, "p": 0.0, "q": 0.0},
}

GEMM = [
    # m, n, k, act, cut
    (784, 128, 64, 1, 0), (196, 256, 256, 1, 1), (49, 512, 512, 0, 2), (49, 128, 1024, 1, 1), (100, 96, 512, 0, 2), (1225, 64, 192, 1, 0),
    (3136, 24, 96, 0, 0), (6272, 16, 32, 0, 1), (6272, 64, 16, 1, 0), (3136, 144, 24, 1, 0), (196, 80, 480, 0, 1), (784, 40, 240, 0, 2),
    (25, 546, 256, 0, 2), (361, 12, 480, 0, 1), (50, 256, 320, 6, 2), (400, 80, 80, 6, 1), (1600, 64, 64, 0, 1), (1568, 256, 64, 1, 2),
    (6400, 64, 64, 0, 0), (12544, 64, 16, 1, 0), (12544, 16, 16, 0, 0), (3136, 256, 64, 1, 0), (3136, 64, 128, 6, 1), (12544, 96, 16, 1, 1),
    (784, 64, 256, 1, 2), (49, 960, 160, 8, 0), (49, 160, 960, 0, 1), (128, 384, 384, 0, 1), (64, 448, 768, 1, 2), (196, 112, 672, 0, 2),
]  # fmt: skip
GEMV = [(1, 1000, 1280, 0), (1, 1024, 576, 8), (1, 256, 64, 1), (1, 48, 1152, 6), (1, 672, 168, 7), (1, 384, 384, 0), (1, 24, 128, 0),
        (4, 546, 256, 0), (9, 128, 512, 1), (1, 1536, 384, 9), (1, 10, 2048, 0), (2, 512, 512, 0), (12, 256, 256, 1),
        (1, 16, 8, 7), (1, 32, 120, 1), (1, 144, 40, 7), (1, 64, 240, 1)]  # fmt: skip
ADDING = [
    (784, 24, 144, 0, 0),
    (196, 64, 384, 0, 1),
    (3136, 256, 64, 1, 0),
    (784, 512, 128, 1, 1),
    (196, 1024, 64, 1, 2),
    (49, 160, 480, 0, 1),
]
"""GEMMs with a residual."""
ADDING_WINOGRAD = [(4, 56, 64, 64, 1, 28), (4, 28, 128, 128, 1, 14), (2, 14, 256, 256, 1, 14)]
"""Convolutions with one: tile, side, channels, n, act, unit_tiles."""
CONV = [
    # side, channels, n, (kh, kw), stride, act, groups, cut
    (112, 3, 32, (3, 3), 2, 1, 1, 0), (96, 3, 64, (7, 7), 2, 1, 1, 0), (128, 3, 16, (3, 3), 2, 8, 1, 1), (100, 3, 64, (3, 3), 1, 1, 1, 0),
    (56, 64, 64, (3, 3), 2, 1, 1, 1), (28, 128, 128, (3, 3), 2, 1, 1, 2), (14, 256, 256, (3, 3), 2, 1, 1, 2),
    (56, 64, 128, (1, 1), 2, 0, 1, 0), (28, 256, 256, (1, 1), 2, 1, 1, 1), (17, 160, 160, (1, 7), 1, 1, 1, 2),
    (35, 48, 64, (5, 5), 1, 1, 1, 2),
    (80, 16, 32, (3, 3), 2, 6, 1, 0), (80, 32, 64, (3, 3), 2, 6, 1, 1), (8, 384, 192, (3, 1), 1, 1, 1, 2), (28, 24, 24, (1, 1), 1, 1, 4, 1),
    (10, 256, 256, (3, 3), 2, 1, 1, 2), (14, 32, 32, (3, 3), 1, 1, 8, 1), (7, 256, 256, (3, 3), 1, 1, 1, 2),
    (14, 512, 512, (3, 3), 2, 1, 1, 1),
]  # fmt: skip
WINOGRAD = {
    4: [(56, 64, 64, 1, 14), (28, 128, 128, 1, 7), (14, 256, 256, 1, 8), (55, 16, 64, 1, 22), (80, 32, 32, 6, 27), (27, 48, 192, 1, 10),
        (35, 64, 96, 1, 9), (40, 64, 64, 6, 13), (112, 16, 16, 6, 56), (20, 128, 128, 6, 13),
        (56, 64, 64, 1, 49), (28, 128, 128, 1, 25), (40, 64, 64, 1, 100), (14, 256, 256, 1, 16)],
    2: [(14, 256, 256, 1, 7), (7, 256, 256, 1, 8), (28, 64, 64, 1, 14), (13, 48, 192, 1, 12), (10, 128, 128, 6, 13), (14, 256, 256, 1, 49),
        (7, 512, 512, 1, 16)],
}  # fmt: skip
"""Tile -> (side, channels, n, act, unit_tiles)."""
DWCONV = [
    # side, channels, kernel, stride, act, rows of a unit
    (112, 96, 3, 2, 1, 14), (14, 480, 3, 1, 6, 4), (7, 1024, 3, 1, 1, 2), (28, 240, 3, 1, 6, 7), (14, 512, 3, 2, 1, 4),
    (112, 32, 3, 1, 1, 14), (56, 96, 3, 2, 1, 7), (56, 144, 3, 1, 1, 7), (28, 192, 3, 1, 1, 7), (28, 192, 3, 2, 1, 7),
    (14, 384, 3, 1, 1, 4), (14, 576, 3, 2, 1, 4), (7, 960, 3, 1, 1, 2), (28, 72, 5, 2, 1, 7), (28, 120, 5, 1, 1, 4),
    (14, 480, 5, 1, 8, 4), (7, 672, 5, 1, 6, 2),
    (14, 116, 3, 1, 0, 7), (28, 58, 3, 2, 0, 7), (112, 16, 3, 1, 8, 14), (38, 128, 3, 1, 1, 19),
    (19, 512, 3, 1, 1, 5), (14, 240, 7, 1, 0, 4),
]  # fmt: skip

SEPARABLE = [
    # side, c (0: no expansion), e, n, kernel, stride, rows of a unit
    (112, 16, 96, 24, 3, 2, 4), (112, 0, 32, 16, 3, 1, 8), (56, 24, 144, 24, 3, 1, 4), (112, 16, 64, 24, 3, 2, 8),
    (56, 24, 144, 40, 5, 2, 4),
]  # fmt: skip


def units_of(m: int, n: int, cut: int, mr: int, nr: int) -> dict[str, int]:
    """cut 0: an eighth of the rows, all columns; 1: four register tiles of rows, half the columns; 2: two of each, rows fastest."""
    if cut == 0:
        return {"unit_m": round_up(ceil_div(m, 8), mr), "unit_n": round_up(n, nr), "n_fastest": 1}
    if cut == 1:
        return {"unit_m": min(4 * mr, round_up(m, mr)), "unit_n": round_up(ceil_div(n, 2), nr), "n_fastest": 1}
    return {"unit_m": min(2 * mr, round_up(m, mr)), "unit_n": min(2 * nr, round_up(n, nr)), "n_fastest": 0}


def gemm(m: int, n: int, k: int, act: int, cut: int, mr: int, nr: int, adds: bool = False) -> Probe:
    zeros = (0, 0, 0)
    args = {
        "m": m, "n": n, "k": k, "lda": k, "ldc": n, "ldr": n if adds else 0, "batch": (1, 1, 1),
        "a_stride": zeros, "b_stride": zeros, "c_stride": zeros,
        "r_stride": zeros, **units_of(m, n, cut, mr, nr), **ACTS.get(act, {"act": act, "p": 1.0, "q": 0.5}),
    }  # fmt: skip
    return Probe("gemm", args, (m * k, k * round_up(n, nr), n, m * n if adds else None, None, m * n))


def _image(side: tuple[int, int], channels: int, out: tuple[int, int], n: int) -> dict[str, Any]:
    (h, w), (oh, ow) = side, out
    return {
        "x_batch": h * w * channels, "y_batch": oh * ow * n, "r_batch": 0, "x_stride": (h * w * channels, w * channels, channels),
        "y_stride": (oh * ow * n, ow * n, n), "r_stride": (oh * ow * n, ow * n, n),
    }  # fmt: skip


def conv(side: int, c: int, n: int, kernel: tuple[int, int], stride: int, act: int, groups: int, cut: int, mr: int, nr: int) -> Probe:
    pad = (kernel[0] // 2, kernel[1] // 2)
    out = ((side + 2 * pad[0] - kernel[0]) // stride + 1, (side + 2 * pad[1] - kernel[1]) // stride + 1)
    args = {
        "batch": 1, "groups": groups, "c": c, "n": n, "in": (1, side, side), "out": (1, *out), "kernel": (1, *kernel),
        "stride": (1, stride, stride), "dilation": (1, 1, 1), "pad": (0, *pad), **_image((side, side), c * groups, out, n * groups),
        **units_of(prod(out), n, cut, mr, nr), **ACTS[act],
    }  # fmt: skip
    weights = groups * prod(kernel) * c * round_up(n, nr)
    return Probe("conv", args, (side * side * c * groups, weights, n * groups, None, None, prod(out) * n * groups))


def winograd(tile: int, side: int, c: int, n: int, act: int, unit_tiles: int, nr: int, adds: bool = False) -> Probe:
    image = _image((side, side), c, (side, side), n)
    args = {
        "tile": tile, "kernel": (3, 3), "batch": 1, "c": c, "n": n, "in": (side, side), "out": (side, side), "pad": (1, 1), **image,
        "x_stride": image["x_stride"][1:], "y_stride": image["y_stride"][1:], "r_stride": image["r_stride"][1:],
        "r_batch": side * side * n if adds else 0, "unit_tiles": unit_tiles, "unit_n": 0, **ACTS[act],
    }  # fmt: skip
    weights = (tile + 2) ** 2 * c * round_up(n, nr)
    return Probe("winograd", args, (side * side * c, weights, n, side * side * n if adds else None, None, side * side * n))


def dwconv(side: int, channels: int, kernel: int, stride: int, act: int, unit_rows: int) -> Probe:
    out = (side - 1) // stride + 1
    image = _image((side, side), channels, (out, out), channels)
    args = {
        "batch": 1, "channels": channels, "in": (side, side), "out": (out, out), "kernel": (kernel, kernel),
        "stride": (stride, stride), "dilation": (1, 1), "pad": (kernel // 2, kernel // 2), **image, "x_stride": image["x_stride"][1:],
        "y_stride": image["y_stride"][1:], "r_stride": image["r_stride"][1:], "unit_rows": unit_rows, "unit_c": channels, **ACTS[act],
    }  # fmt: skip
    return Probe("dwconv", args, (side * side * channels, kernel * kernel * channels, channels, None, None, out * out * channels))


def separable(side: int, c: int, e: int, n: int, kernel: int, stride: int, unit_rows: int, nr: int) -> Probe:
    """[1x1 ->] depthwise -> 1x1, with the activations of a MobileNetV2 block."""
    out = (side - 1) // stride + 1
    expands = c > 0
    args = {
        "batch": 1, "c": c or e, "e": e, "n": n, "in": (side, side), "out": (out, out), "kernel": (kernel, kernel),
        "stride": (stride, stride), "dilation": (1, 1), "pad": (kernel // 2, kernel // 2), "expands": int(expands), "projects": 1,
        "adds": 0, "unit_rows": unit_rows, "act": (int(expands), 1, 0), "p": (0.0, 0.0, 0.0), "q": (6.0, 6.0, 0.0),
    }  # fmt: skip
    expansion = (c * round_up(e, nr), e) if expands else (None, None)
    filters = (kernel * kernel * e, e, e * round_up(n, nr), n)
    return Probe("separable", args, (side * side * (c or e), *expansion, *filters, None, out * out * n))


def _shape(*sizes: int) -> tuple[int, ...]:
    return sizes + (0,) * (8 - len(sizes))


def eltwise(size: int, n_in: int, ops: Sequence[int], load: int, store: int) -> Probe:
    """A chain: loads, then one operation after the other on the first two registers, then a store."""
    code = [[load, i, i, 0, 0] for i in range(n_in)] + [[op, 0, 0, n_in - 1, 0] for op in ops] + [[store, 0, 0, 0, 0]]
    args = {"rank": 1, "shape": _shape(size), "n_in": n_in, "n_out": 1, "n_code": len(code), "in_type": 0, "out_type": 0, "unit_size": 4096}
    constants = (np.array(code, np.int32), np.zeros(4, np.float32), np.ones((n_in + 1, 1), np.int64))
    return Probe("eltwise", args, (*constants, *[size] * (n_in + 1)), fed=3)


def typed(size: int, op: int, dtype: int) -> Probe:
    args = {"op": op, "rank": 1, "shape": _shape(size), "n_in": 2, "in_type": dtype, "out_type": dtype, "unit_size": 4096}
    return Probe("typed", args, (np.ones((3, 1), np.int64), *[size] * 3), fed=1)


def copy(rows: int, cols: int, turned: bool) -> Probe:
    """A tensor of rows x cols, dense to dense, or dense to its transpose."""
    args = {
        "size_bytes": 4, "rank": 2, "shape": _shape(rows, cols), "src_stride": _shape(1, rows) if turned else _shape(cols + 16, 1),
        "dst_stride": _shape(cols, 1), "unit_rows": max(1, ceil_div(rows, 16)),
    }  # fmt: skip
    return Probe("copy", args, (rows * (cols + 16), rows * cols))


def pack(k: int, n: int, turned: bool, nr: int) -> Probe:
    """B[k, n] of a MatMul packed at run time, from k x n or from n x k."""
    args = {
        "k": k, "n": n, "k_stride": 1 if turned else n, "n_stride": k if turned else 1, "batch": (1, 1, 1), "b_stride": (0, 0, 0),
    }  # fmt: skip
    return Probe("gemm_pack", args, (k * n, k * round_up(n, nr)))


def pool(side: int, channels: int, kernel: int, stride: int, mode: int) -> Probe:
    out = (side - kernel) // stride + 1
    image = _image((side, side), channels, (out, out), channels)
    args = {
        "mode": mode, "batch": 1, "channels": channels, "in": (1, side, side), "out": (1, out, out), "kernel": (1, kernel, kernel),
        "stride": (1, stride, stride), "dilation": (1, 1, 1), "pad": (0, 0, 0), "pad_end": (0, 0, 0), "include_pad": 0, "column_major": 0,
        "p": 2.0, "x_batch": image["x_batch"], "y_batch": image["y_batch"], "x_stride": image["x_stride"], "y_stride": image["y_stride"],
    }  # fmt: skip
    return Probe("pool", args, (side * side * channels, out * out * channels, None))


def reduce(outer: int, length: int, inner: int) -> Probe:
    args = {
        "mode": 1, "outer": outer, "reduce": length, "inner": inner, "outer_stride": length * inner, "reduce_stride": inner,
        "unit_inner": min(inner, 64),
    }  # fmt: skip
    return Probe("reduce", args, (outer * length * inner, outer * inner))


def softmax(outer: int, length: int) -> Probe:
    args = {"log": 0, "outer": outer, "reduce": length, "inner": 1, "unit_inner": 1}
    return Probe("softmax", args, (outer * length, outer * length))


def attention(heads: int, rows: int, keys: int, depth: int) -> Probe:
    """Heads side by side in the rows of Q, K, V and Y, a mask of keys."""
    width = heads * depth
    args = {
        "batch": (1, 1, heads), "rows": rows, "keys": keys, "depth": depth, "width": depth, "q_stride": (0, 0, depth),
        "k_stride": (0, 0, depth), "v_stride": (0, 0, depth), "mask_stride": (0, 0, 0), "y_stride": (0, 0, depth), "q_row": width,
        "k_row": width, "v_row": width, "mask_row": 0, "y_row": width, "unit_rows": rows, "idle": 0, "scale": 0.125,
    }  # fmt: skip
    return Probe("attention", args, (rows * width, keys * width, keys * width, keys, rows * width))


def norm(outer: int, inner: int) -> Probe:
    args = {"rms": 0, "outer": outer, "groups": 1, "reduce": 1, "inner": inner, "inner_reduced": 1, "param": 0, "eps": 1e-5}
    return Probe("norm", args, (outer * inner, inner, inner, outer * inner, None, None))


def lrn(rows: int, channels: int) -> Probe:
    args = {"rows": rows, "channels": channels, "size": 5, "unit_rows": 16, "alpha": 1e-4, "beta": 0.75, "bias": 1.0}
    return Probe("lrn", args, (rows * channels, rows * channels))


def resample(outer: int, axis: int, inner: int, taps: int) -> Probe:
    count = 2 * axis
    index = np.arange(count * taps, dtype=np.int32).reshape(count, taps) % axis
    args = {"outer": outer, "axis": axis, "count": count, "inner": inner, "taps": taps}
    return Probe("resample", args, (outer * axis * inner, index, np.full((count, taps), 0.5, np.float32), outer * count * inner))


def gather(rows: int, inner: int) -> Probe:
    args = {"outer": 1, "axis": 256, "count": rows, "inner_bytes": 4 * inner, "index_type": 8}
    return Probe("gather", args, (256 * inner, np.arange(rows, dtype=np.int64) * 37 % 256, rows * inner))


def rnn(cell: int, hidden: int, steps: int, state_bytes: int) -> Probe:
    gates = {0: 1, 1: 4, 2: 3}[cell]
    width = round_up(hidden, 16)
    args = {
        "cell": cell, "seq": steps, "batch": 1, "hidden": hidden, "reverse": 0, "linear_before_reset": 1, "input_forget": 0,
        "x_seq": gates * hidden, "x_batch": gates * hidden, "y_seq": hidden, "y_batch": hidden, "unit_n": round_up(ceil_div(hidden, 4), 16),
        "act": (4, 5, 5), "p": (0.0, 1.0, 1.0), "q": (0.0, 1.0, 1.0), "clip": 0.0,
    }  # fmt: skip
    sizes = (steps * gates * hidden, gates * width * hidden, gates * hidden)
    return Probe("rnn", args, (*sizes, None, None, None, None, steps * hidden, None, None, ceil_div(state_bytes, 4)))
