"""Recognises HardSigmoid and HardSwish.

Requires: concrete shapes.
Does: Clip(x + 3, 0, 6) / 6 -> HardSigmoid(1/6, 1/2); x Clip(x + 3, 0, 6) / 6 and x HardSigmoid(x; 1/6, 1/2), factors in any order, ->
  HardSwish.
Ensures: nothing more.
"""

from __future__ import annotations

from asymo.graph.ir import Graph, Node
from asymo.graph.match import is_op, is_scalar, made_by, products_above, rewrite, split_scalar, sweep
from asymo.plan.lower import Cache

SIXTH = 1 / 6


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "Clip", "HardSigmoid")]:
        changed |= _fuse(graph, node)
    return changed


def _fuse(graph: Graph, node: Node) -> bool:
    gate = node.outputs[0]
    assert gate is not None
    if node.op == "HardSigmoid":
        x, scale = node.inputs[0], 1.0
        if abs(node.attrs.get("alpha", 0.2) - SIXTH) > 1e-6 or abs(node.attrs.get("beta", 0.5) - 0.5) > 1e-6:
            return False
    else:
        add = made_by(node.inputs[0], "Add")
        split = split_scalar(add) if add is not None else None
        if split is None or split[1] != 3 or not is_scalar(node.input(1), 0) or not is_scalar(node.input(2), 6):
            return False
        x, scale = split[0], SIXTH
    sigmoid = None
    for top, found, constant, nodes in products_above(graph, gate):
        if abs(constant - scale) > 1e-6:
            continue
        if len(found) == 2 and any(v is x for v in found) and any(v is gate for v in found):
            rewrite(graph, top, "HardSwish", [x], {})
            sweep(graph, [n for n in nodes if n is not top] + [node])
            return True
        if found == [gate] and node.op == "Clip":
            sigmoid = top, nodes
    if sigmoid is None:
        return False
    top, nodes = sigmoid
    rewrite(graph, top, "HardSigmoid", [x], {"alpha": SIXTH, "beta": 0.5})
    sweep(graph, [n for n in nodes if n is not top] + [node])
    return True
