"""Removes nodes that hand their input through.

Requires: nothing; knows more where types are known. Does: lets the users of such a node use its input. A node that makes an output of
the graph stays (it is lowered to an alias), because the output keeps its name. Ensures: no Identity and no inference-time Dropout makes
anything but outputs of the graph.
"""

from __future__ import annotations

import numpy as np

from asymo.graph.dtypes import dtype_of
from asymo.graph.ir import Graph, Node, TensorType
from asymo.plan.lower import Cache

_SHAPERS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand"}
"""Operators that keep every element in place when they keep the shape."""


def run(graph: Graph, cache: Cache) -> bool:
    removed: list[Node] = []
    for node in graph.nodes:  # in order, so that a node sees the types that come past the ones before it
        if _hands_through(graph, node):
            source, target = node.inputs[0], node.outputs[0]
            assert source is not None
            assert target is not None
            graph.replace(target, source)
            removed.append(node)
    graph.remove_all(removed)
    return bool(removed)


def _hands_through(graph: Graph, node: Node) -> bool:
    if node.domain or not node.inputs or node.inputs[0] is None or not node.outputs or node.outputs[0] is None:
        return False
    if graph.is_output(node.outputs[0]) or any(v is not None and (v.users or graph.is_output(v)) for v in node.outputs[1:]):
        return False
    source, target = node.inputs[0].type, node.outputs[0].type
    match node.op:
        case "Identity":
            return True
        case "Dropout":
            training = node.input(2)
            return training is None or (training.const is not None and not training.const.any())
        case "Cast":
            return source is not None and dtype_of(node.attrs["to"]) == source.dtype
        case "Concat" | "Sum" | "Max" | "Min" | "Mean":
            return len(node.inputs) == 1
        case "Transpose":
            perm = node.attrs.get("perm")
            return perm is not None and list(perm) == list(range(len(perm)))
        case "Pad":
            pads = node.input(1)
            return pads is not None and pads.const is not None and not pads.const.any()
        case "Slice":
            steps = node.input(4)
            return _same(source, target) and (steps is None or (steps.const is not None and bool(np.all(steps.const == 1))))
    return node.op in _SHAPERS and _same(source, target)


def _same(source: TensorType | None, target: TensorType | None) -> bool:
    return source is not None and source.is_concrete and source == target


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        assert not _hands_through(graph, node), f"{node} hands its input through"
