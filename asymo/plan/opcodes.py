"""Numbers of the C core: element types, operations of the typed step, and the encoding of eltwise code (csrc/exec/eltwise.h)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from math import inf

import numpy as np

from asymo import _core

Operand = int | float
Instruction = tuple[str | Operand, ...]

_NAMES = {
    np.float32: "F32",
    np.float64: "F64",
    np.int8: "I8",
    np.uint8: "U8",
    np.int16: "I16",
    np.uint16: "U16",
    np.int32: "I32",
    np.uint32: "U32",
    np.int64: "I64",
    np.uint64: "U64",
    np.bool_: "BOOL",
}
DTYPES = {np.dtype(type): _core.constant(name) for type, name in _NAMES.items()}
"""asymo_dtype of the element types that the core computes with."""

_UNARY_FORMS: dict[str, Callable[[float], tuple[str, float, float]]] = {
    "add": lambda p: ("linear", 1.0, p),
    "mul": lambda p: ("linear", p, -0.0),
    "max": lambda p: ("clip", p, inf),
    "min": lambda p: ("clip", -inf, p),
    "sub": lambda p: ("linear", 1.0, -p),
}
"""An operation whose second operand is an immediate, as an activation: one pass over the block instead of two, the same bits."""


@cache
def _eltwise_ops() -> dict[str, int]:
    return _core.eltwise_ops()


@cache
def _typed_ops() -> dict[str, int]:
    return _core.typed_ops()


def typed_code(name: str) -> int:
    """Number of an operation of the typed step."""
    return _typed_ops()[name]


@cache
def has_typed(name: str, inputs: tuple[np.dtype, ...], output: np.dtype) -> bool:
    """Whether the typed step computes `name` for these element types."""
    if name not in _typed_ops() or not all(d in DTYPES for d in (*inputs, output)):
        return False
    first = np.dtype(bool) if name == "where" else inputs[-1]
    if inputs[0] != first or any(d != inputs[-1] for d in inputs[1:]):
        return False
    return _core.typed_is_supported(_typed_ops()[name], DTYPES[inputs[-1]], DTYPES[output])


def dtype_code(dtype: np.dtype) -> int:
    """asymo_dtype of an element type."""
    return DTYPES[dtype]


@cache
def _act(name: str) -> int | None:
    try:
        return _core.constant("ACT_" + name.upper())
    except AttributeError:
        return None


def _fuse_linear(n_in: int, body: Sequence[Instruction]) -> list[Instruction]:
    """The code with x * p + q and x * p - q as linear(x, p, q)."""
    fused = list(body)
    for index, (name, *operands) in enumerate(body):
        if name not in ("add", "sub") or not isinstance(operands[0], int) or not isinstance(operands[1], float) or operands[0] < n_in:
            continue
        inner, *factors = fused[operands[0] - n_in]
        if inner == "mul" and isinstance(factors[1], float):
            fused[index] = ("linear", factors[0], factors[1], operands[1] if name == "add" else -operands[1])
    return fused


def encode(n_in: int, body: Sequence[Instruction], results: Sequence[int | float]) -> tuple[np.ndarray, np.ndarray]:
    """(code int32 [rows][5], immediates float32) that leave results[i] in output i.

    Registers by linear scan: an input is loaded and an immediate made before its first use, and a register is free after its last use.
    x * p + q with immediates p and q is one fused operation; what nobody uses is left out.
    """
    body = _fuse_linear(n_in, body)
    ops = _eltwise_ops()
    registers = _core.constant("ELTWISE_REGISTERS")
    rows: list[tuple[int, ...]] = []
    immediates: list[float] = []
    last = {o: len(body) + i for i, o in enumerate(results) if isinstance(o, int)}
    for index in range(len(body) - 1, -1, -1):
        if n_in + index in last:
            for operand in body[index][1:]:
                if isinstance(operand, int):
                    last.setdefault(operand, index)
    free = list(range(registers - 1, -1, -1))
    where: dict[int, int] = {}

    def take() -> int:
        assert free, f"an elementwise chain needs more than {registers} registers"
        return free.pop()

    def constant(*values: float) -> int:
        immediates.extend(values)
        return len(immediates) - len(values)

    def register(operand: int | float) -> int:
        if isinstance(operand, float):
            target = take()
            rows.append((ops["imm"], target, constant(operand), 0, 0))
            return target
        if operand not in where:
            assert operand < n_in
            where[operand] = take()
            rows.append((ops["load"], where[operand], operand, 0, 0))
        return where[operand]

    for index, (name, *rest) in enumerate(body):
        if n_in + index not in last:
            continue
        operands = [o for o in rest if not isinstance(o, str)]
        if name in ("add", "mul", "max", "min") and len(operands) == 2 and isinstance(operands[0], float):
            operands.reverse()
        if name in _UNARY_FORMS and isinstance(operands[1], float):
            name, p, q = _UNARY_FORMS[name](operands[1])
            operands = [operands[0], p, q]
        if name in ops and name != "act":
            sources = [register(o) for o in operands]
            row = (ops[name], *sources, *(0 for _ in range(3 - len(sources))))
            passing = [r for r, o in zip(sources, operands, strict=True) if isinstance(o, float)]
        else:
            kind = _act(str(name))
            assert kind is not None, f"the eltwise step has no instruction {name!r}"
            source = register(operands[0])
            row = (ops["act"], source, kind, constant(*[*operands[1:], 0.0, 0.0][:2]))
            passing = [source] if isinstance(operands[0], float) else []
        for operand in {o for o in operands if isinstance(o, int) and last[o] == index}:
            free.append(where.pop(operand))
        free.extend(passing)
        target = where[n_in + index] = take()
        rows.append((row[0], target, *row[1:]))
    stores = [(ops["store"], i, register(o), 0, 0) for i, o in enumerate(results)]
    return np.array([*rows, *stores], np.int32).reshape(-1, 5), np.array(immediates or [0.0], np.float32)
