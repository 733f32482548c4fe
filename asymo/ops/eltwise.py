"""Elementwise operators: what they share, and the fused one (asymo::Eltwise).

An fp32 operator is a few *instructions* over broadcast inputs, and a chain of operators is the chain of their instructions: the pass
merge_eltwise joins them and the `eltwise` step interprets them over blocks that stay in L1. An instruction is (name, operand, ...); an
operand that is an int is a value in single-assignment order (the inputs, then the result of each instruction), a float is an immediate.
Names are those of csrc/exec/eltwise.h.

Integers, bool and float64 are computed exactly in their own type by the `typed` step, one operation at a time (csrc/exec/typed.h).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np

from asymo.errors import UnsupportedError
from asymo.graph.ir import Node, TensorType, Value
from asymo.ops import Example, Operator, all_given, broadcast, given, operator
from asymo.plan import opcodes, strides
from asymo.plan.lower import Lowering
from asymo.plan.plan import Args
from asymo.plan.tensor import Tensor

Operand = int | float
Instruction = tuple[str | Operand, ...]

F32, BOOL = np.dtype(np.float32), np.dtype(bool)

MAX_INPUTS = 14
"""Inputs of one step: their types are four bits each of one int64."""

MAX_RANK = 8
"""Dimensions of one step, after merging."""

MAX_CODE = 48
"""Instructions of one step."""


class Code:
    """Instructions under construction; calling it appends one and returns its result."""

    def __init__(self, n_in: int, body: Sequence[Instruction] = ()) -> None:
        self.n_in = n_in
        self.body: list[Instruction] = list(body)

    def __call__(self, name: str, *operands: Operand) -> int:
        self.body.append((name, *operands))
        return self.n_in + len(self.body) - 1

    def splice(self, body: Sequence[Instruction], inputs: Sequence[Operand]) -> list[Operand]:
        """Appends another code whose inputs are operands of this one; returns where each value of that code went."""
        where = list(inputs)
        for name, *operands in body:
            where.append(self(name, *(where[o] if isinstance(o, int) else o for o in operands)))  # type: ignore[arg-type]
        return where


def as_read(dtype: np.dtype) -> bool:
    """Whether the eltwise step can read elements of this type (as fp32)."""
    return dtype in opcodes.DTYPES and dtype != np.float64


class Elementwise(Operator):
    """An operator whose output elements depend on the elements at the same place of its broadcast inputs only."""

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        """Appends the fp32 instructions of this node, None when it has none; an absent input's operand is None."""
        return None

    def typed(self, node: Node) -> str | None:
        """Name of the operation that computes this node exactly in the type of its inputs, None when there is none."""
        return None

    def result(self, node: Node, inputs: list[TensorType | None]) -> np.dtype:
        """Element type of the output."""
        return given(inputs).dtype

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(self.result(node, inputs), broadcast(node, *(x.dims for x in inputs if x is not None)))]

    def is_native(self, node: Node) -> bool:
        return (is_float(node) and expression(node) is not None) or self.typed_operation(node) is not None

    def typed_operation(self, node: Node) -> str | None:
        """`typed`, when the step has it for these very element types."""
        name = self.typed(node)
        ins = tuple(v.dtype for v in node.inputs if v is not None)
        return name if name and ins and opcodes.has_typed(name, ins, given(node.outputs).dtype) else None

    def lower(self, node: Node, lo: Lowering) -> None:
        if is_float(node) and (found := expression(node)):
            inputs, body, result = found
            emit_eltwise(lo, inputs, body, [result], [given(node.outputs)])
            return
        name = self.typed_operation(node)
        assert name is not None, f"{node.where}: is_native has not seen this node"
        emit_typed(lo, name, [lo.input(v) for v in node.inputs if v is not None], lo.output(given(node.outputs)))


def is_float(node: Node) -> bool:
    """Whether the node computes in fp32: its output is fp32, or bool from fp32 inputs."""
    out = given(node.outputs).dtype
    ins = [v.dtype for v in node.inputs if v is not None]
    return all(map(as_read, ins)) and (out == F32 or (out == BOOL and F32 in ins))


def scalar(value: Value) -> float | None:
    """The one element of an fp32 (or otherwise readable) constant of size 1."""
    return float(value.const.item()) if value.const is not None and value.const.size == 1 else None


def expression(node: Node) -> tuple[list[Value], list[Instruction], Operand] | None:
    """(tensor inputs, instructions, result) of an elementwise node in fp32; constants of one element are immediates."""
    from asymo.ops import find

    op = find(node.domain, node.op)
    if not isinstance(op, Elementwise):
        return None
    values: list[Value] = []
    operands: list[Operand | None] = []
    for value in node.inputs:
        number = None if value is None else scalar(value)
        if value is None or number is not None:
            operands.append(number)
        elif value in values:
            operands.append(values.index(value))
        else:
            operands.append(len(values))
            values.append(value)
    c = Code(len(values))
    if isinstance(op, Eltwise):
        out = node.attrs["out"]
        where = c.splice(node.attrs["code"], operands)  # type: ignore[arg-type]
        result: Operand | None = where[out] if isinstance(out, int) else out
    else:
        result = op.code(node, c, operands)
    return None if result is None else (values, c.body, result)


# ---- emitting ----------------------------------------------------------------------------------------------------------


def emit_eltwise(
    lo: Lowering, inputs: Sequence[Value], body: Sequence[Instruction], results: Sequence[Operand], outputs: Sequence[Value]
) -> None:
    """Emits one eltwise step: outputs[i] = results[i]. All outputs have one shape; inputs broadcast to it."""
    shape = outputs[0].shape
    if prod(shape) == 0:
        for value in outputs:
            lo.output(value)
        return
    ins = [lo.input(v) for v in inputs]
    outs = [lo.output(v) for v in outputs]
    walk = strides.collapse(shape, *(strides.broadcast(v.shape, shape) for v in inputs), *(strides.dense(shape) for _ in outputs))
    emit_walk(lo, walk, body, results, ins, outs)


def emit_walk(
    lo: Lowering, walk: tuple[strides.Ints, ...], body: Sequence[Instruction], results: Sequence[Operand],
    ins: Sequence[Tensor], outs: Sequence[Tensor],
) -> None:  # fmt: skip
    """Emits one eltwise step over a walk: its shape, then the strides of each input and output."""
    _need_rank(lo, walk[0])
    code, immediates = opcodes.encode(len(ins), body, results)
    args: Args = {
        "rank": len(walk[0]),
        "shape": walk[0],
        "n_in": len(ins),
        "n_out": len(outs),
        "n_code": len(code),
        "in_type": sum(opcodes.dtype_code(t.dtype) << 4 * i for i, t in enumerate(ins)),
        "out_type": sum(opcodes.dtype_code(t.dtype) << 4 * i for i, t in enumerate(outs)),
        "unit_size": _unit_size(prod(walk[0]), len(body)),
    }
    lo.emit("eltwise", args, [lo.const(code), lo.const(immediates), lo.const(np.array(walk[1:], np.int64)), *ins, *outs])


def _need_rank(lo: Lowering, shape: Sequence[int]) -> None:
    if len(shape) > MAX_RANK:
        raise UnsupportedError(
            f"{lo.graph.name}: an elementwise operator broadcasts over {len(shape)} axes that cannot be merged, at most {MAX_RANK} "
            f"are possible: {tuple(shape)}; reshape its inputs in the model"
        )


def emit_typed(lo: Lowering, name: str, inputs: Sequence[Tensor], y: Tensor) -> None:
    """Emits one typed step: y = name(inputs), inputs broadcast."""
    if prod(y.shape) == 0:
        return
    walk = strides.collapse(y.shape, *(strides.broadcast(x.shape, y.shape) for x in inputs), strides.dense(y.shape))
    _need_rank(lo, walk[0])
    args: Args = {
        "op": opcodes.typed_code(name),
        "rank": len(walk[0]),
        "shape": walk[0],
        "n_in": len(inputs),
        "in_type": opcodes.dtype_code(inputs[-1].dtype),
        "out_type": opcodes.dtype_code(y.dtype),
        "unit_size": 4096,
    }
    lo.emit("typed", args, [lo.const(np.array(walk[1:], np.int64)), *inputs, y])


def emit_typed_chain(lo: Lowering, names: Sequence[str], inputs: Sequence[Tensor], output: Value) -> None:
    """Emits output = names[1](names[0](given(inputs), given(inputs, 1)), given(inputs, 2)) and so on."""
    x = given(inputs)
    for i, (name, other) in enumerate(zip(names, inputs[1:], strict=True)):
        last = i == len(names) - 1
        target = lo.output(output) if last else lo.temp(np.broadcast_shapes(x.shape, other.shape), output.dtype)
        emit_typed(lo, name, [x, other], target)
        x = target
    if not names:
        lo.alias(output, x)


def _unit_size(elements: int, instructions: int) -> int:
    """Elements of a unit: some microseconds of work, in blocks of whole cache lines."""
    return max(1024, min(16384, 65536 // (1 + instructions) // 1024 * 1024))


# ---- the fused operator ------------------------------------------------------------------------------------------------


@operator("Eltwise", domain="asymo")
class Eltwise(Elementwise):
    """Attributes: code (tuple of instructions), out (the operand that is the output)."""

    def infer(self, node: Node, inputs: list[TensorType | None]) -> list[TensorType | None]:
        return [TensorType(node.attrs.get("dtype", F32), broadcast(node, *(x.dims for x in all_given(inputs))))]

    def examples(self) -> Iterator[Example]:
        return iter(())  # no ONNX node looks like this; tests/test_merge_eltwise.py runs what the pass makes
