"""Computes what depends on constants only.

Requires: nothing. Does: replaces nodes whose inputs are all constant by their results, unless the result is large, random or made by a
subgraph; in branches and loop bodies too, where what cannot be computed stays, because they may never be run. Whatever a model says, it
cannot make this pass allocate much: results above LIMIT are left to the run, but for ConstantOfShape, whose elements share one place in
memory. Ensures: no deterministic ConstantOfShape of a constant shape within LIMIT is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from asymo import ops
from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, TensorType
from asymo.plan.lower import Cache

LIMIT = 1 << 26
"""Bytes of the inputs and of the results of a node that is computed at load."""

LIMIT_FILLED = 1 << 30
"""Bytes of a result that one number fills; weights of models without data (ConstantOfShape) are such."""

_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}

_GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "Upsample", "OneHot", "EyeLike", "Einsum", "CenterCropPad",
            "AffineGrid", "MelWeightMatrix", "HannWindow", "HammingWindow", "BlackmanWindow", "Loop", "Scan", "If", "SequenceMap",
            "MaxUnpool", "Col2Im", "ConvTranspose", "MatMul", "Gemm"}  # fmt: skip
"""Operators whose results can be much larger than their inputs; computed only where an Operator class tells the size beforehand."""


def run(graph: Graph, cache: Cache) -> bool:
    return _fold_all(graph, cache, _fold)


def _fold_all(graph: Graph, cache: Cache, fold: Callable[[Node, Cache], bool]) -> bool:
    kept: list[Node] = []
    changed = False
    for node in graph.nodes:
        if fold(node, cache):
            changed = True
            continue
        kept.append(node)
        for inner in node.attrs.values():
            if isinstance(inner, Graph):
                changed |= _fold_all(inner, cache, _fold_inside)
    graph.nodes = kept
    return changed


def _fold_inside(node: Node, cache: Cache) -> bool:
    try:
        return _fold(node, cache)
    except ModelError:
        return False


def _fold(node: Node, cache: Cache) -> bool:
    if node.op in _RANDOM or any(v is not None and v.const is None for v in node.inputs):
        return False
    if any(isinstance(a, Graph) for a in node.attrs.values()):
        return False
    arrays = [None if v is None else v.const for v in node.inputs]
    if sum(a.nbytes for a in arrays if a is not None) > LIMIT:
        return False
    results: Sequence[np.ndarray] | None
    if node.op == "ConstantOfShape" and node.domain == "":
        results = _fill(node, arrays[0])
    elif _is_small(node, [v.type if v is not None else None for v in node.inputs]):
        operator = ops.find(node.domain, node.op)
        results = operator.evaluate(node, arrays) if operator is not None else None
        if results is None and cache.evaluate is not None:
            results = cache.evaluate(node, arrays)
    else:
        return False
    if results is None or not all(r is None or isinstance(r, np.ndarray) for r in results):  # sequences are no constants
        return False
    for value, result in zip(node.outputs, results, strict=False):
        if value is not None:
            value.const, value.type, value.producer = result, TensorType(result.dtype, result.shape), None
    node.set_inputs([])
    return True


def _fill(node: Node, shape: np.ndarray | None) -> list[np.ndarray] | None:
    value = node.attrs.get("value", np.zeros(1, np.float32))
    if shape is None or shape.ndim != 1 or (shape < 0).any() or value.size != 1:
        return None
    dims = tuple(int(d) for d in shape)
    if prod(dims) * value.dtype.itemsize > LIMIT_FILLED:
        return None
    return [np.broadcast_to(value.reshape(()), dims)]


def _is_small(node: Node, types: list[TensorType | None]) -> bool:
    operator = ops.find(node.domain, node.op)
    if operator is None:
        return node.op not in _GROWING
    return sum(t.nbytes for t in operator.infer(node, types) if t is not None) <= LIMIT


def ensures(graph: Graph) -> None:
    for node in graph.nodes:
        if node.op == "ConstantOfShape" and node.domain == "" and (shape := node.inputs[0]) is not None and shape.const is not None:
            assert prod(int(d) for d in shape.const) * 4 > LIMIT_FILLED // 4 or (shape.const < 0).any(), f"{node} is not folded"
