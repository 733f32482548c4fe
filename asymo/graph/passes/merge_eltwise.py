"""Merge_eltwise: chains and trees of fp32 elementwise operators become one asymo::Eltwise.

Requires  concrete shapes; runs after everything that looks for single operators (fusions, layout).
Does      An operator swallows the producers of its inputs when nobody else sees what they make and it has the full shape already (a
          smaller one would be computed again for every element it is broadcast to). So memory is touched once for the whole tree.
          Bounded by the inputs and the instructions of one step.
Ensures   no value passes between two fp32 elementwise operators that could be one, but where a bound was met.
"""

from __future__ import annotations

from asymo.graph.ir import Graph, Node, Value
from asymo.ops.eltwise import MAX_CODE, MAX_INPUTS, Code, Instruction, Operand, expression, is_float
from asymo.plan.lower import Cache

Expression = tuple[list[Value], list[Instruction], Operand]


def run(graph: Graph, cache: Cache) -> bool:
    """Replaces each tree by one node at the place of its root."""
    found: dict[Node, Expression] = {}
    parts: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        own = expression(node) if is_elementwise(node) else None
        if own is None:
            continue
        parts[node] = [node]
        for value in list(own[0]):
            producer = value.producer
            if producer in found and is_private(graph, value, node):
                joined = substitute(own, value, found[producer])
                if len(joined[0]) <= MAX_INPUTS and len(joined[1]) <= MAX_CODE:
                    own = joined
                    parts[node] += parts.pop(producer)
                    del found[producer]
        found[node] = own
    roots = {node for node, tree in parts.items() if len(tree) > 1}
    if not roots:
        return False
    gone = {part for root in roots for part in parts[root]}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node in roots:
            values, body, result = found[node]
            output = node.outputs[0]
            assert output is not None
            attrs = {"code": tuple(body), "out": result, "dtype": output.dtype}
            nodes.append(Node("Eltwise", values, [output], attrs, name=node.name, domain="asymo"))
        elif node not in gone:
            nodes.append(node)
    for node in gone:
        node.set_inputs([])
    graph.nodes = nodes
    return True


def is_elementwise(node: Node) -> bool:
    return len(node.outputs) == 1 and node.outputs[0] is not None and bool(node.inputs) and is_float(node)


def is_private(graph: Graph, value: Value, user: Node) -> bool:
    """Whether the user alone sees the value, at its own full shape."""
    output = user.outputs[0]
    assert output is not None
    return list(value.users) == [user] and value.shape == output.shape and not graph.is_output(value)


def substitute(outer: Expression, value: Value, inner: Expression) -> Expression:
    """The outer expression with the inner one in the place of its input `value`."""
    values = list(dict.fromkeys([v for v in outer[0] if v is not value] + inner[0]))
    c = Code(len(values))
    made = c.splice(inner[1], [values.index(v) for v in inner[0]])
    result = made[inner[2]] if isinstance(inner[2], int) else inner[2]
    made = c.splice(outer[1], [result if v is value else values.index(v) for v in outer[0]])
    return values, c.body, made[outer[2]] if isinstance(outer[2], int) else outer[2]
