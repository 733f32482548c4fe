"""Pooling: MaxPool, AveragePool and LpPool as ONNX has them, the global ones, and asymo::Pool, which is what gets lowered.

asymo::Pool
  input    X, channels last when the attribute channels_last says so, else channels first; only the former is lowered
  attrs    mode ("max", "average", "lp"), kernel_shape, strides, pads, dilations, ceil_mode, count_include_pad, p, storage_order
  outputs  Y, and for "max" the indices: int64 positions in the flattened channels-first tensor (column-major in the spatial axes' last
           two when storage_order is 1), in the layout of Y
Global pools become ReduceMean and ReduceMax, which any layout suits.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, given, operator
from asymo.ops.matmul import F32, all_f32
from asymo.ops.window import arrange, channels, channels_last_strides, spatial, triple, window
from asymo.plan.lower import Lowering
from asymo.plan.plan import Args

MODES = {"max": 0, "average": 1, "lp": 2}


class _Pool(Operator):
    """Shapes of pooling."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        dims = spatial(node, x)
        win = window(node, dims, tuple(node.attrs["kernel_shape"]))
        shape = arrange(node, x.dims[0], channels(node, x), win.out)
        types: list[TensorType | None] = [TensorType(x.dtype, shape), TensorType(np.dtype(np.int64), shape)]
        return types[: max(len(node.outputs), 1)]

    def is_native(self, node: Node) -> bool:
        return all_f32(node) and node.inputs[0] is not None and 3 <= len(node.inputs[0].shape) <= 5


@operator("MaxPool", "AveragePool", "LpPool")
class Pool(_Pool):
    """ONNX's pools; the planner rewrites them as asymo::Pool."""

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(5)
        cases: list[tuple[tuple[int, ...], dict]] = [
            ((1, 3, 8, 9), {"kernel_shape": [2, 2], "strides": [2, 2]}),
            ((2, 17, 7, 11), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
            ((1, 5, 7, 10), {"kernel_shape": [3, 2], "strides": [2, 3], "ceil_mode": 1}),
            ((1, 5, 7, 10), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 2], "ceil_mode": 1}),
            ((1, 5, 7, 10), {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
            ((1, 5, 7, 10), {"kernel_shape": [2, 4], "auto_pad": "SAME_LOWER"}),
            ((1, 5, 7, 10), {"kernel_shape": [2, 2], "dilations": [2, 3]}),
            ((1, 5, 23), {"kernel_shape": [4], "strides": [3], "pads": [1, 2]}),
            ((1, 3, 6, 5, 7), {"kernel_shape": [2, 3, 2], "strides": [2, 1, 2], "pads": [1, 0, 0, 0, 1, 1]}),
        ]
        for shape, attrs in cases:
            x = rng.standard_normal(shape).astype(np.float32)
            if self.name == "AveragePool":
                yield Example([x], attrs)
                yield Example([x], {**attrs, "count_include_pad": 1})
            elif self.name == "LpPool" and "ceil_mode" in attrs:
                continue  # onnx.reference takes other windows than for the other pools
            elif self.name == "LpPool":
                yield Example([x], attrs)
                yield Example([np.abs(x)], {**attrs, "p": 3})
            else:
                yield Example([x], attrs)
                if len(shape) == 4 and "dilations" not in attrs and attrs.get("auto_pad") != "SAME_LOWER":  # onnx.reference
                    yield Example([x], attrs, outputs=2)


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
class GlobalPool(Operator):
    """Pools over all spatial axes; the planner rewrites them as reductions (GlobalLpPool with p > 2: asymo::Pool)."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        dims = spatial(node, x)
        return [TensorType(x.dtype, arrange(node, x.dims[0], channels(node, x), (1,) * len(dims)))]

    def is_native(self, node: Node) -> bool:
        fits = self.name != "GlobalLpPool" or node.attrs.get("p", 2) in (1, 2) or len(given(node.inputs).shape) <= 5
        return all_f32(node) and fits

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(6)
        shapes: list[tuple[int, ...]] = [(1, 5, 7, 9), (2, 33, 1, 1)]
        if self.name == "GlobalAveragePool":  # onnx.reference's GlobalMaxPool knows images only, and there is no GlobalLpPool
            shapes += [(1, 3, 17), (2, 3, 4, 5, 3)]
        if self.name != "GlobalLpPool":
            for shape in shapes:
                yield Example([rng.standard_normal(shape).astype(np.float32)])


@operator("Pool", domain="asymo")
class AsymoPool(_Pool):
    """See the module's docstring."""

    def lower(self, node: Node, lo: Lowering) -> None:
        assert node.attrs.get("channels_last"), f"{node.where}: the layout pass has not seen this node"
        x, y, indices = lo.input(given(node.inputs)), lo.output(given(node.outputs)), lo.output(node.output(1))
        assert x is not None
        assert y is not None
        assert x.dtype == F32
        if 0 in y.shape:
            return
        batch, *dims, depth = x.shape
        win = window(node, tuple(dims), tuple(node.attrs["kernel_shape"]))
        x_batch, x_stride = channels_last_strides(win.inp, depth)
        y_batch, y_stride = channels_last_strides(win.out, depth)
        args: Args = {
            "mode": MODES[node.attrs["mode"]], "batch": batch, "channels": depth,
            "in": triple(win.inp, 1), "out": triple(win.out, 1), "kernel": triple(win.kernel, 1), "stride": triple(win.stride, 1),
            "dilation": triple(win.dilation, 1), "pad": triple(win.begin, 0), "pad_end": triple(win.end, 0),
            "x_batch": x_batch, "y_batch": y_batch, "x_stride": x_stride, "y_stride": y_stride,
            "include_pad": int(node.attrs.get("count_include_pad", 0)), "column_major": int(node.attrs.get("storage_order", 0)),
            "p": float(node.attrs.get("p", 2)),
        }  # fmt: skip
        lo.emit("pool", args, [x, y, indices])
