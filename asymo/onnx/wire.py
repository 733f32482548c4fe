"""ONNX's protobuf messages, read from bytes without a copy. Start reading at `parse`.

Importing the package `onnx` takes longer than reading most models, and protobuf copies every tensor. So this module decodes the wire
format itself, for exactly the fields that the reader asks for (`_FIELDS`; a test holds them against onnx's own descriptors). Messages are
objects with protobuf's attribute names; raw bytes and packed numbers are views of the input. What is read was written by a stranger:
every length is checked against what is there.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from asymo.errors import ModelError

MAX_DEPTH = 100
"""Messages inside each other, as protobuf has it."""

# message: {field number: (name, kind)}. Kinds: int, int32, float, double, str, bytes, view (bytes, not copied), or a message's name; "*"
# in front of it for repeated fields. Packed and unpacked numbers are both accepted.
_FIELDS: dict[str, dict[int, tuple[str, str]]] = {
    "ModelProto": {
        1: ("ir_version", "int"), 2: ("producer_name", "str"), 3: ("producer_version", "str"), 4: ("domain", "str"),
        5: ("model_version", "int"), 6: ("doc_string", "str"), 7: ("graph", "GraphProto"), 8: ("opset_import", "*OperatorSetIdProto"),
        14: ("metadata_props", "*StringStringEntryProto"), 25: ("functions", "*FunctionProto"),
    },
    "OperatorSetIdProto": {1: ("domain", "str"), 2: ("version", "int")},
    "StringStringEntryProto": {1: ("key", "str"), 2: ("value", "str")},
    "GraphProto": {
        1: ("node", "*NodeProto"), 2: ("name", "str"), 5: ("initializer", "*TensorProto"), 11: ("input", "*ValueInfoProto"),
        12: ("output", "*ValueInfoProto"), 15: ("sparse_initializer", "*SparseTensorProto"),
    },
    "NodeProto": {
        1: ("input", "*str"), 2: ("output", "*str"), 3: ("name", "str"), 4: ("op_type", "str"), 5: ("attribute", "*AttributeProto"),
        7: ("domain", "str"),
    },
    "FunctionProto": {
        1: ("name", "str"), 4: ("input", "*str"), 5: ("output", "*str"), 7: ("node", "*NodeProto"),
        9: ("opset_import", "*OperatorSetIdProto"), 10: ("domain", "str"), 11: ("attribute_proto", "*AttributeProto"),
    },
    "AttributeProto": {
        1: ("name", "str"), 2: ("f", "float"), 3: ("i", "int"), 4: ("s", "bytes"), 5: ("t", "TensorProto"), 6: ("g", "GraphProto"),
        7: ("floats", "*float"), 8: ("ints", "*int"), 9: ("strings", "*bytes"), 10: ("tensors", "*TensorProto"),
        11: ("graphs", "*GraphProto"), 14: ("tp", "bytes"), 20: ("type", "int32"), 21: ("ref_attr_name", "str"),
        22: ("sparse_tensor", "SparseTensorProto"),
    },
    "TensorProto": {
        1: ("dims", "*int"), 2: ("data_type", "int32"), 3: ("segment", "bytes"), 4: ("float_data", "*float"), 5: ("int32_data", "*int32"),
        6: ("string_data", "*bytes"), 7: ("int64_data", "*int"), 8: ("name", "str"), 9: ("raw_data", "view"),
        10: ("double_data", "*double"), 11: ("uint64_data", "*uint"), 13: ("external_data", "*StringStringEntryProto"),
        14: ("data_location", "int32"),
    },
    "SparseTensorProto": {1: ("values", "TensorProto"), 2: ("indices", "TensorProto"), 3: ("dims", "*int")},
    "ValueInfoProto": {1: ("name", "str"), 2: ("type", "TypeProto")},
    "TypeProto": {
        1: ("tensor_type", "Tensor"), 4: ("sequence_type", "Sequence"), 5: ("map_type", "Map"), 8: ("sparse_tensor_type", "Tensor"),
        9: ("optional_type", "Sequence"),
    },
    "Tensor": {1: ("elem_type", "int32"), 2: ("shape", "TensorShapeProto")},
    "Sequence": {1: ("elem_type", "TypeProto")},
    "Map": {1: ("key_type", "int32"), 2: ("value_type", "TypeProto")},
    "TensorShapeProto": {1: ("dim", "*Dimension")},
    "Dimension": {1: ("dim_value", "int"), 2: ("dim_param", "str")},
}  # fmt: skip

_KINDS = {message: dict(fields.values()) for message, fields in _FIELDS.items()}
"""message: {name: kind}"""

_NUMBERS: dict[str, np.dtype] = {
    "int": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "uint": np.dtype("<u8"),
    "float": np.dtype("<f4"),
    "double": np.dtype("<f8"),
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE = {"int": _VARINT, "int32": _VARINT, "uint": _VARINT, "float": _FIXED32, "double": _FIXED64}

_PACKED = "packed "


def _rules(fields: dict[int, tuple[str, str]]) -> dict[int, tuple[str, str, bool]]:
    """{field number and wire type as they lie in the file: (name, kind without "*", whether it is repeated)}; what is not here is skipped.
    Numbers that are repeated may come packed: then their kind begins with _PACKED."""
    rules: dict[int, tuple[str, str, bool]] = {}
    for number, (name, starred) in fields.items():
        kind, is_repeated = starred.lstrip("*"), starred[0] == "*"
        rules[number << 3 | _WIRE.get(kind, _BYTES)] = name, kind, is_repeated
        if is_repeated and kind in _WIRE:
            rules[number << 3 | _BYTES] = name, _PACKED + kind, True
    return rules


_RULES = {message: _rules(fields) for message, fields in _FIELDS.items()}


class Message:
    """A message. A field that the input does not give has its default: 0, "", an empty list, an empty message."""

    _kind: str

    def __getattr__(self, name: str) -> Any:  # of fields that were not given
        if (kind := _KINDS[self._kind].get(name)) is None:
            raise AttributeError(f"{self._kind} has no field {name!r}")
        return _default(kind)

    def HasField(self, name: str) -> bool:
        return name in self.__dict__

    def last_of(self, *names: str) -> str | None:
        """The field of these that was given last: of a oneof it is the one that counts."""
        return next((name for name in reversed(self.__dict__) if name in names), None)


def _default(kind: str) -> Any:
    if kind.startswith("*"):
        return np.empty(0, _NUMBERS[kind[1:]]) if kind[1:] in _NUMBERS else []
    if kind in _NUMBERS:
        return 0.0 if kind in ("float", "double") else 0
    return {"str": "", "bytes": b"", "view": b""}[kind] if kind in ("str", "bytes", "view") else _new(kind)


def _new(kind: str) -> Message:
    message = Message()
    message.__dict__["_kind"] = kind
    return message


def parse(data: Any) -> Message:
    """The ModelProto in `data` (anything with a buffer, which stays in use). Raises ModelError where it is not well-formed."""
    view = memoryview(data).cast("B")
    message = _new("ModelProto")
    _read(view, 0, len(view), message, 0)
    return message


def _read(data: memoryview, at: int, end: int, message: Message, depth: int) -> None:
    """Reads the fields in data[at:end] into message."""
    if depth > MAX_DEPTH:
        raise ModelError(f"messages are nested more than {MAX_DEPTH} deep")
    into = message.__dict__
    rules = _RULES[into["_kind"]]
    while at < end:
        key = data[at]
        at += 1
        if key > 127:
            key, at = _varint(data, at - 1, end)
        wire, size = key & 7, 0
        if wire in (_BYTES, _VARINT):
            size = data[at] if at < end else 128
            if size < 128:
                at += 1
            else:
                size, at = _varint(data, at, end)
        start = at
        if wire == _BYTES:
            at += size
        elif wire != _VARINT:
            at += _fixed_size(wire, at)
        if at > end:
            raise ModelError(f"a field of {message._kind} at byte {start} ends {at - end} bytes behind its message; the file is truncated")
        rule = rules.get(key)
        if rule is None:
            continue
        name, kind, is_repeated = rule
        value: Any
        if wire == _VARINT:
            value = size if size < 1 << 31 else _signed(size, kind)
        elif wire != _BYTES:
            value = _fixed(data, start, kind)
        elif kind == "str":
            value = str(data[start:at], "utf-8")
        elif kind == "view":
            value = data[start:at]
        elif kind == "bytes":
            value = bytes(data[start:at])
        elif kind.startswith(_PACKED):
            value = _packed(data[start:at], kind[len(_PACKED) :])
            into[name] = np.concatenate([into[name], value]) if name in into else value
            continue
        else:
            value = (None if is_repeated else into.get(name)) or _new(kind)  # a message given twice is merged
            _read(data, start, at, value, depth + 1)
        if not is_repeated:
            into.pop(name, None)  # the last one counts, and it is the last of a oneof
            into[name] = value
        elif type(into.get(name)) is list:
            into[name].append(value)
        else:
            into[name] = [*into.get(name, ()), value]


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """An unsigned 64-bit number and where it ends."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        if byte < 128:
            return value | byte << shift, at
        value |= (byte & 127) << shift
        shift += 7
        if shift > 63:
            raise ModelError(f"the number at byte {at} has more than 64 bits")
    raise ModelError(f"the number at byte {at} is cut off; the file is truncated")


def _fixed_size(wire: int, at: int) -> int:
    if wire == _FIXED64:
        return 8
    if wire == _FIXED32:
        return 4
    raise ModelError(f"the field at byte {at} has wire type {wire}, which ONNX does not use")


def _signed(value: int, kind: str) -> int:
    bits = 32 if kind == "int32" else 64
    value &= (1 << bits) - 1
    return value - (1 << bits) if kind != "uint" and value >> (bits - 1) else value


def _fixed(data: memoryview, at: int, kind: str) -> float:
    (value,) = struct.unpack_from("<f" if kind == "float" else "<d", data, at)
    return float(value)


def _packed(data: memoryview, kind: str) -> np.ndarray:
    """A packed run of numbers: floats as a view, varints decoded."""
    dtype = _NUMBERS[kind]
    if kind in ("float", "double"):
        if len(data) % dtype.itemsize:
            raise ModelError(f"a packed field of {dtype} has {len(data)} bytes")
        return np.frombuffer(data, dtype)
    octets = np.frombuffer(data, np.uint8)
    last = np.flatnonzero(octets < 128)
    if len(octets) and (len(last) == 0 or last[-1] != len(octets) - 1):
        raise ModelError("a packed field ends inside a number; the file is truncated")
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    if len(last) and (last - first).max() > 9:
        raise ModelError("a packed field holds a number of more than 64 bits")
    place = np.arange(len(octets)) - np.repeat(first, last - first + 1)
    parts = (octets & np.uint8(127)).astype(np.uint64) << (np.uint64(7) * place.astype(np.uint64))
    values = np.add.reduceat(parts, first) if len(first) else parts
    return values.astype(np.uint32).view(np.int32) if kind == "int32" else values.view(dtype)
