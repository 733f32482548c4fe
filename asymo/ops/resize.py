"""Resize (and Upsample of older opsets): separable, one asymo::Resample per axis that changes.

A table says for each position of the output axis which positions of the input axis it takes and with which weights. Tables are made in
float64 from ONNX's formulas (operator Resize, section "coordinate_transformation_mode") and rounded to fp32 once.

asymo::Resample  inputs X, index (int32 [count, taps]), weights (fp32 [count, taps]) or absent (one tap, copied); attr axis
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, floor, isclose, prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, axis_of, given, known, operator
from asymo.ops.matmul import F32
from asymo.ops.window import text
from asymo.plan.lower import Lowering
from asymo.plan.move import copy
from asymo.record import NamedTuple

Ints = tuple[int, ...]


class Rule(NamedTuple):
    """How an axis is resampled: what all axes of a node share."""

    mode: str
    coordinates: str
    nearest: str
    antialias: bool
    cubic_a: float
    exclude_outside: bool


class Axis(NamedTuple):
    """One axis that changes: its sizes, the scale (output / input, before rounding the output's size) and the region of interest."""

    axis: int
    inp: int
    out: int
    scale: float
    start: float
    end: float


def rule_of(node: Node) -> Rule:
    attrs = node.attrs
    return Rule(
        text(attrs.get("mode", "nearest")),
        text(attrs.get("coordinate_transformation_mode", "half_pixel")),
        text(attrs.get("nearest_mode", "round_prefer_floor")),
        bool(attrs.get("antialias", 0)),
        float(attrs.get("cubic_coeff_a", -0.75)),
        bool(attrs.get("exclude_outside", 0)),
    )


def axes_of(node: Node, shape: Ints) -> list[Axis]:
    """Every resized axis, those that stay as they are left out."""
    rank = len(shape)
    axes = [axis_of(node, int(a), rank) for a in node.attrs.get("axes") or range(rank)]
    sizes = known(node, 3) if node.input(3) is not None else np.empty(0)
    scales = known(node, 2) if node.input(2) is not None else np.empty(0)
    if sizes.size == 0 and scales.size == 0:
        raise ModelError(f"{node.where}: needs either scales or sizes")
    if (sizes if sizes.size else scales).size != len(axes):
        raise ModelError(f"{node.where}: {(sizes if sizes.size else scales).size} scales or sizes for {len(axes)} axes")
    if not (np.isfinite(scales).all() and (sizes.size or (scales > 0).all()) and (sizes >= 0).all()):
        raise ModelError(f"{node.where}: scales must be positive and finite, sizes not negative: {[*scales]}, {[*sizes]}")
    if sizes.size:
        outs = [int(s) for s in sizes]
        factors = [o / shape[a] if shape[a] else 1.0 for o, a in zip(outs, axes, strict=True)]
        policy = text(node.attrs.get("keep_aspect_ratio_policy", "stretch"))
        if policy != "stretch":
            factor = min(factors) if policy == "not_larger" else max(factors)
            factors = [factor] * len(axes)
            outs = [int(factor * shape[a] + 0.5) for a in axes]
    else:
        factors = [float(s) for s in scales]
        outs = [floor(f * shape[a]) for f, a in zip(factors, axes, strict=True)]
    roi = np.array([0.0] * len(axes) + [1.0] * len(axes))
    if text(node.attrs.get("coordinate_transformation_mode", "half_pixel")) == "tf_crop_and_resize" and node.input(1) is not None:
        roi = known(node, 1).astype(np.float64)
    result = []
    for i, (a, out, factor) in enumerate(zip(axes, outs, factors, strict=True)):
        if out and not shape[a]:
            raise ModelError(f"{node.where}: cannot resize axis {a} of shape {shape}, which is empty, to {out}")
        start, end = float(roi[i]), float(roi[len(axes) + i])
        if not (isclose(factor, 1.0) and out == shape[a] and isclose(start, 0.0) and isclose(end, 1.0)):
            result.append(Axis(a, shape[a], out, factor, start, end))
    return result


def positions(rule: Rule, axis: Axis) -> np.ndarray:
    """Where on the input axis each output position lies."""
    x = np.arange(axis.out, dtype=np.float64)
    width = axis.scale * axis.inp
    match rule.coordinates:
        case "half_pixel":
            return (x + 0.5) / axis.scale - 0.5
        case "half_pixel_symmetric":
            return axis.inp / 2 * (1 - axis.out / width) + (x + 0.5) / axis.scale - 0.5
        case "pytorch_half_pixel":
            return (x + 0.5) / axis.scale - 0.5 if width != 1 else np.full(axis.out, -0.5)
        case "align_corners":
            return x * (axis.inp - 1) / (width - 1) if width != 1 else np.zeros(axis.out)
        case "asymmetric":
            return x / axis.scale
        case "tf_half_pixel_for_nn":
            return (x + 0.5) / axis.scale
        case "tf_crop_and_resize":
            first, region = axis.start * (axis.inp - 1), (axis.end - axis.start) * (axis.inp - 1)
            return first + (x * region / (width - 1) if width != 1 else np.full(axis.out, region / 2))
    raise ModelError(f"Resize: unknown coordinate_transformation_mode {rule.coordinates!r}")


def extrapolated(rule: Rule, axis: Axis) -> np.ndarray | None:
    """Which output positions lie outside the input; None when none does or the mode has no such thing."""
    if rule.coordinates != "tf_crop_and_resize":
        return None
    x = positions(rule, axis)
    outside = (x < 0) | (x > axis.inp - 1)
    return outside if outside.any() else None


def nearest_index(rule: Rule, x: np.ndarray) -> np.ndarray:
    match rule.nearest:
        case "round_prefer_floor":
            return np.asarray(np.ceil(x - 0.5))
        case "round_prefer_ceil":
            return np.asarray(np.floor(x + 0.5))
        case "floor":
            return np.asarray(np.floor(x))
        case "ceil":
            return np.asarray(np.ceil(x))
    raise ModelError(f"Resize: unknown nearest_mode {rule.nearest!r}")


def weight(rule: Rule, distance: np.ndarray) -> np.ndarray:
    """The filter at these distances."""
    d = np.abs(distance)
    if rule.mode == "linear":
        return np.asarray(np.maximum(1 - d, 0))
    a = rule.cubic_a
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


@lru_cache(maxsize=256)
def table(rule: Rule, axis: Axis) -> tuple[np.ndarray, np.ndarray | None]:
    """(index int32 [out, taps], weights fp32 [out, taps] or None for nearest)."""
    x = positions(rule, axis)
    if rule.mode == "nearest":
        index = np.clip(nearest_index(rule, x), 0, axis.inp - 1)
        return np.ascontiguousarray(index.astype(np.int32)[:, None]), None
    squeeze = min(axis.scale, 1.0) if rule.antialias else 1.0
    reach = (1 if rule.mode == "linear" else 2) / squeeze
    index = np.floor(x)[:, None] + np.arange(1 - ceil(reach), ceil(reach) + 1)
    weights = weight(rule, (index - x[:, None]) * squeeze)
    if rule.exclude_outside:
        weights[(index < 0) | (index >= axis.inp)] = 0
    if rule.exclude_outside or rule.antialias:
        total = weights.sum(axis=1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
    index = np.clip(index, 0, max(axis.inp - 1, 0)).astype(np.int32)
    return np.ascontiguousarray(index), np.ascontiguousarray(weights.astype(np.float32))


@operator("Resize", "Upsample")
class Resize(Operator):
    """ONNX Resize; the planner rewrites it as asymo::Resample."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if node.op == "Resize" and node.opset >= 11:
            return
        scales = node.input(1)
        if scales is None:  # Upsample before opset 9
            scales = graph.constant(np.asarray(node.attrs.pop("scales"), np.float32), "scales")
        node.op = "Resize"
        node.attrs.update(coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        node.set_inputs([given(node.inputs), None, scales])

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        shape = list(x.dims)
        for axis in axes_of(node, tuple(shape)):
            shape[axis.axis] = axis.out
        return [TensorType(x.dtype, tuple(shape))]

    def is_native(self, node: Node) -> bool:
        return node.inputs[0] is not None and node.inputs[0].dtype == F32

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(18)
        x = rng.standard_normal((1, 3, 5, 7)).astype(np.float32)
        scales = [np.array(s, np.float32) for s in ([1, 1, 2, 2], [1, 1, 0.6, 1.7], [1, 1, 3, 1])]
        sizes = np.array([1, 3, 4, 9], np.int64)
        if self.name == "Upsample":
            yield Example([x, scales[0]], {"mode": "nearest"}, opset=9, constant=(1,))  # onnx.reference knows no other mode
            return
        for mode in ("nearest", "linear", "cubic"):
            for coordinates in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"):
                attrs = {"mode": mode, "coordinate_transformation_mode": coordinates}
                for s in scales[:2]:
                    yield Example([x, None, s], attrs, constant=(2,))
                yield Example([x, None, None, sizes], attrs, constant=(3,))
            if mode != "nearest":
                for extra in ({"antialias": 1}, {"exclude_outside": 1}, {"antialias": 1, "exclude_outside": 1}, {"cubic_coeff_a": -0.5}):
                    yield Example([x, None, scales[1]], {"mode": mode, **extra}, constant=(2,))
            roi = np.array([0, 0, 0.2, -0.3, 1, 1, 0.9, 1.2], np.float32)
            crop = {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 10.0}
            yield Example([x, roi, None, sizes], crop, constant=(1, 3))
        for nearest in ("round_prefer_ceil", "floor", "ceil"):
            yield Example([x, None, scales[1]], {"nearest_mode": nearest}, constant=(2,))
        for policy in ("not_larger", "not_smaller"):
            kept = {"mode": "linear", "keep_aspect_ratio_policy": policy, "axes": [3, 2]}
            yield Example([x, None, None, np.array([9, 4], np.int64)], kept, constant=(3,))
        yield Example([x, None, np.array([1.5], np.float32)], {"mode": "linear", "axes": [2]}, constant=(2,))
        yield Example([x, None, scales[2]], {"mode": "linear"}, constant=(2,))


@operator("Resample", domain="asymo")
class Resample(Operator):
    """See the module's docstring."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, index = given(inputs), given(inputs, 1)
        axis = node.attrs["axis"]
        return [TensorType(x.dtype, (*x.dims[:axis], index.dims[0], *x.dims[axis + 1 :]))]

    def lower(self, node: Node, lo: Lowering) -> None:
        x, index, weights = (lo.input(node.input(i)) for i in range(3))
        y = lo.output(given(node.outputs))
        assert x is not None
        assert index is not None
        if 0 in y.shape:
            return
        axis = node.attrs["axis"]
        count, taps = index.shape
        outer, inner = prod(x.shape[:axis]), prod(x.shape[axis + 1 :])
        times = _repeats(given(node.inputs, 1).const, x.shape[axis]) if weights is None else None
        if times is not None:
            shape, size = (outer, x.shape[axis], times, inner), x.shape[axis] * inner
            copy(lo, x, y, shape, (size, inner, 0, 1), (times * size, times * inner, inner, 1))
            return
        args = {"outer": outer, "axis": x.shape[axis], "count": count, "inner": inner, "taps": taps}
        lo.emit("resample", args, [x, index, weights, y])


def _repeats(index: np.ndarray | None, size: int) -> int | None:
    """How often every entry of an axis of `size` is repeated, where that is all that the index does."""
    if index is None or not size or index.size % size:
        return None
    times = index.size // size
    return times if np.array_equal(index.reshape(-1), np.repeat(np.arange(size), times)) else None
