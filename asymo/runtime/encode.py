"""Graphs and plans as JSON values and back. Arrays are numbers in a table that the caller keeps.

    graph   {"name", "values": [[name, type, const]], "inputs", "outputs": [value], "nodes": [node]}; subgraphs share the table of values
    node    [op, domain, name, opset, inputs, outputs, attributes]; absent inputs and outputs are null
    type    [ONNX number of the dtype, dimensions or null] or null
    plan    {"steps", "arena", "constants", "inputs", "outputs", "run_bytes"}
    step    [kind, arguments, [[slot, offset]], node, op, [cores, chunk, unit_ns, spin_ns], ns, horizon]

What JSON has no form for is an object with one key: {"tuple": [...]}, {"float": "inf"}, {"bytes": base64}, {"array": number},
{"graph": ...}, {"type": base64 of a TypeProto}.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64  # base64 itself takes 3 ms to import
from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np

from asymo.cost.speeds import Machine
from asymo.errors import UnsupportedError
from asymo.graph.dtypes import dtype_of, number_of
from asymo.graph.ir import Graph, Node, TensorType, Value
from asymo.onnx.attributes import TypeProto
from asymo.plan.plan import Args, Plan, Port, Ref, Sharing, Step

Json = Any
Store = Callable[[np.ndarray], int]
Fetch = Callable[[int], np.ndarray]

# ---- writing


def graph_to_json(graph: Graph, store: Store) -> Json:
    """A graph, its subgraphs included. store: the number of an array. Raises UnsupportedError for an attribute of an unknown kind."""
    table: dict[Value, int] = {}
    values: list[Json] = []

    def number(value: Value | None) -> int | None:
        if value is None:
            return None
        if value not in table:
            table[value] = len(values)
            values.append([value.name, _type_to_json(value.type), None if value.const is None else store(value.const)])
        return table[value]

    def body(graph: Graph) -> Json:
        return {
            "name": graph.name,
            "inputs": [number(v) for v in graph.inputs],
            "nodes": [node(n) for n in graph.nodes],
            "outputs": [number(v) for v in graph.outputs],
        }

    def node(n: Node) -> Json:
        attrs = {key: attribute(value, n) for key, value in n.attrs.items()}
        return [n.op, n.domain, n.name, n.opset, [number(v) for v in n.inputs], [number(v) for v in n.outputs], attrs]

    def attribute(value: Any, n: Node) -> Json:
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return _float_to_json(value)
        if isinstance(value, list):
            return [attribute(v, n) for v in value]
        if isinstance(value, tuple):
            return {"tuple": [attribute(v, n) for v in value]}
        if isinstance(value, bytes):
            return {"bytes": _base64(value)}
        if isinstance(value, np.ndarray):
            return {"array": store(value)}
        if isinstance(value, Graph):
            return {"graph": body(value)}
        if isinstance(value, TypeProto):
            return {"type": _base64(value.serialised)}
        raise UnsupportedError(f"{n.where}: an attribute of type {type(value).__name__} cannot be written to a file")

    return {**body(graph), "values": values}


def plan_to_json(plan: Plan, store: Store) -> Json:
    """A plan without its machine."""
    return {
        "steps": [_step_to_json(step) for step in plan.steps],
        "arena": plan.arena_bytes,
        "constants": [store(array) for array in plan.constants],
        "inputs": [_port_to_json(port) for port in plan.inputs],
        "outputs": [_port_to_json(port) for port in plan.outputs],
        "run_bytes": plan.run_bytes,
    }


def _step_to_json(step: Step) -> Json:
    args = {key: [_plain(v) for v in value] if isinstance(value, tuple) else _plain(value) for key, value in step.args.items()}
    sharing = [step.sharing.cores, step.sharing.chunk, step.sharing.unit_ns, step.sharing.spin_ns]
    return [step.kind, args, [[r.slot, r.offset_bytes] for r in step.operands], step.node, step.op, sharing, step.ns, step.horizon]


def _port_to_json(port: Port) -> Json:
    return [port.name, number_of(port.dtype), list(port.shape)]


def _type_to_json(type: TensorType | None) -> Json:
    return None if type is None else [number_of(type.dtype), None if type.shape is None else list(type.shape)]


def _plain(value: Any) -> Json:
    value = value.item() if isinstance(value, np.generic) else value
    return _float_to_json(value) if isinstance(value, float) else value


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _from_base64(text: str) -> bytes:
    data = a2b_base64(text)
    if _base64(data) != text:
        raise ValueError(f"{text[:20]!r} is no base64")
    return data


def _float_to_json(value: float) -> Json:
    return value if isfinite(value) else {"float": repr(value)}


# ---- reading


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
            return _from_base64(inner)
        if kind == "array":
            return fetch(inner)
        if kind == "graph":
            return body(inner)
        if kind == "type":
            return TypeProto(_from_base64(inner))
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
    read: Args = {key: tuple(_number(v) for v in value) if isinstance(value, list) else _number(value) for key, value in args.items()}
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


def _number(value: Json) -> int | float:
    if isinstance(value, dict):
        return float(value["float"])
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return value
