"""Small ONNX models for the tests of passes: built by helper.make_node, run by a session and by onnx.reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from asymo.plan.plan import Step
from asymo.runtime.session import InferenceSession, SessionOptions

Array = np.ndarray


def node(op: str, inputs: str, outputs: str, **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attrs)


def make_model(
    nodes: Sequence[onnx.NodeProto], feeds: Mapping[str, Array], constants: Mapping[str, Any], outputs: Mapping[str, Sequence[int]],
    opset: int = 24,
) -> onnx.ModelProto:  # fmt: skip
    """A model with fp32 outputs of these shapes. Constants that are no arrays become fp32."""

    def info(name: str, array: Array) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    arrays = {n: c if isinstance(c, np.ndarray) else np.array(c, np.float32) for n, c in constants.items()}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [info(n, a) for n, a in feeds.items()],
        [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(model: onnx.ModelProto, feeds: Mapping[str, Array], workers: int = 2) -> tuple[list[Array], tuple[Step, ...]]:
    """(outputs, steps of the plan); nothing may run on the host."""
    options = SessionOptions(intra_op_num_threads=workers)
    session = InferenceSession(model.SerializeToString(), options)
    results = session.run(None, dict(feeds))
    assert not session.host_ops
    (plan,) = session.plans()
    return results, plan.steps


def check(
    nodes: Sequence[onnx.NodeProto], feeds: Mapping[str, Array], constants: Mapping[str, Any], outputs: Mapping[str, Sequence[int]],
    tolerance: float = 1e-5, opset: int = 24,
) -> tuple[Step, ...]:  # fmt: skip
    """Runs the model, compares with onnx.reference, returns the steps."""
    model = make_model(nodes, feeds, constants, outputs, opset)
    results, steps = run(model, feeds)
    for got, want in zip(results, ReferenceEvaluator(model).run(None, dict(feeds)), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())
    return steps
