"""Recognises the channel shuffle.

Requires: concrete shapes.
Does: Reshape (N, C, ...) -> (N, g, C / g, ...), Transpose of axes 1 and 2, Reshape back -> asymo::ChannelShuffle, which suits any layout.
Ensures: nothing more.
"""

from __future__ import annotations

from asymo.graph.ir import Graph, Node
from asymo.graph.match import is_op, made_by, rewrite, sweep
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "Transpose")]:
        changed |= _fuse(graph, node)
    return changed


def _fuse(graph: Graph, node: Node) -> bool:
    split, mixed, y = made_by(node.inputs[0], "Reshape"), node.inputs[0], node.outputs[0]
    if split is None or mixed is None or y is None or graph.only_user(mixed) is not node:
        return False
    join, x = graph.only_user(y), split.inputs[0]
    if not is_op(join, "Reshape") or x is None:
        return False
    assert join is not None
    assert join.outputs[0] is not None
    rank = len(mixed.shape)
    if rank < 4 or list(node.attrs.get("perm", ())) != [0, 2, 1, *range(3, rank)]:
        return False
    n, g, c, *rest = mixed.shape
    if x.shape != (n, g * c, *rest) or join.outputs[0].shape != x.shape:
        return False
    rewrite(graph, join, "ChannelShuffle", [x], {"groups": g, "axis": 1}, "asymo")
    sweep(graph, [node])
    return True
