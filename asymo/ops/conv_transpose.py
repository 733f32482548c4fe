"""ConvTranspose as ONNX has it, and asymo::ConvTranspose, which is what gets lowered.

asymo::ConvTranspose  Y = act(transposed conv(X, W) + bias + residual)
  inputs   as of asymo::Conv (ops/conv.py), W as ONNX (C, M / group, kernel...)
  attrs    the same, but instead of pads begin (what is cut off in front, per spatial axis) and output_shape (spatial)

A transposed convolution is one convolution per output phase: the outputs at r, r + stride, r + 2 stride, ... of each axis see the same taps
of the kernel, backwards, at stride 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import gcd, prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType, Value
from asymo.ops import Example, Operator, given, need_shape, operator
from asymo.ops.conv import need_kernel, pack_steps
from asymo.ops.epilogue import BIAS, RESIDUAL, SLOPE, act_args
from asymo.ops.matmul import all_f32
from asymo.ops.window import Ints, arrange, channels, channels_last_strides, per_axis, spatial, transposed_geometry, triple
from asymo.plan import layout
from asymo.plan.lower import Lowering
from asymo.plan.move import copy
from asymo.plan.plan import Args
from asymo.plan.tensor import Tensor


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
