"""Small ONNX models for tests, and the answers of onnx.reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from asymo import ops


def type_of(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attrs: Any) -> onnx.NodeProto:
    """A node; numpy arrays among the attributes become tensors."""
    plain = {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in attrs.items()}
    return helper.make_node(op, inputs, outputs, **plain)


def model(
    nodes: Sequence[onnx.NodeProto], feeds: dict[str, np.ndarray], outputs: Sequence[str], constants: dict[str, np.ndarray], opset: int = 21
) -> onnx.ModelProto:
    """A model of these nodes; inputs have the shapes of the feeds, outputs no declared type."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [type_of(k, v) for k, v in feeds.items()],
        [helper.make_value_info(name, onnx.TypeProto()) for name in outputs],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def example_model(name: str, example: ops.Example) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """(model of one node, feeds) of an operator's example."""
    names = ["" if a is None else f"x{i}" for i, a in enumerate(example.inputs)]
    arrays = {f"x{i}": np.asarray(a) for i, a in enumerate(example.inputs) if a is not None}
    constants = {f"x{i}": arrays.pop(f"x{i}") for i in example.constant if f"x{i}" in arrays}
    outputs = [f"y{i}" for i in range(example.outputs)]
    return model([node(name, names, outputs, **example.attrs)], arrays, outputs, constants, example.opset), arrays


def reference(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """What onnx.reference computes."""
    with np.errstate(all="ignore"):
        return [np.asarray(a) for a in ReferenceEvaluator(proto).run(None, feeds)]


def assert_close(got: np.ndarray, want: np.ndarray, tolerance: float, what: str = "") -> None:
    """Equal shape and dtype; floats within tolerance of the largest finite element, all else equal."""
    assert got.dtype == want.dtype, f"{what}: {got.dtype}, not {want.dtype}"
    assert got.shape == want.shape, f"{what}: {got.shape}, not {want.shape}"
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    finite = np.abs(want[np.isfinite(want)])
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * (finite.max() if finite.size else 0), err_msg=what)
