"""Models that lie, break or attack: a ModelError that names the culprit, at once, and never a crash, a hang or a huge allocation."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from _onnx_models import F, model, node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from test_reader import conditional, external, local_function, with_function

from asymo import InferenceSession
from asymo.errors import AsymoError, ModelError
from asymo.graph import passes
from asymo.onnx import host, reader
from asymo.plan.lower import Cache


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """Any attempt to take 2 GiB more than now ends in MemoryError, which no test expects."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def load(data: bytes | onnx.ModelProto | Path) -> Any:
    """Reads and runs the load passes."""
    graph, _ = reader.read(data.SerializeToString() if isinstance(data, onnx.ModelProto) else data)
    cache = Cache(host.evaluate)
    for step in passes.LOAD:
        step.run(graph, cache)
    return graph


GOOD = model([node("Relu", ["x"])]).SerializeToString()


NO_MODELS = {
    "empty": b"",
    "zero": b"\0",
    "text": b"hello, this is no model",
    "half": GOOD[: len(GOOD) // 2],
    "truncated": GOOD[:-1],
    "length": b"\x0a\xff\xff\xff\xff\x0f",
    "nested": b"\x3a" * 4096,
}


@pytest.mark.parametrize("data", NO_MODELS.values(), ids=NO_MODELS)
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"truncated|no ONNX|version|node"):
        load(data)


def change(edit: Callable[[onnx.ModelProto], object], base: onnx.ModelProto | None = None) -> onnx.ModelProto:
    proto = base or model([node("Add", ["x", "c"], name="the_node")], constants={"c": np.ones(3, np.float32)})
    edit(proto)
    return proto


def tensor_of(**fields: Any) -> Callable[[onnx.ModelProto], object]:
    return lambda p: p.graph.initializer[0].MergeFrom(onnx.TensorProto(**fields))


def set_dims(*dims: int) -> Callable[[onnx.ModelProto], object]:
    return lambda p: p.graph.initializer[0].__class__.MergeFrom(_cleared(p.graph.initializer[0], "dims"), onnx.TensorProto(dims=dims))


def _cleared(message: Any, name: str) -> Any:
    message.ClearField(name)
    return message


def set_attribute(**attrs: Any) -> Callable[[onnx.ModelProto], object]:
    return lambda p: p.graph.node[0].attribute.extend([helper.make_attribute(k, v) for k, v in attrs.items()])


BROKEN: dict[str, tuple[onnx.ModelProto, str]] = {
    "no opset": (change(lambda p: _cleared(p, "opset_import")), "opset"),
    "future opset": (change(lambda p: p.opset_import[0].MergeFrom(helper.make_opsetid("", 9999))), "newer asymo"),
    "opset 0": (change(lambda p: p.opset_import[0].MergeFrom(helper.make_opsetid("", 0))), "opset"),
    "negative opset": (change(lambda p: p.opset_import[0].MergeFrom(helper.make_opsetid("", -5))), "opset"),
    "two opsets": (change(lambda p: p.opset_import.append(helper.make_opsetid("", 13))), "twice"),
    "future ir": (change(lambda p: setattr(p, "ir_version", 999)), "IR version"),
    "no graph": (change(lambda p: _cleared(p, "graph")), "no graph"),
    "domain not imported": (change(lambda p: setattr(p.graph.node[0], "domain", "a.b")), "the_node.*imports no opset.*a.b"),
    "undefined input": (change(lambda p: p.graph.node[0].input.__setitem__(1, "nowhere")), "the_node.*'nowhere'.*made by no node"),
    "undefined output": (change(lambda p: setattr(p.graph.output[0], "name", "nowhere")), "'nowhere'.*made by no node"),
    "no input name": (change(lambda p: setattr(p.graph.input[0], "name", "")), "without a name"),
    "wrong order": (model([node("Relu", ["b"], ["y"], name="first"), node("Relu", ["x"], ["b"])]), "first.*later node"),
    "cycle": (model([node("Add", ["x", "b"], ["a"], name="first"), node("Relu", ["a"], ["b"]), node("Relu", ["b"])]), "first.*cycle"),
    "self cycle": (model([node("Add", ["x", "y"], name="first")]), "first.*cycle"),
    "made twice": (model([node("Relu", ["x"]), node("Relu", ["x"], name="second")]), "second.*defined already"),
    "input made again": (model([node("Relu", ["x"], ["x"], name="again"), node("Relu", ["x"])]), "again.*defined already"),
    "input twice": (change(lambda p: p.graph.input.append(p.graph.input[0])), "defined already"),
    "initialiser twice": (change(lambda p: p.graph.initializer.append(p.graph.initializer[0])), "two initialisers called 'c'"),
    "negative dimension": (change(set_dims(-3)), "'c'.*-3"),
    "dimension beyond the data": (change(set_dims(4)), "'c'.*needs 16 bytes.*holds 12"),
    "huge dimension": (change(set_dims(1 << 62, 1 << 62)), "'c'.*needs"),
    "huge rank": (change(set_dims(*[1] * 5000)), "'c'.*32"),
    "too few values": (
        change(lambda p: p.graph.initializer[0].CopyFrom(onnx.TensorProto(name="c", dims=[3], data_type=F, float_data=[1]))),
        "needs 3",
    ),
    "no type": (change(tensor_of(data_type=0), change(lambda p: setattr(p.graph.initializer[0], "data_type", 0))), "element type"),
    "unknown type": (change(lambda p: setattr(p.graph.initializer[0], "data_type", 77)), "77"),
    "input of unknown type": (change(lambda p: setattr(p.graph.input[0].type.tensor_type, "elem_type", 99)), "'x'.*99"),
    "negative input dimension": (model([node("Relu", ["x"])], [("x", F, [-7])]), "'x'.*-7"),
    "rank of an input": (model([node("Relu", ["x"])], [("x", F, [1] * 1000)]), "'x'.*1000"),
    "segment": (change(lambda p: p.graph.initializer[0].segment.MergeFrom(onnx.TensorProto.Segment(begin=0, end=9))), "segment"),
    "too many inputs": (model([node("Relu", ["x", "x"], name="r")]), "'r'.*2 inputs"),
    "too few inputs": (model([node("Conv", ["x"], name="r")]), "'r'.*1 inputs"),
    "absent required input": (model([node("Conv", ["x", ""], name="r")]), "'r'.*required"),
    "too many outputs": (model([node("Relu", ["x"], ["y", "z"], name="r")]), "'r'.*2 outputs"),
    "missing attribute": (model([node("Cast", ["x"], name="r")]), "'r'.*'to' is required"),
    "wrong attribute type": (model([node("Cast", ["x"], name="r", to="float")]), "'r'.*'to'"),
    "attribute twice": (change(set_attribute(to=1), change(set_attribute(to=1), model([node("Cast", ["x"], name="r")]))), "'r'.*twice"),
    "reference outside a function": (
        change(lambda p: p.graph.node[0].attribute.add(name="to", ref_attr_name="t", type=2), model([node("Cast", ["x"], name="r")])),
        "'r'.*no function",
    ),
    "withdrawn operator": (model([node("Upsample", ["x", "x"], name="r")]), "'r'.*withdrawn"),
    "function that calls itself": (
        with_function(
            [node("f", ["x"], ["y"], domain="local")],
            helper.make_function("local", "f", ["a"], ["b"], [node("f", ["a"], ["b"], domain="local")], [helper.make_opsetid("", 21)]),
        ),
        "calls itself",
    ),
    "function with too many inputs": (with_function([node("f", ["x", "x", "x"], ["y"], domain="local")], local_function()), "3 inputs"),
    "constant without a value": (model([node("Constant", [], ["y"], name="k")], []), "'k'|Constant"),
    "external data in bytes": (change(lambda p: setattr(p.graph.initializer[0], "data_location", TensorProto.EXTERNAL)), "path"),
    "string as raw data": (change(lambda p: setattr(p.graph.initializer[0], "data_type", TensorProto.STRING)), "strings"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_name_the_culprit(name: str) -> None:
    proto, message = BROKEN[name]
    with pytest.raises(ModelError, match=f"(?s){message}"):
        load(proto)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field."""
    size, length = len(payload), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + payload


def nested(depth: int) -> bytes:
    """An If inside an If inside an If ..., written by hand: protobuf's own writer refuses."""
    graph = field(2, b"innermost")
    for _ in range(depth):
        attributes = b"".join(field(5, field(1, name) + field(6, graph) + bytes([20 << 3 & 127 | 128, 1, 5])) for name in (b"then_branch",))
        graph = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + attributes) + field(12, field(1, b"y"))
    return model([node("Relu", ["x"])]).SerializeToString() + field(7, graph)


@pytest.mark.parametrize("depth", [1, 20, 40, 2000])
def test_deep_nesting(depth: int) -> None:
    with pytest.raises(ModelError):
        load(nested(depth))


def test_functions_that_grow_exponentially(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty functions that each call the next one four times: 10^12 nodes."""
    monkeypatch.setattr(reader, "MAX_NODES", 5000)
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    functions = [helper.make_function("local", "f20", ["a"], ["b"], [node("Relu", ["a"], ["b"])], imports)]
    for i in range(20):
        calls = [node(f"f{i + 1}", ["a" if j == 0 else f"t{j}"], ["b" if j == 3 else f"t{j + 1}"], domain="local") for j in range(4)]
        functions.append(helper.make_function("local", f"f{i}", ["a"], ["b"], calls, imports))
    with pytest.raises(ModelError, match="more than 5000 nodes"):
        load(with_function([node("f0", ["x"], ["y"], domain="local")], *functions))


BOMBS = {
    "ConstantOfShape": ([node("ConstantOfShape", ["s"], ["c"])], {"s": np.array([1 << 20, 1 << 20])}),
    "Expand": ([node("Expand", ["v", "s"], ["c"])], {"s": np.array([1 << 20, 1 << 20]), "v": np.ones(1, np.float32)}),
    "Tile": ([node("Tile", ["v", "s"], ["c"])], {"s": np.array([1 << 40]), "v": np.ones(1, np.float32)}),
    "Range": ([node("Range", ["v", "s", "w"], ["c"])], {"v": np.array(0.0), "s": np.array(1e13), "w": np.array(1.0)}),
    "Pad": ([node("Pad", ["v", "s"], ["c"])], {"s": np.array([1 << 40, 0]), "v": np.ones(1, np.float32)}),
    "OneHot": ([node("OneHot", ["v", "s", "w"], ["c"])], {"s": np.array(1 << 40), "v": np.array([1]), "w": np.zeros(2, np.float32)}),
    "EyeLike": (
        [node("Expand", ["v", "s"], ["e"]), node("EyeLike", ["e"], ["c"])],
        {"s": np.array([1 << 20, 1 << 20]), "v": np.ones(1, np.float32)},
    ),
    "chain": (
        [node("ConstantOfShape", ["s"], ["a"]), node("Concat", ["a"] * 64, ["b"], axis=0), node("Concat", ["b"] * 64, ["c"], axis=0)],
        {"s": np.array([1 << 24])},
    ),
    "MatMul": ([node("MatMul", ["v", "w"], ["c"])], {"v": np.ones((1 << 20, 1), np.float32), "w": np.ones((1, 1 << 20), np.float32)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_small_models_of_huge_constants_stay_small(name: str) -> None:
    nodes, constants = BOMBS[name]
    load(model([*nodes, node("Identity", ["c"])], constants=constants))


def test_sparse_bomb() -> None:
    proto = model([node("Add", ["x", "c"])])
    values = numpy_helper.from_array(np.array([1], np.float32), "c")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0])), [1 << 20, 1 << 20]))
    with pytest.raises(ModelError, match="dense"):
        load(proto)


@pytest.mark.parametrize("index", [-1, 6, 1 << 60], ids=str)
def test_sparse_indices_outside(index: int) -> None:
    proto = model([node("Add", ["x", "c"])])
    values = numpy_helper.from_array(np.array([1], np.float32), "c")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([index])), [2, 3]))
    with pytest.raises(ModelError, match="outside"):
        load(proto)


# ---- attributes and parameters that would lead a kernel out of its tensors


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


IMAGE, LSTM = ones(1, 2, 4, 4), {"w": ones(1, 16, 3), "r": ones(1, 16, 4)}
TO = {"roi": ones(0)}

MISFITS: dict[str, tuple[str, np.ndarray, dict[str, np.ndarray], dict[str, Any]]] = {
    # operator, x, its other inputs, its attributes
    "short bias": ("Conv", IMAGE, {"w": ones(4, 2, 3, 3), "b": ones(1)}, {}),
    "other kernel_shape": ("Conv", IMAGE, {"w": ones(4, 2, 3, 3)}, {"kernel_shape": [5, 5]}),
    "negative pads": ("Conv", IMAGE, {"w": ones(4, 2, 3, 3)}, {"pads": [-1, -1, -1, -1]}),
    "huge pads": ("Conv", IMAGE, {"w": ones(4, 2, 3, 3)}, {"pads": [1 << 50, 0, 0, 0]}),
    "unknown auto_pad": ("Conv", IMAGE, {"w": ones(4, 2, 3, 3)}, {"auto_pad": "SAME"}),
    "stride 0": ("ConvTranspose", IMAGE, {"w": ones(2, 2, 3, 3)}, {"strides": [0, 0]}),
    "group 0": ("ConvTranspose", IMAGE, {"w": ones(2, 2, 3, 3)}, {"group": 0}),
    "short bias transposed": ("ConvTranspose", IMAGE, {"w": ones(2, 2, 3, 3), "b": ones(1)}, {}),
    "negative output_padding": ("ConvTranspose", IMAGE, {"w": ones(2, 2, 3, 3)}, {"output_padding": [-2, -2]}),
    "flat window": ("MaxPool", IMAGE, {}, {"kernel_shape": [2]}),
    "negative pool pads": ("AveragePool", IMAGE, {}, {"kernel_shape": [2, 2], "pads": [-1, -1, -1, -1]}),
    "short scale": ("InstanceNormalization", IMAGE, {"s": ones(1), "b": ones(1)}, {}),
    "short statistics": ("BatchNormalization", IMAGE, {n: ones(1) for n in "sbmv"}, {}),
    "negative size": ("LRN", IMAGE, {}, {"size": -3}),
    "blocks of 0": ("DepthToSpace", IMAGE, {}, {"blocksize": 0}),
    "blocks of 0 of pixels": ("SpaceToDepth", IMAGE, {}, {"blocksize": 0}),
    "slopes": ("PRelu", IMAGE, {"s": ones(5, 1, 1)}, {}),
    "slopes of more axes": ("PRelu", IMAGE, {"s": ones(3, 1, 1, 1, 1)}, {}),
    "many bounds": ("Clip", ones(3), {"low": ones(2)}, {}),
    "axis beyond": ("Transpose", ones(3, 4), {}, {"perm": [0, 5]}),
    "pad mode": ("Pad", ones(3), {"p": np.array([1, 1])}, {"mode": "mirror"}),
    "scale nan": ("Resize", IMAGE, {**TO, "s": np.array([1, 1, np.nan, 2], np.float32)}, {}),
    "scale infinite": ("Resize", IMAGE, {**TO, "s": np.array([1, 1, np.inf, 2], np.float32)}, {}),
    "scale negative": ("Resize", IMAGE, {**TO, "s": np.array([1, 1, -1, 2], np.float32)}, {}),
    "nothing resized": ("Resize", ones(1, 1, 0, 4), {**TO, "s": ones(0), "q": np.array([1, 1, 3, 3])}, {}),
    "vast": ("Expand", ones(1), {"s": np.array([1 << 40, 1 << 40])}, {}),
    "other hidden_size": ("LSTM", ones(5, 2, 3), LSTM, {"hidden_size": 99}),
    "short gate bias": ("LSTM", ones(5, 2, 3), {**LSTM, "b": ones(1, 5)}, {"hidden_size": 4}),
    "few lengths": ("LSTM", ones(5, 2, 3), {**LSTM, "b": ones(1, 32), "l": np.array([5], np.int32)}, {"hidden_size": 4}),
    "direction": ("LSTM", ones(5, 2, 3), LSTM, {"hidden_size": 4, "direction": "up"}),
}


@pytest.mark.parametrize("fed", [False, True], ids=["constant", "fed"])
@pytest.mark.parametrize("name", MISFITS)
def test_parameters_that_do_not_fit(name: str, fed: bool) -> None:
    op, x, others, attrs = MISFITS[name]
    feed = {"x": x, **{n: a for n, a in others.items() if fed and a.dtype == np.float32 and a.size and a.ndim != 1}}
    proto = helper.make_model(
        helper.make_graph(
            [node(op, ["x", *others], name="misfit", **attrs)],
            "g",
            [helper.make_tensor_value_info(n, F, [f"{n}{i}" for i in range(a.ndim)]) for n, a in feed.items()],
            [helper.make_empty_tensor_value_info("y")],
            [numpy_helper.from_array(a, n) for n, a in others.items() if n not in feed],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    with pytest.raises(ModelError, match="misfit"):
        InferenceSession(proto.SerializeToString()).run(None, feed)


# ---- external data

ARRAY = np.arange(6, dtype=np.float32)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A model's directory; beside it a secret that no model may read."""
    (tmp_path / "secret").write_bytes(ARRAY.tobytes())
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.mark.parametrize(
    "location",
    ["../secret", "sub/../../secret", "/etc/passwd", "", ".", "\\..\\secret", "..", "c.bin\0x", "missing.bin", "sub"],
    ids=["up", "down and up", "absolute", "empty", "itself", "backslash", "parent", "nul", "missing", "directory"],
)
def test_external_data_elsewhere(home: Path, location: str) -> None:
    (home / "sub").mkdir()
    with pytest.raises(ModelError, match="'c'"):
        load(external(home, ARRAY, location))


def test_external_data_by_a_link_out(home: Path) -> None:
    (home / "c.bin").symlink_to(home.parent / "secret")
    with pytest.raises(ModelError, match="link out"):
        load(external(home, ARRAY, "c.bin"))


def test_external_data_through_a_linked_directory(home: Path) -> None:
    (home / "sub").symlink_to(home.parent)
    with pytest.raises(ModelError, match="link out"):
        load(external(home, ARRAY, "sub/secret"))


def test_external_data_by_a_hard_link(home: Path) -> None:
    os.link(home.parent / "secret", home / "c.bin")
    with pytest.raises(ModelError, match="hard link"):
        load(external(home, ARRAY, "c.bin"))


def test_external_data_in_a_fifo_does_not_hang(home: Path) -> None:
    os.mkfifo(home / "c.bin")
    with pytest.raises(ModelError, match="regular file"):
        load(external(home, ARRAY, "c.bin"))


def test_external_data_link_loop(home: Path) -> None:
    (home / "c.bin").symlink_to("c.bin")
    with pytest.raises(ModelError, match="'c'"):
        load(external(home, ARRAY, "c.bin"))


@pytest.mark.parametrize(("offset", "length"), [(0, 25), (4, 24), (1 << 62, 24), (-4, 24), (0, -1), (0, 23), (0, 0)], ids=str)
def test_external_data_out_of_bounds(home: Path, offset: int, length: int) -> None:
    (home / "c.bin").write_bytes(ARRAY.tobytes())
    with pytest.raises(ModelError, match="'c'"):
        load(external(home, ARRAY, "c.bin", offset, length))


def test_external_data_of_a_sparse_tensor_is_checked_too(home: Path) -> None:
    path = external(home, ARRAY, "../secret")
    proto = onnx.ModelProto.FromString(path.read_bytes())
    tensor = proto.graph.initializer.pop()
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.arange(6)), [6]))
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match="'c'"):
        load(path)


def test_external_data_of_an_attribute_is_checked_too(home: Path) -> None:
    tensor = onnx.TensorProto(dims=[6], data_type=F, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    path = home / "model.onnx"
    path.write_bytes(model([node("Constant", [], value=tensor, name="k")], []).SerializeToString())
    with pytest.raises(ModelError, match=r"'k'.*must be a path below"):
        load(path)


# ---- noise

BASES = [
    model([node("Conv", ["x", "w", "b"], ["t"], name="conv", kernel_shape=[3, 3]), node("Relu", ["t"])], [("x", F, [1, 2, 5, 5])],
          constants={"w": np.ones((4, 2, 3, 3), np.float32), "b": np.ones(4, np.float32)}),
    conditional(),
    with_function([node("f", ["x", "m"], ["y"], domain="local", name="one")], local_function(), constants={"m": np.array(-1, np.float32)}),
]  # fmt: skip


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_end_in_a_graph_or_an_error_of_ours(data: st.DataObject) -> None:
    base = bytearray(data.draw(st.sampled_from(BASES)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        base[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(AsymoError):
        load(bytes(base))
