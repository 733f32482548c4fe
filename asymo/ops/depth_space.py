"""DepthToSpace and SpaceToDepth (ONNX 13): one copy of rank 6."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, Operator, given, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import copy, is_movable
from asymo.plan.strides import dense


class _Blocks(Operator):
    """Channels and pixels change places in blocks of blocksize x blocksize."""

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def _need_block(self, node: Node, x: TensorType, axes: tuple[int, ...], multiple: int) -> None:
        if node.attrs["blocksize"] < 1 or x.rank != 4 or any(x.dims[a] % multiple for a in axes):
            raise ModelError(f"{node.where}: blocks of {node.attrs['blocksize']} do not fit a tensor of shape {x.dims}")


@operator("DepthToSpace")
class DepthToSpace(_Blocks):
    """DCR: channel (i, j, c) goes to pixel (i, j) of channel c; CRD: channel (c, i, j)."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, b = given(inputs), node.attrs["blocksize"]
        self._need_block(node, x, (1,), b**2)
        n, c, h, w = x.dims
        return [TensorType(x.dtype, (n, c // b**2, h * b, w * b))]

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y, b = lo.input(given(node.inputs)), lo.output(given(node.outputs)), node.attrs["blocksize"]
        n, c, h, w = x.shape
        crd = node.attrs.get("mode", "DCR") in ("CRD", b"CRD")
        blocked = (n, c // b**2, b, b, h, w) if crd else (n, b, b, c // b**2, h, w)
        s = dense(blocked)
        order = (0, 1, 4, 2, 5, 3) if crd else (0, 3, 4, 1, 5, 2)  # n, c, h, i, w, j
        copy(lo, x, y, [blocked[i] for i in order], [s[i] for i in order], dense([blocked[i] for i in order]))

    def examples(self) -> Iterator[Example]:
        x = np.arange(2 * 18 * 3 * 5, dtype=np.float32).reshape(2, 18, 3, 5)
        for mode in ("DCR", "CRD"):
            yield Example([x], {"blocksize": 3, "mode": mode})
        yield Example([x[:, :8].astype(np.int64)], {"blocksize": 2})


@operator("SpaceToDepth")
class SpaceToDepth(_Blocks):
    """Pixel (i, j) of a block of channel c goes to channel (i, j, c), in mode CRD to channel (c, i, j)."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, b = given(inputs), node.attrs["blocksize"]
        self._need_block(node, x, (2, 3), b)
        n, c, h, w = x.dims
        return [TensorType(x.dtype, (n, c * b**2, h // b, w // b))]

    def lower(self, node: Node, lo: Lowering) -> None:
        x, y, b = lo.input(given(node.inputs)), lo.output(given(node.outputs)), node.attrs["blocksize"]
        n, c, h, w = x.shape
        blocked = (n, c, h // b, b, w // b, b)
        crd = node.attrs.get("mode", "DCR") == "CRD"
        s, order = dense(blocked), (0, 1, 3, 5, 2, 4) if crd else (0, 3, 5, 1, 2, 4)  # n, c, i, j, h, w or n, i, j, c, h, w
        copy(lo, x, y, [blocked[i] for i in order], [s[i] for i in order], dense([blocked[i] for i in order]))

    def examples(self) -> Iterator[Example]:
        x = np.arange(2 * 3 * 6 * 9, dtype=np.float32).reshape(2, 3, 6, 9)
        yield Example([x], {"blocksize": 3})
        yield Example([x[:, :, :, :8].astype(np.uint8)], {"blocksize": 2})
