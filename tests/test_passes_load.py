"""The load passes: same outputs, and what each promises. The oracle is onnx.reference on the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from _onnx_models import F, model, node
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from asymo import InferenceSession
from asymo.graph import passes
from asymo.graph.ir import Graph
from asymo.graph.passes import eliminate_dead, eliminate_identity, fold_affine, fold_constants
from asymo.onnx import host, reader
from asymo.ops import given
from asymo.plan.lower import Cache


def read(proto: onnx.ModelProto) -> Graph:
    return reader.read(proto.SerializeToString()).graph


def check(proto: onnx.ModelProto, feeds: dict[str, np.ndarray], tolerance: float = 1e-5, defers: bool = False) -> Graph:
    """Runs all load passes and compares; returns the graph."""
    graph = read(proto)
    cache = Cache(host.evaluate, defers=defers)
    for step in passes.LOAD:
        step.run(graph, cache)
    for step in passes.LOAD:
        step.module.ensures(graph)
    expected = ReferenceEvaluator(proto).run(None, feeds)
    results = host.Body(graph)([feeds[v.name] for v in graph.inputs])
    for result, want in zip(results, expected, strict=True):
        assert result.dtype == want.dtype
        np.testing.assert_allclose(result, want, rtol=tolerance, atol=tolerance * max(1.0, float(np.abs(want).max(initial=0))))
    return graph


def ops_of(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def batchnorm(rng: np.random.Generator, channels: int) -> dict[str, np.ndarray]:
    return {
        "s": floats(rng, channels),
        "t": floats(rng, channels),
        "mean": floats(rng, channels),
        "var": rng.uniform(0.1, 2, channels).astype(np.float32),
    }


BN = node("BatchNormalization", ["u", "s", "t", "mean", "var"], epsilon=1e-3)

SOURCES: dict[str, tuple[Any, tuple[int, ...], tuple[int, ...], int]] = {
    "Conv": (node("Conv", ["x", "w"], ["u"]), (1, 4, 6, 5), (6, 4, 3, 3), 6),
    "Conv with bias, 1-D": (node("Conv", ["x", "w", "b"], ["u"]), (2, 4, 9), (6, 4, 3), 6),
    "grouped Conv": (node("Conv", ["x", "w", "b"], ["u"], group=2), (1, 4, 6, 5), (6, 2, 3, 3), 6),
    "ConvTranspose": (node("ConvTranspose", ["x", "w", "b"], ["u"]), (1, 4, 5, 5), (4, 6, 3, 3), 6),
    "Gemm": (node("Gemm", ["x", "w", "b"], ["u"], alpha=0.5, beta=2.0), (3, 4), (4, 6), 6),
    "Gemm transposed": (node("Gemm", ["x", "w"], ["u"], transB=1), (3, 4), (6, 4), 6),
}


@pytest.mark.parametrize("defers", [False, True])
@pytest.mark.parametrize("name", SOURCES)
def test_batchnorm_folds_into_the_weights_before_it(name: str, defers: bool, rng: np.random.Generator) -> None:
    source, x_shape, w_shape, channels = SOURCES[name]
    constants = {"w": floats(rng, *w_shape), "b": floats(rng, channels), **batchnorm(rng, channels)}
    proto = model([source, BN], [("x", F, list(x_shape))], constants=constants)
    graph = check(proto, {"x": floats(rng, *x_shape)}, defers=defers)
    assert ops_of(graph) == [source.op_type]
    assert graph.outputs[0].name == "y"


PACKED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "1x1": ((2, 40, 6, 5), (35, 40, 1, 1), {}),
    "1x1 with a stride": ((2, 40, 6, 5), (35, 40, 1, 1), {"strides": [2, 2]}),
    "Winograd": ((1, 64, 30, 30), (64, 64, 3, 3), {"pads": [1, 1, 1, 1]}),
    "Winograd of 5x5": ((1, 64, 30, 30), (64, 64, 5, 5), {"pads": [2, 2, 2, 2]}),
    "depthwise": ((1, 33, 6, 5), (33, 1, 3, 3), {"group": 33}),
    "groups": ((1, 6, 6, 5), (34, 3, 3, 2), {"group": 2}),
    "1-D": ((2, 4, 9), (6, 4, 3), {}),
}


@pytest.mark.parametrize("name", PACKED)
def test_sessions_pack_weights_times_a_batchnorm(name: str, rng: np.random.Generator) -> None:
    """Twice: for two sets of shapes from the same packed weights."""
    x_shape, w_shape, attrs = PACKED[name]
    constants = {"w": floats(rng, *w_shape), **batchnorm(rng, w_shape[0])}
    proto = model([node("Conv", ["x", "w"], ["u"], **attrs), BN], [("x", F, ["n", *x_shape[1:]])], constants=constants)
    session, oracle = InferenceSession(proto.SerializeToString()), ReferenceEvaluator(proto)
    for batch in (x_shape[0], 3):
        x = {"x": floats(rng, batch, *x_shape[1:])}
        (want,) = oracle.run(None, x)
        np.testing.assert_allclose(session.run(None, x)[0], want, rtol=1e-4, atol=1e-4 * float(np.abs(want).max()))


def test_a_second_factor_multiplies_the_rounded_product(rng: np.random.Generator) -> None:
    w, batch = floats(rng, 6, 4, 3, 3), batchnorm(rng, 6)
    constants = {"w": w, "c": floats(rng, 6, 1, 1), "d": floats(rng, 6, 1, 1), **batch}
    nodes = [node("Conv", ["x", "w"], ["u"]), node("BatchNormalization", ["u", "s", "t", "mean", "var"], ["v"], epsilon=1e-3)]
    nodes += [node("Add", ["v", "d"], ["a"]), node("Mul", ["a", "c"])]
    proto = model(nodes, [("x", F, [1, 4, 6, 5])], constants=constants)
    x = {"x": floats(rng, 1, 4, 6, 5)}
    graphs = [check(proto, x, defers=defers) for defers in (False, True)]
    eager, deferred = (given(graph.nodes[0].inputs, 1) for graph in graphs)
    k = batch["s"].astype(np.float64) / np.sqrt(batch["var"].astype(np.float64) + np.float32(1e-3))
    once = (w * k.reshape(6, 1, 1, 1)).astype(np.float32)
    for value in (eager, deferred):
        np.testing.assert_array_equal(value.const, (once * constants["c"].astype(np.float64).reshape(6, 1, 1, 1)).astype(np.float32))
    assert [type(v).__name__ for v in (eager, deferred)] == ["Value", "ScaledValue"]


def test_batchnorm_folds_into_grouped_transposed_convolution(rng: np.random.Generator) -> None:
    """onnx.reference fails on groups: the oracle is one ConvTranspose a group."""
    constants = {"w": floats(rng, 4, 3, 3, 3), **batchnorm(rng, 6)}
    inputs = [("x", F, [1, 4, 5, 5])]
    proto = model([node("ConvTranspose", ["x", "w"], ["u"], group=2), BN], inputs, constants=constants)
    groups = [node("Split", ["x"], ["x0", "x1"], axis=1, num_outputs=2), node("Split", ["w"], ["w0", "w1"], num_outputs=2)]
    groups += [node("ConvTranspose", [f"x{i}", f"w{i}"], [f"u{i}"]) for i in range(2)]
    oracle = model([*groups, node("Concat", ["u0", "u1"], ["u"], axis=1), BN], inputs, constants=constants)
    ir = read(proto)
    for step in passes.LOAD:
        step.run(ir, Cache(host.evaluate))
    assert ops_of(ir) == ["ConvTranspose"]
    w, b = ir.nodes[0].inputs[1:]
    assert w is not None
    assert b is not None
    folded = {"w": w.const, "b": b.const}
    halves = [node("Split", ["b"], ["b0", "b1"], num_outputs=2)]
    halves += [node("ConvTranspose", [f"x{i}", f"w{i}", f"b{i}"], [f"u{i}"]) for i in range(2)]
    after = model([*groups[:2], *halves, node("Concat", ["u0", "u1"], axis=1)], inputs, constants=folded)
    x = {"x": floats(rng, 1, 4, 5, 5)}
    np.testing.assert_allclose(ReferenceEvaluator(after).run(None, x)[0], ReferenceEvaluator(oracle).run(None, x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op", ["Mul", "Div", "Add", "Sub"])
@pytest.mark.parametrize("shape", [(), (1,), (6, 1, 1), (1, 6, 1, 1)], ids=str)
@pytest.mark.parametrize("first", [False, True], ids=["right", "left"])
def test_per_channel_arithmetic_folds(op: str, shape: tuple[int, ...], first: bool, rng: np.random.Generator) -> None:
    constants = {"w": floats(rng, 6, 4, 3, 3), "b": floats(rng, 6), "c": rng.uniform(0.5, 2, shape).astype(np.float32)}
    proto = model(
        [node("Conv", ["x", "w", "b"], ["u"]), node(op, ["c", "u"] if first else ["u", "c"])], [("x", F, [1, 4, 5, 5])], constants=constants
    )
    graph = check(proto, {"x": floats(rng, 1, 4, 5, 5)})
    assert ops_of(graph) == (["Conv"] if not first or op in ("Mul", "Add") else ["Conv", op])


@pytest.mark.parametrize("shape", [(5,), (5, 1), (1, 1, 1, 5), (1, 1, 1, 1, 1)], ids=str)
def test_other_broadcasts_do_not_fold(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    constants = {"w": floats(rng, 5, 4, 1, 1), "c": floats(rng, *shape)}
    proto = model([node("Conv", ["x", "w"], ["u"]), node("Mul", ["u", "c"])], [("x", F, [1, 4, 5, 5])], constants=constants)
    assert ops_of(check(proto, {"x": floats(rng, 1, 4, 5, 5)})) == ["Conv", "Mul"]


def test_weights_that_others_see_do_not_fold(rng: np.random.Generator) -> None:
    constants = {"w": floats(rng, 6, 4, 3, 3), **batchnorm(rng, 6)}
    proto = model([node("Conv", ["x", "w"], ["u"]), BN], [("x", F, [1, 4, 5, 5])], [("y", F, None), ("u", F, None)], constants)
    assert ops_of(check(proto, {"x": floats(rng, 1, 4, 5, 5)})) == ["Conv", "BatchNormalization"]


def test_two_convolutions_share_weights_but_not_what_is_folded(rng: np.random.Generator) -> None:
    constants = {"w": floats(rng, 4, 4, 3, 3), **batchnorm(rng, 4)}
    second = {f"{k}2": v for k, v in batchnorm(rng, 4).items()}
    nodes = [
        node("Conv", ["x", "w"], ["u"], pads=[1] * 4),
        node("BatchNormalization", ["u", "s", "t", "mean", "var"], ["v"]),
        node("Conv", ["v", "w"], ["a"], pads=[1] * 4),
        node("BatchNormalization", ["a", "s2", "t2", "mean2", "var2"], ["y"]),
    ]
    graph = check(model(nodes, [("x", F, [1, 4, 5, 5])], constants={**constants, **second}), {"x": floats(rng, 1, 4, 5, 5)}, 1e-4)
    assert ops_of(graph) == ["Conv", "Conv"]


def test_chains_fold_one_after_the_other(rng: np.random.Generator) -> None:
    constants = {"w": floats(rng, 6, 4, 3, 3), "c": floats(rng, 6, 1, 1), "d": floats(rng, 6, 1, 1), **batchnorm(rng, 6)}
    nodes = [node("Conv", ["x", "w"], ["u"]), node("BatchNormalization", ["u", "s", "t", "mean", "var"], ["v"]),
             node("Mul", ["v", "c"], ["z"]), node("Add", ["z", "d"])]  # fmt: skip
    assert ops_of(check(model(nodes, [("x", F, [1, 4, 5, 5])], constants=constants), {"x": floats(rng, 1, 4, 5, 5)})) == ["Conv"]


def test_folded_weights_are_those_of_float64(rng: np.random.Generator) -> None:
    """One rounding: exactly the float32 nearest to the float64 result."""
    constants = {"w": floats(rng, 6, 4, 3, 3), "b": floats(rng, 6), **batchnorm(rng, 6)}
    graph = check(
        model([node("Conv", ["x", "w", "b"], ["u"]), BN], [("x", F, [1, 4, 5, 5])], constants=constants), {"x": floats(rng, 1, 4, 5, 5)}
    )
    c = {k: v.astype(np.float64) for k, v in constants.items()}
    k = c["s"] / np.sqrt(c["var"] + float(np.float32(1e-3)))
    _, w, b = graph.nodes[0].inputs
    assert w is not None
    assert b is not None
    np.testing.assert_array_equal(w.const, (c["w"] * k.reshape(-1, 1, 1, 1)).astype(np.float32))
    np.testing.assert_array_equal(b.const, (c["b"] * k + (c["t"] - k * c["mean"])).astype(np.float32))


def test_training_batchnorm_stays(rng: np.random.Generator) -> None:
    constants = {"w": floats(rng, 6, 4, 3, 3), **batchnorm(rng, 6)}
    bn = node("BatchNormalization", ["u", "s", "t", "mean", "var"], training_mode=1)
    graph = read(model([node("Conv", ["x", "w"], ["u"]), bn], [("x", F, [1, 4, 5, 5])], constants=constants))
    assert not fold_affine.run(graph, Cache(host.evaluate))


# ---- identities


def test_identities_vanish_but_outputs_keep_their_names(rng: np.random.Generator) -> None:
    nodes = [
        node("Identity", ["x"], ["a"]),
        node("Dropout", ["a"], ["b", "mask"]),
        node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        node("Relu", ["c"], ["d"]),
        node("Identity", ["d"], ["y"]),
        node("Identity", ["x"], ["z"]),
    ]
    proto = model(nodes, [("x", F, [2, 3])], [("y", F, None), ("z", F, None)])
    graph = check(proto, {"x": floats(rng, 2, 3)})
    assert ops_of(graph) == ["Relu", "Identity", "Identity"]
    assert [v.name for v in graph.outputs] == ["y", "z"]


@pytest.mark.parametrize("training", [True, False])
def test_dropout_in_training_stays(training: bool) -> None:
    constants = {"r": np.array(0.5, np.float32), "t": np.array(training)}
    graph = read(model([node("Dropout", ["x", "r", "t"], ["a"]), node("Relu", ["a"])], constants=constants))
    assert eliminate_identity.run(graph, Cache(host.evaluate)) is not training


def test_an_identity_used_by_a_subgraph_vanishes_there_too(rng: np.random.Generator) -> None:
    body = helper.make_graph([node("Relu", ["a"], ["o"])], "b", [], [helper.make_tensor_value_info("o", F, None)])
    other = helper.make_graph([node("Neg", ["a"], ["p"])], "c", [], [helper.make_tensor_value_info("p", F, None)])
    nodes = [node("Identity", ["x"], ["a"]), node("If", ["q"], then_branch=body, else_branch=other)]
    proto = model(nodes, [("x", F, [3]), ("q", TensorProto.BOOL, [])])
    for q in (True, False):
        graph = check(proto, {"x": floats(rng, 3), "q": np.array(q)})
        assert ops_of(graph) == ["If"]


# ---- dead code


def test_dead_chains_and_unused_outputs_go(rng: np.random.Generator) -> None:
    nodes = [
        node("MaxPool", ["x"], ["y", "indices"], kernel_shape=[2]),
        node("Relu", ["x"], ["dead1"]),
        node("Relu", ["dead1"], ["dead2"]),
    ]
    graph = check(model(nodes, [("x", F, [1, 2, 6])]), {"x": floats(rng, 1, 2, 6)})
    assert ops_of(graph) == ["MaxPool"]
    assert len(graph.nodes[0].outputs) == 1
    assert list(graph.inputs[0].users) == graph.nodes


def test_what_only_a_subgraph_uses_is_alive_until_the_subgraph_dies(rng: np.random.Generator) -> None:
    def branch(op: str, name: str) -> Any:
        return helper.make_graph([node(op, ["a"], [name])], name, [], [helper.make_tensor_value_info(name, F, None)])

    def nodes() -> list[Any]:
        return [node("Relu", ["x"], ["a"]), node("If", ["q"], ["i"], then_branch=branch("Neg", "o"), else_branch=branch("Abs", "p"))]

    inputs = [("x", F, [3]), ("q", TensorProto.BOOL, [])]
    feeds = {"x": floats(rng, 3), "q": np.array(True)}
    assert ops_of(check(model(nodes(), inputs, [("i", F, None)]), feeds)) == ["Relu", "If"]
    assert ops_of(check(model([*nodes(), node("Neg", ["x"])], inputs), feeds)) == ["Neg"]


def test_split_keeps_its_unused_outputs(rng: np.random.Generator) -> None:
    graph = check(model([node("Split", ["x"], ["y", "b", "c"], num_outputs=3)], [("x", F, [6])]), {"x": floats(rng, 6)})
    assert len(graph.nodes[0].outputs) == 3


# ---- constants


def test_constants_fold_and_random_numbers_do_not() -> None:
    nodes = [
        node("Shape", ["w"], ["s"]),
        node("ConstantOfShape", ["s"], ["k"]),
        node("RandomUniformLike", ["k"], ["r"]),
        node("Add", ["x", "r"]),
    ]
    graph = read(model(nodes, constants={"w": np.ones((2, 3), np.float32)}))
    fold_constants.run(graph, Cache(host.evaluate))
    fold_constants.ensures(graph)
    assert ops_of(graph) == ["RandomUniformLike", "Add"]


def test_large_filled_constants_take_no_memory() -> None:
    proto = model([node("ConstantOfShape", ["s"], ["k"]), node("Add", ["x", "k"])], constants={"s": np.array([25088, 4096])})
    graph = read(proto)
    fold_constants.run(graph, Cache(host.evaluate))
    k = graph.nodes[0].inputs[1]
    assert k is not None
    assert k.const is not None
    assert k.const.nbytes == 25088 * 4096 * 4
    assert k.const.strides == (0, 0)


def test_host_only_operators_fold_through_the_host(rng: np.random.Generator) -> None:
    graph = check(
        model([node("Det", ["w"], ["d"]), node("Add", ["x", "d"])], [("x", F, [2])], constants={"w": floats(rng, 3, 3)}),
        {"x": floats(rng, 2)},
    )
    assert ops_of(graph) == ["Add"]


def test_constants_fold_in_branches_but_not_what_cannot_be_computed(rng: np.random.Generator) -> None:
    def branch(name: str, nodes: list[Any]) -> Any:
        return helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(name, F, None)])

    joined = [node("Concat", ["w", "w"], ["c"], axis=0), node("Slice", ["c", "one", "four"], ["s"])]
    good = branch("o", [*joined, node("Add", ["x", "s"], ["o"])])
    bad = branch("p", [node("Reshape", ["w", "four"], ["p"])])
    proto = model(
        [node("If", ["q"], then_branch=good, else_branch=bad)],
        [("x", F, [3]), ("q", TensorProto.BOOL, [])],
        constants={"w": floats(rng, 3), "one": np.array([1]), "four": np.array([4])},
    )
    graph = check(proto, {"x": floats(rng, 3), "q": np.array(True)})
    branches = graph.nodes[0].attrs
    assert ops_of(branches["then_branch"]) == ["Add"]
    assert ops_of(branches["else_branch"]) == ["Reshape"]


def test_an_output_may_be_a_constant() -> None:
    graph = check(model([node("Neg", ["w"])], constants={"w": np.ones(3, np.float32)}), {"x": np.ones((1, 3), np.float32)})
    assert not graph.nodes
    assert graph.outputs[0].const is not None
    eliminate_dead.ensures(graph)
