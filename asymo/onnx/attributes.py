"""AttributeProto <-> plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from asymo.errors import ModelError
from asymo.graph.dtypes import number_of
from asymo.graph.ir import Graph
from asymo.onnx import require
from asymo.onnx.tensors import ExternalData, sparse_to_array, to_array
from asymo.onnx.wire import Message
from asymo.record import NamedTuple


class TypeProto(NamedTuple):
    """An attribute that is an ONNX type (Optional); kept as it stood in the file."""

    serialised: bytes


FLOAT, INT, STRING, TENSOR, GRAPH, FLOATS, INTS, STRINGS, TENSORS, GRAPHS, SPARSE_TENSOR, _, TYPE_PROTO = range(1, 14)
"""AttributeProto.AttributeType"""


def read_attribute(proto: Message, external: ExternalData, where: str, subgraph: Callable[[Message], Graph]) -> Any:
    """The attribute's value: int, float, str (bytes when it is no UTF-8), np.ndarray, Graph, TypeProto, or a list of these."""
    kind = proto.type
    if kind == FLOAT:
        return proto.f
    if kind == INT:
        return proto.i
    if kind == STRING:
        return _text(proto.s)
    if kind == TENSOR:
        return to_array(proto.t, external, where)
    if kind == SPARSE_TENSOR:
        return sparse_to_array(proto.sparse_tensor, external, where)
    if kind == GRAPH:
        return subgraph(proto.g)
    if kind == TYPE_PROTO:
        return TypeProto(proto.tp)
    if kind == FLOATS:
        return [float(x) for x in proto.floats]
    if kind == INTS:
        return [int(x) for x in proto.ints]
    if kind == STRINGS:
        return [_text(s) for s in proto.strings]
    if kind == TENSORS:
        return [to_array(t, external, where) for t in proto.tensors]
    if kind == GRAPHS:
        return [subgraph(g) for g in proto.graphs]
    raise ModelError(f"{where} has the attribute type {kind}, which is not supported")


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def write_attribute(name: str, value: Any, kind: int | None) -> Any:
    """The AttributeProto of a value. kind: the type that the operator's schema asks for, None when it has none."""
    onnx = require()
    kinds = onnx.AttributeProto
    if isinstance(value, np.ndarray):
        return onnx.helper.make_attribute(name, tensor_proto(value))
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, TypeProto):
        return onnx.helper.make_attribute(name, onnx.TypeProto.FromString(value.serialised))
    if kind == kinds.FLOAT:
        value = float(value)
    elif kind == kinds.FLOATS:
        value = [float(v) for v in value]
    elif kind == kinds.INT and isinstance(value, bool):
        value = int(value)
    elif isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
        value = [tensor_proto(v) for v in value]
    return onnx.helper.make_attribute(name, value, attr_type=kind)


def tensor_proto(array: np.ndarray) -> Any:
    """The TensorProto of an array."""
    onnx = require()
    if array.dtype.kind in "OUS":
        strings = [s if isinstance(s, bytes) else str(s).encode() for s in array.reshape(-1)]
        return onnx.TensorProto(dims=array.shape, data_type=number_of(array.dtype), string_data=strings)
    return onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
