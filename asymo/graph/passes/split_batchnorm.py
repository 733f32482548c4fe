"""Writes the BatchNormalizations that no weights could take over as a Mul and an Add, which fuse with their neighbours.

Requires: concrete types; fold_affine has run. Does: BatchNormalization (inference, constant fp32 parameters) becomes k x + d with
k = scale / sqrt(var + epsilon) and d = B - k mean, computed in float64 and rounded once. Ensures: no such BatchNormalization is left.
"""

from __future__ import annotations

import numpy as np

from asymo.graph.ir import Graph, Node, Value
from asymo.plan.lower import Cache


def run(graph: Graph, cache: Cache) -> bool:
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _split(graph, node, cache) if _applies(node) else [node]
    changed = len(nodes) != len(graph.nodes)
    graph.nodes = nodes
    return changed


def _applies(node: Node) -> bool:
    if node.domain or node.op != "BatchNormalization" or node.attrs.get("training_mode", 0):
        return False
    parameters = [v.const if v is not None else None for v in node.inputs[1:5]]
    return node.inputs[0].dtype == np.float32 and all(p is not None and p.dtype == np.float32 for p in parameters)  # type: ignore[union-attr]


def _split(graph: Graph, node: Node, cache: Cache) -> list[Node]:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None and y is not None
    parameters: list[np.ndarray] = [v.const for v in node.inputs[1:5]]  # type: ignore[union-attr, misc]
    epsilon = node.attrs.get("epsilon", 1e-5)
    shape = (-1, *(1,) * (len(x.shape) - 2))

    def factor(scale: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        return scale.astype(np.float64) / np.sqrt(var.astype(np.float64) + epsilon)

    def multiplier(*arrays: np.ndarray) -> np.ndarray:
        return factor(*arrays).astype(np.float32).reshape(shape)

    def offset(scale: np.ndarray, b: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
        return (b - factor(scale, b, mean, var) * mean).astype(np.float32).reshape(shape)

    k = cache.derive(("batchnorm k", epsilon, len(shape)), parameters, multiplier)
    d = cache.derive(("batchnorm d", epsilon, len(shape)), parameters, offset)
    product = Value(graph.fresh_name(f"{y.name}.scaled"), x.type)
    node.set_inputs([])
    mul = Node("Mul", [x, graph.constant(k)], [product], name=node.name, opset=node.opset)
    return [mul, Node("Add", [product, graph.constant(d)], [y], name=node.name, opset=node.opset)]


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        assert not _applies(node), f"{node} is not split"
