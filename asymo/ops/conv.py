"""Convolutions: Conv and ConvTranspose as ONNX has them, and the asymo:: forms, which are what gets lowered.

asymo::Conv  Y = act(conv(X, W) + bias + residual)
  inputs   X, W as ONNX (M, C / group, kernel...), bias (M,) or absent, residual (the shape of Y) or absent, slope (M,) or absent;
           of a 1x1 convolution also scale (N, 1..., C) or absent: it stands for the convolution of X * scale
  attrs    kernel_shape, strides, pads (begin..., end...), dilations, group; channels_last: X, residual and Y are (N, spatial..., channels),
           else (N, channels, spatial...); only the former is lowered; act, p, q: see ops/epilogue.py
asymo::ConvTranspose  the same with W as ONNX (C, M / group, kernel...); instead of pads the attributes begin (what is cut off in
  front, per spatial axis) and output_shape (spatial).

Which algorithm runs is a function of the shapes only:
  depthwise         one channel in and out of each of several groups,
                    1-D or 2-D; one channel: see `is_line`           dwconv
  1x1, stride 1     no padding, one group                               gemm
  3x3, stride 1     see `plan.tiles.winograd_tile`                      winograd
  else                                                                  conv (indirect GEMM)
A transposed convolution is one convolution per output phase: the outputs at r, r + stride, r + 2 stride, ... of each axis see the same taps
of the kernel, backwards, at stride 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import gcd, prod
from typing import Any

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType, Value
from asymo.ops import Example, Operator, given, need_shape, operator
from asymo.ops.eltwise import emit_walk
from asymo.ops.epilogue import BIAS, RESIDUAL, SLOPE, act_args
from asymo.ops.matmul import all_f32
from asymo.ops.window import arrange, auto_pad, channels, channels_last_strides, pads_of, per_axis, spatial, triple, window
from asymo.plan import layout
from asymo.plan.lower import Lowering
from asymo.plan.move import copy
from asymo.plan.plan import Args
from asymo.plan.strides import collapse, dense
from asymo.plan.tensor import Tensor
from asymo.plan.tiles import LANES, winograd_tile

Ints = tuple[int, ...]

SCALE = SLOPE + 1


def need_kernel(node: Node, w: TensorType) -> None:
    """ModelError when the attribute kernel_shape is there and is not that of the weights."""
    kernel = tuple(node.attrs.get("kernel_shape") or w.dims[2:])
    if kernel != w.dims[2:]:
        raise ModelError(f"{node.where}: attribute 'kernel_shape' is {kernel}, the weights have shape {w.dims}")


class _Conv(Operator):
    """Shapes of both forms of Conv."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, w = given(inputs), given(inputs, 1)
        dims, c, group = spatial(node, x), channels(node, x), int(node.attrs.get("group", 1))
        if len(w.dims) != len(dims) + 2 or group < 1 or w.dims[1] * group != c or w.dims[0] % group:
            raise ModelError(f"{node.where}: weights of shape {w.dims} with group {group} do not fit an input of shape {x.dims}")
        if len(dims) > 3:
            raise ModelError(f"{node.where}: convolutions over more than 3 spatial axes are not supported, the input has {len(dims)}")
        need_kernel(node, w)
        y = TensorType(x.dtype, arrange(node, x.dims[0], w.dims[0], window(node, dims, w.dims[2:]).out))
        need_shape(node, inputs, BIAS, (w.dims[0],))
        need_shape(node, inputs, RESIDUAL, y.dims)
        return [y]

    def is_native(self, node: Node) -> bool:
        return all_f32(node)


@operator("Conv")
class Conv(_Conv):
    """ONNX Conv; the planner rewrites it as asymo::Conv."""

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(3)

        def f(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        cases: list[tuple[tuple[int, ...], tuple[int, ...], bool, dict]] = [
            ((1, 3, 9, 11), (5, 3, 3, 3), True, {"pads": [1, 1, 1, 1]}),
            ((2, 3, 9, 11), (5, 3, 3, 3), False, {"pads": [0, 1, 2, 3], "strides": [2, 3]}),
            ((1, 17, 7, 5), (33, 17, 1, 1), True, {}),
            ((2, 17, 7, 5), (33, 17, 1, 1), False, {"strides": [2, 2]}),
            ((1, 40, 9, 13), (35, 40, 3, 3), True, {"pads": [1, 1, 1, 1]}),
            ((2, 32, 8, 8), (48, 32, 3, 3), False, {"pads": [0, 1, 1, 0]}),
            ((1, 19, 9, 9), (19, 1, 3, 3), True, {"group": 19, "pads": [1, 1, 1, 1]}),
            ((2, 33, 11, 9), (33, 1, 5, 5), True, {"group": 33, "pads": [2, 2, 2, 2], "strides": [2, 2]}),
            ((1, 8, 11, 9), (8, 1, 3, 3), False, {"group": 8, "dilations": [2, 2], "auto_pad": "SAME_UPPER"}),
            ((1, 8, 11, 9), (24, 1, 3, 2), True, {"group": 8}),
            ((1, 12, 11, 9), (6, 4, 3, 2), True, {"group": 3, "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
            ((1, 4, 10, 10), (3, 4, 4, 2), True, {"auto_pad": "VALID", "dilations": [2, 3]}),
            ((2, 7, 31), (5, 7, 4), True, {"pads": [3, 0], "strides": [2]}),
            ((2, 7, 31), (7, 1, 5), True, {"pads": [2, 2], "group": 7}),
            ((1, 3, 5, 6, 7), (4, 3, 3, 2, 3), True, {"pads": [1, 0, 1, 1, 1, 1], "strides": [1, 2, 1]}),
            ((1, 4, 5, 6, 7), (4, 1, 3, 3, 3), True, {"pads": [1] * 6, "group": 4}),
            ((0, 3, 9, 11), (5, 3, 3, 3), True, {}),
        ]
        for x, w, bias, attrs in cases:
            for constant in ((1, 2), ()):
                yield Example([f(*x), f(*w), f(w[0])] if bias else [f(*x), f(*w)], attrs, constant=constant)


@operator("Conv", domain="asymo")
class AsymoConv(_Conv):
    """See the module's docstring."""

    def lower(self, node: Node, lo: Lowering) -> None:
        assert node.attrs.get("channels_last"), f"{node.where}: the layout pass has not seen this node"
        x_value, w_value, y_value = given(node.inputs), given(node.inputs, 1), given(node.outputs)
        x, y = lo.input(x_value), lo.output(y_value)
        assert x is not None
        assert y is not None
        if 0 in y.shape:
            return
        group = int(node.attrs.get("group", 1))
        batch, *dims, channels_in = x.shape
        n_all, c = w_value.shape[:2]
        win = window(node, tuple(dims), w_value.shape[2:])
        tail = [lo.input(node.input(BIAS)), lo.input(node.input(RESIDUAL)), lo.input(node.input(SLOPE)), y]
        x_batch, x_stride = channels_last_strides(win.inp, channels_in)
        y_batch, y_stride = channels_last_strides(win.out, n_all)
        rank, one = len(dims), (1,) * len(dims)
        pointwise = win.kernel == one and win.stride == one and not any((*win.begin, *win.end))

        if c == 1 and n_all == group and rank < 3:
            args: Args = {
                "batch": batch, "channels": group, "in": triple(win.inp, 1)[1:], "out": triple(win.out, 1)[1:],
                "kernel": triple(win.kernel, 1)[1:],
                "stride": triple(win.stride, 1)[1:], "dilation": triple(win.dilation, 1)[1:], "pad": triple(win.begin, 0)[1:],
                "x_batch": x_batch, "y_batch": y_batch, "r_batch": y_batch,
                "x_stride": x_stride[1:], "y_stride": y_stride[1:], "r_stride": y_stride[1:],
                **act_args(node),
            }  # fmt: skip
            if group > 1 or is_line(args):
                args = args if group > 1 else cut_line(args)
                lo.emit("dwconv", args, [x, depthwise_weights(lo, w_value, group, prod(win.kernel)), *tail])
                return
        if pointwise and group == 1:
            scale, packed, m = lo.input(node.input(SCALE)), pack_weights(lo, w_value, 1), prod(dims)
            images = 1 if scale is None else batch
            m = m * batch // images
            if scale is not None:
                packed = scaled_weights(lo, packed, scale, c, n_all, images)
            args = {
                "m": m, "n": n_all, "k": c, "lda": c, "ldc": n_all, "ldr": n_all, "batch": (1, 1, images),
                "a_stride": (0, 0, m * c), "b_stride": (0, 0, lo.packed_size(c, n_all)), "c_stride": (0, 0, m * n_all),
                "r_stride": (0, 0, m * n_all), **act_args(node),
            }  # fmt: skip
            if images == 1:
                args |= dict.fromkeys(("a_stride", "b_stride", "c_stride", "r_stride"), (0, 0, 0))
            lo.emit("gemm", args, [x, packed, *tail])
            return
        tile = 0
        if win.kernel == (3, 3) and win.stride == one and win.dilation == one and group == 1 and w_value.const is not None:
            tile = winograd_tile(c, n_all, win.out, batch)
        if tile:
            args = {
                "tile": tile, "batch": batch, "c": c, "n": n_all, "in": win.inp, "out": win.out, "pad": win.begin,
                "x_batch": x_batch, "y_batch": y_batch, "r_batch": y_batch,
                "x_stride": x_stride[1:], "y_stride": y_stride[1:], "r_stride": y_stride[1:],
                **act_args(node),
            }  # fmt: skip
            assert w_value.const is not None
            packed = lo.derive(("winograd", tile), [w_value.const], layout.pack_winograd(tile))
            lo.emit("winograd", args, [x, packed, *tail])
            return
        n = n_all // group
        args = {
            "batch": batch, "groups": group, "c": c, "n": n,
            "in": triple(win.inp, 1), "out": triple(win.out, 1), "kernel": triple(win.kernel, 1), "stride": triple(win.stride, 1),
            "dilation": triple(win.dilation, 1), "pad": triple(win.begin, 0),
            "x_batch": x_batch, "y_batch": y_batch, "r_batch": y_batch,
            "x_stride": x_stride, "y_stride": y_stride, "r_stride": y_stride,
            **act_args(node),
        }  # fmt: skip
        lo.emit("conv", args, [x, pack_weights(lo, w_value, group), *tail])


def scaled_weights(lo: Lowering, packed: Tensor, scale: Tensor, k: int, n: int, images: int) -> Tensor:
    """The packed weights times the scale of their input channel, for every image: panels of [k][nr]."""
    nr = lo.machine.geometry[1]
    panels = -(-n // nr)
    target = lo.temp((images, panels, k, nr))
    walk = collapse(target.shape, (0, k * nr, nr, 1), (k, 0, 1, 0), dense(target.shape))
    weights = packed._replace(dtype=target.dtype)  # which is another where they are left out
    emit_walk(lo, walk, [("mul", 0, 1)], [2], [weights, scale], [target])
    return target


LINE, LINE_PHASES = 96, 4
"""Least pixels of a row that a line is cut into, most lanes of a pass of the kernel; the strides in taps that it knows. Both of line_block
(csrc/kernels/dwconv/dwconv_body.h)."""


def is_line(args: Mapping[str, Any]) -> bool:
    """Whether a dwconv step of one channel is several taps along one line without padding, which the kernel takes 16 pixels at a time."""
    (_, kernel), (_, stride), (_, dilation), (_, width) = args["kernel"], args["stride"], args["dilation"], args["out"]
    inside = args["pad"] == (0, 0) and (width - 1) * stride + (kernel - 1) * dilation < args["in"][1]
    one_row = (args["in"][0], args["out"][0], args["kernel"][0]) == (1, 1, 1)
    return inside and one_row and kernel > 1 and width >= LANES and stride % dilation == 0 and stride // dilation <= LINE_PHASES


def cut_line(args: Mapping[str, Any]) -> Args:
    """The step over one line as one over equal rows of at least LINE pixels, whose windows overlap in the line: a unit is whole rows.
    As it is where no row divides the line."""
    (_, kernel), (_, stride), (_, dilation), (_, width) = args["kernel"], args["stride"], args["dilation"], args["out"]
    row = next((w for w in range(LINE, width) if width % w == 0), width)
    steps = {name: (row * step * args[name][1], args[name][1]) for name, step in (("x_stride", stride), ("y_stride", 1), ("r_stride", 1))}
    return {**args, **steps, "in": (width // row, (row - 1) * stride + (kernel - 1) * dilation + 1), "out": (width // row, row)}


def depthwise_weights(lo: Lowering, w: Value, channels: int, taps: int) -> Tensor:
    """W as [taps][channels]."""
    if w.const is not None:
        return lo.derive("depthwise", [w.const], layout.pack_depthwise)
    source, target = lo.input(w), lo.temp((taps, channels))
    copy(lo, source, target, (taps, channels), (1, taps), (channels, 1))
    return target


def pack_weights(lo: Lowering, w: Value, groups: int) -> Tensor:
    """W[M, C / groups, kernel...] packed group by group; by steps when it is no constant."""
    if w.const is not None:
        return lo.derive(("conv", groups), [w.const], layout.pack_conv(groups))
    m, c, *kernel = w.shape
    n, taps = m // groups, prod(kernel)
    source, turned = lo.input(w), lo.temp((m, taps * c))
    copy(lo, source, turned, (m, taps, c), (c * taps, 1, taps), (taps * c, c, 1))
    return pack_steps(lo, turned, taps * c, n, 1, taps * c, groups, n * taps * c)


def pack_steps(lo: Lowering, source: Tensor, k: int, n: int, k_stride: int, n_stride: int, entries: int, stride: int) -> Tensor:
    """Emits the packing of `entries` matrices B[k, n]."""
    packed = lo.temp((entries * lo.packed_size(k, n),))
    args: Args = {"k": k, "n": n, "k_stride": k_stride, "n_stride": n_stride, "batch": (1, 1, entries), "b_stride": (0, 0, stride)}
    lo.emit("gemm_pack", args, [source, packed])
    return packed


# ---- transposed convolution


def transposed_geometry(node: Node, inp: Ints, kernel: Ints) -> tuple[Ints, Ints]:
    """(pads at the beginning, spatial output shape) of ONNX's ConvTranspose over `inp`."""
    rank = len(inp)
    stride, dilation = per_axis(node, "strides", rank, 1), per_axis(node, "dilations", rank, 1)
    extra = per_axis(node, "output_padding", rank, 0)
    if min((*stride, *dilation, *kernel), default=1) < 1 or min(extra, default=0) < 0:
        raise ModelError(
            f"{node.where}: kernel, strides and dilations must be positive, output_padding not negative: "
            f"{kernel}, {stride}, {dilation}, {extra}"
        )
    auto = auto_pad(node)
    full = tuple((i - 1) * s + (k - 1) * d + 1 + e for i, s, k, d, e in zip(inp, stride, kernel, dilation, extra, strict=True))
    wanted = node.attrs.get("output_shape")
    if "begin" in node.attrs:  # asymo::ConvTranspose
        return tuple(node.attrs["begin"]), tuple(node.attrs["output_shape"])
    if wanted is None and auto in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [i * s for i, s in zip(inp, stride, strict=True)]
    if wanted is None:
        pads = pads_of(node, rank)
        return pads[:rank], tuple(max(f - b - e, 0) for f, b, e in zip(full, pads[:rank], pads[rank:], strict=True))
    out = tuple(int(o) for o in wanted)[-rank:]
    if len(out) != rank or min(out, default=0) < 0:
        raise ModelError(f"{node.where}: attribute 'output_shape' is {tuple(wanted)}, there are {rank} spatial axes")
    total = [max(f - o, 0) for f, o in zip(full, out, strict=True)]
    return tuple(t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total), out


class _ConvTranspose(Operator):
    """Shapes of both forms of ConvTranspose."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, w = given(inputs), given(inputs, 1)
        dims, c, group = spatial(node, x), channels(node, x), int(node.attrs.get("group", 1))
        if len(w.dims) != len(dims) + 2 or group < 1 or w.dims[0] != c or c % group:
            raise ModelError(f"{node.where}: weights of shape {w.dims} with group {group} do not fit an input of shape {x.dims}")
        if len(dims) > 3:
            raise ModelError(f"{node.where}: convolutions over more than 3 spatial axes are not supported, the input has {len(dims)}")
        need_kernel(node, w)
        out = transposed_geometry(node, dims, w.dims[2:])[1]
        y = TensorType(x.dtype, arrange(node, x.dims[0], w.dims[1] * group, out))
        need_shape(node, inputs, BIAS, (w.dims[1] * group,))
        need_shape(node, inputs, RESIDUAL, y.dims)
        return [y]

    def is_native(self, node: Node) -> bool:
        return all_f32(node)


@operator("ConvTranspose")
class ConvTranspose(_ConvTranspose):
    """ONNX ConvTranspose; the planner rewrites it as asymo::ConvTranspose."""

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(4)

        def f(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        cases: list[tuple[tuple[int, ...], tuple[int, ...], dict]] = [
            ((1, 3, 5, 7), (3, 4, 3, 3), {}),
            ((2, 5, 4, 3), (5, 17, 2, 2), {"strides": [2, 2]}),
            ((1, 5, 4, 3), (5, 6, 3, 4), {"strides": [2, 3], "pads": [1, 0, 1, 2], "output_padding": [1, 2]}),
            ((1, 5, 4, 3), (5, 6, 2, 2), {"dilations": [2, 2], "strides": [2, 2], "pads": [1, 1, 0, 0]}),
            ((1, 5, 4, 3), (5, 6, 3, 2), {"dilations": [3, 2], "strides": [2, 1]}),
            ((1, 5, 4, 3), (5, 6, 2, 2), {"strides": [3, 3]}),
            ((1, 5, 4, 3), (5, 6, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
            ((1, 5, 4, 3), (5, 6, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
            ((2, 5, 11), (5, 3, 4), {"strides": [2], "pads": [1, 1]}),
            ((1, 2, 3, 4, 3), (2, 3, 2, 3, 3), {"strides": [2, 1, 2]}),
        ]
        for x, w, attrs in cases:  # groups and output_shape, which onnx.reference cannot do: tests/test_conv_transpose.py
            for constant in ((1, 2), ()):
                yield Example([f(*x), f(*w), f(w[1])], attrs, constant=constant)


@operator("ConvTranspose", domain="asymo")
class AsymoConvTranspose(_ConvTranspose):
    """See the module's docstring."""

    def lower(self, node: Node, lo: Lowering) -> None:
        assert node.attrs.get("channels_last"), f"{node.where}: the layout pass has not seen this node"
        x_value, w_value, y_value = given(node.inputs), given(node.inputs, 1), given(node.outputs)
        x, y = lo.input(x_value), lo.output(y_value)
        assert x is not None
        assert y is not None
        if 0 in y.shape:
            return
        batch, *dims, channels_in = x.shape
        inp, rank, group = tuple(dims), len(dims), int(node.attrs.get("group", 1))
        kernel: Ints = w_value.shape[2:]
        stride, dilation = per_axis(node, "strides", rank, 1), per_axis(node, "dilations", rank, 1)
        begin, out = transposed_geometry(node, inp, kernel)
        bias, residual, slope = lo.input(node.input(BIAS)), lo.input(node.input(RESIDUAL)), lo.input(node.input(SLOPE))
        c, n = channels_in // group, w_value.shape[1]
        x_batch, x_stride = channels_last_strides(inp, channels_in)
        y_batch, y_stride = channels_last_strides(out, n * group)
        axes = zip(inp, out, kernel, stride, dilation, begin, strict=True)
        for phase in product(*(axis_phases(*axis) for axis in axes)):
            sub_out = tuple(p.count for p in phase)
            if 0 in sub_out:
                continue
            packed = self._weights(lo, w_value, group, kernel, [p.taps for p in phase])
            taps = tuple(max(len(p.taps), 1) for p in phase)
            skip = triple(tuple(max(-p.pad, 0) for p in phase), 0)
            x_at = sum(s * t for s, t in zip(skip, x_stride, strict=True))
            y_at = sum(p.first * t for p, t in zip(phase, y_stride[3 - rank :], strict=True))
            y_step = tuple(s * t for s, t in zip(triple(stride, 1), y_stride, strict=True))
            args: Args = {
                "batch": batch, "groups": group, "c": c, "n": n,
                "in": tuple(max(i - s, 0) for i, s in zip(triple(inp, 1), skip, strict=True)), "out": triple(sub_out, 1),
                "kernel": triple(taps, 1), "stride": (1, 1, 1), "dilation": triple(tuple(p.dilation for p in phase), 1),
                "pad": triple(tuple(max(p.pad, 0) for p in phase), 0),
                "x_batch": x_batch, "y_batch": y_batch, "r_batch": y_batch,
                "x_stride": x_stride, "y_stride": y_step, "r_stride": y_step,
                **act_args(node),
            }  # fmt: skip
            lo.emit("conv", args, [x.at(x_at), packed, bias, residual and residual.at(y_at), slope, y.at(y_at)])

    @staticmethod
    def _weights(lo: Lowering, w: Value, group: int, kernel: Ints, taps: list[range]) -> Tensor:
        """W[C, M / group, kernel...] at these taps (descending), packed group by group as B[(taps..., C / group), M / group]."""
        c, n = w.shape[0] // group, w.shape[1]
        counts = tuple(max(len(t), 1) for t in taps)
        k = prod(counts) * c
        empty = any(len(t) == 0 for t in taps)
        if empty:  # no tap meets this phase: only bias and activation are left
            size = group * lo.packed_size(k, n)
            return lo.derive(("zeros", size), [], lambda: np.zeros(size, np.float32))
        if w.const is not None:

            def make(array: np.ndarray) -> np.ndarray:
                return layout.pack_gemm(take(array, taps).reshape(group, c, n, -1).transpose(0, 3, 1, 2).reshape(group, k, n))

            return lo.derive(("transposed", group, tuple(taps)), [w.const], make)
        source, turned = lo.input(w), lo.temp((group, k, n))
        strides = dense_strides(kernel)
        size = prod(kernel)
        at = sum(t[0] * s for t, s in zip(taps, strides, strict=True))
        shape = (group, *counts, c, n)
        src = (c * n * size, *(t.step * s for t, s in zip(taps, strides, strict=True)), n * size, size)
        copy(lo, source.at(at), turned, shape, src, dense_strides(shape))
        return pack_steps(lo, turned, k, n, n, 1, group, k * n)


def take(array: np.ndarray, taps: list[range]) -> np.ndarray:
    """The taps of each kernel axis (the axes from 2 on)."""
    for axis, t in enumerate(taps, 2):
        array = array.take(list(t), axis)
    return array


def dense_strides(shape: Ints) -> Ints:
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


class Phase:
    """The outputs first, first + stride, ... (count of them) of one axis: output t is sum_j X[t - pad + j dilation] W[taps[j]]."""

    __slots__ = ("count", "dilation", "first", "pad", "taps")

    def __init__(self, first: int, count: int, taps: range, dilation: int, pad: int) -> None:
        self.first, self.count, self.taps, self.dilation, self.pad = first, count, taps, dilation, pad


def axis_phases(inp: int, out: int, kernel: int, stride: int, dilation: int, begin: int) -> list[Phase]:
    """The phases of one axis of a transposed convolution.

    Output o takes X[i] W[k] with i stride + k dilation = o + begin. For o = first + t stride the taps are those k with
    (first + begin - k dilation) divisible by stride: every step-th one, and i falls by dilation / gcd from each to the next.
    """
    common = gcd(stride, dilation)
    step = stride // common
    phases = []
    for first in range(min(stride, out)):
        met = [k for k in range(min(step, kernel)) if (first + begin - k * dilation) % stride == 0]
        taps = range(0)
        pad = 0
        if met:
            last = met[0] + (kernel - 1 - met[0]) // step * step
            taps = range(last, met[0] - 1, -step)
            pad = -((first + begin - last * dilation) // stride)
        phases.append(Phase(first, -(-(out - first) // stride), taps, dilation // common, pad))
    return phases
