"""asymo/onnx/wire.py and schemas.py against the package onnx and protobuf's own encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asymo import ops
from asymo.errors import ModelError
from asymo.onnx import schemas, wire

MESSAGES = {
    **{name: getattr(onnx, name).DESCRIPTOR for name in wire._FIELDS if hasattr(onnx, name)},
    **{name: getattr(onnx.TypeProto, name).DESCRIPTOR for name in ("Tensor", "Sequence", "Map")},
    "Dimension": onnx.TensorShapeProto.Dimension.DESCRIPTOR,
}
SAME_FIELDS = {"SparseTensor": "Tensor", "Optional": "Sequence"}
"""Messages that are read as another one with the same fields."""

SCALARS = {"int": (3,), "int32": (5, 14), "uint": (4,), "float": (2,), "double": (1,), "str": (9,), "bytes": (12, 11), "view": (12,)}
"""Kind -> FieldDescriptor types; a message may be kept as its bytes."""


@pytest.mark.parametrize("name", wire._FIELDS)
def test_fields_are_those_of_onnx(name: str) -> None:
    fields = MESSAGES[name].fields_by_number
    for number, (field, kind) in wire._FIELDS[name].items():
        known = fields[number]
        assert known.name == field
        repeated = type(getattr(_empty(name), field)).__name__.startswith("Repeated")
        assert repeated == kind.startswith("*")
        if kind.lstrip("*") in SCALARS:
            assert known.type in SCALARS[kind.lstrip("*")]
        else:
            assert SAME_FIELDS.get(known.message_type.name, known.message_type.name) == kind.lstrip("*")


def _empty(name: str) -> Any:
    holders = {"Tensor": onnx.TypeProto.Tensor, "Sequence": onnx.TypeProto.Sequence, "Map": onnx.TypeProto.Map,
               "Dimension": onnx.TensorShapeProto.Dimension}  # fmt: skip
    return holders[name]() if name in holders else getattr(onnx, name)()


INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)
FLOAT = st.floats(width=32, allow_nan=False)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "dims": st.lists(INT64, max_size=3),
        "data_type": INT32,
        "float_data": st.lists(FLOAT, max_size=5),
        "int32_data": st.lists(INT32, max_size=5),
        "int64_data": st.lists(INT64, max_size=5),
        "uint64_data": st.lists(st.integers(0, 2**64 - 1), max_size=5),
        "double_data": st.lists(st.floats(allow_nan=False), max_size=5),
        "string_data": st.lists(st.binary(max_size=5), max_size=3),
        "raw_data": st.binary(max_size=300),
        "name": st.text(max_size=5),
    },
)


def encoded(tensor: dict[str, Any]) -> bytes:
    model = onnx.ModelProto(ir_version=8)
    model.graph.initializer.append(onnx.TensorProto(**tensor))
    return bytes(model.SerializeToString())


@given(TENSOR)
def test_a_tensor_reads_as_it_was_written(tensor: dict[str, Any]) -> None:
    message = wire.parse(encoded(tensor)).graph.initializer[0]
    for name, wrote in tensor.items():
        read = getattr(message, name)
        if isinstance(wrote, list) and name != "string_data":
            np.testing.assert_array_equal(np.asarray(read), np.asarray(wrote, np.asarray(read).dtype))
        else:
            assert read == wrote
        assert message.HasField(name) or not len(wrote)


@given(TENSOR, st.data())
def test_a_cut_message_is_an_error_or_a_shorter_one(tensor: dict[str, Any], data: st.DataObject) -> None:
    whole = encoded(tensor)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        onnx.ModelProto.FromString(cut)
    except Exception:  # protobuf's DecodeError, whatever its class
        with pytest.raises((ModelError, UnicodeDecodeError)):
            wire.parse(cut)
    else:
        wire.parse(cut)


def test_messages_given_twice_are_merged_and_the_last_of_a_oneof_counts() -> None:
    one, two = onnx.ModelProto(), onnx.ModelProto()
    one.graph.name = "g"
    two.graph.node.add(op_type="Relu")
    graph = wire.parse(one.SerializeToString() + two.SerializeToString()).graph
    assert (graph.name, [n.op_type for n in graph.node]) == ("g", ["Relu"])
    shape = wire._new("Dimension")
    for field in (onnx.TensorShapeProto.Dimension(dim_value=3), onnx.TensorShapeProto.Dimension(dim_param="n")):
        encoded = field.SerializeToString()
        wire._read(memoryview(encoded), 0, len(encoded), shape, 0)
    assert shape.last_of("dim_value", "dim_param") == "dim_param"


def test_unpacked_and_packed_numbers_mix() -> None:
    packed = onnx.TensorProto(float_data=[1, 2]).SerializeToString()
    lone = b"\x25" + np.float32(3).tobytes()  # field 4, fixed32
    tensor = wire._new("TensorProto")
    data = packed + lone + packed
    wire._read(memoryview(data), 0, len(data), tensor, 0)
    assert list(np.asarray(tensor.float_data)) == list(onnx.TensorProto.FromString(data).float_data) == [1, 2, 3, 1, 2]


def test_schemas_are_those_of_onnx() -> None:
    """How to make them anew: asymo/onnx/schemas.py."""
    installed = onnx.defs.onnx_opset_version()
    ours = {line for line in schemas._lines()[1:] if abs(int(line.split(" ")[1])) <= installed}
    theirs = {line for line in list(schemas.rows())[1:] if abs(int(line.split(" ")[1])) <= schemas.newest()[0]}
    assert ours == theirs


@pytest.mark.parametrize("opset", [7, 13, 17, 21])
def test_the_schema_in_an_opset_is_that_of_onnx(opset: int) -> None:
    for domain, op in [*ops.registered(), ("", "If"), ("", "Loop")]:
        if domain:
            continue
        try:
            expected = schemas.of_onnx(onnx.defs.get_schema(op, opset, domain))
        except onnx.defs.SchemaError:
            expected = None
        assert schemas.find(op, opset) == expected
