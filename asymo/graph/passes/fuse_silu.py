"""Recognises SiLU.

Requires: concrete shapes.
Does: x Sigmoid(alpha x) -> Swish(alpha).
Ensures: nothing more.
"""

from __future__ import annotations

from asymo.graph.ir import Graph
from asymo.graph.match import factors, is_op, rewrite, sweep
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "Sigmoid")]:
        gate, inner = node.outputs[0], node.inputs[0]
        assert gate is not None
        assert inner is not None
        user = graph.only_user(gate)
        if not is_op(user, "Mul"):
            continue
        assert user is not None
        x = next(v for v in user.inputs if v is not gate)
        assert x is not None
        found, alpha, _ = ([inner], 1.0, []) if inner is x else factors(inner)
        if len(found) == 1 and found[0] is x:
            rewrite(graph, user, "Swish", [x], {"alpha": alpha})
            sweep(graph, [node])
            changed = True
    return changed
