"""Joins what a Split has just cut.

Requires: concrete shapes. Does: where a Concat takes all pieces of a Split along the same axis, one after the other, it takes what was cut
instead: Concat(a, Split(x)..., b) = Concat(a, x, b). Ensures: no such pieces are left.
"""

from __future__ import annotations

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import is_op
from asymo.ops import given
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    changed = False
    for node in graph.nodes:
        if is_op(node, "Concat"):
            joined = _joined(node)
            changed |= len(joined) != len(node.inputs)
            node.set_inputs(joined)
    return changed


def _joined(node: Node) -> list[Value | None]:
    inputs, found = list(node.inputs), []
    rank = len(given(node.outputs).shape)
    while inputs:
        split = None if inputs[0] is None else inputs[0].producer
        if (
            is_op(split, "Split")
            and split is not None
            and split.attrs.get("axis", 0) % rank == node.attrs["axis"] % rank
            and _pieces(split) == inputs[: len(split.outputs)]
        ):
            found.append(split.inputs[0])
            inputs = inputs[len(split.outputs) :]
        else:
            found.append(inputs.pop(0))
    return found


def _pieces(split: Node) -> list[Value | None]:
    """The outputs, when they are everything that was cut; [] else."""
    axis = split.attrs.get("axis", 0)
    whole, parts = given(split.inputs).shape[axis], split.outputs
    return list(parts) if None not in parts and sum(v.shape[axis] for v in parts if v is not None) == whole else []


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        if is_op(node, "Concat"):
            assert _joined(node) == node.inputs, f"{node.where} joins what a Split cuts"
