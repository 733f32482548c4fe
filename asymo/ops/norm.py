"""Normalisations.

LayerNormalization and RMSNormalization are lowered as they are. InstanceNormalization and GroupNormalization become asymo::GroupNorm
(statistics over the spatial axes and the channels of a group), LRN becomes asymo::LRN; both are lowered channels last. An inference
BatchNormalization that no convolution swallows becomes Mul and Add. MeanVarianceNormalization and LpNormalization are rewritten as the
reductions and elementwise operators that define them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.build import before, ints, scalar
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, axis_of, given, need_shape, operator
from asymo.ops.matmul import F32, all_f32
from asymo.plan.lower import Lowering
from asymo.plan.plan import Args


def rows_of(node: Node, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(axis, rows before it, elements from it on)."""
    axis = axis_of(node, int(node.attrs.get("axis", -1)), len(shape))
    return axis, prod(shape[:axis]), prod(shape[axis:])


class _RowNorm(Operator):
    """LayerNormalization and RMSNormalization: Y = (X - mean) / deviation * scale + bias over the axes from `axis` on."""

    rms = 0

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        axis, *_ = rows_of(node, x.dims)
        stash = TensorType(F32, (*x.dims[:axis], *(1 for _ in x.dims[axis:])))
        types: list[TensorType | None] = [x, stash, stash]
        return types[: max(len(node.outputs), 1)]

    def is_native(self, node: Node) -> bool:
        x = given(node.inputs)
        axis, _, size = rows_of(node, x.shape)
        fits = all(v is None or (prod(v.shape) == size and trimmed(v.shape) == trimmed(x.shape[axis:])) for v in node.inputs[1:])
        return all_f32(node) and fits and int(node.attrs.get("stash_type", 1)) == 1

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        mean, deviation = lo.output(node.output(1)), lo.output(node.output(2))
        _, outer, size = rows_of(node, x.shape)
        if outer * size == 0:
            return
        args: Args = {
            "rms": self.rms, "outer": outer, "groups": 1, "reduce": 1, "inner": size, "inner_reduced": 1, "param": 0,
            "eps": float(node.attrs.get("epsilon", 1e-5)),
        }  # fmt: skip
        lo.emit("norm", args, [x, lo.input(node.input(1)), lo.input(node.input(2)), y, mean, deviation])


def trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the axes of size 1 in front."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


@operator("LayerNormalization")
class LayerNormalization(_RowNorm):
    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(8)
        for shape, axis in [((3, 7), -1), ((2, 5, 33), -1), ((2, 5, 33), 1), ((2, 3, 1), 0), ((1, 129), 1)]:
            x = (3 * rng.standard_normal(shape) + 1).astype(np.float32)
            scale, bias = (rng.standard_normal(shape[axis:]).astype(np.float32) for _ in range(2))
            yield Example([x, scale, bias], {"axis": axis}, constant=(1, 2))
            yield Example([x, scale], {"axis": axis, "epsilon": 0.1})
            yield Example([x, scale, bias], {"axis": axis}, outputs=3)


@operator("RMSNormalization")
class RMSNormalization(_RowNorm):
    rms = 1

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(9)
        for shape, axis in [((3, 7), -1), ((2, 5, 33), -1), ((2, 5, 33), 1), ((2, 3, 1), 0)]:
            x, scale = (rng.standard_normal(s).astype(np.float32) for s in (shape, shape[axis:]))
            yield Example([x, scale], {"axis": axis}, opset=23, constant=(1,))
            yield Example([x, scale], {"axis": axis, "epsilon": 0.1}, opset=23)


@operator("InstanceNormalization", "GroupNormalization")
class GroupNormalization(Operator):
    """Channels first; the planner rewrites both as asymo::GroupNorm."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if node.op == "GroupNormalization" and node.opset < 21:  # scale and bias were given for each group
            node.attrs["param_per_group"] = 1

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        groups = node.attrs.get("num_groups", 1)
        if x.rank < 2 or groups < 1 or x.dims[1] % groups:
            raise ModelError(f"{node.where}: an input of shape {x.dims} has no channels that split into {groups} groups")
        for index in (1, 2):
            need_shape(node, inputs, index, (groups if node.attrs.get("param_per_group") else x.dims[1],))
        return [x]

    def is_native(self, node: Node) -> bool:
        return all_f32(node) and int(node.attrs.get("stash_type", 1)) == 1 and len(given(node.inputs).shape) > 2

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(10)
        for shape, groups in [((2, 6, 5, 7), 3), ((1, 34, 9), 2), ((2, 4, 3, 2, 5), 4), ((1, 5, 4, 4), 1)]:
            x, scale, bias = (rng.standard_normal(s).astype(np.float32) for s in (shape, shape[1], shape[1]))
            if self.name == "InstanceNormalization":
                yield Example([x, scale, bias], {"epsilon": 1e-3}, constant=(1, 2))
                yield Example([x, scale, bias])
            else:
                yield Example([x, scale, bias], {"num_groups": groups}, constant=(1, 2))
                yield Example([x, scale, bias], {"num_groups": groups, "epsilon": 1e-2})


@operator("GroupNorm", domain="asymo")
class AsymoGroupNorm(Operator):
    """inputs X, scale (C,), bias (C,); attrs channels_last, groups (C: InstanceNormalization), epsilon."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [given(inputs)]

    def lower(self, node: Node, lo: Lowering) -> None:
        assert node.attrs.get("channels_last"), f"{node.where}: the layout pass has not seen this node"
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        if 0 in x.shape:
            return
        batch, *dims, channels = x.shape
        groups = int(node.attrs["groups"])
        args: Args = {
            "rms": 0, "outer": batch, "groups": groups, "reduce": prod(dims), "inner": channels // groups, "inner_reduced": 1, "param": 1,
            "eps": float(node.attrs["epsilon"]),
        }  # fmt: skip
        lo.emit("norm", args, [x, lo.input(node.input(1)), lo.input(node.input(2)), y, None, None])


@operator("LRN")
class LRN(Operator):
    """Channels first; the planner rewrites it as asymo::LRN."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        if not 1 <= node.attrs["size"] < 1 << 31:
            raise ModelError(f"{node.where}: attribute 'size' is {node.attrs['size']}, it must be positive")
        return [given(inputs)]

    def is_native(self, node: Node) -> bool:
        return all_f32(node) and len(given(node.inputs).shape) > 2

    def examples(self) -> Iterator[Example]:  # batch = channels: onnx.reference fills no more channels than there are images
        rng = np.random.default_rng(11)
        yield Example([rng.standard_normal((5, 5, 5, 5)).astype(np.float32)], {"size": 3})
        yield Example(
            [rng.standard_normal((19, 19, 2, 3)).astype(np.float32)], {"size": 4, "alpha": 0.02, "beta": 0.6, "bias": 2.0}, tolerance=1e-5
        )


@operator("LRN", domain="asymo")
class AsymoLRN(Operator):
    """ONNX's LRN with the attribute channels_last."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [given(inputs)]

    def lower(self, node: Node, lo: Lowering) -> None:
        assert node.attrs.get("channels_last"), f"{node.where}: the layout pass has not seen this node"
        x, y = lo.input(given(node.inputs)), lo.output(given(node.outputs))
        if 0 in x.shape:
            return
        rows, channels = prod(x.shape[:-1]), x.shape[-1]
        args: Args = {
            "rows": rows, "channels": channels, "size": int(node.attrs["size"]),
            "alpha": float(node.attrs.get("alpha", 1e-4)), "beta": float(node.attrs.get("beta", 0.75)),
            "bias": float(node.attrs.get("bias", 1.0)),
        }  # fmt: skip
        lo.emit("lrn", args, [x, y])


@operator("BatchNormalization")
class BatchNormalization(Operator):
    """Inference only; the planner folds it into a convolution or rewrites it as Mul and Add."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, mean = given(inputs), given(inputs, 3)
        for index in range(1, 5) if node.attrs.get("spatial", 1) == 1 else ():
            need_shape(node, inputs, index, (x.dims[1] if x.rank > 1 else 1,))
        types: list[TensorType | None] = [x, mean, mean]
        return types[: max(len(node.outputs), 1)]

    def is_native(self, node: Node) -> bool:
        training = node.attrs.get("training_mode", 0) or len(node.outputs) > 1
        return all_f32(node) and not training and node.attrs.get("spatial", 1) == 1 and len(given(node.inputs).shape) > 1

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(12)
        for shape in [(2, 3, 4, 5), (1, 17, 3), (3, 5), (2, 3, 4, 2, 2)]:
            c = shape[1]
            x, scale, bias, mean = (rng.standard_normal(s).astype(np.float32) for s in (shape, c, c, c))
            variance = (0.1 + rng.random(c)).astype(np.float32)
            yield Example([x, scale, bias, mean, variance], {"epsilon": 1e-2}, constant=(1, 2, 3, 4))
            yield Example([x, scale, bias, mean, variance])


@operator("MeanVarianceNormalization")
class MeanVarianceNormalization(Operator):
    """(X - mean) / (deviation + 1e-9), rewritten by ONNX's own definition."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        x = given(node.inputs)
        axes = ints(graph, node.attrs.get("axes", [0, 2, 3]), "axes")
        mean = before(graph, node, "ReduceMean", [x, axes], {"keepdims": 1})
        centred = before(graph, node, "Sub", [x, mean])
        variance = before(graph, node, "ReduceMean", [before(graph, node, "Mul", [centred, centred]), axes], {"keepdims": 1})
        deviation = before(graph, node, "Add", [before(graph, node, "Sqrt", [variance]), scalar(graph, 1e-9)])
        node.op, node.attrs = "Div", {}
        node.set_inputs([centred, deviation])

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [given(inputs)]

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(13)
        yield Example([rng.standard_normal((2, 3, 4, 5)).astype(np.float32)], opset=13)
        yield Example([rng.standard_normal((2, 3, 4, 5)).astype(np.float32)], {"axes": [1, 3]}, opset=13)


@operator("LpNormalization")
class LpNormalization(Operator):
    """X / norm along an axis, 0 where the norm is 0; rewritten as a reduction and a division."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        x = given(node.inputs)
        kind = "ReduceL1" if int(node.attrs.get("p", 2)) == 1 else "ReduceL2"
        norm = before(graph, node, kind, [x, ints(graph, [int(node.attrs.get("axis", -1))], "axes")], {"keepdims": 1})
        positive = before(graph, node, "Max", [norm, scalar(graph, float(np.finfo(np.float32).tiny))])
        node.op, node.attrs = "Div", {}
        node.set_inputs([x, positive])

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [given(inputs)]

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(14)
        x = rng.standard_normal((2, 5, 7)).astype(np.float32)
        x[1, 2] = 0
        yield Example([x], {"axis": -1, "p": 2})
        yield Example([x], {"axis": 1})
        yield Example([np.abs(x)], {"axis": 2, "p": 1})
