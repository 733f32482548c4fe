"""Moving elements: what every data-movement operator lowers to."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from asymo.plan.lower import Lowering, Tensor
from asymo.plan.strides import collapse, dense

MAX_RANK = 8
UNIT_BYTES = 16384
"""What a unit of a copy moves at least: about a microsecond, so that claiming it costs little."""


def is_movable(dtype: np.dtype) -> bool:
    """Whether elements have a size the copy step knows (strings have not)."""
    return dtype.kind not in "OSU" and dtype.itemsize in (1, 2, 4, 8, 16)


def copy(lo: Lowering, source: Tensor, target: Tensor, shape: Sequence[int], src: Sequence[int], dst: Sequence[int]) -> None:
    """Emits target[i . dst] = source[i . src] for every index i in shape; strides in elements, source's may be 0 or negative.

    source and target begin at the elements of index 0 (see Tensor.at). Dimensions are ordered so that the last two hold what is
    contiguous in the target and what is contiguous in the source: a step's unit is made of whole (last two) blocks.
    """
    if prod(shape) == 0:
        return
    shape, src, dst = collapse(shape, src, dst)
    if len(shape) > MAX_RANK:
        for i in range(shape[0]):
            copy(lo, source.at(i * src[0]), target.at(i * dst[0]), shape[1:], src[1:], dst[1:])
        return
    dims = sorted(zip(dst, src, shape, strict=True), key=lambda d: -d[0])
    contiguous = min(range(len(dims)), key=lambda i: (abs(dims[i][1]) or 1 << 62))
    if contiguous < len(dims) - 2:
        dims.insert(len(dims) - 1, dims.pop(contiguous))
    _emit(lo, source, target, dims)


def _emit(lo: Lowering, source: Tensor, target: Tensor, dims: list[tuple[int, int, int]]) -> None:
    """dims: (dst stride, src stride, size). Splits a long one of the last two dimensions when there would be too few units."""
    itemsize = target.dtype.itemsize
    block = prod(d[2] for d in dims[-2:]) * itemsize
    if block > 2 * UNIT_BYTES and prod(d[2] for d in dims[:-2]) < 16 and len(dims) < MAX_RANK:
        index = max(range(max(len(dims) - 2, 0), len(dims)), key=lambda i: dims[i][2])
        d, s, size = dims[index]
        inner = max(1, size * UNIT_BYTES // block)
        if inner < size:
            outer, tail = divmod(size, inner)
            _emit(lo, source, target, [(d * inner, s * inner, outer), *dims[:index], (d, s, inner), *dims[index + 1 :]])
            if tail:
                at = outer * inner
                _emit(lo, source.at(at * s), target.at(at * d), [*dims[:index], (d, s, tail), *dims[index + 1 :]])
            return
    dst, src, shape = zip(*dims, strict=True)
    unit_rows = max(1, UNIT_BYTES // max(block, 1))
    lo.emit(
        "copy",
        {"size_bytes": itemsize, "rank": len(shape), "shape": shape, "src_stride": src, "dst_stride": dst, "unit_rows": unit_rows},
        [source, target],
    )


def copy_region(lo: Lowering, source: Tensor, target: Tensor, shape: Sequence[int], offset: int) -> None:
    """Copies a dense source into the box of `shape` that begins at element `offset` of the dense target."""
    copy(lo, source, target.at(offset), shape, dense(source.shape), dense(target.shape))


def fill(lo: Lowering, target: Tensor, pattern: np.ndarray) -> None:
    """Emits target[...] = pattern, an array of one element of the target's type."""
    count = prod(target.shape)
    if count:
        size = target.dtype.itemsize
        lo.emit("fill", {"size_bytes": size, "count": count, "unit_size": max(1, UNIT_BYTES // size)}, [lo.const(pattern.reshape(1)), target])
