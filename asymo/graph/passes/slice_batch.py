"""Takes the images of a batch one after the other through the part of a network whose tensors are large.

Requires: concrete shapes, channels last. Does: where the inputs' first axis is a batch, the first nodes are copied for every image, or for
slices of several where these fit a cache, behind a Split, and a Concat joins what others read; both only rename memory. Taken are the
nodes that save the most bytes together: a node saves what it reads and writes of a batch that fits no cache, and costs its weights once
more for every further image. Ensures: nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from asymo import ops
from asymo.graph.build import NEWEST, ints
from asymo.graph.ir import Graph, Node, TensorType, Value
from asymo.ops import given
from asymo.ops.eltwise import Elementwise
from asymo.plan.lower import Cache

CACHE_BYTES = 1 << 22
"""What a step finds again of what the one before left: L2 and a share of L3. Zen 4 (1 MiB, and a part of 32), 23 November 2026, batch 8 of
shufflenet_v2_bn, mobilenet_v3_small and squeezenet11 with and without this pass, medians of 3 interleaved rounds: with 4 MiB 1.07 times as
fast with one thread and 1.01 with two, with 1 MiB 1.05 and 0.96."""

MOST_NODES = 1024
"""Of all copies together: each is planned."""

LEAST_NODES = 2
"""One node leaves nothing in a cache for another to find."""


def run(graph: Graph, cache: Cache) -> bool:
    batch = _batch(graph)
    part = _part(graph, batch) if batch > 1 else []
    if len(part) < LEAST_NODES:
        return False
    slices = min(batch, -(-max(map(moved, part)) // CACHE_BYTES), MOST_NODES // len(part))
    if slices < 2:
        return False
    sizes = [batch // slices + (i < batch % slices) for i in range(slices)]
    made, inside = {v for node in part for v in node.outputs}, set(part)
    results = [v for node in part for v in node.outputs if v is not None and (graph.is_output(v) or not inside.issuperset(v.users))]
    sources = list(dict.fromkeys(v for node in part for v in node.inputs if v is not None and not v.is_const and v not in made))
    pieces = {source: [_slice(graph, source, n) for n in sizes] for source in sources}
    parts = ints(graph, sizes, "images")
    nodes = [Node("Split", [source, parts], pieces[source], {"axis": 0}, name=f"{source.name}/images", opset=NEWEST) for source in sources]
    copies: list[dict[Value, Value]] = []
    for i, n in enumerate(sizes):
        table = {source: pieces[source][i] for source in sources}
        nodes += [_copy(graph, node, table, n) for node in part]
        copies.append(table)
    for node in part:
        node.set_inputs([])
    nodes += [Node("Concat", [table[v] for table in copies], [v], {"axis": 0}, name=f"{v.name}/images", opset=NEWEST) for v in results]
    graph.nodes = nodes + [node for node in graph.nodes if node not in inside]
    return True


def _batch(graph: Graph) -> int:
    """The first axis that all inputs share, 1 where they do not."""
    sizes = {v.shape[0] if len(v.shape) > 1 else 1 for v in graph.inputs}
    return sizes.pop() if len(sizes) == 1 else 1


def _part(graph: Graph, batch: int) -> list[Node]:
    """The nodes to copy, in order."""
    images = set(graph.inputs)
    part: list[Node] = []
    saved = most = best = 0
    for node in graph.nodes:
        if not all(v is None or v.is_const or v in images for v in node.inputs) or not is_by_image(node, batch):
            continue
        images.update(v for v in node.outputs if v is not None)
        part.append(node)
        saved += saving(node, batch)
        if saved > most:
            most, best = saved, len(part)
    return part[:best]


def saving(node: Node, batch: int) -> int:
    """Bytes that memory no longer moves for the node when images come one after the other."""
    weights = sum(v.nbytes for v in node.inputs if v is not None and v.is_const)
    return (moved(node) if moved(node) > CACHE_BYTES else 0) - (batch - 1) * weights


def moved(node: Node) -> int:
    """Bytes that the node reads and writes, but weights."""
    return sum(v.nbytes for v in (*node.inputs, *node.outputs) if v is not None and not v.is_const)


def is_by_image(node: Node, batch: int) -> bool:
    """Whether image i of the outputs follows from image i of the inputs that are no constants."""
    rule = BY_IMAGE.get((node.domain, node.op))
    if rule is None and isinstance(ops.find(node.domain, node.op), Elementwise):
        rule = _elementwise
    return rule is not None and all(v is None or (v.shape and v.shape[0] == batch) for v in node.outputs) and rule(node, batch)


def _elementwise(node: Node, batch: int) -> bool:
    rank = len(given(node.outputs).shape)
    return all(v is None or (len(v.shape) == rank if not v.is_const else len(v.shape) < rank or v.shape[0] == 1) for v in node.inputs)


def _product(node: Node, batch: int) -> bool:
    a, b = given(node.inputs), given(node.inputs, 1)
    leads = all(node.attrs.get(perm, [0])[0] == 0 for perm in ("a_perm", "y_perm"))
    return a.const is None and b.const is not None and len(b.shape) == 2 and len(a.shape) > 1 and leads


def _axis(node: Node, batch: int) -> bool:
    constant = any(v is not None and v.is_const for v in node.inputs) and node.op == "Concat"
    return not constant and node.attrs.get("axis", 0) % len(given(node.outputs).shape) != 0


def _axes(node: Node, batch: int) -> bool:
    axes, rank = node.input(1), len(given(node.inputs).shape)
    return axes is not None and axes.const is not None and axes.const.size > 0 and all(a % rank for a in axes.const)


def _keeps_first(node: Node, batch: int) -> bool:
    return bool((node.attrs.get("perm") or [1])[0] == 0)


def _no_indices(node: Node, batch: int) -> bool:
    """MaxPool's count over the batch."""
    return node.output(1) is None


def _always(node: Node, batch: int) -> bool:
    return True


BY_IMAGE: dict[tuple[str, str], Callable[[Node, int], bool]] = {
    **{("asymo", op): _always for op in ("Conv", "ConvTranspose", "GroupNorm", "LRN")},
    ("asymo", "Pool"): _no_indices,
    ("asymo", "MatMul"): _product,
    **{("asymo", op): _axis for op in ("Resample", "ChannelShuffle")},
    **{("", op): _axis for op in ("Concat", "Split", "Softmax")},
    **{("", op): _axes for op in ("ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2")},
    ("", "Transpose"): _keeps_first,
    ("", "Reshape"): _always,
}
"""Operator -> whether a node of it, whose outputs begin with the batch, works image by image."""


def _slice(graph: Graph, value: Value, images: int) -> Value:
    return Value(graph.fresh_name(value.name), TensorType(value.dtype, (images, *value.shape[1:])))


def _copy(graph: Graph, node: Node, table: dict[Value, Value], images: int) -> Node:
    """The node for a slice of the batch. table: what stands for the batch's values; the outputs are added."""
    inputs: Sequence[Value | None] = [table.get(v, v) if v is not None else None for v in node.inputs]
    outputs = [None if v is None else table.setdefault(v, _slice(graph, v, images)) for v in node.outputs]
    if node.op == "Reshape":
        inputs = [inputs[0], ints(graph, given(outputs).shape, "shape")]
    return Node(node.op, inputs, outputs, node.attrs, name=node.name, domain=node.domain, opset=node.opset)
