"""Conv as ONNX has it, and asymo::Conv, which is what gets lowered.

asymo::Conv  Y = act(conv(X, W) + bias + residual)
  inputs   X, W as ONNX (M, C / group, kernel...), bias (M,) or absent, residual (the shape of Y) or absent, slope (M,) or absent;
           of a 1x1 convolution also scale (N, 1..., C) or absent: it stands for the convolution of X * scale
  attrs    kernel_shape, strides, pads (begin..., end...), dilations, group; channels_last: X, residual and Y are (N, spatial..., channels),
           else (N, channels, spatial...); only the former is lowered; act, p, q: see ops/epilogue.py

Which algorithm runs is a function of the shapes only:
  depthwise         one channel in and out of each of several groups,
                    1-D or 2-D; one channel: see `is_line`           dwconv
  1x1, stride 1     no padding, one group                               gemm
  3x3, 5x5          stride 1, where `plan.tiles.winograd_tile` says so  winograd
  else                                                                  conv (indirect GEMM)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType, Value
from asymo.ops import Example, Operator, given, need_shape, operator
from asymo.ops.eltwise import emit_walk
from asymo.ops.epilogue import BIAS, RESIDUAL, SLOPE, act_args
from asymo.ops.matmul import all_f32
from asymo.ops.window import Window, arrange, channels, channels_last_strides, spatial, triple, window
from asymo.plan import layout
from asymo.plan.lower import Lowering
from asymo.plan.move import copy
from asymo.plan.plan import Args
from asymo.plan.strides import collapse, dense
from asymo.plan.tensor import Tensor
from asymo.plan.tiles import LANES, winograd_tile
from asymo.record import NamedTuple

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
        site = _site(node, lo)
        if 0 in site.y.shape:
            return
        if site.c == 1 and site.n == site.group and len(site.win.inp) < 3:
            args: Args = {"channels": site.group, **_taps(site.win, 2), **_planes(site, 2)}
            if site.group > 1 or is_line(args):
                weights = depthwise_weights(lo, site.w, site.group, prod(site.win.kernel))
                lo.emit("dwconv", args if site.group > 1 else cut_line(args), [site.x, weights, *site.tail])
                return
        if site.group == 1 and site.win.is_pointwise:
            _emit_gemm(site, lo)
        elif tile := _winograd_tile(site):
            _emit_winograd(site, lo, tile)
        else:
            args = {"groups": site.group, "c": site.c, "n": site.n // site.group, **_taps(site.win, 3), **_planes(site, 3)}
            lo.emit("conv", args, [site.x, pack_weights(lo, site.w, site.group), *site.tail])


class _Site(NamedTuple):
    """A node with its tensors and geometry. c: input channels of a group, n: output channels of all groups."""

    node: Node
    win: Window
    batch: int
    group: int
    c: int
    n: int
    x: Tensor
    w: Value
    bias: Tensor | None
    residual: Tensor | None
    slope: Tensor | None
    y: Tensor

    @property
    def tail(self) -> tuple[Tensor | None, ...]:
        """The operands behind the weights."""
        return self.bias, self.residual, self.slope, self.y


def _site(node: Node, lo: Lowering) -> _Site:
    x, w, y = lo.input(given(node.inputs)), given(node.inputs, 1), lo.output(given(node.outputs))
    assert x is not None
    assert y is not None
    batch, *dims, _ = x.shape
    n, c, *kernel = w.shape
    bias, residual, slope = (lo.input(node.input(i)) for i in (BIAS, RESIDUAL, SLOPE))
    win = window(node, tuple(dims), tuple(kernel))
    return _Site(node, win, batch, int(node.attrs.get("group", 1)), c, n, x, w, bias, residual, slope, y)


def _taps(win: Window, axes: int) -> Args:
    """The kernel over the last `axes` of depth, height and width."""
    return {"kernel": triple(win.kernel, 1)[-axes:], "stride": triple(win.stride, 1)[-axes:], "dilation": triple(win.dilation, 1)[-axes:]}


def _planes(site: _Site, axes: int) -> Args:
    """Where the elements lie over the last `axes` of depth, height and width, and what happens to the sums."""
    win = site.win
    x_batch, x_stride = channels_last_strides(win.inp, site.c * site.group)
    y_batch, y_stride = channels_last_strides(win.out, site.n)
    return {
        "batch": site.batch, "in": triple(win.inp, 1)[-axes:], "out": triple(win.out, 1)[-axes:], "pad": triple(win.begin, 0)[-axes:],
        "x_batch": x_batch, "y_batch": y_batch, "r_batch": y_batch,
        "x_stride": x_stride[-axes:], "y_stride": y_stride[-axes:], "r_stride": y_stride[-axes:],
        **act_args(site.node),
    }  # fmt: skip


def _emit_gemm(site: _Site, lo: Lowering) -> None:
    """A 1x1 convolution: pixels x channels. With a scale each image has weights of its own, and is an entry of the step's batch."""
    scale, packed = lo.input(site.node.input(SCALE)), pack_weights(lo, site.w, 1)
    images = 1 if scale is None else site.batch
    m, n, k = prod(site.win.inp) * site.batch // images, site.n, site.c
    if scale is not None:
        packed = scaled_weights(lo, packed, scale, k, n, images)
    strides = {"a_stride": m * k, "b_stride": lo.packed_size(k, n), "c_stride": m * n, "r_stride": m * n}
    args: Args = {
        "m": m, "n": n, "k": k, "lda": k, "ldc": n, "ldr": n, "batch": (1, 1, images),
        **{name: (0, 0, stride if images > 1 else 0) for name, stride in strides.items()}, **act_args(site.node),
    }  # fmt: skip
    lo.emit("gemm", args, [site.x, packed, *site.tail])


def _winograd_tile(site: _Site) -> int:
    """The side of the output tiles, 0 for no Winograd: this form does not do this convolution, or gains nothing."""
    win = site.win
    fits = (win.stride, win.dilation, site.group) == ((1, 1), (1, 1), 1) and site.w.is_const
    return winograd_tile(win.kernel, site.c, site.n, win.out, site.batch) if fits else 0


def _emit_winograd(site: _Site, lo: Lowering, tile: int) -> None:
    packed = lo.derive(("winograd", tile), site.w.parts, layout.pack_winograd(tile))
    args = {"tile": tile, "kernel": site.win.kernel, "c": site.c, "n": site.n, **_planes(site, 2)}
    lo.emit("winograd", args, [site.x, packed, *site.tail])


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
    if w.is_const:
        return lo.derive("depthwise", w.parts, layout.pack_depthwise)
    source, target = lo.input(w), lo.temp((taps, channels))
    copy(lo, source, target, (taps, channels), (1, taps), (channels, 1))
    return target


def pack_weights(lo: Lowering, w: Value, groups: int) -> Tensor:
    """W[M, C / groups, kernel...] packed group by group; by steps when it is no constant."""
    if w.is_const:
        return lo.derive(("conv", groups), w.parts, layout.pack_conv(groups))
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
