"""Removes what nobody needs.

Requires: nothing. Does: removes nodes none of whose outputs is used, and makes unused outputs of the others absent (kernels skip them).
Ensures: every node has an output that is used by a node, a subgraph, or the caller.
"""

from __future__ import annotations

from asymo.graph.ir import Graph, Node, Value
from asymo.plan.lower import Cache

_COUNTED = {"Split", "SplitToSequence", "If", "Loop", "Scan"}
"""Operators for which the number of outputs means something, or whose outputs follow a subgraph's."""


def run(graph: Graph, cache: Cache) -> bool:
    outputs = set(graph.outputs)
    kept: list[Node] = []
    changed = False

    def is_used(value: Value) -> bool:
        return bool(value.users) or value in outputs

    for node in reversed(graph.nodes):
        if not any(v is not None and is_used(v) for v in node.outputs):
            _detach(node)
            changed = True
            continue
        if node.op not in _COUNTED:
            for i, value in enumerate(node.outputs):
                if value is not None and not is_used(value):
                    node.outputs[i] = None
                    changed = True
            while node.outputs[-1] is None:
                node.outputs.pop()
        kept.append(node)
    graph.nodes = kept[::-1]
    return changed


def _detach(node: Node) -> None:
    """Gives up the node's uses, those inside its subgraphs included."""
    node.set_inputs([])
    for sub in node.attrs.values():
        if isinstance(sub, Graph):
            for inner in sub.nodes:
                _detach(inner)


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        assert any(v is not None and (v.users or graph.is_output(v)) for v in node.outputs), f"{node} is dead"
