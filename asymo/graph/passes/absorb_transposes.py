"""Lets matrix products read and write through transposes.

Requires: concrete shapes; asymo::MatMul.
Does: a Transpose that makes A, B or takes Y of an asymo::MatMul becomes its a_perm, b_perm, y_perm, as long as K of A and N of Y stay
  contiguous.
Ensures: nothing more.
"""

from __future__ import annotations

from asymo.graph.ir import Graph, Node
from asymo.graph.match import is_op, made_by, sweep
from asymo.ops.epilogue import RESIDUAL
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in [n for n in graph.nodes if is_op(n, "MatMul", domain="asymo")]:
        for index, name in ((0, "a_perm"), (1, "b_perm")):
            changed |= _absorb_input(graph, node, index, name)
        changed |= _absorb_output(graph, node)
    return changed


def _perm(node: Node, rank: int) -> list[int]:
    return list(node.attrs.get("perm") or range(rank - 1, -1, -1))


def _absorb_input(graph: Graph, node: Node, index: int, name: str) -> bool:
    transpose = made_by(node.inputs[index], "Transpose")
    if transpose is None or transpose.inputs[0] is None or name in node.attrs:
        return False
    source = transpose.inputs[0]
    perm = _perm(transpose, len(source.shape))
    if index == 0 and perm[-1] != len(perm) - 1:
        return False
    node.attrs[name] = perm
    node.set_input(index, source)
    sweep(graph, [transpose])
    return True


def _absorb_output(graph: Graph, node: Node) -> bool:
    y = node.outputs[0]
    assert y is not None
    transpose = graph.only_user(y)
    if not is_op(transpose, "Transpose") or "y_perm" in node.attrs or node.input(RESIDUAL) is not None:
        return False
    assert transpose is not None
    assert transpose.outputs[0] is not None
    perm = _perm(transpose, len(y.shape))
    if perm[-1] != len(perm) - 1 or any(len(v.shape) < 2 for v in node.inputs[:2] if v is not None):
        return False
    node.attrs["y_perm"] = perm
    target = transpose.outputs[0]
    node.outputs[0] = target
    target.producer = node
    transpose.set_inputs([])
    graph.nodes.remove(transpose)
    return True
