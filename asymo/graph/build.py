"""Making nodes inside a graph: what `from_onnx` and the passes write with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from asymo.graph.ir import Graph, Node, TensorType, Value

NEWEST = 1 << 16
"""Opset of nodes that are already in their newest form."""


def before(
    graph: Graph,
    anchor: Node,
    op: str,
    inputs: Sequence[Value | None],
    attrs: dict[str, Any] | None = None,
    *,
    name: str = "",
    domain: str = "",
    type: TensorType | None = None,
) -> Value:
    """Inserts a node in its newest form before `anchor` and returns its one output."""
    first = anchor.outputs[0]
    value = Value(graph.fresh_name(first.name if first is not None else op), type)
    graph.insert_before(anchor, Node(op, inputs, [value], attrs, name=name, domain=domain, opset=NEWEST))
    return value


def ints(graph: Graph, values: Sequence[int], hint: str = "ints") -> Value:
    """A constant 1-D int64 tensor."""
    return graph.constant(np.asarray(values, np.int64).reshape(-1), hint)


def scalar(graph: Graph, value: float, hint: str = "scalar") -> Value:
    """A constant fp32 tensor of rank 0."""
    return graph.constant(np.asarray(value, np.float32), hint)
