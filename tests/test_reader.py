"""The reader: what a model says arrives in the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from _onnx_models import F, model, node
from onnx import TensorProto, helper, numpy_helper

from asymo import InferenceSession
from asymo.errors import ModelError, UnsupportedError, UnsupportedOperatorError
from asymo.graph.ir import Graph, TensorType
from asymo.onnx import host, reader


def read(proto: onnx.ModelProto) -> Graph:
    return reader.read(proto.SerializeToString()).graph


def run(graph: Graph, *inputs: Any) -> list[Any]:
    return host.Body(graph)(inputs)


def test_declarations_keep_names_types_and_symbolic_dimensions() -> None:
    proto = model(
        [node("Identity", ["a"]), node("SequenceConstruct", ["a"], ["s"])],
        [("a", F, ["n", 3, None, "?"]), ("b", TensorProto.INT64, None)],
        [("y", F, [1, "m"]), helper.make_tensor_sequence_value_info("s", F, None)],
        producer_name="maker",
        producer_version="1.5",
        domain="org.example",
        model_version=7,
        doc_string="what it does",
    )
    helper.set_model_props(proto, {"author": "somebody"})
    graph, meta = reader.read(proto.SerializeToString())
    assert [(a.name, a.type, a.shape) for a in meta.inputs] == [("a", "tensor(float)", ["n", 3, None, None]), ("b", "tensor(int64)", None)]
    assert [(a.name, a.type, a.shape) for a in meta.outputs] == [("y", "tensor(float)", [1, "m"]), ("s", "seq(tensor(float))", None)]
    assert (meta.producer_name, meta.producer_version, meta.domain, meta.graph_name, meta.version) == (
        "maker",
        "1.5",
        "org.example",
        "g",
        7,
    )
    assert meta.description == "what it does"
    assert meta.custom_metadata_map == {"author": "somebody"}
    assert meta.opsets == {"": 21}
    assert graph.inputs[0].type == TensorType(np.dtype(np.float32), ("n", 3, None, None))


DTYPES = [np.float32, np.uint8, np.int8, np.uint16, np.int16, np.int32, np.int64, np.bool_, np.float16, np.float64, np.uint32, np.uint64,
          np.complex64, np.complex128, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.uint4,
          ml_dtypes.int4, ml_dtypes.float4_e2m1fn]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 7)], ids=str)
def test_initialisers_of_every_type(dtype: Any, raw: bool, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) % 4).reshape(shape).astype(dtype)
    tensor = numpy_helper.from_array(array, "c")
    if not raw:
        number = tensor.data_type
        if number in (TensorProto.FLOAT16, TensorProto.BFLOAT16) or (array.dtype.itemsize == 1 and array.dtype.kind not in "biu"):
            pytest.skip("make_tensor has its own idea of these bits")
        tensor = helper.make_tensor("c", number, shape, array.reshape(-1))
    proto = model([node("Identity", ["c"])], [], [("y", tensor.data_type, None)])
    proto.graph.initializer.append(tensor)
    (value,) = read(proto).constants()
    assert value.const is not None
    assert value.const.dtype == array.dtype
    assert value.const.shape == shape
    assert (value.const == array).all()


def test_strings_are_objects() -> None:
    proto = model([node("Identity", ["c"])], [], [("y", TensorProto.STRING, None)])
    proto.graph.initializer.append(helper.make_tensor("c", TensorProto.STRING, [2], ["ä", "b"]))
    (value,) = read(proto).constants()
    assert value.const is not None
    assert value.const.dtype == object
    assert value.const.tolist() == ["ä", "b"]


CONSTANTS = {
    "value": (numpy_helper.from_array(np.array([[1, 2]], np.int8)), np.array([[1, 2]], np.int8)),
    "value_int": (3, np.array(3, np.int64)),
    "value_ints": ([3, 4], np.array([3, 4], np.int64)),
    "value_float": (0.5, np.array(0.5, np.float32)),
    "value_floats": ([0.5, 1.5], np.array([0.5, 1.5], np.float32)),
    "value_string": ("a", np.array("a", object)),
    "value_strings": (["a", "b"], np.array(["a", "b"], object)),
}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_constant_nodes_become_constants(kind: str) -> None:
    given, expected = CONSTANTS[kind]
    graph = read(model([node("Constant", [], ["c"], **{kind: given}), node("Identity", ["c"])], [], [("y", F, None)]))
    (value,) = graph.constants()
    assert [n.op for n in graph.nodes] == ["Identity"]
    assert value.const is not None
    assert value.const.dtype == expected.dtype
    assert value.const.shape == expected.shape
    assert (value.const == expected).all()


@pytest.mark.parametrize("indices", [[1, 5], [[0, 1], [1, 2]]], ids=["linear", "coordinates"])
def test_sparse_initialisers_become_dense(indices: Any) -> None:
    proto = model([node("Add", ["x", "c"])])
    values = numpy_helper.from_array(np.array([2, 7], np.float32), "c")
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.array(indices, np.int64)), [2, 3])
    proto.graph.sparse_initializer.append(sparse)
    (value,) = read(proto).constants()
    assert value.const is not None
    assert value.const.tolist() == [[0, 2, 0], [0, 0, 7]]


def test_initialisers_declared_as_inputs_are_constants_and_named() -> None:
    proto = model([node("Add", ["x", "c"])], [("x", F, [3]), ("c", F, [3])], constants={"c": np.ones(3, np.float32)}, ir_version=3)
    graph, meta = reader.read(proto.SerializeToString())
    assert [v.name for v in graph.inputs] == ["x"]
    assert meta.overridable == ("c",)
    assert [a.name for a in meta.inputs] == ["x"]


def test_optional_inputs_are_none_and_trailing_ones_dropped() -> None:
    graph = read(model([node("Clip", ["x", "", "c"])], constants={"c": np.float32(1).reshape(())}))
    (clip,) = [n for n in graph.nodes if n.op in ("Clip",)]
    assert clip.inputs[1] is None
    graph = read(model([node("Resize", ["x", "", "s", ""])], constants={"s": np.ones(2, np.float32)}))
    assert len(graph.nodes[0].inputs) == 3


def local_function(opset: int = 21) -> onnx.FunctionProto:
    """f(a, b) = LeakyRelu_alpha(a) + b, b optional in spirit: given to Clip's minimum."""
    nodes = [node("LeakyRelu", ["a"], ["t"]), node("Clip", ["t", "b"], ["out"])]
    ref = nodes[0].attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    assert ref.ref_attr_name == "slope"
    default = helper.make_attribute("slope", 0.5)
    return helper.make_function("local", "f", ["a", "b"], ["out"], nodes, [helper.make_opsetid("", opset)], [], [default])


def with_function(nodes: list[Any], *functions: onnx.FunctionProto, **kwargs: Any) -> onnx.ModelProto:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("local", 1)]
    return model(nodes, [("x", F, [4])], functions=list(functions), opset_imports=imports, **kwargs)


def test_local_functions_are_inlined_with_attribute_references_and_absent_inputs() -> None:
    calls = [node("f", ["x", "m"], ["u"], domain="local", name="one"), node("f", ["u"], ["y"], domain="local", name="two", slope=0.25)]
    graph = read(with_function(calls, local_function(), constants={"m": np.array(-1, np.float32)}))
    assert all(n.domain == "" for n in graph.nodes)
    names = [v.name for n in graph.nodes for v in n.outputs if v is not None]
    assert len(set(names)) == len(names)
    x = np.array([-4, -1, 0, 2], np.float32)
    (y,) = run(graph, x)
    u = np.maximum(np.where(x < 0, 0.5 * x, x), -1)
    np.testing.assert_array_equal(y, np.where(u < 0, 0.25 * u, u))


def test_a_function_that_hands_an_input_through() -> None:
    f = helper.make_function("local", "f", ["a"], ["a"], [], [helper.make_opsetid("", 21)])
    graph = read(with_function([node("f", ["x"], ["y"], domain="local")], f))
    assert [v.name for v in graph.outputs] == ["y"]
    np.testing.assert_array_equal(run(graph, np.ones(4, np.float32))[0], np.ones(4))


def branch(name: str, *nodes: Any) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), name, [], [helper.make_tensor_value_info("out", F, None)])


def conditional() -> onnx.ModelProto:
    """y = 2 x when the sum of x is positive, else x itself; the names inside the branches collide on purpose."""
    two = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.float32(2).reshape(())))
    one = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.float32(1).reshape(())))
    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["positive"]),
        node(
            "If",
            ["positive"],
            then_branch=branch("then", two, node("Mul", ["x", "k"], ["out"])),
            else_branch=branch("else", one, node("Mul", ["x", "k"], ["out"])),
        ),
    ]
    return model(nodes, [("x", F, [3])], constants={"zero": np.array(0, np.float32)})


def test_subgraphs_capture_values_and_names_stay_unique() -> None:
    graph = read(conditional())
    (cond,) = [n for n in graph.nodes if n.op == "If"]
    branches = [cond.attrs["then_branch"], cond.attrs["else_branch"]]
    assert all(b.captures == [graph.inputs[0]] for b in branches)
    names = [v.name for b in branches for n in b.nodes for v in [*n.inputs, *n.outputs] if v is not graph.inputs[0]]
    assert len(set(names)) == len(names)
    assert set(graph.inputs[0].users) >= {b.nodes[-1] for b in branches}
    for x in ([1, 2, 3], [-1, -2, -3]):
        np.testing.assert_array_equal(run(graph, np.array(x, np.float32))[0], np.array(x) * (2 if x[0] > 0 else 1))


def test_clones_share_no_structure() -> None:
    graph = read(conditional())
    copy = graph.clone()
    assert not {id(v) for v in graph.inputs[0].users} & {id(v) for v in copy.inputs[0].users}
    assert len(copy.inputs[0].users) == len(graph.inputs[0].users)
    (cond,) = [n for n in copy.nodes if n.op == "If"]
    assert cond.attrs["then_branch"].captures == [copy.inputs[0]]
    np.testing.assert_array_equal(run(copy, np.array([1, 2, 3], np.float32))[0], [2, 4, 6])


def test_a_branch_whose_output_is_an_outer_value() -> None:
    proto = conditional()
    cond = proto.graph.node[-1]
    for attribute in cond.attribute:
        if attribute.name == "else_branch":
            attribute.g.CopyFrom(helper.make_graph([], "else", [], [helper.make_tensor_value_info("x", F, None)]))
    np.testing.assert_array_equal(run(read(proto), np.array([-1, -2, -3], np.float32))[0], [-1, -2, -3])


def test_old_opsets_are_converted() -> None:
    proto = model(
        [node("Add", ["x", "c"], broadcast=1, axis=0)], [("x", F, [3, 2])], constants={"c": np.arange(3, dtype=np.float32)}, opset=6
    )
    x = np.ones((3, 2), np.float32)
    np.testing.assert_array_equal(run(read(proto), x)[0], x + np.arange(3)[:, None])


@pytest.mark.parametrize("model_output", ["x", "c"], ids=["an input", "a constant"])
def test_outputs_that_no_node_makes_get_one(model_output: str) -> None:
    graph = read(model([], outputs=[(model_output, F, None)], constants={"c": np.ones(3, np.float32)}))
    assert graph.outputs[0].producer is not None


def external(tmp_path: Path, array: np.ndarray, location: str, offset: int = 0, length: int | None = None) -> Path:
    """Saves x + c with c's bytes in another file; returns the model's path."""
    proto = model([node("Add", ["x", "c"])], [("x", F, list(array.shape))])
    tensor = proto.graph.initializer.add(name="c", dims=array.shape, data_type=F, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": offset, "length": array.nbytes if length is None else length}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize("offset", [0, 4, 3], ids=["start", "aligned", "unaligned"])
@pytest.mark.parametrize("location", ["c.bin", "weights/c.bin"])
def test_external_data_is_mapped(tmp_path: Path, offset: int, location: str) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / location).parent.mkdir(exist_ok=True)
    (tmp_path / location).write_bytes(b"\0" * offset + array.tobytes() + b"tail")
    (value,) = reader.read(external(tmp_path, array, location, offset)).graph.constants()
    assert value.const is not None
    np.testing.assert_array_equal(value.const, array)
    assert value.const.flags.aligned


def test_external_data_beside_the_target_of_a_linked_model(tmp_path: Path) -> None:
    """Caches of model hubs: names link to blobs in one directory, and so do the model's and its data's."""
    blobs, names = tmp_path / "blobs", tmp_path / "names"
    blobs.mkdir()
    names.mkdir()
    array = np.arange(3, dtype=np.float32)
    (blobs / "b1").write_bytes(array.tobytes())
    external(blobs, array, "c.bin").rename(blobs / "b0")
    (names / "model.onnx").symlink_to(blobs / "b0")
    (names / "c.bin").symlink_to(blobs / "b1")
    (value,) = reader.read(names / "model.onnx").graph.constants()
    np.testing.assert_array_equal(value.const, array)


def test_unknown_operators_are_refused_at_load() -> None:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("com.example", 3)]
    with pytest.raises(UnsupportedOperatorError, match="Frobnicate") as caught:
        read(model([node("Frobnicate", ["x"], domain="com.example", name="n1")], opset_imports=imports))
    assert (caught.value.op, caught.value.domain, caught.value.opset) == ("Frobnicate", "com.example", 3)
    with pytest.raises(UnsupportedOperatorError, match="Frobnicate"):
        read(model([node("Frobnicate", ["x"])]))


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        reader.read(tmp_path / "none.onnx")


def test_without_onnx_native_models_are_read_and_others_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    native, host_step = model([node("Relu", ["x"])]).SerializeToString(), model([node("DFT", ["x"])]).SerializeToString()
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert [n.op for n in reader.read(native).graph.nodes] == ["Relu"]
    with pytest.raises(UnsupportedError, match="asymo compile"):
        reader.read(host_step)


@pytest.mark.parametrize("raw", [True, False])
def test_a_file_that_was_written_to_is_refused_at_the_next_plan(tmp_path: Path, raw: bool) -> None:
    weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
    proto = model([node("MatMul", ["x", "w"])], [("x", F, ["n", 64])], constants={} if raw else {"w": weights})
    if raw:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    session = InferenceSession(path)
    x = np.ones((2, 64), np.float32)
    before = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(before, x @ weights, rtol=1e-5, atol=1e-5)
    path.write_bytes(b"shorter")
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], before)
    with pytest.raises(ModelError, match="written to"):
        session.run(None, {"x": x[:1]})


def test_model_error_is_a_value_error() -> None:
    assert issubclass(ModelError, ValueError)
