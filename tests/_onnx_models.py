"""Small ONNX models for tests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

F = TensorProto.FLOAT


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any] = (("x", F, ["n", 3]),),
    outputs: Sequence[Any] = (("y", F, None),),
    constants: dict[str, np.ndarray] | None = None,
    opset: int = 21,
    **kwargs: Any,
) -> onnx.ModelProto:
    """A model; inputs and outputs are (name, element type, shape), kwargs go to make_model."""
    infos = [[helper.make_tensor_value_info(*v) if isinstance(v, tuple) else v for v in values] for values in (inputs, outputs)]
    graph = helper.make_graph(list(nodes), "g", *infos, [numpy_helper.from_array(a, n) for n, a in (constants or {}).items()])
    kwargs.setdefault("opset_imports", [helper.make_opsetid("", opset)])
    return helper.make_model(graph, **{"ir_version": 10, **kwargs})


def node(op: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attrs: Any) -> Any:
    return helper.make_node(op, list(inputs), list(outputs), **attrs)


@cache
def node_tests() -> dict[str, list[Any]]:
    """The node tests of the onnx package by the operator of their first node."""
    grouped: dict[str, list[Any]] = {}
    for case in load_model_tests(kind="node"):
        grouped.setdefault(case.model.graph.node[0].op_type, []).append(case)
    return grouped
