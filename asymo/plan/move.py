"""Moving elements: what every data-movement operator lowers to."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from asymo.plan.lower import Lowering
from asymo.plan.plan import Args
from asymo.plan.strides import collapse, dense
from asymo.plan.tensor import Tensor

MAX_RANK = 8
UNIT_BYTES = 16384
"""What a unit of a copy moves: about a microsecond, so that claiming it costs little."""
BLOCK = 16
"""Rows that a transposing copy takes together."""


def is_movable(dtype: np.dtype) -> bool:
    """Whether elements have a size the copy step knows (strings have not)."""
    return dtype.kind not in "OSU" and dtype.itemsize in (1, 2, 4, 8, 16)


def copy(lo: Lowering, source: Tensor, target: Tensor, shape: Sequence[int], src: Sequence[int], dst: Sequence[int]) -> None:
    """Emits target[i . dst] = source[i . src] for every index i in shape; strides in elements, source's may be 0 or negative.

    source and target begin at the elements of index 0 (see Tensor.at). Dimensions are ordered so that the last two hold what is
    contiguous in the target and what is contiguous in the source: the step transposes matrices of these two.
    """
    if prod(shape) == 0:
        return
    shape, src, dst = collapse(shape, src, dst)
    if len(shape) > MAX_RANK:
        for i in range(shape[0]):
            copy(lo, source.at(i * src[0]), target.at(i * dst[0]), shape[1:], src[1:], dst[1:])
        return
    dims = sorted(zip(dst, src, shape, strict=True), key=lambda d: -d[0])
    contiguous = min(range(len(dims)), key=lambda i: abs(dims[i][1]) or 1 << 62)
    if contiguous < len(dims) - 2:
        dims.insert(len(dims) - 1, dims.pop(contiguous))
    _emit(lo, source, target, dims)


def _emit(lo: Lowering, source: Tensor, target: Tensor, dims: list[tuple[int, int, int]]) -> None:
    """dims: (dst stride, src stride, size). A last dimension that is most of the work is cut, because units are made of whole rows."""
    itemsize = target.dtype.itemsize
    d, s, cols = dims[-1]
    rows = prod(size for _, _, size in dims[:-1])
    if rows < 4 and cols * itemsize > 4 * UNIT_BYTES and len(dims) < MAX_RANK:
        inner = UNIT_BYTES // itemsize
        inner = next((n for n in range(inner, 2 * inner) if cols % n == 0), inner)
        outer, tail = divmod(cols, inner)
        _emit(lo, source, target, [(d * inner, s * inner, outer), *dims[:-1], (d, s, inner)])
        if tail:
            at = outer * inner
            _emit(lo, source.at(at * s), target.at(at * d), [*dims[:-1], (d, s, tail)])
        return
    dst, src, shape = zip(*dims, strict=True)
    unit_rows = max(1, UNIT_BYTES // (cols * itemsize))
    if s != 1:
        unit_rows = -(-unit_rows // BLOCK) * BLOCK
    lo.emit(
        "copy",
        {"size_bytes": itemsize, "rank": len(shape), "shape": shape, "src_stride": src, "dst_stride": dst, "unit_rows": unit_rows},
        [source, target],
    )


def join(lo: Lowering, source: Tensor, target: Tensor, offset: int) -> None:
    """Makes a dense source the box that begins at element `offset` of the dense target: in place where that is possible."""
    lo.moved(source, target.at(offset), source.shape, dense(source.shape), dense(target.shape), copy)


def cut(lo: Lowering, source: Tensor, target: Tensor, src: Sequence[int]) -> None:
    """Makes the dense target what lies `src` apart in the source, which begins at its first element: in place where that is possible."""
    lo.moved(source, target, target.shape, src, dense(target.shape), copy)


def fill(lo: Lowering, target: Tensor, pattern: np.ndarray) -> None:
    """Emits target[...] = pattern, an array of one element of the target's type."""
    count = prod(target.shape)
    if count:
        size = target.dtype.itemsize
        args: Args = {"size_bytes": size, "count": count, "unit_size": max(1, UNIT_BYTES // size)}
        lo.emit("fill", args, [lo.const(pattern.reshape(1)), target])
