"""Types and small values of every node, from concrete input types: the first thing planning does.

The walk folds what it can know (shape arithmetic, constants), splices in the branch of an If whose condition is known, and puts aside
what has to wait: nodes without a native implementation, nodes whose output shape depends on elements that nobody knows yet, and all that
depends on these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from asymo import ops
from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType, Value
from asymo.plan.lower import Cache

FOLD_LIMIT = 1 << 16
"""Elements: larger constants are not computed while planning (load-time folding has its own, larger limit)."""


MAX_BYTES = 1 << 46
"""Of one tensor."""


class Waiting:
    """What could not be planned yet.

    nodes: in order. host: those of them that only the host can run and whose inputs are all there once the planned part has run.
    values: values whose elements have to be known before the rest can be planned."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.host: list[Node] = []
        self.values: list[Value] = []


def infer(graph: Graph, cache: Cache) -> Waiting:
    """Types every value of `graph` in place (its inputs have concrete types) and removes what folds; what waits is taken out of it.

    Raises ModelError where a node breaks the specification."""
    queue = deque(graph.nodes)
    planned: list[Node] = []
    waiting = Waiting()
    unknown: set[Value] = set()

    def put_aside(node: Node) -> None:
        waiting.nodes.append(node)
        unknown.update(v for v in node.outputs if v is not None)

    while queue:
        node = queue.popleft()
        used = [*node.inputs, *(v for sub in subgraphs(node) for v in sub.captures)]
        if any(v in unknown for v in used):
            put_aside(node)
            continue
        if node.op == "If" and node.domain == "":
            condition = node.inputs[0]
            assert condition is not None
            if condition.const is not None:
                queue.extendleft(reversed(_branch(graph, node, bool(condition.const.reshape(-1)[0]))))
            else:
                waiting.values.append(condition)
                put_aside(node)
            continue
        operator = ops.find(node.domain, node.op)
        if operator is None or any(v is not None and v.type is None for v in node.inputs):
            waiting.host.append(node)
            put_aside(node)
            continue
        if _fold(node, operator, cache):
            node.set_inputs([])
            continue
        try:
            types = operator.infer(node, [v.type if v is not None else None for v in node.inputs])
            _need_addressable(node, types)
            for value, type in zip(node.outputs, types, strict=False):
                if value is not None:
                    value.type = type
            is_native = operator.is_native(node)
        except ops.NeedsValue as needs:
            waiting.values.append(needs.value)
            put_aside(node)
            continue
        if is_native:
            planned.append(node)
        else:
            waiting.host.append(node)
            put_aside(node)
    graph.nodes = planned
    return waiting


def _need_addressable(node: Node, types: Sequence[TensorType | None]) -> None:
    """ModelError for an output beyond any memory: offsets in the C core are 64-bit numbers."""
    for type in types:
        if type is not None and type.size * type.dtype.itemsize > MAX_BYTES:
            raise ModelError(f"{node.where}: an output of shape {type.dims} is larger than any memory")


def subgraphs(node: Node) -> list[Graph]:
    """The graphs among a node's attributes."""
    return [a for a in node.attrs.values() if isinstance(a, Graph)]


def _fold(node: Node, operator: ops.Operator, cache: Cache) -> bool:
    """Makes the node's outputs constants when everything they depend on is known."""
    if node.op in ("Shape", "Size") and node.domain == "":  # needs the type only
        x = ops.given(node.inputs)
        stand_in = np.broadcast_to(np.zeros((), x.dtype), x.shape)
        arrays: list[np.ndarray | None] = [stand_in]
    elif all(v is None or v.const is not None for v in node.inputs):
        arrays = [None if v is None else v.const for v in node.inputs]
        if sum(a.size for a in arrays if a is not None) > FOLD_LIMIT:
            return False
    else:
        return False
    try:
        types = operator.infer(node, [v.type if v is not None else None for v in node.inputs])
    except ops.NeedsValue:
        raise AssertionError(f"{node.where}: a value is missing though every input is known") from None
    if sum(t.size for t in types if t is not None) > FOLD_LIMIT:
        return False
    results = operator.evaluate(node, arrays)
    if results is None:
        if cache.evaluate is None:
            return False
        results = list(cache.evaluate(node, arrays))
    for value, type, array in zip(node.outputs, types, results, strict=False):
        if value is None:
            continue
        array = np.asarray(array)
        if type is not None and (array.dtype != type.dtype or array.shape != type.shape):
            raise AssertionError(f"{node.where}: folding gave {array.dtype}{array.shape}, infer says {type}")
        value.const, value.type, value.producer = array, TensorType(array.dtype, array.shape), None
    return True


def _branch(graph: Graph, node: Node, taken: bool) -> list[Node]:
    """The nodes of the branch that is taken, in the place of the If."""
    branch = node.attrs["then_branch" if taken else "else_branch"].clone()
    if len(branch.outputs) < len(node.outputs):
        raise ModelError(f"{node.where}: the branch has {len(branch.outputs)} outputs, the If has {len(node.outputs)}")
    prefix = node.name or next(v.name for v in node.outputs if v is not None)
    for inner in branch.nodes:
        for value in inner.outputs:
            if value is not None:
                value.name = graph.fresh_name(f"{prefix}/{value.name}")
    tail: list[Node] = []
    for old, new in zip(node.outputs, branch.outputs, strict=False):
        if old is not None:
            tail.append(Node("Identity", [new], [old], name=f"{prefix}/{old.name}", opset=25))
    node.set_inputs([])
    return [*branch.nodes, *tail]
