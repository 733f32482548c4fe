"""TensorProto -> numpy array. Large tensors are seen where they lie, external data is memory-mapped.

External data is taken only from regular files inside the model's directory. What is read was written by a stranger: every length is
checked against the dimensions before anything is allocated.
"""

from __future__ import annotations

import mmap
import os
import stat
from math import prod
from typing import Any

import numpy as np

from asymo.errors import ModelError
from asymo.graph.dtypes import STRING, dtype_of
from asymo.onnx import require
from asymo.onnx.files import WORTH_MAPPING, Files
from asymo.onnx.wire import Message

DENSE_LIMIT = 1 << 30
"""Bytes: larger arrays are not made of sparse tensors, whose own size says nothing about the result's."""

MAX_RANK = 32

_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2, 27: 6, 28: 6}
"""Element types smaller than a byte; two to four of them share one."""

_FIELD = {
    **dict.fromkeys((1, 14), "float_data"),
    **dict.fromkeys((11, 15), "double_data"),
    **dict.fromkeys((12, 13), "uint64_data"),
    7: "int64_data",
    8: "string_data",
}
"""Where elements stand that are no raw data; those of every other type stand in int32_data."""

EXTERNAL = 1
"""TensorProto.DataLocation"""


class ExternalData:
    """The files next to one model that hold its tensors."""

    def __init__(self, model: str | None, files: Files) -> None:
        """model: the model's file; None when it came as bytes, and external data cannot be found. files: gets what is mapped."""
        self._model = model
        self._files = files
        self._maps: dict[str, mmap.mmap] = {}

    def bytes_of(self, tensor: Message, where: str) -> memoryview:
        """The bytes that a tensor with data_location EXTERNAL points at."""
        entries = {e.key: e.value for e in tensor.external_data}
        location = entries.get("location", "")
        if self._model is None:
            raise ModelError(f"{where} lies in the file {location!r}, but the model was given as bytes: pass the model's path instead")
        data = self._open(location, where)
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries["length"]) if "length" in entries else len(data) - offset
        except ValueError:
            raise ModelError(f"{where}: offset and length of external data must be integers, got {entries}") from None
        if offset < 0 or length < 0 or offset + length > len(data):
            raise ModelError(
                f"{where}: bytes {offset} to {offset + length} lie outside the file {location!r} of {len(data)} bytes; is it complete?"
            )
        return memoryview(data)[offset : offset + length]

    def _open(self, location: str, where: str) -> mmap.mmap:
        if location not in self._maps:
            path = self._contained(location, where)
            fd = _open_beneath(path, where)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    raise ModelError(f"{where}: external data {location!r} is not a regular file")
                if status.st_nlink > 1:
                    raise ModelError(f"{where}: external data {location!r} has several hard links, one may lie elsewhere; copy the file")
                if status.st_size == 0:
                    raise ModelError(f"{where}: external data {location!r} is empty")
                self._maps[location] = self._files.map(fd, path)
            finally:
                os.close(fd)
        return self._maps[location]

    def _contained(self, location: str, where: str) -> str:
        """The real path, which must lie in the model's directory, or in that of the file the model's path is a link to (caches of model
        hubs link model and data into one directory)."""
        assert self._model is not None
        if not location or "\0" in location or "\\" in location or os.path.isabs(location) or ".." in location.split("/"):
            raise ModelError(f"{where}: external data {location!r} must be a path below the model's directory, without '..'")
        try:
            path = os.path.realpath(os.path.join(os.path.dirname(self._model), location), strict=True)
        except OSError as error:
            raise ModelError(f"{where}: external data {location!r} is missing beside the model: {error}") from None
        homes = {os.path.realpath(os.path.dirname(self._model)), os.path.dirname(os.path.realpath(self._model))}
        if not any(path.startswith(os.path.join(home, "")) for home in homes):
            raise ModelError(f"{where}: external data {location!r} is a link out of the model's directory; copy the file there")
        return path


def _open_beneath(path: str, where: str) -> int:
    """Opens a resolved path without following any link that has appeared since."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    *folders, name = path.split("/")[1:]
    fd = os.open("/", flags | os.O_DIRECTORY)
    try:
        for folder in folders:
            fd, previous = os.open(folder, flags | os.O_DIRECTORY, dir_fd=fd), fd
            os.close(previous)
        return os.open(name, flags | os.O_NONBLOCK, dir_fd=fd)
    except OSError as error:
        raise ModelError(f"{where}: external data cannot be opened: {error}") from None
    finally:
        os.close(fd)


def dims_of(dims: Any, where: str) -> tuple[int, ...]:
    """The dimensions of a stored tensor; ModelError when negative or too many."""
    shape = tuple(int(d) for d in dims)
    if any(d < 0 for d in shape) or len(shape) > MAX_RANK:
        raise ModelError(f"{where} has dimensions {shape}: they must be at least 0 and at most {MAX_RANK} in number")
    return shape


def to_array(tensor: Message, external: ExternalData, where: str) -> np.ndarray:
    """The elements of a TensorProto. `where` names the tensor in errors. The array may be read-only, and is to be treated so; a large one
    is a view of what was read, which numpy alone can use when it is not aligned."""
    shape = dims_of(tensor.dims, where)
    if tensor.HasField("segment"):
        raise ModelError(f"{where} is stored in segments, which ONNX has withdrawn; export the model again")
    dtype = dtype_of(tensor.data_type)
    count = prod(shape)
    if tensor.data_location == EXTERNAL:
        data = external.bytes_of(tensor, where)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        return _typed(tensor, shape, dtype, where)
    if dtype == STRING:
        raise ModelError(f"{where}: strings cannot be raw data")
    bits = _BITS.get(tensor.data_type)
    expected = (count * bits + 7) // 8 if bits else count * dtype.itemsize
    if len(data) != expected:
        raise ModelError(f"{where} of shape {shape} and type {dtype} needs {expected} bytes, the file holds {len(data)}")
    if bits:
        return _by_onnx(where, dims=shape, data_type=tensor.data_type, raw_data=bytes(data))
    if dtype.kind == "b":
        return np.not_equal(np.frombuffer(data, np.uint8).reshape(shape), 0)
    array = np.frombuffer(data, dtype).reshape(shape)
    return array if array.nbytes >= WORTH_MAPPING else array.copy()


def _typed(tensor: Message, shape: tuple[int, ...], dtype: np.dtype, where: str) -> np.ndarray:
    """Elements that stand in float_data, int32_data and their like."""
    bits = _BITS.get(tensor.data_type, 8)
    per_entry = 2 if dtype.kind == "c" else 1
    field = _FIELD.get(tensor.data_type, "int32_data")
    entries = getattr(tensor, field)
    count = prod(shape)
    expected = -(-count * bits // 8) if bits in (2, 4) else count * per_entry
    if len(entries) != expected:
        raise ModelError(f"{where} of shape {shape} and type {dtype} needs {expected} entries in {field}, the file holds {len(entries)}")
    try:
        if dtype == STRING:
            return np.array([*map(_text, entries), None], dtype)[:-1].reshape(shape)  # None: numpy would look into entries of one length
        if bits < 8:
            return _by_onnx(where, dims=shape, data_type=tensor.data_type, int32_data=entries)
        return _converted(np.asarray(entries), dtype).reshape(shape)
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ModelError(f"{where} cannot be read: {error}") from None


def _text(data: bytes) -> str:
    return data.decode()


def _converted(entries: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Entries of a field as the dtype that they stand for: complex numbers are pairs, small floats bit patterns."""
    if entries.dtype == dtype:
        return entries
    if dtype.kind == "c":
        return entries.astype(f"f{dtype.itemsize // 2}").view(dtype)
    if dtype.itemsize <= 2 and dtype.kind not in "iub":
        return entries.astype(f"u{dtype.itemsize}").view(dtype)
    return entries.astype(dtype)


def _by_onnx(where: str, **fields: Any) -> np.ndarray:
    """Elements smaller than a byte, by onnx's own rules."""
    onnx = require()
    try:
        return np.asarray(onnx.numpy_helper.to_array(onnx.TensorProto(**fields)))
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"{where} cannot be read: {error}") from None


def sparse_to_array(tensor: Message, external: ExternalData, where: str) -> np.ndarray:
    """A SparseTensorProto made dense. Indices are linear (rank 1) or one row of coordinates per value (rank 2)."""
    shape = dims_of(tensor.dims, where)
    values = to_array(tensor.values, external, where)
    indices = to_array(tensor.indices, external, where)
    if prod(shape) * values.dtype.itemsize > DENSE_LIMIT:
        raise ModelError(f"{where} of shape {shape} would take more than {DENSE_LIMIT} bytes when made dense")
    if values.ndim != 1 or indices.dtype != np.int64 or indices.shape[:1] != values.shape:
        raise ModelError(f"{where}: {values.shape} values need as many int64 indices, got {indices.dtype}{indices.shape}")
    array = np.zeros(shape, values.dtype)
    linear = indices
    if indices.ndim == 2:
        if indices.shape[1] != len(shape) or ((indices < 0) | (indices >= np.array(shape))).any():
            raise ModelError(f"{where}: indices lie outside the shape {shape}")
        linear = indices @ np.array([prod(shape[i + 1 :]) for i in range(len(shape))], np.int64)
    elif indices.ndim != 1 or ((indices < 0) | (indices >= array.size)).any():
        raise ModelError(f"{where}: indices lie outside the shape {shape}")
    array.reshape(-1)[linear] = values
    return array
