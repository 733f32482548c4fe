"""Operators that only rename what is in memory: Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, Operator, axis_of, given, given_ints, known, known_ints, operator
from asymo.plan.lower import Lowering
from asymo.plan.move import fill, is_movable

Shape = tuple[int, ...]


class Renaming(Operator):
    """The output is the input's memory with another shape."""

    def reshaped(self, node: Node, shape: Shape) -> Shape:
        """The output's shape for the input's. Raises NeedsValue."""
        raise NotImplementedError

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        return [TensorType(x.dtype, self.reshaped(node, x.dims))]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return [given(arrays).reshape(self.reshaped(node, given(arrays).shape))]

    def is_native(self, node: Node) -> bool:
        return is_movable(given(node.inputs).dtype)

    def lower(self, node: Node, lo: Lowering) -> None:
        lo.alias(given(node.outputs), lo.input(given(node.inputs)))


def axes_to_input(node: Node, graph: Graph) -> None:
    """Opset 12 and older: axes are an attribute."""
    if "axes" in node.attrs:
        node.set_input(1, graph.constant(np.asarray(node.attrs.pop("axes"), np.int64), "axes"))


def _floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@operator("Reshape")
class Reshape(Renaming):
    """0 keeps the input's dimension (unless allowzero), -1 is what is left."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        if "shape" in node.attrs:
            node.set_input(1, graph.constant(np.asarray(node.attrs.pop("shape"), np.int64), "shape"))

    def reshaped(self, node: Node, shape: Shape) -> Shape:
        wanted = given_ints(node, 1)
        dims = list(wanted)
        if not node.attrs.get("allowzero", 0):
            if any(d == 0 and i >= len(shape) for i, d in enumerate(dims)):
                raise ModelError(f"{node.where}: 0 in the shape {wanted} stands past the rank of {shape}")
            dims = [shape[i] if d == 0 else d for i, d in enumerate(dims)]
        size, rest = prod(shape), prod(d for d in dims if d != -1)
        if -1 in dims and rest and size % rest == 0 and dims.count(-1) == 1:
            dims[dims.index(-1)] = size // rest
        if prod(dims) != size or min(dims, default=0) < 0:
            raise ModelError(f"{node.where}: {shape} cannot be reshaped to {wanted}")
        return tuple(dims)

    def examples(self) -> Iterator[Example]:
        for shape in ([4, 6], [-1], [0, -1, 2], [2, 3, 4, 1]):
            yield Example([_floats(2, 3, 4), np.array(shape)], constant=(1,))
        yield Example([_floats(0, 3), np.array([3, 0])], {"allowzero": 1}, constant=(1,))
        yield Example([_floats(1), np.array([], np.int64)], constant=(1,))


@operator("Flatten")
class Flatten(Renaming):
    """Two dimensions: those before `axis` and the rest."""

    def reshaped(self, node: Node, shape: Shape) -> Shape:
        axis = node.attrs.get("axis", 1)
        if not -len(shape) <= axis <= len(shape):
            raise ModelError(f"{node.where}: axis {axis} is outside a tensor of rank {len(shape)}")
        axis += len(shape) if axis < 0 else 0
        return prod(shape[:axis]), prod(shape[axis:])

    def examples(self) -> Iterator[Example]:
        yield Example([_floats(2, 3, 4)])
        for axis in (0, 2, 3, -1):
            yield Example([_floats(2, 3, 4)], {"axis": axis})


@operator("Squeeze")
class Squeeze(Renaming):
    """Drops axes of length 1: those given, or all."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        axes_to_input(node, graph)

    def reshaped(self, node: Node, shape: Shape) -> Shape:
        axes = known_ints(node, 1)
        if axes is None:
            return tuple(d for d in shape if d != 1)
        gone = {axis_of(node, a, len(shape)) for a in axes}
        if any(shape[a] != 1 for a in gone):
            raise ModelError(f"{node.where}: axes {axes} of {shape} are not all of length 1")
        return tuple(d for i, d in enumerate(shape) if i not in gone)

    def examples(self) -> Iterator[Example]:
        yield Example([_floats(1, 3, 1, 4), np.array([0, -2])], constant=(1,))
        yield Example([_floats(1, 3, 1, 4)])
        yield Example([_floats(1, 3, 1, 4)], {"axes": [2]}, opset=11)


@operator("Unsqueeze")
class Unsqueeze(Renaming):
    """Inserts axes of length 1; `axes` count in the output."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        axes_to_input(node, graph)

    def reshaped(self, node: Node, shape: Shape) -> Shape:
        axes = given_ints(node, 1)
        rank = len(shape) + len(axes)
        new = {axis_of(node, a, rank) for a in axes}
        if len(new) != len(axes):
            raise ModelError(f"{node.where}: axes {axes} name an axis twice")
        rest = iter(shape)
        return tuple(1 if i in new else next(rest) for i in range(rank))

    def examples(self) -> Iterator[Example]:
        yield Example([_floats(3, 4), np.array([0, -1])], constant=(1,))
        yield Example([_floats(), np.array([0])], constant=(1,))
        yield Example([_floats(3, 4)], {"axes": [1, 3]}, opset=11)


@operator("Identity")
class Identity(Renaming):
    """Y = X."""

    def reshaped(self, node: Node, shape: Shape) -> Shape:
        return shape

    def examples(self) -> Iterator[Example]:
        yield Example([_floats(3, 5)])
        yield Example([np.array(True)])


@operator("Dropout")
class Dropout(Renaming):
    """Identity; the mask is all true. Training mode is left to the host."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        ratio = node.attrs.pop("ratio", None)
        if ratio is not None:
            node.set_input(1, graph.constant(np.asarray(ratio, np.float32), "ratio"))

    def reshaped(self, node: Node, shape: Shape) -> Shape:
        return shape

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x = given(inputs)
        types: list[TensorType | None] = [x, TensorType(np.dtype(bool), x.dims)]
        return types[: len(node.outputs)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        if not self.is_native(node):
            return None
        return [given(arrays), np.ones(given(arrays).shape, bool)][: len(node.outputs)]

    def is_native(self, node: Node) -> bool:
        training = node.input(2) is not None and known(node, 2).item()
        return super().is_native(node) and not training

    def lower(self, node: Node, lo: Lowering) -> None:
        if node.outputs[0] is not None:
            lo.alias(given(node.outputs), lo.input(given(node.inputs)))
        mask = lo.output(node.output(1))
        if mask is not None:
            fill(lo, mask, np.ones(1, bool))

    def examples(self) -> Iterator[Example]:
        yield Example([_floats(3, 5)])
        yield Example([_floats(3, 5), np.array(0.5, np.float32), np.array(False)], outputs=2, constant=(1, 2))
        yield Example([_floats(3, 5)], {"ratio": 0.3}, opset=11)
