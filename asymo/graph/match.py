"""Small helpers of passes: looking at patterns, and inserting nodes whose types are known at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from asymo import ops
from asymo.graph.build import NEWEST
from asymo.graph.ir import Graph, Node, Value
from asymo.ops import given


def is_op(node: Node | None, *names: str, domain: str = "") -> TypeGuard[Node]:
    """Whether there is a node, and it is one of these operators."""
    return node is not None and node.domain == domain and node.op in names


def made_by(value: Value | None, *names: str, domain: str = "") -> Node | None:
    """The node that makes this value, if it is one of these operators."""
    return value.producer if value is not None and is_op(value.producer, *names, domain=domain) else None


def scalar_of(value: Value | None) -> float | None:
    """The number in a constant of one element."""
    if value is None or value.const is None or value.const.size != 1 or value.const.dtype.kind not in "fiu":
        return None
    return float(value.const.reshape(-1)[0])


def is_scalar(value: Value | None, number: float, tolerance: float = 1e-6) -> bool:
    """Whether the value is a constant of one element, this number up to a relative error."""
    found = scalar_of(value)
    return found is not None and abs(found - number) <= tolerance * abs(number)


def split_scalar(node: Node) -> tuple[Value, float] | None:
    """(the other input, the number) of a commutative node one of whose inputs is a constant of one element."""
    a, b = given(node.inputs), given(node.inputs, 1)
    for x, constant in ((a, b), (b, a)):
        number = scalar_of(constant)
        if number is None or x.const is not None or constant.type is None or x.type is None:
            continue
        if constant.type.rank <= x.type.rank:
            return x, number
    return None


def factors(value: Value) -> tuple[list[Value], float, list[Node]]:
    """The value as a product: (factors that are no constants, constant factor, the Mul and Div nodes it is made of).

    Looks through Mul and Div by numbers and through Mul of two values as long as the intermediate products have no other user."""
    found: list[Value] = []
    nodes: list[Node] = []
    constant = 1.0
    todo = [value]
    while todo:
        v = todo.pop()
        node = v.producer if v is value or len(v.users) == 1 else None
        if is_op(node, "Mul") and (split := split_scalar(node)) is not None:
            constant *= split[1]
            todo.append(split[0])
        elif is_op(node, "Mul"):
            todo += [v for v in node.inputs if v is not None]
        elif is_op(node, "Div") and (divisor := scalar_of(node.inputs[1])):
            constant /= divisor
            todo.append(given(node.inputs))
        else:
            found.append(v)
            continue
        nodes.append(node)
    return found, constant, nodes


def emit(
    graph: Graph, anchor: Node, op: str, inputs: Sequence[Value | None], attrs: dict[str, Any] | None = None, *, domain: str = ""
) -> Value:  # fmt: skip
    """Inserts a node before `anchor` and returns its output, whose type is inferred from the inputs' concrete types."""
    first = anchor.outputs[0]
    value = Value(graph.fresh_name(first.name if first is not None else op))
    node = Node(op, inputs, [value], attrs, name=anchor.name, domain=domain, opset=NEWEST)
    graph.insert_before(anchor, node)
    value.type = infer_type(node)
    return value


def infer_type(node: Node) -> Any:
    """The type of the node's first output."""
    operator = ops.find(node.domain, node.op)
    assert operator is not None, f"no operator {node.domain}::{node.op}"
    return operator.infer(node, [None if v is None else v.type for v in node.inputs])[0]


def rewrite(graph: Graph, node: Node, op: str, inputs: Sequence[Value | None], attrs: dict[str, Any], domain: str = "") -> None:
    """Makes another operator of the node, in its place and with its outputs."""
    node.op, node.domain, node.attrs, node.opset = op, domain, attrs, NEWEST
    node.set_inputs(inputs)


def sweep(graph: Graph, candidates: Sequence[Node]) -> None:
    """Removes those of the nodes that nobody uses any more, and what only they used."""
    dead: set[Node] = set()
    todo = list(candidates)
    while todo:
        node = todo.pop()
        if node in dead or any(v is not None and (v.users or graph.is_output(v)) for v in node.outputs):
            continue
        dead.add(node)
        producers = [v.producer for v in node.inputs if v is not None and v.producer is not None]
        node.set_inputs([])
        todo += producers
    if dead:
        graph.nodes = [n for n in graph.nodes if n not in dead]


def per_channel(value: Value | None, rank: int, axis: int, channels: int) -> np.ndarray | None:
    """A constant that broadcasts over a tensor of `rank` axes with `channels` entries along `axis` as an array of shape (channels,), or
    (1,) when it is one number; None when it is no such constant."""
    if value is None or value.const is None or value.const.ndim > rank:
        return None
    array = value.const
    shape = (1,) * (rank - array.ndim) + array.shape
    if array.size == 1:
        return array.reshape(1)
    if shape[axis] == channels and array.size == channels:
        return array.reshape(channels)
    return None


def products_above(graph: Graph, value: Value) -> Iterator[tuple[Node, list[Value], float, list[Node]]]:
    """(top node, factors, constant, nodes) of the products that hold `value`, from the smallest one; see `factors`."""
    top = value
    for _ in range(3):
        node = graph.only_user(top)
        if not is_op(node, "Mul", "Div") or node.outputs[0] is None or (node.op == "Div" and node.inputs[0] is not top):
            return
        top = node.outputs[0]
        found, constant, nodes = factors(top)
        yield node, found, constant, nodes
