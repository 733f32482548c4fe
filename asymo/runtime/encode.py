"""Graphs and plans as JSON values, which `decode.py` reads. Arrays are numbers in a table that the caller keeps.

    graph   {"name", "values": [[name, type, const]], "inputs", "outputs": [value], "nodes": [node]}; subgraphs share the table of values
    node    [op, domain, name, opset, inputs, outputs, attributes]; absent inputs and outputs are null
    type    [ONNX number of the dtype, dimensions or null] or null
    plan    {"steps", "arena", "constants", "inputs", "outputs", "run_bytes"}
    step    [kind, arguments, [[slot, offset]], node, op, [cores, chunk, unit_ns, spin_ns], ns, horizon]

What JSON has no form for is an object with one key: {"tuple": [...]}, {"float": "inf"}, {"bytes": hexadecimal}, {"array": number},
{"graph": ...}, {"type": a TypeProto, hexadecimal}.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np

from asymo.errors import UnsupportedError
from asymo.graph.dtypes import number_of
from asymo.graph.ir import Graph, Node, TensorType, Value
from asymo.onnx.attributes import TypeProto
from asymo.plan.plan import Plan, Port, Step

Json = Any
Store = Callable[[np.ndarray], int]


def graph_to_json(graph: Graph, store: Store) -> Json:
    """A graph, its subgraphs included. store: the number of an array. Raises UnsupportedError for an attribute of an unknown kind."""
    table: dict[Value, int] = {}
    values: list[Json] = []

    def number(value: Value | None) -> int | None:
        if value is None:
            return None
        if value not in table:
            table[value] = len(values)
            values.append([value.name, type_to_json(value.type), None if value.const is None else store(value.const)])
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
            return {"bytes": value.hex()}
        if isinstance(value, np.ndarray):
            return {"array": store(value)}
        if isinstance(value, Graph):
            return {"graph": body(value)}
        if isinstance(value, TypeProto):
            return {"type": value.serialised.hex()}
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


def type_to_json(type: TensorType | None) -> Json:
    """The type of a value."""
    return None if type is None else [number_of(type.dtype), None if type.shape is None else list(type.shape)]


def _plain(value: Any) -> Json:
    value = value.item() if isinstance(value, np.generic) else value
    return _float_to_json(value) if isinstance(value, float) else value


def _float_to_json(value: float) -> Json:
    return value if isfinite(value) else {"float": repr(value)}
