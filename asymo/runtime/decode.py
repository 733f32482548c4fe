"""Graphs and plans back from the JSON values that `encode.py` makes of them. What is not one of ours raises, nothing is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from asymo.cost.speeds import Machine
from asymo.graph.dtypes import dtype_of
from asymo.graph.ir import Graph, Node, TensorType, Value
from asymo.onnx.attributes import TypeProto
from asymo.plan.plan import Args, Plan, Port, Ref, Sharing, Step

Json = Any
Fetch = Callable[[int], np.ndarray]

_PLAIN = {int, float}


def graph_from_json(document: Json, fetch: Fetch) -> Graph:
    """The graph. fetch: the array of a number. Raises LookupError, TypeError or ValueError where the document is not one of ours."""
    values = [Value(str(name), type_from_json(type), None if const is None else fetch(const)) for name, type, const in document["values"]]

    def pick(numbers: Sequence[int | None]) -> list[Value | None]:
        return [None if i is None else values[_index(i)] for i in numbers]

    def body(document: Json) -> Graph:
        graph = Graph(str(document["name"]))
        graph.inputs = [values[_index(i)] for i in document["inputs"]]
        graph.nodes = [node(n) for n in document["nodes"]]
        graph.outputs = [values[_index(i)] for i in document["outputs"]]
        return graph

    def node(n: Json) -> Node:
        op, domain, name, opset, inputs, outputs, attrs = n
        read = {key: attribute(value) for key, value in attrs.items()}
        return Node(str(op), pick(inputs), pick(outputs), read, name=str(name), domain=str(domain), opset=_index(opset))

    def attribute(value: Json) -> Any:
        if isinstance(value, list):
            return [attribute(v) for v in value]
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        if kind == "tuple":
            return tuple(attribute(v) for v in inner)
        if kind == "float":
            return float(inner)
        if kind == "bytes":
            return _from_hex(inner)
        if kind == "array":
            return fetch(inner)
        if kind == "graph":
            return body(inner)
        if kind == "type":
            return TypeProto(_from_hex(inner))
        raise ValueError(f"{kind!r} is no kind of attribute")

    return body(document)


def type_from_json(document: Json) -> TensorType | None:
    """The type of a value."""
    if document is None:
        return None
    number, dims = document
    if dims is not None and not all(d is None or isinstance(d, str) or (type(d) is int and d >= 0) for d in dims):
        raise ValueError(f"{dims!r} is no shape")
    return TensorType(dtype_of(number), None if dims is None else tuple(dims))


def plan_from_json(document: Json, fetch: Fetch, machine: Machine) -> Plan:
    """The plan. Operands lie inside their slots; what a step does inside its operands is as the file says (docs/asymo-files.md, trust).
    Raises LookupError, TypeError or ValueError where the document is not one of ours."""
    constants = tuple(fetch(i) for i in document["constants"])
    inputs, outputs = (tuple(_port_from_json(p) for p in document[key]) for key in ("inputs", "outputs"))
    arena = _index(document["arena"])
    sizes = [arena, *(a.nbytes for a in constants), *(_nbytes(p) for p in (*inputs, *outputs))]
    steps = tuple(_step_from_json(s, sizes, len(document["steps"])) for s in document["steps"])
    return Plan(steps, arena, constants, inputs, outputs, machine, _index(document["run_bytes"]))


def _step_from_json(document: Json, sizes: Sequence[int], steps: int) -> Step:
    kind, args, operands, node, op, (cores, chunk, unit_ns, spin_ns), ns, horizon = document
    refs = []
    for slot, offset in operands:
        if slot != -1 and not 0 <= _index(offset) <= sizes[_index(slot)]:
            raise ValueError(f"an operand of {node!r} lies at byte {offset} of slot {slot}, which has {sizes[slot]}")
        refs.append(Ref(slot, offset))
    if not 0 <= _index(horizon) <= steps:
        raise ValueError(f"{node!r} has the horizon {horizon} among {steps} steps")
    read: Args = dict(args)
    for key, value in args.items():
        if type(value) not in _PLAIN:
            read[key] = _numbers(value) if isinstance(value, list) else _number(value)
    sharing = Sharing(tuple(cores), tuple(chunk), tuple(unit_ns), spin_ns)
    return Step(kind, read, tuple(refs), node, op, sharing, ns, horizon)


def _port_from_json(document: Json) -> Port:
    name, number, shape = document
    return Port(str(name), dtype_of(number), tuple(_index(d) for d in shape))


def _nbytes(port: Port) -> int:
    return int(np.prod(port.shape, dtype=object)) * port.dtype.itemsize


def _index(value: Json) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no number >= 0")
    return value


def _numbers(values: list[Json]) -> tuple[int | float, ...]:
    return tuple(values) if _PLAIN.issuperset(map(type, values)) else tuple(_number(v) for v in values)


def _number(value: Json) -> int | float:
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    if isinstance(value, dict):
        return float(value["float"])
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value


def _from_hex(text: str) -> bytes:
    data = bytes.fromhex(text)
    if data.hex() != text:
        raise ValueError(f"{text[:20]!r} is not hexadecimal")
    return data
