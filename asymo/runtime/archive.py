"""A file of arrays beside JSON documents, checked when they are read and used in place: the container of `.asymo` files.

    0        8 bytes      N, little-endian
    8        N bytes      the header: JSON, as in safetensors; padded with spaces so that the data begin at a multiple of ALIGN
    8 + N    to the end   the data: the documents (JSON texts, a tensor each), then the arrays, each at a multiple of ALIGN

It is a valid safetensors file: {"__metadata__": {text: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}}, and the tensors
(padding included, "~0", "~1", ...) cover the data without holes. The metadata hold SHA-256: of the header (its own 64 digits taken as
zeros), of each document, and of the arrays. The header's is compared whenever a file is opened, a document's when it is read. That of the
arrays takes a second for every GB, so it is compared when the caller asks (ADR 9).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np

from asymo._core import aligned_empty
from asymo.errors import ModelError
from asymo.onnx.files import Files
from asymo.runtime.digest import sha256

ALIGN = 64
"""Of every array in the file, and so in memory: mappings begin at pages."""

MAX_HEADER = 1 << 26
"""Bytes: a longer header is a broken length."""

VERSION = "2"
"""Of the file."""

DOCUMENTS = ("document", "graph")
"""What every file holds before its arrays, in this order."""

_DTYPES = {
    np.dtype(name): short
    for name, short in {
        "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16", "uint32": "U32", "int32": "I32",
        "float32": "F32", "uint64": "U64", "int64": "I64", "float64": "F64",
    }.items()
}  # fmt: skip
"""numpy dtype -> its name in safetensors. Arrays of other types are written as bytes (U8)."""

_SIZES = {name: dtype.itemsize for dtype, name in _DTYPES.items()}
_NO_DIGEST = "0" * 64


def write(path: str | os.PathLike[str], documents: Mapping[str, Any], arrays: Sequence[np.ndarray], metadata: Mapping[str, str]) -> int:
    """Writes the file, whole or not at all, and returns its bytes. documents: those of DOCUMENTS. Array i becomes tensor "i". OSError where
    that cannot be done."""
    texts = {name: json.dumps(documents[name], separators=(",", ":"), allow_nan=False).encode() for name in DOCUMENTS}
    pieces: list[tuple[str, dict[str, Any], Any]] = []
    end = 0

    def append(name: str, dtype: str, shape: Sequence[int], data: Any, nbytes: int) -> None:
        nonlocal end
        pieces.append((name, {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + nbytes]}, data))
        end += nbytes

    for name, text in texts.items():
        append(name, "U8", [len(text)], text, len(text))
    for i, array in enumerate(arrays):
        if gap := -end % ALIGN:
            append(f"~{i}", "U8", [gap], bytes(gap), gap)
        plain = np.ascontiguousarray(array)
        known = _DTYPES.get(array.dtype)
        append(str(i), known or "U8", array.shape if known else [array.nbytes], plain.reshape(-1).view(np.uint8), array.nbytes)
    import hashlib

    digest = hashlib.sha256()
    for _, _, data in pieces[len(texts) :]:
        digest.update(data)
    digests = {f"{name}_sha256": sha256(text) for name, text in texts.items()}
    digests |= {"arrays_sha256": digest.hexdigest(), "header_sha256": _NO_DIGEST}
    header: dict[str, Any] = {"__metadata__": {"format": "asymo", "version": VERSION, **metadata, **digests}}
    header.update({name: entry for name, entry, _ in pieces})
    packed = json.dumps(header, separators=(",", ":")).encode()
    packed += b" " * (-(8 + len(packed)) % ALIGN)
    packed = packed.replace(_NO_DIGEST.encode(), sha256(packed).encode(), 1)
    folder, name = os.path.split(os.fspath(path))
    part = os.path.join(folder, f".{name}.{os.getpid()}")
    try:
        with open(part, "wb") as file:
            file.write(len(packed).to_bytes(8, "little") + packed)
            for _, _, data in pieces:
                file.write(data)
        os.replace(part, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part)
    return 8 + len(packed) + end


class Archive:
    """An opened file: `metadata`, its documents by name and its arrays by number. The arrays are read-only views of the mapping."""

    def __init__(self, file: str | os.PathLike[str] | bytes, files: Files) -> None:
        """file: a path, mapped into memory by `files`, or the bytes of such a file, which are copied.

        Raises ModelError, naming the file, what is wrong with it and the remedy; OSError when it cannot be opened."""
        self.name = "the model" if isinstance(file, bytes) else repr(os.fspath(file))
        self._memory = _aligned(file) if isinstance(file, bytes) else _map(file, files)
        size = len(self._memory)
        n = int.from_bytes(bytes(self._memory[:8]), "little")
        if not 2 <= n <= min(size - 8, MAX_HEADER):
            raise self.error(f"its header should have {n} bytes, the file has {size}")
        if (8 + n) % ALIGN:
            raise self.error(f"its data begin at byte {8 + n}, which is no multiple of {ALIGN}")
        packed = bytes(self._memory[8 : 8 + n])
        header = self._json(packed, "the header")
        self.metadata = self._metadata(header)
        _compare(self, "header", packed.replace(self.metadata["header_sha256"].encode(), _NO_DIGEST.encode(), 1))
        self._data = 8 + n
        self._entries = self._checked(header)

    def document(self, name: str) -> Any:
        """One of DOCUMENTS; ModelError when it is not what was written."""
        begin, end = self._entries[name][2:]
        text = bytes(self._memory[self._data + begin : self._data + end])
        _compare(self, name, text)
        return self._json(text, f"the {name}")

    def array(self, number: int, dtype: np.dtype, shape: Sequence[int]) -> np.ndarray:
        """Array `number`, which the document says to be of this dtype and shape."""
        entry = self._entries.get(str(number))
        if entry is None:
            raise self.error(f"array {number} is missing")
        begin, end = entry[2:]
        if end - begin != prod(shape) * dtype.itemsize or entry[0] not in (_DTYPES.get(dtype), "U8"):
            raise self.error(f"array {number} has {end - begin} bytes of {entry[0]}; {dtype}{tuple(shape)} has another size or type")
        if end == begin:
            return np.empty(shape, dtype)
        found: np.ndarray = np.ndarray(shape, dtype, self._memory, self._data + begin)
        return found

    def verify(self) -> None:
        """Reads the whole file; ModelError when documents or arrays are not what was written."""
        for name in DOCUMENTS:
            self.document(name)
        _compare(self, "arrays", np.frombuffer(self._memory, np.uint8)[self._data + self._entries[DOCUMENTS[-1]][3] :])

    def error(self, what: str) -> ModelError:
        """What is raised for this file."""
        return ModelError(f"{self.name} is not a sound .asymo file: {what}; copy it again, or make it again with `asymo compile`")

    def _json(self, text: bytes, what: str) -> Any:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.error(f"{what} is no JSON ({error})") from None
        if not isinstance(found, dict):
            raise self.error(f"{what} is no JSON object")
        return found

    def _metadata(self, header: dict[str, Any]) -> dict[str, str]:
        metadata = header.get("__metadata__")
        if not isinstance(metadata, dict) or metadata.get("format") != "asymo" or not all(isinstance(v, str) for v in metadata.values()):
            raise self.error("its header does not say that it is one")
        if metadata.get("version") != VERSION:
            raise ModelError(
                f"{self.name} is an .asymo file of version {metadata.get('version')!r}, this Asymo reads version {VERSION}: "
                "make it again with the `asymo compile` of the version that is to run it"
            )
        for name in ("header", *DOCUMENTS, "arrays"):
            if len(metadata.get(f"{name}_sha256", "")) != 64:
                raise self.error(f"its header has no {name}_sha256")
        return metadata

    def _checked(self, header: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...], int, int]]:
        """Name -> (dtype, shape, begin, end) of every tensor: inside the file, without overlap, as long as its shape says, aligned."""
        entries = {}
        at = 0
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            try:
                dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
                numbers = (*shape, begin, end)
                wrong = any(type(v) is not int or v < 0 for v in numbers) or end - begin != prod(shape) * _SIZES[dtype]
            except (TypeError, KeyError, ValueError):
                raise self.error(f"the entry of tensor {name!r} is malformed") from None
            if wrong:
                raise self.error(f"tensor {name!r} has shape {shape} of {dtype}, but bytes {begin} to {end}")
            if begin != at:
                raise self.error(f"tensor {name!r} begins at byte {begin} of the data, the one before it ends at {at}")
            if name.isdigit() and begin % ALIGN:
                raise self.error(f"tensor {name!r} begins at byte {begin} of the data, which is no multiple of {ALIGN}")
            entries[name] = (dtype, shape, begin, end)
            at = end
        held = len(self._memory) - self._data
        if at != held:
            raise self.error(f"its tensors take {at} bytes, the file holds {held}: it is truncated, or something was appended")
        if tuple(entries)[: len(DOCUMENTS)] != DOCUMENTS:
            raise self.error(f"it does not begin with {' and '.join(DOCUMENTS)}")
        return entries


def _compare(archive: Archive, what: str, data: Any) -> None:
    wanted, found = archive.metadata[f"{what}_sha256"], sha256(data)
    if wanted != found:
        raise archive.error(f"the SHA-256 of its {what} is {found[:12]}..., it should be {wanted[:12]}...: bytes have changed")


def _map(path: str | os.PathLike[str], files: Files) -> Any:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ModelError(f"{os.fspath(path)!r} has {size} bytes and is not an .asymo file: copy it again")
        return files.map(file.fileno(), os.fspath(path))


def _aligned(data: bytes) -> Any:
    if len(data) < 8:
        raise ModelError(f"{len(data)} bytes are not an .asymo file")
    copy = aligned_empty(len(data))
    copy[:] = np.frombuffer(data, np.uint8)
    copy.flags.writeable = False
    return copy
