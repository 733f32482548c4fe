"""Attention (ONNX 25), and asymo::Attention, which the pass fuse_attention makes. Both become one step over strided operands.

asymo::Attention  Y = softmax(scale Q K^T + mask) V over views of its inputs
  inputs   the memory that holds Q, K, V and the mask, or no mask
  attrs    args: what the step needs but its units; offsets: elements at which each input begins; shape: of Y
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, given, operator
from asymo.ops.matmul import F32, all_f32, merge_dims, spread
from asymo.plan import strides
from asymo.plan.lower import Lowering
from asymo.plan.plan import Args
from asymo.record import NamedTuple

Ints = tuple[int, ...]


class Strided(NamedTuple):
    """An operand of shape (..., rows, elements); steps: elements from entry to entry of every axis."""

    shape: Ints
    steps: Ints

    def batch(self, rank: int) -> Ints:
        """Steps over a broadcast batch of so many axes."""
        return spread(self.shape[:-2], self.steps[:-2], rank)


def step_args(q: Strided, k: Strided, v: Strided, mask: Strided | None, y: Strided, scale: float, idle: int = 0) -> Args | None:
    """The step's arguments but its units; None when the batch needs more than three strides. K has a row for every key. The mask has the
    rank of Y; its last axis is as long as there are keys."""
    batch, rows = y.shape[:-2], y.shape[-2]
    over = mask or Strided((1,) * len(y.shape), (0,) * len(y.shape))
    parts = [x.batch(len(batch)) for x in (q, k, v, over, y)]
    dims = merge_dims(list(zip(batch, *parts, strict=True)))
    if len(dims) > 3:
        return None
    sizes, *steps = zip(*([(1, 0, 0, 0, 0, 0)] * (3 - len(dims)) + dims), strict=True)
    return {
        "batch": sizes, "rows": rows, "keys": k.shape[-2], "depth": k.shape[-1], "width": v.shape[-1],
        "q_stride": steps[0], "k_stride": steps[1], "v_stride": steps[2], "mask_stride": steps[3], "y_stride": steps[4],
        "q_row": q.steps[-2], "k_row": k.steps[-2], "v_row": v.steps[-2], "mask_row": over.steps[-2] if over.shape[-2] > 1 else 0,
        "y_row": y.steps[-2], "idle": idle, "scale": scale,
    }  # fmt: skip


@operator("Attention", domain="asymo")
class AsymoAttention(Operator):
    """See the module's docstring."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(F32, node.attrs["shape"])]

    def is_native(self, node: Node) -> bool:
        return all_f32(node)

    def lower(self, node: Node, lo: Lowering) -> None:
        inputs = [lo.input(node.input(i)) for i in range(4)]
        views = [x and x.at(offset) for x, offset in zip(inputs, node.attrs["offsets"], strict=True)]
        lo.emit("attention", node.attrs["args"], [*views, lo.output(given(node.outputs))])

    def examples(self) -> Iterator[Example]:
        return iter(())  # no ONNX node looks like this; tests/test_fusions.py runs what the pass makes


def heads(node: Node, shape: Ints, name: str) -> Strided:
    """(batch, heads, rows, elements) of an input or output; of rank 3 its heads lie side by side in a row."""
    if len(shape) == 4:
        return Strided(shape, strides.dense(shape))
    count = int(node.attrs.get(name, 0))
    if len(shape) != 3 or count < 1 or shape[2] % count:
        raise ModelError(f"{node.where}: a tensor of shape {shape} does not hold {name} = {count} heads")
    batch, rows, width = shape
    return Strided((batch, count, rows, width // count), (rows * width, width // count, width, 1))


def shared(x: Strided, queries: int) -> Strided:
    """With an axis for the queries that share a head of keys: (batch, heads, queries, rows, elements)."""
    return Strided((*x.shape[:2], queries, *x.shape[2:]), (*x.steps[:2], 0, *x.steps[2:]))


@operator("Attention")
class Attention(Operator):
    """ONNX Attention. Native: fp32, no cache, no window, no cap, a mask of numbers or causal."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        tensors = [given(inputs, i).dims for i in range(3)]
        q, k, v = (heads(node, dims, f"{side}_num_heads").shape for dims, side in zip(tensors, ("q", "kv", "kv"), strict=True))
        past = inputs[4].dims[2] if len(inputs) > 4 and inputs[4] is not None else 0
        keys = past + k[2]
        y = (*q[:3], v[3]) if len(tensors[0]) == 4 else (q[0], q[2], q[1] * v[3])
        shapes = (y, (*k[:2], keys, k[3]), (*v[:2], keys, v[3]), (*q[:3], keys))  # then keys and values to remember, and scores
        return [TensorType(given(inputs).dtype, shape) for shape in shapes[: len(node.outputs)]]

    def is_native(self, node: Node) -> bool:
        if not all_f32(node) or len(node.inputs) > 4 or any(v is not None for v in node.outputs[1:]):
            return False
        if node.attrs.get("softcap", 0.0) or any(node.attrs.get(f"{side}_window_size", -1) >= 0 for side in ("left", "right")):
            return False
        mask, keys = node.input(3), given(node.inputs, 1).shape[-2]
        return mask is None or (not node.attrs.get("is_causal", 0) and mask.shape[-1:] == (keys,) and 0 not in mask.shape)

    def lower(self, node: Node, lo: Lowering) -> None:
        inputs = [lo.input(node.input(i)) for i in range(4)]
        tensors = [given(node.inputs, i) for i in range(3)]
        q, k, v = (heads(node, x.shape, f"{side}_num_heads") for x, side in zip(tensors, ("q", "kv", "kv"), strict=True))
        output = lo.output(given(node.outputs))
        y = heads(node, output.shape, "q_num_heads")
        if 0 in (*y.shape, *k.shape):
            raise ModelError(f"{node.where}: attention over empty tensors")
        group = q.shape[1] // k.shape[1]
        if group * k.shape[1] != q.shape[1]:
            raise ModelError(f"{node.where}: {q.shape[1]} heads of queries cannot share {k.shape[1]} heads of keys")
        mask = None
        if node.attrs.get("is_causal", 0):
            rows, keys = q.shape[2], k.shape[2]
            inputs[3] = lo.const(np.where(np.tri(rows, keys, dtype=bool), 0, -np.inf).astype(np.float32))
        if inputs[3] is not None:
            shape = inputs[3].shape
            shape = (1,) * (4 - len(shape)) + shape
            mask = split_heads(Strided(shape, strides.broadcast(shape, shape)), group)
        args = step_args(
            split_heads(q, group), shared(k, group), shared(v, group), mask, split_heads(y, group),
            float(node.attrs.get("scale", 1 / sqrt(q.shape[3]))), idle=1,
        )  # fmt: skip
        assert args is not None, f"{node.where}: three axes of a batch need three strides"
        lo.emit("attention", args, [*inputs, output])

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(5)

        def f(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        yield Example([f(2, 3, 7, 16), f(2, 3, 9, 16), f(2, 3, 9, 5)])
        yield Example([f(1, 5, 24), f(1, 6, 24), f(1, 6, 18), f(5, 6)], {"q_num_heads": 3, "kv_num_heads": 3, "scale": 0.3})
        yield Example([f(2, 6, 5, 8), f(2, 2, 5, 8), f(2, 2, 5, 8)], {"is_causal": 1})
        yield Example([f(2, 5, 48), f(2, 40, 16), f(2, 40, 34), f(2, 1, 1, 40)], {"q_num_heads": 6, "kv_num_heads": 2})
        mask = f(2, 4, 3, 20)
        mask[1, 2, 1] = mask[0, :, :, 7:] = -np.inf
        yield Example([f(2, 4, 3, 17), f(2, 4, 20, 17), f(2, 4, 20, 33), mask])


def split_heads(x: Strided, group: int) -> Strided:
    """(batch, heads, rows, elements) as (batch, heads of keys, queries that share one, rows, elements); one head stays one."""
    (batch, count, *rest), (outer, step, *inner) = x.shape, x.steps
    sizes, steps = ((count // group, group), (group * step, step)) if count > 1 else ((1, 1), (0, 0))
    return Strided((batch, *sizes, *rest), (outer, *steps, *inner))
