"""Joins a depthwise convolution with the pointwise ones before and behind it, where memory is what they wait for.

Requires: channels-last asymo::Conv (pass layout).
Does: 1x1 -> depthwise -> 1x1, or two of the three, become asymo::Separable where nobody else sees what passes between them and it pays to
  keep that in the cache, some rows at a time: see `pays`. Residual and activation of the last one stay with it. Weights must be constants.
Ensures: nothing more.
"""

from __future__ import annotations

from math import prod

from asymo.graph.ir import Graph, Node, Value
from asymo.graph.match import is_op
from asymo.ops import given
from asymo.ops.conv import SCALE
from asymo.ops.epilogue import BIAS, RESIDUAL
from asymo.ops.separable import act_of
from asymo.plan.lower import Cache

LEAST_BYTES, MOST_FLOPS = 1 << 20, 13.0
"""What is kept in the cache must be so large, and so few FLOPs may come to each byte of it. Whole models on a Zen 4 with 1 MiB of L2 and
32 MiB of L3, 2026-11-22, steps apart against joined, profiles interleaved, 1 and 2 threads:

  step (channels in - expanded - out)   FLOPs a byte   1 thread   2 threads
  112x112 16-96-96 stride 2, SiLU                  9       1.12        1.09
  112x112 16-96-24 stride 2                       10       1.20        1.33
  112x112 32-32-16                                12       1.20        1.46
  56x56 24-144-32 stride 2                        14       1.02        0.98
  56x56 24-144-24                                 15       1.00        0.97
  112x112 32-32-64                                37       0.94        0.86
  56x56 128-128-128                               70       0.91        0.90

So it is memory that is saved; GEMMs over few rows at a time are slower. Below 1 MiB (28x28 and less in the same models) it is 0.93 to
1.02. To redo: `asymo-bench run MODEL --profile` with these two as they are and at 0 and infinity, in turn."""

GEOMETRY = ("kernel_shape", "strides", "pads", "dilations")


def run(graph: Graph, cache: Cache) -> bool:
    made: dict[Node, Node] = {}  # the last node of a group -> what replaces it
    gone: set[Node] = set()
    for node in graph.nodes:
        if node in gone or not is_depthwise(node):
            continue
        before, behind = _expansion(graph, node), _projection(graph, node)
        if before in gone:
            before = None
        if not pays(before, node, behind):
            continue
        parts = [part for part in (before, node, behind) if part is not None]
        made[parts[-1]] = _fused(before, node, behind)
        gone.update(parts)
    for part in gone:
        part.set_inputs([])
    graph.nodes = [made.get(n, n) for n in graph.nodes if n not in gone or n in made]
    return bool(made)


def pays(before: Node | None, node: Node, behind: Node | None) -> bool:
    """Whether what passes between these nodes is large, and little is computed with it."""
    kept = [given(node.inputs)] * (before is not None) + [given(node.outputs)] * (behind is not None)
    n_bytes = sum(v.nbytes for v in kept)
    flops = sum(2 * prod(given(part.outputs).shape) * prod(given(part.inputs, 1).shape[1:]) for part in (before, node, behind) if part)
    return bool(kept) and n_bytes >= LEAST_BYTES and flops <= MOST_FLOPS * n_bytes


def _plain(node: Node | None) -> bool:
    """Whether the node is a 2-D convolution with constant weights and an activation that the joined one knows."""
    if not is_op(node, "Conv", domain="asymo") or node.attrs.get("act") == "prelu" or node.input(SCALE) is not None:
        return False
    w = given(node.inputs, 1)
    return w.is_const and len(w.shape) == 4 and 0 not in given(node.outputs).shape


def is_depthwise(node: Node) -> bool:
    if not _plain(node) or node.input(RESIDUAL) is not None:
        return False
    m, c = given(node.inputs, 1).shape[:2]
    return c == 1 and m == int(node.attrs.get("group", 1)) == given(node.inputs).shape[-1]


def is_pointwise(node: Node | None) -> bool:
    if node is None or not _plain(node):
        return False
    ones = [*given(node.inputs, 1).shape[2:], *node.attrs["strides"], int(node.attrs.get("group", 1))]
    return all(n == 1 for n in ones) and not any(node.attrs["pads"])


def _expansion(graph: Graph, node: Node) -> Node | None:
    """The pointwise convolution whose output only this depthwise one reads."""
    value = given(node.inputs)
    found = value.producer
    fits = found is not None and is_pointwise(found) and found.input(RESIDUAL) is None and graph.only_user(value) is node
    return found if fits else None


def _projection(graph: Graph, node: Node) -> Node | None:
    """The pointwise convolution that alone reads this depthwise one's output."""
    value = given(node.outputs)
    found = graph.only_user(value)
    return found if is_pointwise(found) and found is not None and found.inputs[0] is value and found.input(RESIDUAL) is not value else None


def _fused(before: Node | None, node: Node, behind: Node | None) -> Node:
    def weights(part: Node | None) -> list[Value | None]:
        return [None, None] if part is None else [part.inputs[1], part.input(BIAS)]

    residual = None if behind is None else behind.input(RESIDUAL)
    inputs = [(before or node).inputs[0], *weights(before), *weights(node), *weights(behind), residual]
    acts = [("none", 0.0, 0.0) if part is None else act_of(part) for part in (before, node, behind)]
    attrs = {**{name: node.attrs[name] for name in GEOMETRY}, "acts": acts, "channels_last": True}
    return Node("Separable", inputs, [given((behind or node).outputs)], attrs, name=(behind or node).name, domain="asymo")
