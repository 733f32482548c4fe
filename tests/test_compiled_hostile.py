"""Broken `.asymo` files: every one is an error that names the file, what is wrong and the remedy; nothing else ever happens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _models import model, node
from hypothesis import given
from hypothesis import strategies as st

import asymo
from asymo.bench import compile_cli
from asymo.errors import AsymoError, ModelError
from asymo.onnx.files import Files
from asymo.runtime import archive
from asymo.runtime.compile import compile_model
from asymo.runtime.compiled import CompiledModel

SHAPE = (2, 5)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(1)
    constants = {"w": rng.standard_normal((5, 70)).astype(np.float32), "s": np.array(0.5, np.float32)}
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Mul", ["h", "s"], ["g"]), node("Softmax", ["g"], ["y"])]
    path = tmp_path_factory.mktemp("compiled") / "good.asymo"
    blob = model(nodes, {"x": np.zeros(SHAPE, np.float32)}, ["y"], constants).SerializeToString()
    compile_model(blob, path, compile_cli.machines(None, None, None, 1))
    return path


Documents = dict[str, Any]


def parts(data: bytes) -> tuple[dict[str, Any], Documents, bytes]:
    """(header, documents, the rest of the data)."""
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    body = memoryview(data)[8 + n :]
    found = {name: json.loads(bytes(body[slice(*header[name]["data_offsets"])])) for name in archive.DOCUMENTS}
    return header, found, bytes(body[header[archive.DOCUMENTS[-1]]["data_offsets"][1] :])


def signed(header: dict[str, Any], documents: Documents, rest: bytes) -> bytes:
    """A file with right hashes, whatever it says: what somebody could make who knows the format."""
    header = json.loads(json.dumps(header))
    old = header[archive.DOCUMENTS[-1]]["data_offsets"][1]
    names = [k for k in header if k not in ("__metadata__", *archive.DOCUMENTS)]
    rebuilt: dict[str, Any] = {"__metadata__": header["__metadata__"]}
    body = b""
    for name, document in documents.items():
        text = json.dumps(document).encode()
        rebuilt[name] = {"dtype": "U8", "shape": [len(text)], "data_offsets": [len(body), len(body) + len(text)]}
        rebuilt["__metadata__"][f"{name}_sha256"] = hashlib.sha256(text).hexdigest()
        body += text
    if names and names[0].startswith("~"):
        rest = rest[header[names[0]]["shape"][0] :]
        names = names[1:]
    if first := -len(body) % 64:
        rebuilt["~first"] = {"dtype": "U8", "shape": [first], "data_offsets": [len(body), len(body) + first]}
        body += bytes(first)
    shift = len(body) - (old + -old % 64)
    for name in names:
        header[name]["data_offsets"] = [v + shift for v in header[name]["data_offsets"]]
        rebuilt[name] = header[name]
    rebuilt["__metadata__"]["header_sha256"] = "0" * 64
    packed = json.dumps(rebuilt, separators=(",", ":")).encode()
    packed += b" " * (-(8 + len(packed)) % 64)
    packed = packed.replace(b"0" * 64, hashlib.sha256(packed).hexdigest().encode(), 1)
    return len(packed).to_bytes(8, "little") + packed + body + rest


def fails(path: Path, data: bytes, verify: bool = False) -> str:
    """The message with which a file of these bytes is refused."""
    path.write_bytes(data)
    with pytest.raises(AsymoError) as caught:
        CompiledModel(path, verify)
    text = str(caught.value)
    assert path.name in text
    assert "asymo compile" in text or "copy it again" in text
    return text


def test_the_helper_signs_well(good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    (tmp_path / "same.asymo").write_bytes(signed(*parts(data)))
    x = np.ones(SHAPE, np.float32)
    assert asymo.load(tmp_path / "same.asymo")(x).tobytes() == asymo.load(good)(x).tobytes()


@given(st.data())
def test_a_changed_byte_is_found(good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    bytes_ = bytearray(good.read_bytes())
    at = data.draw(st.integers(0, len(bytes_) - 1) | st.integers(0, 600))
    bytes_[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed.asymo"
    fails(path, bytes(bytes_), verify=True)
    begins = len(bytes_) - len(parts(good.read_bytes())[2])
    if at < begins:  # header and document are checked at every load, the graph when it is read
        path.write_bytes(bytes_)
        with pytest.raises(ModelError, match=path.name):
            assert CompiledModel(path).graph


@given(st.data())
def test_a_cut_or_lengthened_file_is_found(good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = good.read_bytes()
    path = tmp_path_factory.getbasetemp() / "cut.asymo"
    fails(path, whole[: data.draw(st.integers(0, len(whole) - 1))])
    fails(path, whole + data.draw(st.binary(min_size=1, max_size=100)))
    first, second = sorted((data.draw(st.integers(0, len(whole))), data.draw(st.integers(0, len(whole)))))
    if first < second:
        fails(path, whole[:first] + whole[second:])


@given(st.binary(max_size=300), st.integers(0, 400))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, noise: bytes, length: int) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.asymo"
    fails(path, noise)
    fails(path, length.to_bytes(8, "little") + b'{"__metadata__":{"format":"asymo"' + noise)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value, but for the arguments of steps (see the page on trust)."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@given(st.data())
def test_a_document_that_makes_no_sense(good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Signed as it should be: it loads and plans as if nothing were, or it is an error of ours; never another one. Nothing is run."""
    header, documents, rest = parts(good.read_bytes())
    where = data.draw(st.sampled_from([p for p in places(documents) if len(p) > 1]))
    holder: Any = documents
    for key in where[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[where[-1]] = data.draw(JUNK)
    else:
        del holder[where[-1]]
    path = tmp_path_factory.getbasetemp() / "document.asymo"
    path.write_bytes(signed(header, documents, rest))
    (machine,) = compile_cli.machines(None, None, None, 1)
    message = path.name
    try:
        opened = CompiledModel(path)
        opened.ready_plan([SHAPE], machine)
        assert opened.graph is not None
    except AsymoError as error:
        message = str(error)
    assert path.name in message


Alter = Callable[[dict[str, Any], Documents], Any]


def change(**metadata: str) -> Alter:
    return lambda header, documents: header["__metadata__"].update(metadata)


def entry(**fields: Any) -> Alter:
    return lambda header, documents: header["1"].update(fields)


def tell(**fields: Any) -> Alter:
    return lambda header, documents: documents["document"].update(fields)


@pytest.mark.parametrize(
    ("alter", "says"),
    [
        (change(version="1.2"), f"of version .1.2.*reads version {archive.VERSION}"),
        (change(format="other"), "does not say that it is one"),
        (change(arrays_sha256="short"), "has no arrays_sha256"),
        (entry(dtype="F33"), "malformed"),
        (entry(shape=[3]), "has shape"),
        (entry(shape=[-1, -1]), "has shape"),
        (entry(data_offsets=[0, 4]), "shape|begins at"),
        (entry(data_offsets=[0, 64, 128]), "malformed"),
        (lambda h, d: h.pop("0"), "begins at byte"),
        (lambda h, d: d.pop("graph"), "does not begin with document and graph"),
        (tell(asymo="0.0.1"), "made by Asymo 0.0.1"),
        (tell(targets=[]), "compiled for"),
        (tell(arrays=5), "malformed"),
        (tell(model={}), "malformed"),
        (lambda h, d: d["document"].pop("inputs"), "malformed"),
        (lambda h, d: d["graph"].pop("graph"), "malformed"),
        (lambda h, d: d["graph"].update(derived=[]), "malformed"),
    ],
)
def test_says_what_is_wrong(good: Path, tmp_path: Path, alter: Alter, says: str) -> None:
    header, documents, rest = parts(good.read_bytes())
    alter(header, documents)
    path = tmp_path / "wrong.asymo"
    path.write_bytes(signed(header, documents, rest))
    with pytest.raises(AsymoError, match=says) as caught:
        assert CompiledModel(path).graph
    assert "wrong.asymo" in str(caught.value)


def test_misaligned_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.asymo"
    archive.write(path, {"document": {}, "graph": {}}, [np.arange(10.0), np.arange(3)], {})
    moved = signed(*parts(path.read_bytes()))
    n = int.from_bytes(moved[:8], "little")
    header = json.loads(moved[8 : 8 + n])
    pad = next(name for name in header if name.startswith("~"))
    header[pad]["shape"][0] -= 8
    at = header[pad]["data_offsets"][1] - 8
    for name in list(header)[list(header).index(pad) :]:
        header[name]["data_offsets"] = [v - 8 if v > at else v for v in header[name]["data_offsets"]]
    header["__metadata__"]["header_sha256"] = "0" * 64
    packed = json.dumps(header, separators=(",", ":")).encode()
    packed += b" " * (-(8 + len(packed)) % 64)
    packed = packed.replace(b"0" * 64, hashlib.sha256(packed).hexdigest().encode(), 1)
    body = moved[8 + n :]
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + body[:at] + body[at + 8 :])
    with pytest.raises(ModelError, match="no multiple of 64"):
        archive.Archive(path, Files())


def test_a_directory_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"absent\.asymo"):
        asymo.load(tmp_path / "absent.asymo")
    (tmp_path / "folder.asymo").mkdir()
    with pytest.raises(OSError, match=r"folder\.asymo"):
        asymo.load(tmp_path / "folder.asymo")


def test_arrays_of_every_type_survive(tmp_path: Path, rng: np.random.Generator) -> None:
    arrays = [rng.integers(0, 2, (3, 5)).astype(t) for t in "?bBhHiIlLefdFD"] + [np.zeros((0, 3)), np.array(7), np.arange(12)[::3]]
    path = tmp_path / "m.asymo"
    documents = {"document": {"a": 1}, "graph": {"b": [2]}}
    archive.write(path, documents, arrays, {"k": "v"})
    for source in (path, path.read_bytes()):
        opened = archive.Archive(source, Files())
        opened.verify()
        assert {name: opened.document(name) for name in documents} == documents
        for i, array in enumerate(arrays):
            got = opened.array(i, array.dtype, array.shape)
            np.testing.assert_array_equal(got, array)
            assert got.__array_interface__["data"][0] % 64 == 0 or not got.size
