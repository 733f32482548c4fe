"""Host steps: control flow, captured values, sequences, errors. onnx's own node tests of them are in test_infer.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from _onnx_models import F, model, node
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from asymo.errors import ModelError
from asymo.graph.ir import Graph, Node, Value
from asymo.onnx import host, reader


def read(proto: onnx.ModelProto) -> Graph:
    return reader.read(proto.SerializeToString()).graph


def info(name: str, type: int = F, shape: Any = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, type, shape)


def loop_model(rows: bool = True) -> onnx.ModelProto:
    """state <- state * k + i while state < stop; every state is a row of the scan output. k and stop are captured."""
    body = helper.make_graph(
        [
            node("Cast", ["i"], ["fi"], to=F),
            node("Mul", ["state", "k"], ["scaled"]),
            node("Add", ["scaled", "fi"], ["next"]),
            node("ReduceMax", ["next"], ["top"], keepdims=0),
            node("Less", ["top", "stop"], ["go"]),
            node("Identity", ["next"], ["row"]),
        ],
        "body",
        [info("i", TensorProto.INT64, []), info("c", TensorProto.BOOL, []), info("state", F, [2])],
        [info("go", TensorProto.BOOL, []), info("next", F, [2]), info("row", F, [2])],
    )
    nodes = [node("Neg", ["minus_k"], ["k"]), node("Loop", ["m", "go0", "x"], ["y", "rows"], body=body)]
    inputs = [("x", F, [2]), ("minus_k", F, []), ("stop", F, []), ("m", TensorProto.INT64, []), ("go0", TensorProto.BOOL, [])]
    return model(nodes, inputs, [("y", F, None), ("rows", F, None)])


@pytest.mark.parametrize(("trips", "go", "stop"), [(5, True, 1e9), (5, True, 20), (0, True, 1e9), (5, False, 1e9), (1, True, -1)])
def test_loops_end_by_count_or_condition(trips: int, go: bool, stop: float) -> None:
    proto = loop_model()
    x = np.array([1, 2], np.float32)
    y, rows = host.Body(read(proto))([x, np.float32(-2).reshape(()), np.array(stop, np.float32), np.array(trips), np.array(go)])
    expected, expected_rows, i = x, [], 0
    while go and i < trips:
        expected = expected * 2 + i
        expected_rows.append(expected)
        go = expected.max() < stop
        i += 1
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(rows, np.array(expected_rows, np.float32).reshape(-1, 2))
    assert rows.dtype == np.float32


def test_reads_names_what_the_runtime_has_to_hand_over() -> None:
    graph = read(loop_model())
    (loop,) = [n for n in graph.nodes if n.op == "Loop"]
    step = host.HostStep(loop)
    assert [v.name for v in step.reads if v is not None] == ["m", "go0", "x", "k", "stop"]
    values = [np.array(2), np.array(True), np.ones(2, np.float32), np.array(3, np.float32), np.array(1e9, np.float32)]
    y, rows = step(values)
    np.testing.assert_array_equal(rows, [[3, 3], [10, 10]])
    np.testing.assert_array_equal(y, [10, 10])


def test_nested_subgraphs_capture_through_each_other() -> None:
    """The inner If uses a value of the main graph that its own outer branch does not mention."""
    inner = [helper.make_graph([node(op, ["x"], [f"{op}o"])], op, [], [info(f"{op}o")]) for op in ("Relu", "Neg")]
    outer = helper.make_graph([node("If", ["q"], ["o"], then_branch=inner[0], else_branch=inner[1])], "outer", [], [info("o")])
    other = helper.make_graph([node("Abs", ["x"], ["p"])], "other", [], [info("p")])
    proto = model(
        [node("If", ["p0"], then_branch=outer, else_branch=other)],
        [("x", F, [3]), ("p0", TensorProto.BOOL, []), ("q", TensorProto.BOOL, [])],
    )
    graph = read(proto)
    assert {v.name for v in graph.nodes[0].attrs["then_branch"].captures} == {"x", "q"}
    x = np.array([-1, 0, 2], np.float32)
    for p in (True, False):
        for q in (True, False):
            feeds = {"x": x, "p0": np.array(p), "q": np.array(q)}
            (result,) = host.Body(graph)([feeds[v.name] for v in graph.inputs])
            np.testing.assert_array_equal(result, ReferenceEvaluator(proto).run(None, feeds)[0])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("back", [0, 1])
def test_scan_axes_and_directions(axis: int, back: int, rng: np.random.Generator) -> None:
    """y_t = s_t = s_(t-1) + x_t."""
    body = helper.make_graph(
        [node("Add", ["s", "v"], ["t"]), node("Identity", ["t"], ["row"])],
        "body",
        [info("s", F, [3]), info("v", F, [3])],
        [info("t"), info("row")],
    )
    attrs = {"scan_input_axes": [axis], "scan_output_axes": [axis], "scan_input_directions": [back], "scan_output_directions": [back]}
    proto = model(
        [node("Scan", ["s0", "x"], ["s", "y"], body=body, num_scan_inputs=1, **attrs)],
        [("s0", F, [3]), ("x", F, None)],
        [("s", F, None), ("y", F, None)],
    )
    x = rng.integers(-9, 9, (5, 3) if axis == 0 else (3, 5)).astype(np.float32)
    s, y = host.Body(read(proto))([np.zeros(3, np.float32), x])
    steps = x if axis == 0 else x.T
    sums = np.cumsum(steps[::-1], 0)[::-1] if back else np.cumsum(steps, 0)
    np.testing.assert_array_equal(y, sums if axis == 0 else sums.T)
    np.testing.assert_array_equal(s, steps.sum(0))


def test_nodes_of_different_opsets_in_one_subgraph() -> None:
    """Some nodes of a subgraph are rewritten to their newest form (Squeeze takes axes as input), others keep theirs."""
    body = helper.make_graph([node("Squeeze", ["x"], ["a"], axes=[0]), node("Det", ["a"], ["o"])], "b", [], [info("o")])
    other = helper.make_graph([node("ReduceSum", ["x"], ["p"], axes=[0, 1, 2], keepdims=0)], "c", [], [info("p")])
    graph = read(model([node("If", ["q"], then_branch=body, else_branch=other)], [("x", F, None), ("q", TensorProto.BOOL, [])], opset=11))
    x = np.array([[[1, 2], [3, 5]]], np.float32)
    assert host.Body(graph)([x, np.array(True)])[0] == pytest.approx(-1)
    assert host.Body(graph)([x, np.array(False)])[0] == pytest.approx(11)


def test_errors_name_the_node_and_what_it_was_fed() -> None:
    step = host.HostStep(Node("Det", [Value("a")], [Value("b")], name="the_node", opset=21))
    with pytest.raises(ModelError, match=r"the_node.*Det.*float32\(2, 3\)"):
        step([np.ones((2, 3), np.float32)])


def test_strings_come_out_as_objects() -> None:
    step = host.HostStep(Node("StringConcat", [Value("a"), Value("b")], [Value("c")], opset=20))
    (result,) = step([np.array(["a", "b"], object), np.array(["x", "y"], object)])
    assert result.dtype == object
    assert result.tolist() == ["ax", "by"]


def test_sequences_are_lists() -> None:
    graph = read(
        model([node("SequenceConstruct", ["x", "x"], ["s"]), node("SequenceLength", ["s"])], outputs=[("y", TensorProto.INT64, [])])
    )
    assert host.Body(graph)([np.ones((1, 3), np.float32)])[0] == 2


def test_absent_outputs_are_none() -> None:
    step = host.HostStep(Node("TopK", [Value("x"), Value("k")], [None, Value("i")], opset=21))
    values, indices = step([np.array([3, 1, 2], np.float32), np.array([2])])
    assert values is None
    assert indices.tolist() == [0, 2]
