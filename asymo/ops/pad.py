"""Pad (ONNX 21) in all modes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, axis_of, given, given_ints, known_ints, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import copy, is_movable
from asymo.plan.strides import dense


def pads_of(node: Node, rank: int) -> list[tuple[int, int]]:
    """(begin, end) of every axis; negative crops. Raises NeedsValue."""
    pads, axes = given_ints(node, 1), known_ints(node, 3)
    axes = tuple(range(rank)) if axes is None else tuple(axis_of(node, a, rank) for a in axes)
    if len(pads) != 2 * len(axes):
        raise ModelError(f"{node.where}: {len(pads)} pads do not fit {len(axes)} axes")
    result = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        result[axis] = pads[i], pads[i + len(axes)]
    return result


def _mode(node: Node) -> str:
    mode = node.attrs.get("mode", "constant")
    return mode.decode() if isinstance(mode, bytes) else mode


def runs(length: int, begin: int, end: int, mode: str) -> list[tuple[int, int, int, int]]:
    """Which elements of an axis lie where after padding, as runs (target, count, source, step)."""
    index = np.arange(length)[max(-begin, 0) : length - max(-end, 0)]
    index = np.pad(index, (max(begin, 0), max(end, 0)), mode)  # type: ignore[call-overload]
    result: list[tuple[int, int, int, int]] = []
    at = 0
    while at < len(index):
        count, step = 1, 1
        if at + 1 < len(index):
            step = int(index[at + 1] - index[at])
            while step in (-1, 0, 1) and at + count < len(index) and index[at + count] == index[at] + count * step:
                count += 1
        result.append((at, count, int(index[at]), step if count > 1 else 1))
        at += count
    return result


@operator("Pad")
class Pad(Operator):
    """constant fills around the input; reflect, edge and wrap read the input there."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if "pads" in node.attrs:
            node.set_input(1, graph.constant(np.asarray(node.attrs.pop("pads"), np.int64), "pads"))
            if value := node.attrs.pop("value", 0.0):
                node.set_input(2, graph.constant(np.asarray(value, np.float32), "value"))

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        pads = pads_of(node, x.rank)
        if _mode(node) not in ("constant", "reflect", "edge", "wrap"):
            raise ModelError(f"{node.where}: unknown mode {_mode(node)!r}")
        shape = tuple(n + b + e for n, (b, e) in zip(x.dims, pads, strict=True))
        if min(shape, default=0) < 0:
            raise ModelError(f"{node.where}: pads {pads} take more than {x.dims} has")
        if _mode(node) != "constant" and any(n + min(b, 0) + min(e, 0) <= 0 < m for n, m, (b, e) in zip(x.dims, shape, pads, strict=True)):
            raise ModelError(f"{node.where}: mode {_mode(node)!r} cannot pad an empty axis of {x.dims}")
        return [TensorType(x.dtype, shape)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        x, pads = given(arrays), pads_of(node, given(arrays).ndim)
        x = x[tuple(slice(max(-b, 0), n - max(-e, 0)) for n, (b, e) in zip(x.shape, pads, strict=True))]
        widths = [(max(b, 0), max(e, 0)) for b, e in pads]
        if _mode(node) == "constant":
            value = given(arrays, 2).item() if len(arrays) > 2 and arrays[2] is not None else 0
            return [np.pad(x, widths, constant_values=value)]
        return [np.pad(x, widths, _mode(node))]  # type: ignore[call-overload]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        x = lo.input(given(node.inputs))
        pads = pads_of(node, len(x.shape))
        if not any(b or e for b, e in pads):
            lo.alias(given(node.outputs), x)
            return
        y = lo.output(given(node.outputs))
        src, dst = dense(x.shape), dense(y.shape)
        if _mode(node) == "constant":
            value = lo.input(node.input(2)) or lo.const(np.zeros(1, x.dtype))
            copy(lo, value, y, y.shape, [0] * len(src), dst)
            axes = [[(max(b, 0), n + min(b, 0) + min(e, 0), max(-b, 0), 1)] for n, (b, e) in zip(x.shape, pads, strict=True)]
        else:
            axes = [runs(n, b, e, _mode(node)) for n, (b, e) in zip(x.shape, pads, strict=True)]
        for box in product(*axes):
            source = sum(run[2] * s for run, s in zip(box, src, strict=True))
            target = sum(run[0] * s for run, s in zip(box, dst, strict=True))
            shape = [max(run[1], 0) for run in box]
            copy(lo, x.at(source), y.at(target), shape, [run[3] * s for run, s in zip(box, src, strict=True)], dst)

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
        two = np.array(2.5, np.float32)
        pads = np.array([0, 1, 2, 3, 0, 0, 1, 2])
        yield Example([x, pads, two], constant=(1, 2))
        yield Example([x, pads], {"mode": "constant"}, constant=(1,))
        for mode in ("reflect", "edge", "wrap"):
            yield Example([x, np.array([0, 0, 2, 3, 0, 0, 1, 2])], {"mode": mode}, constant=(1,))
            yield Example([x, np.array([1, 3]), None, np.array([-1])], {"mode": mode}, constant=(1, 3))
        yield Example([x, np.array([2, 1, 0, 3]), two, np.array([3, 1])], constant=(1, 3))
        yield Example([x.astype(np.int32), pads, np.array(7, np.int32)], constant=(1, 2))
        yield Example([x], {"pads": [0, 0, 1, 1, 0, 0, 2, 0], "value": 1.5}, opset=10)
