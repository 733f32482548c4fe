"""Matrix products: MatMul and Gemm as ONNX has them, and asymo::MatMul, which is what gets lowered.

asymo::MatMul  Y = act(A B + bias + residual)
  inputs   A (..., M, K), B (..., K, N), bias (N,) or absent, residual (the shape of Y) or absent, slope (N,) or absent
  attrs    trans_b: B is (..., N, K); a_perm, b_perm, y_perm: A, B, Y are seen through (Y leaves by) this Transpose, which costs nothing
           as long as K of A and N of Y stay the last axis in memory; act, p, q: see ops/epilogue.py
A of rank 1 is (1, K), B of rank 1 is (K, 1); the axis put in is taken out of Y.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, all_given, broadcast, given, operator
from asymo.ops.epilogue import BIAS, RESIDUAL, SLOPE, act_args
from asymo.plan import layout
from asymo.plan.lower import Lowering
from asymo.plan.plan import Args
from asymo.plan.tensor import Tensor

Ints = tuple[int, ...]
F32 = np.dtype(np.float32)


def all_f32(node: Node) -> bool:
    return all(v is None or v.dtype == F32 for v in node.inputs)


def dense(shape: Sequence[int]) -> Ints:
    """Row-major strides in elements."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * max(shape[i + 1], 1)
    return tuple(strides)


def product_shape(node: Node, a: Ints, b: Ints) -> Ints:
    """Shape of A B by numpy's rules."""
    if not a or not b:
        raise ModelError(f"{node.where}: operands of a matrix product need at least one axis, not shapes {a} and {b}")
    a2, b2 = ((1, *a) if len(a) == 1 else a), ((*b, 1) if len(b) == 1 else b)
    if a2[-1] != b2[-2]:
        raise ModelError(f"{node.where}: cannot multiply shapes {a} and {b}: {a2[-1]} columns meet {b2[-2]} rows")
    shape = broadcast(node, a2[:-2], b2[:-2])
    return (*shape, *(a2[-2:-1] if len(a) > 1 else ()), *(b2[-1:] if len(b) > 1 else ()))


@operator("MatMul")
class MatMul(Operator):
    """ONNX MatMul; the planner rewrites it as asymo::MatMul."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        a, b = all_given(inputs)
        return [TensorType(a.dtype, product_shape(node, a.dims, b.dims))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        a, b = all_given(arrays)
        return [np.matmul(a, b).astype(a.dtype)]  # numpy widens bfloat16

    def is_native(self, node: Node) -> bool:
        return all_f32(node)

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(1)

        def f(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        for a, b in [
            (f(1, 1), f(1, 1)),
            (f(17, 33), f(33, 65)),
            (f(5), f(5, 7)),
            (f(7, 5), f(5)),
            (f(5), f(5)),
            (f(3, 5), f(4, 5, 2)),
            (f(2, 3, 7, 19), f(2, 3, 19, 11)),
            (f(2, 1, 7, 19), f(3, 19, 11)),
            (f(2, 1, 3, 1, 5, 4), f(1, 2, 1, 3, 4, 6)),
            (f(1, 300), f(300, 77)),
            (f(0, 3), f(3, 4)),
        ]:
            yield Example([a, b])
            yield Example([a, b], constant=(1,))


@operator("Gemm")
class Gemm(Operator):
    """ONNX Gemm; the planner rewrites it as asymo::MatMul (and a Mul and an Add where alpha, beta and C do not fit in)."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        a, b = given(inputs), given(inputs, 1)
        if a.rank != 2 or b.rank != 2:
            raise ModelError(f"{node.where}: A and B must be matrices, not shapes {a.dims} and {b.dims}")
        sa: Ints = a.dims[::-1] if node.attrs.get("transA") else a.dims
        sb: Ints = b.dims[::-1] if node.attrs.get("transB") else b.dims
        shape = product_shape(node, sa, sb)
        c = inputs[2] if len(inputs) > 2 else None
        if c is not None and broadcast(node, shape, c.dims) != shape:
            raise ModelError(f"{node.where}: C of shape {c.dims} does not broadcast to {shape}")
        return [TensorType(a.dtype, shape)]

    def is_native(self, node: Node) -> bool:
        return all_f32(node)

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(2)

        def f(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape).astype(np.float32)

        yield Example([f(3, 5), f(5, 4)])
        yield Example([f(3, 5), f(5, 4), f(4)], constant=(1, 2))
        yield Example([f(3, 5), f(5, 4), f(3, 4)], constant=(1,))
        yield Example([f(3, 5), f(5, 4), f(3, 1)])
        yield Example([f(3, 5), f(5, 4), f(1)], constant=(1, 2))
        yield Example([f(3, 5), f(5, 4), np.float32(2.5).reshape(())], constant=(1, 2))
        yield Example([f(5, 3), f(4, 5), f(1, 4)], {"transA": 1, "transB": 1, "alpha": 0.5, "beta": 0.25})
        yield Example([f(1, 129), f(65, 129), f(65)], {"transB": 1, "alpha": 2.0, "beta": 0.5}, constant=(1, 2))
        yield Example([f(31, 17), f(33, 17), f(33)], {"transB": 1, "alpha": 0.3}, constant=(2,))
        yield Example([f(31, 17), f(17, 33), f(33)], {"beta": 0.0})


@operator("MatMul", domain="asymo")
class AsymoMatMul(Operator):
    """See the module's docstring."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        a, b = given(inputs), given(inputs, 1)
        y = product_shape(node, permuted(a.dims, node.attrs.get("a_perm")), logical_b(node, b.dims))
        return [TensorType(a.dtype, permuted(y, node.attrs.get("y_perm")))]

    def is_native(self, node: Node) -> bool:
        return all_f32(node)

    def lower(self, node: Node, lo: Lowering) -> None:
        a_value, b_value = given(node.inputs), given(node.inputs, 1)
        a, y = lo.input(a_value), lo.output(given(node.outputs))
        if 0 in y.shape:
            return
        a_perm, y_perm = node.attrs.get("a_perm"), node.attrs.get("y_perm")
        sa, ta = permuted(a.shape, a_perm), permuted(dense(a.shape), a_perm)
        sb = logical_b(node, b_value.shape)
        tb = logical_b(node, dense(b_value.shape))
        inverse = None if y_perm is None else [int(i) for i in np.argsort(y_perm)]
        sy, ty = permuted(y.shape, inverse), permuted(dense(y.shape), inverse)
        if len(sa) == 1:
            sa, ta, sy, ty = (1, *sa), (0, *ta), insert(sy, 1, -1 if len(sb) > 1 else None), insert(ty, 0, -1 if len(sb) > 1 else None)
        if len(sb) == 1:
            sb, tb, sy, ty = (*sb, 1), (*tb, 0), (*sy, 1), (*ty, 0)
        m, n, k = sy[-2], sy[-1], sa[-1]
        assert ta[-1] == 1 or k == 1, f"{node.where}: rows of A are not contiguous"
        assert ty[-1] == 1 or n == 1, f"{node.where}: rows of Y are not contiguous"

        rank = len(sy) - 2
        size = lo.packed_size(k, n)
        own = sb[:-2]  # B's own batch: what is packed, entry after entry
        packed_strides = tuple(s * size for s in dense(own))
        packed = self._pack(node, lo, own, k, n, tb, size)

        batch = sy[:-2]
        a_stride = spread(sa[:-2], ta[:-2], rank)
        b_stride = spread(own, packed_strides, rank)
        y_stride = ty[:-2]
        residual = lo.input(node.input(RESIDUAL))
        dims = merge_dims([(d, a_stride[i], b_stride[i], y_stride[i]) for i, d in enumerate(batch)])
        lda, ldc = ta[-2], ty[-2]
        while dims and dims[-1][2] == 0 and dims[-1][1] == m * lda and dims[-1][3] == m * ldc:  # rows of one tall matrix
            m *= dims.pop()[0]
        head, tail = dims[:-3], [(1, 0, 0, 0)] * (3 - len(dims[-3:])) + dims[-3:]
        args: Args = {
            "m": m, "n": n, "k": k, "lda": max(lda, k), "ldc": max(ldc, n), "ldr": max(ldc, n),
            "batch": tuple(d[0] for d in tail),
            "a_stride": tuple(d[1] for d in tail),
            "b_stride": tuple(d[2] for d in tail),
            "c_stride": tuple(d[3] for d in tail),
            "r_stride": tuple(d[3] for d in tail),
            **act_args(node),
        }  # fmt: skip
        bias, slope = lo.input(node.input(BIAS)), lo.input(node.input(SLOPE))
        for index in np.ndindex(*(d[0] for d in head)):
            at = [sum(i * d[j] for i, d in zip(index, head, strict=True)) for j in (1, 2, 3)]
            lo.emit("gemm", args, [a.at(at[0]), packed.at(at[1]), bias, residual and residual.at(at[2]), slope, y.at(at[2])])

    def _pack(self, node: Node, lo: Lowering, own: Ints, k: int, n: int, tb: Ints, size: int) -> Tensor:
        value = given(node.inputs, 1)
        if value.const is not None:
            b_perm, trans = node.attrs.get("b_perm"), bool(node.attrs.get("trans_b"))

            def make(b: np.ndarray) -> np.ndarray:
                b = b if b_perm is None else b.transpose(b_perm)
                b = np.swapaxes(b, -1, -2) if trans else b
                return layout.pack_gemm(b[:, None] if b.ndim == 1 else b)

            return lo.derive(("matmul", tuple(b_perm or ()), trans), [value.const], make)
        source = lo.input(value)
        packed = lo.temp((prod(own) * size,))
        dims = merge_dims([(d, t, s * size) for d, t, s in zip(own, tb[:-2], dense(own), strict=True)])
        head, tail = dims[:-3], [(1, 0, 0)] * (3 - len(dims[-3:])) + dims[-3:]
        args: Args = {
            "k": k, "n": n, "k_stride": tb[-2], "n_stride": tb[-1],
            "batch": tuple(d[0] for d in tail), "b_stride": tuple(d[1] for d in tail),
        }  # fmt: skip
        for index in np.ndindex(*(d[0] for d in head)):
            at = [sum(i * d[j] for i, d in zip(index, head, strict=True)) for j in (1, 2)]
            lo.emit("gemm_pack", args, [source.at(at[0]), packed.at(at[1])])
        return packed

    def examples(self) -> Iterator[Example]:
        return iter(())  # through MatMul and Gemm, and tests/test_fusions.py


def permuted(values: Sequence[int], perm: Sequence[int] | None) -> Ints:
    return tuple(values) if perm is None else tuple(values[i] for i in perm)


def logical_b(node: Node, values: Sequence[int]) -> Ints:
    """Shape (or strides) of B as (..., K, N)."""
    result = permuted(values, node.attrs.get("b_perm"))
    if node.attrs.get("trans_b") and len(result) > 1:
        result = (*result[:-2], result[-1], result[-2])
    return result


def insert(values: Ints, value: int, before: int | None) -> Ints:
    return (*values, value) if before is None else (*values[:before], value, *values[before:])


def spread(shape: Ints, strides: Ints, rank: int) -> Ints:
    """Strides over a broadcast batch of `rank` axes: 0 where the tensor has no such axis or one entry."""
    own = tuple(0 if d == 1 else t for d, t in zip(shape, strides, strict=True))
    return (0,) * (rank - len(own)) + own


def merge_dims(dims: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """(size, strides...) of each axis, outermost first, with axes of size 1 gone and neighbours joined where all strides allow."""
    merged: list[tuple[int, ...]] = []
    for size, *strides in dims:
        if size == 1:
            continue
        if merged and all(outer == size * inner for outer, inner in zip(merged[-1][1:], strides, strict=True)):
            merged[-1] = (merged[-1][0] * size, *strides)
        else:
            merged.append((size, *strides))
    return merged
