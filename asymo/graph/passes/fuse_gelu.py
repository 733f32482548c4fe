"""Recognises Gelu.

Requires: concrete shapes.
Does: 0.5 x (1 + Erf(x / sqrt 2)) and 0.5 x (1 + Tanh(sqrt(2 / pi) (x + 0.044715 x^3))), factors in any order, -> Gelu.
Ensures: nothing more.
"""

from __future__ import annotations

from math import pi, sqrt

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import factors, is_op, is_scalar, made_by, products_above, rewrite, split_scalar, sweep
from asymo.ops import given
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "Erf", "Tanh")]:
        changed |= _fuse(graph, node)
    return changed


def _fuse(graph: Graph, node: Node) -> bool:
    x = argument_of_erf(node) if node.op == "Erf" else argument_of_tanh(node)
    plus = graph.only_user(given(node.outputs))
    if x is None or not is_op(plus, "Add") or not any(is_scalar(v, 1.0) for v in plus.inputs):
        return False
    gate = given(plus.outputs)
    for top, found, constant, nodes in products_above(graph, gate):
        if abs(constant - 0.5) < 1e-5 and same(found, [gate, x]):
            rewrite(graph, top, "Gelu", [x], {"approximate": "none" if node.op == "Erf" else "tanh"})
            sweep(graph, [n for n in nodes if n is not top] + [plus])
            return True
    return False


def argument_of_erf(node: Node) -> Value | None:
    """x of Erf(x / sqrt 2)."""
    value = node.inputs[0]
    assert value is not None
    found, constant, _ = factors(value)
    return found[0] if len(found) == 1 and abs(constant - sqrt(0.5)) < 1e-5 else None


def argument_of_tanh(node: Node) -> Value | None:
    """x of Tanh(sqrt(2 / pi) (x + 0.044715 x^3)), or of the same with x taken out of the bracket."""
    value = node.inputs[0]
    assert value is not None
    found, constant, _ = factors(value)
    if abs(constant - sqrt(2 / pi)) > 1e-5:
        return None
    if len(found) == 1 and (add := made_by(found[0], "Add")) is not None:
        a, b = add.inputs
        for x, cube in ((a, b), (b, a)):
            if x is not None and cube is not None and is_power(cube, x, 3):
                return x
    if len(found) == 2:
        for x, bracket in (found, found[::-1]):
            add = made_by(bracket, "Add")
            split = split_scalar(add) if add is not None else None
            if split is not None and abs(split[1] - 1) < 1e-6 and is_power(split[0], x, 2):
                return x
    return None


def is_power(value: Value, x: Value, exponent: int) -> bool:
    """Whether the value is 0.044715 x^exponent."""
    found, constant, _ = factors(value)
    if abs(constant - 0.044715) > 1e-6:
        return False
    power = made_by(found[0], "Pow") if len(found) == 1 else None
    return same(found, [x] * exponent) or (power is not None and power.inputs[0] is x and is_scalar(power.inputs[1], exponent))


def same(a: list[Value], b: list[Value]) -> bool:
    """Whether the lists hold the same values in any order."""
    return sorted(map(id, a)) == sorted(map(id, b))
