"""Activations (fp32): one row each. What is an asymo_act of csrc/asymo.h is one instruction with two immediates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType
from asymo.ops import Example, all_given, broadcast, given, operator
from asymo.ops.arithmetic import draw
from asymo.ops.eltwise import Code, Elementwise, Operand, emit_typed_chain, is_float
from asymo.plan.lower import Lowering
from asymo.record import NamedTuple

INF = float("inf")


class Row(NamedTuple):
    """build: (code, attributes, x) appends the instructions; attrs: of the examples; opset: of the examples."""

    build: Callable[[Code, dict[str, Any], Operand], Operand]
    attrs: tuple[dict[str, Any], ...] = ({},)
    opset: int = 21


def _celu(c: Code, attrs: dict[str, Any], x: Operand) -> Operand:
    alpha = attrs.get("alpha", 1.0)
    return c("add", c("max", x, 0.0), c("min", c("mul", c("expm1", c("mul", x, 1.0 / alpha)), alpha), 0.0))


def _selu(c: Code, attrs: dict[str, Any], x: Operand) -> Operand:
    alpha, gamma = attrs.get("alpha", 1.6732632423543772848170429916717), attrs.get("gamma", 1.0507009873554804934193349852946)
    return c("mul", c("elu", x, alpha), gamma)


def _gelu(c: Code, attrs: dict[str, Any], x: Operand) -> Operand:
    return c("gelu_tanh" if attrs.get("approximate") in ("tanh", b"tanh") else "gelu_erf", x)


def _shrink(c: Code, attrs: dict[str, Any], x: Operand) -> Operand:
    lambd, bias = attrs.get("lambd", 0.5), attrs.get("bias", 0.0)
    below = c("select", c("less", x, -lambd), c("add", x, bias), 0.0)
    return c("select", c("less", lambd, x), c("sub", x, bias), below)


ROWS = {
    "Relu": Row(lambda c, a, x: c("max", x, 0.0)),
    "LeakyRelu": Row(lambda c, a, x: c("leaky_relu", x, a.get("alpha", 0.01)), ({}, {"alpha": 0.3})),
    "Sigmoid": Row(lambda c, a, x: c("sigmoid", x)),
    "Tanh": Row(lambda c, a, x: c("tanh", x)),
    "Elu": Row(lambda c, a, x: c("elu", x, a.get("alpha", 1.0)), ({}, {"alpha": 0.7})),
    "Selu": Row(_selu, ({}, {"alpha": 2.0, "gamma": 3.0})),
    "Celu": Row(_celu, ({}, {"alpha": 2.0})),
    "Softplus": Row(lambda c, a, x: c("softplus", x)),
    "Softsign": Row(lambda c, a, x: c("softsign", x)),
    "HardSigmoid": Row(lambda c, a, x: c("hard_sigmoid", x, a.get("alpha", 0.2), a.get("beta", 0.5)), ({}, {"alpha": 0.5, "beta": 0.1})),
    "HardSwish": Row(lambda c, a, x: c("hard_swish", x, 1.0)),
    "Swish": Row(lambda c, a, x: c("silu", x, a.get("alpha", 1.0)), ({}, {"alpha": 1.7}), 24),
    "Gelu": Row(_gelu, ({}, {"approximate": "tanh"})),
    "Mish": Row(lambda c, a, x: c("mul", x, c("tanh", c("softplus", x)))),
    "ThresholdedRelu": Row(lambda c, a, x: c("thresholded", x, a.get("alpha", 1.0)), ({}, {"alpha": 0.5})),
    "Shrink": Row(_shrink, ({}, {"lambd": 1.0, "bias": 0.5})),
}  # fmt: skip


@operator(*ROWS)
class Activation(Elementwise):
    """The operators of ROWS."""

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        return ROWS[self.name].build(c, node.attrs, given(operands))

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        return None

    def examples(self) -> Iterator[Example]:
        row, rng = ROWS[self.name], np.random.default_rng(0)
        for attrs in row.attrs:
            for shape in [(1,), (5,), (3, 7, 11), (2, 1031), (0, 3)]:
                yield Example([draw(rng, shape, np.float32)], attrs, opset=row.opset)


@operator("PRelu")
class PRelu(Elementwise):
    """x < 0 ? slope x : x; the slope broadcasts to x."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        x, slope = all_given(inputs)
        if broadcast(node, x.dims, slope.dims) != x.dims:
            raise ModelError(f"{node.where}: slopes of shape {slope.dims} do not broadcast to {x.dims}")
        return [x]

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        x, slope = all_given(operands)
        return c("leaky_relu", x, slope) if isinstance(slope, float) else c("select", c("less", x, 0.0), c("mul", x, slope), x)

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for slope in [(), (5,), (4, 1, 1), (3, 4, 7, 5)]:
            yield Example([draw(rng, (3, 4, 7, 5), np.float32), draw(rng, slope, np.float32)], constant=(1,))


@operator("Clip")
class Clip(Elementwise):
    """min(max(x, low), high); either bound may be absent."""

    def from_onnx(self, node: Node, graph: Graph) -> None:
        for index, name in ((1, "min"), (2, "max")):
            if name in node.attrs:
                node.set_input(index, graph.constant(np.asarray(node.attrs.pop(name), np.float32), name))

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        for type in inputs[1:]:
            if type is not None and type.size != 1:
                raise ModelError(f"{node.where}: a bound has shape {type.dims}, it must be one number")
        return [given(inputs)]

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        x, low, high = given(arrays), *(*arrays[1:], None, None)[:2]
        x = x if low is None else np.maximum(x, low)
        return [x if high is None else np.minimum(x, high)]

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        x, low, high = given(operands), *(*operands[1:], None, None)[:2]
        if isinstance(low, float) and isinstance(high, float):
            return c("clip", x, low, high)
        x = x if low is None else c("max", x, low)
        return x if high is None else c("min", x, high)

    def typed(self, node: Node) -> str | None:
        return "min"

    def lower(self, node: Node, lo: Lowering) -> None:
        if is_float(node):
            super().lower(node, lo)
            return
        bounds = [(name, node.input(i)) for i, name in ((1, "max"), (2, "min"))]
        used = [(name, lo.input(value)) for name, value in bounds if value is not None]
        emit_typed_chain(lo, [name for name, _ in used], [lo.input(given(node.inputs)), *(x for _, x in used)], given(node.outputs))

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        x, low, high = draw(rng, (3, 7, 11), np.float32), np.array(-1.0, np.float32), np.array(1.5, np.float32)
        yield Example([x, low, high], constant=(1, 2))
        yield Example([x, low, high])
        yield Example([x, None, high], constant=(2,))
        yield Example([x, low], constant=(1,))
        yield Example([x])
        yield Example([x], {"min": 0.0, "max": 6.0}, opset=6)
        for dtype in (np.int64, np.int8, np.float64):
            yield Example([draw(rng, (5, 3), dtype), np.array(-1, dtype), np.array(2, dtype)])
