"""ONNX files rewritten for the converters of other runtimes, which know less of ONNX than the file may use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx


def fix_shapes(source: Path, shapes: Mapping[str, Sequence[int]], target: Path) -> None:
    """Writes a copy whose inputs have these shapes; symbolic dimensions of the outputs and all inner shapes are left out, and Constant
    nodes of the main graph become initializers."""
    model = onnx.load(source)
    for value in model.graph.input:
        if value.name in shapes:
            for dimension, size in zip(value.type.tensor_type.shape.dim, shapes[value.name], strict=True):
                dimension.dim_value = size
    for value in model.graph.output:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.Clear()
    del model.graph.value_info[:]
    nodes = []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            model.graph.initializer.append(tensor)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, target)
