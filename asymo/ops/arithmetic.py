"""Arithmetic, comparison, logic and elementary functions, element by element: one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from asymo.graph.ir import Node, TensorType
from asymo.ops import Example, all_given, given, operator
from asymo.ops.eltwise import BOOL, Code, Elementwise, Operand, emit_typed_chain, is_float
from asymo.plan.lower import Lowering
from asymo.record import NamedTuple

INTS = (np.int32, np.int64, np.uint8, np.int8)
NUMBERS = (*INTS, np.float64)
Build = Callable[..., Operand | None]


class Row(NamedTuple):
    """How one operator is computed.

    build: (code, attributes, *operands) appends the fp32 instructions; typed: the operation in other types, by name or by attributes;
    numpy: the same in numpy, for shape arithmetic; dtypes: of the examples besides fp32; domain: of the examples' elements.
    """

    arity: int
    build: Build | None = None
    typed: str | Callable[[dict[str, Any]], str] | None = None
    numpy: Callable[..., np.ndarray] | None = None
    dtypes: tuple[Any, ...] = ()
    domain: tuple[float, float] = (-4.0, 4.0)
    to_bool: bool = False
    attrs: tuple[dict[str, Any], ...] = ({},)


def _plain(name: str) -> Build:
    return lambda c, attrs, *operands: c(name, *operands)


def _pow(c: Code, attrs: dict[str, Any], x: Operand, y: Operand) -> Operand:
    if isinstance(y, int):
        return c("pow", x, y)
    match y:
        case 1.0:
            return x
        case 2.0:
            return c("mul", x, x)
        case 3.0:
            return c("mul", c("mul", x, x), x)
        case 0.5:
            return c("sqrt", x)
        case -1.0:
            return c("reciprocal", x)
    return c("pow", x, y)


def _truncated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Division; of integers towards zero."""
    if a.dtype.kind == "f":
        return np.asarray(np.divide(a, b))
    quotient: np.ndarray = np.abs(a) // np.abs(b)
    return np.where((a < 0) != (b < 0), -quotient, quotient).astype(a.dtype) if a.dtype.kind == "i" else quotient


def _is_inf(c: Code, attrs: dict[str, Any], x: Operand) -> Operand:
    high, low = attrs.get("detect_positive", 1), attrs.get("detect_negative", 1)
    return c("equal", c("abs", x) if high and low else x, float("inf") if high else -float("inf")) if high or low else c("not_equal", x, x)


def _shift(attrs: dict[str, Any]) -> str:
    return "shift_left" if attrs["direction"] in ("LEFT", b"LEFT") else "shift_right"


def _mod(c: Code, attrs: dict[str, Any], a: Operand, b: Operand) -> Operand | None:
    return c("fmod", a, b) if attrs.get("fmod") else None


ROWS = {
    "Add": Row(2, _plain("add"), "add", np.add, NUMBERS),
    "Sub": Row(2, _plain("sub"), "sub", np.subtract, NUMBERS),
    "Mul": Row(2, _plain("mul"), "mul", np.multiply, NUMBERS),
    "Div": Row(2, _plain("div"), "div", _truncated, NUMBERS, (1.0, 5.0)),
    "Mod": Row(2, _mod, lambda a: "fmod" if a.get("fmod") else "mod", None, INTS, (1.0, 9.0)),
    "Pow": Row(2, _pow, "pow", np.power, (), (0.1, 4.0)),
    "Neg": Row(1, _plain("neg"), "neg", np.negative, (np.int32, np.int64, np.float64)),
    "Abs": Row(1, _plain("abs"), "abs", np.abs, (np.int32, np.int64, np.float64)),
    "Sign": Row(1, _plain("sign"), "sign", np.sign, (np.int64, np.float64)),
    "Sqrt": Row(1, _plain("sqrt"), None, np.sqrt, (), (0.0, 9.0)),
    "Reciprocal": Row(1, _plain("reciprocal"), None, None, (), (0.5, 4.0)),
    "Exp": Row(1, _plain("exp")),
    "Log": Row(1, _plain("log"), domain=(0.01, 9.0)),
    "Sin": Row(1, _plain("sin"), domain=(-30.0, 30.0)),
    "Cos": Row(1, _plain("cos"), domain=(-30.0, 30.0)),
    "Tan": Row(1, _plain("tan"), domain=(-1.5, 1.5)),
    "Asin": Row(1, _plain("asin"), domain=(-1.0, 1.0)),
    "Acos": Row(1, _plain("acos"), domain=(-1.0, 1.0)),
    "Atan": Row(1, _plain("atan"), domain=(-9.0, 9.0)),
    "Sinh": Row(1, _plain("sinh")),
    "Cosh": Row(1, _plain("cosh")),
    "Asinh": Row(1, _plain("asinh")),
    "Acosh": Row(1, _plain("acosh"), domain=(1.0, 9.0)),
    "Atanh": Row(1, _plain("atanh"), domain=(-0.99, 0.99)),
    "Erf": Row(1, _plain("erf")),
    "Floor": Row(1, _plain("floor"), None, np.floor, ()),
    "Ceil": Row(1, _plain("ceil"), None, np.ceil, ()),
    "Round": Row(1, _plain("round"), None, np.rint, ()),
    "IsNaN": Row(1, lambda c, attrs, x: c("not_equal", x, x), to_bool=True),
    "IsInf": Row(1, _is_inf, to_bool=True, attrs=({}, {"detect_positive": 0}, {"detect_negative": 0})),
    "Equal": Row(2, _plain("equal"), "equal", np.equal, (np.int64, np.int32, np.bool_, np.float64), to_bool=True),
    "Less": Row(2, _plain("less"), "less", np.less, NUMBERS, to_bool=True),
    "LessOrEqual": Row(2, _plain("less_equal"), "less_equal", np.less_equal, NUMBERS, to_bool=True),
    "Greater": Row(2, lambda c, attrs, a, b: c("less", b, a), "greater", np.greater, NUMBERS, to_bool=True),
    "GreaterOrEqual": Row(2, lambda c, attrs, a, b: c("less_equal", b, a), "greater_equal", np.greater_equal, NUMBERS, to_bool=True),
    "And": Row(2, None, "and", np.logical_and, (np.bool_,), to_bool=True),
    "Or": Row(2, None, "or", np.logical_or, (np.bool_,), to_bool=True),
    "Xor": Row(2, None, "xor", np.logical_xor, (np.bool_,), to_bool=True),
    "Not": Row(1, None, "not", np.logical_not, (np.bool_,), to_bool=True),
    "BitwiseAnd": Row(2, None, "bitwise_and", np.bitwise_and, INTS),
    "BitwiseOr": Row(2, None, "bitwise_or", np.bitwise_or, INTS),
    "BitwiseXor": Row(2, None, "bitwise_xor", np.bitwise_xor, INTS),
    "BitwiseNot": Row(1, None, "bitwise_not", np.bitwise_not, INTS),
    "BitShift": Row(
        2, None, _shift, None, (np.uint8, np.uint32, np.uint64), (0.0, 7.0), attrs=({"direction": "LEFT"}, {"direction": "RIGHT"})
    ),
}  # fmt: skip

SHAPES: dict[int, list[tuple[tuple[int, ...], ...]]] = {
    1: [((),), ((1,),), ((5,),), ((3, 7, 11),), ((2, 1031),), ((4, 0),)],
    2: [((), ()), ((3, 5), (3, 5)), ((2, 3, 5), (5,)), ((4, 1, 3), (1, 7, 1)), ((7,), (1, 1)), ((2, 33, 17), (1, 33, 1)), ((0, 3), (1, 3))],
    3: [((3, 5),) * 3, ((2, 1, 5), (4, 1), (5,)), ((), (3,), (2, 3))],
}


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any, domain: tuple[float, float] = (-4.0, 4.0)) -> np.ndarray:
    """Random elements of the domain; of an unsigned type those above zero, of a bool type both."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    low = max(domain[0], 0.0) if dtype.kind == "u" else domain[0]
    return np.asarray(rng.uniform(low, domain[1], shape)).astype(dtype)


@operator(*ROWS)
class Arithmetic(Elementwise):
    """The operators of ROWS."""

    @property
    def row(self) -> Row:
        return ROWS[self.name]

    def result(self, node: Node, inputs: list[TensorType | None]) -> np.dtype:
        return BOOL if self.row.to_bool else given(inputs).dtype

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        if self.row.numpy is None or any(a.dtype.kind not in "biuf" for a in all_given(arrays)):
            return None
        with np.errstate(all="ignore"):
            value = np.asarray(self.row.numpy(*arrays))
        return [value if self.row.to_bool else value.astype(given(arrays).dtype, copy=False)]

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        return self.row.build(c, node.attrs, *operands) if self.row.build else None

    def typed(self, node: Node) -> str | None:
        return self.row.typed(node.attrs) if callable(self.row.typed) else self.row.typed

    def examples(self) -> Iterator[Example]:
        row, rng = self.row, np.random.default_rng(0)
        for attrs in row.attrs:
            if row.build and self.name != "Mod":
                for shapes in SHAPES[row.arity]:
                    yield Example([draw(rng, s, np.float32, row.domain) for s in shapes], attrs)
            for dtype in row.dtypes:
                for shapes in SHAPES[row.arity][1:5]:
                    yield Example([draw(rng, s, dtype, row.domain) for s in shapes], attrs)
        special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0], np.float32)
        if self.name in ("IsNaN", "IsInf", "Sign", "Abs", "Neg", "Exp", "Floor"):
            yield Example([special], row.attrs[-1])
        if self.name == "Mod":
            for attrs in ({}, {"fmod": 1}):
                yield Example([np.array([-7, 7, -6, 5, 0]), np.array([3, -3, -2, 5, 7])], attrs)
            yield Example([np.array([-7.5, 7.25, 6.0], np.float32), np.array([3.5, -3.0, 2.0], np.float32)], {"fmod": 1})
        if self.name == "Div":
            yield Example([np.array([-7, 7, -6, 5, 0]), np.array([3, -3, -2, 5, 7])])
        if self.name == "Pow":
            x = draw(rng, (3, 5), np.float32)
            for exponent in (2.0, 3.0, 0.0, 1.0, -1.0):
                yield Example([x, np.array(exponent, np.float32)], constant=(1,))
            yield Example([np.abs(x), np.array([0.5], np.float32)], constant=(1,))
            yield Example([x, np.array([0, 1, 2, 3, -1])])
            yield Example([np.array([2, -3, 5]), np.array([3, 2, 0])])
        if self.name == "Round":
            yield Example([np.array([0.5, 1.5, -2.5, 2.4, -0.5], np.float32)])
        if row.arity == 2 and row.build and self.name != "Mod":
            yield Example([draw(rng, (5, 3), np.float32, row.domain), draw(rng, (1,), np.float32, row.domain)], row.attrs[0], constant=(1,))


VARIADIC = {"Sum": ("add", np.add), "Mean": ("add", np.add), "Max": ("max", np.maximum), "Min": ("min", np.minimum)}


@operator(*VARIADIC)
class Variadic(Elementwise):
    """Sum, Mean, Max and Min of any number of inputs."""

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        result, *others = all_given(operands)
        for operand in others:
            result = c(VARIADIC[self.name][0], result, operand)
        return c("mul", result, 1.0 / len(operands)) if self.name == "Mean" and len(operands) > 1 else result

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        result, *others = all_given(arrays)
        for array in others:
            result = VARIADIC[self.name][1](result, array)
        return [(result / len(arrays)).astype(given(arrays).dtype)] if self.name == "Mean" else [np.asarray(result)]

    def typed(self, node: Node) -> str | None:
        return VARIADIC[self.name][0] if self.name != "Mean" else None

    def lower(self, node: Node, lo: Lowering) -> None:
        if is_float(node):
            super().lower(node, lo)
        else:
            names = [VARIADIC[self.name][0]] * (len(node.inputs) - 1)
            emit_typed_chain(lo, names, [lo.input(v) for v in all_given(node.inputs)], given(node.outputs))

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for shapes in [((3, 5),), ((3, 5), (5,)), ((2, 3, 5), (1, 5), (3, 1)), ((7, 33), (7, 1), (33,), ())]:
            yield Example([draw(rng, s, np.float32) for s in shapes])
        if self.name in ("Max", "Min"):
            for dtype in NUMBERS:
                yield Example([draw(rng, (4, 5), dtype), draw(rng, (5,), dtype)])
            yield Example([draw(rng, (4, 5), np.int64), draw(rng, (5,), np.int64), draw(rng, (2, 1, 1), np.int64)])
            nan = np.array([np.nan, 1.0, np.nan, -np.inf], np.float32)
            yield Example([nan, nan[::-1].copy()])


@operator("Where")
class Where(Elementwise):
    """condition ? X : Y."""

    def result(self, node: Node, inputs: list[TensorType | None]) -> np.dtype:
        return given(inputs, 1).dtype

    def evaluate(self, node: Node, arrays: list[np.ndarray | None]) -> list[np.ndarray] | None:
        condition, x, y = all_given(arrays)
        return [np.where(condition, x, y)]

    def code(self, node: Node, c: Code, operands: list[Operand | None]) -> Operand | None:
        return c("select", *all_given(operands))

    def typed(self, node: Node) -> str | None:
        return "where"

    def examples(self) -> Iterator[Example]:
        rng = np.random.default_rng(0)
        for dtype in (np.float32, np.int64, np.bool_, np.float64, np.uint8):
            for shapes in SHAPES[3]:
                yield Example([draw(rng, shapes[0], bool), draw(rng, shapes[1], dtype), draw(rng, shapes[2], dtype)])
        x = draw(rng, (2, 3, 5), np.float32)
        yield Example([x > 0, x, np.array(-np.inf, np.float32)], constant=(2,))
