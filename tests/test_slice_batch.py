"""Batches taken image by image: the numbers stay onnx.reference's, for every operator that the pass copies. Oracle: onnx.reference."""

from __future__ import annotations

import numpy as np
import pytest
from _models import assert_close
from _plans import check, node
from onnx import helper
from test_ops import build, run

from asymo import ops
from asymo.graph.ir import Graph, Node
from asymo.graph.passes import slice_batch

Rng = np.random.Generator

IN_NETWORKS = {("asymo", "ChannelShuffle"), ("asymo", "Resample")}
"""Operators that no example gives a batch."""


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Everything that can be sliced is; what was, in a list."""
    taken: list[Node] = []
    part = slice_batch._part

    def spy(graph: Graph, batch: int) -> list[Node]:
        nodes = part(graph, batch)
        taken.extend(nodes)
        return nodes

    monkeypatch.setattr(slice_batch, "saving", lambda node, batch: 1)
    monkeypatch.setattr(slice_batch, "LEAST_NODES", 1)
    monkeypatch.setattr(slice_batch, "CACHE_BYTES", 1)
    monkeypatch.setattr(slice_batch, "_part", spy)
    return taken


def test_every_operator_by_image(eager: list[Node]) -> None:
    """All examples of all operators; each rule of the pass is met by some."""
    for (domain, name), operator in ops.registered().items():
        for index, example in enumerate(operator.examples() if domain == "" else ()):
            before = len(eager)
            blob, feeds, want = build(name, example)
            got, _ = run(blob, feeds, 1)
            for a, b in zip(got, want, strict=True) if len(eager) > before else ():
                assert_close(a, b, example.tolerance, f"{name} example {index} {example.attrs}")
    met = {(n.domain, n.op) for n in eager}
    assert met >= slice_batch.BY_IMAGE.keys() - IN_NETWORKS
    assert met >= {("", "Add"), ("", "Relu"), ("", "Mul")}


def test_shuffled_and_enlarged(rng: Rng, eager: list[Node]) -> None:
    nodes = [
        node("Reshape", "x two", "a"),
        node("Transpose", "a", "b", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "b one", "c"),
        helper.make_node("Resize", ["c", "", "scales"], ["y"], mode="nearest"),
    ]
    constants = {"two": np.array([3, 2, 4, 5, 6]), "one": np.array([3, 8, 5, 6]), "scales": [1, 1, 2, 2]}
    check(nodes, {"x": rng.standard_normal((3, 8, 5, 6)).astype(np.float32)}, constants, {"y": [3, 8, 10, 12]})
    assert {(n.domain, n.op) for n in eager} >= IN_NETWORKS


def network(rng: Rng, images: int) -> tuple[list, dict, dict, dict]:
    """Two convolutions with a residual, Squeeze-Excite, a mean, a dense layer."""
    floats = lambda *shape: (0.3 * rng.standard_normal(shape)).astype(np.float32)  # noqa: E731
    nodes = [
        node("Conv", "x w", "a", pads=[1] * 4),
        node("Relu", "a", "b"),
        node("Conv", "b v", "c", pads=[1] * 4),
        node("Add", "c b", "d"),
        node("GlobalAveragePool", "d", "e"),
        node("Conv", "e u", "f"),
        node("Sigmoid", "f", "g"),
        node("Mul", "d g", "h"),
        node("GlobalAveragePool", "h", "i"),
        node("Flatten", "i", "j"),
        node("MatMul", "j t", "y"),
    ]
    constants = {"w": floats(7, 3, 3, 3), "v": floats(7, 7, 3, 3), "u": floats(7, 7, 1, 1), "t": floats(7, 19)}
    return nodes, {"x": floats(images, 3, 19, 17)}, constants, {"y": [images, 19]}


def convolutions(images: int, rng: Rng) -> int:
    return sum(s.op == "Conv" and s.kind != "eltwise" for s in check(*network(rng, images)))


def test_small_tensors_stay_whole(rng: Rng) -> None:
    assert convolutions(5, rng) == convolutions(1, rng)


@pytest.mark.parametrize(("most", "slices"), [(1024, 5), (26, 2), (33, 3), (11, 1)])
def test_slices(most: int, slices: int, rng: Rng, eager: list[Node], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_batch, "MOST_NODES", most)
    alone = convolutions(1, rng)
    assert convolutions(5, rng) == slices * alone


def test_only_large_tensors(rng: Rng, monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution writes 4 x 7 x 19 x 17 floats and the second moves three such tensors; what lies behind the mean is small."""
    monkeypatch.setattr(slice_batch, "CACHE_BYTES", 4 * 4 * 7 * 19 * 17)
    steps = check(*network(rng, 4))
    assert sum(s.kind in ("conv", "winograd") for s in steps) == 3 * 2
    assert sum(s.op == "MatMul" for s in steps) == 1


@pytest.mark.parametrize("first", [node("ReduceMean", "x k", "a"), node("Concat", "x x", "a", axis=0), node("Softmax", "x", "a", axis=0)])
def test_what_mixes_images_is_left_alone(first: object, rng: Rng, eager: list[Node]) -> None:
    x = rng.standard_normal((4, 5, 6)).astype(np.float32)
    shape = {"ReduceMean": [1, 5, 6], "Concat": [8, 5, 6]}.get(first.op_type, [4, 5, 6])  # type: ignore[attr-defined]
    check([first, node("Relu", "a", "y")], {"x": x}, {"k": np.array([0])}, {"y": shape})  # type: ignore[list-item]
    assert not eager


def test_a_number_for_each_image_is_no_weight(rng: Rng, eager: list[Node]) -> None:
    x, k = (rng.standard_normal(shape).astype(np.float32) for shape in ((4, 5), (4, 1)))
    check([node("Mul", "x k", "y")], {"x": x}, {"k": k}, {"y": [4, 5]})
    assert not eager
