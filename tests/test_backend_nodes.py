# ruff: noqa: E402
"""onnx.backend.test through InferenceSession: all node tests that ship with onnx, and the light models with their stored outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from _onnx_models import node_tests

onnx = pytest.importorskip("onnx")
from test_infer import alike, plain

from asymo.onnx import backend

IGNORED: dict[str, str] = {
    "test_bernoulli": "random",
    "test_bernoulli_double": "random",
    "test_bernoulli_double_expanded": "random",
    "test_bernoulli_expanded": "random",
    "test_bernoulli_seed": "random",
    "test_bernoulli_seed_expanded": "random",
    "test_if_opt": "the stored optional holds a sequence of one array, which the loader gives as the array",
}
"""Node tests that do not pass, and why."""


@pytest.mark.parametrize("op", sorted(node_tests()))
def test_node_tests_of_onnx(op: str) -> None:
    problems: list[str] = []
    for case in node_tests()[op]:
        if case.name in IGNORED:
            continue
        rep = backend.prepare(case.model)
        for inputs, outputs in case.data_sets:
            results = rep.run([plain(x) for x in inputs])
            good = [alike(a, plain(b), case.rtol, case.atol) for a, b in zip(results, outputs, strict=True)]
            problems += [] if all(good) else [f"{case.name}: {results}, in truth {outputs}"]
    assert not problems


def test_ignored_tests_exist() -> None:
    assert {case.name for group in node_tests().values() for case in group}.issuperset(IGNORED)


LIGHT = sorted((Path(onnx.__file__).parent / "backend/test/data/light").glob("light_*.onnx"))


@pytest.mark.parametrize("path", LIGHT, ids=lambda p: p.stem)
def test_light_models(path: Path) -> None:
    proto = onnx.load(path)
    (declared,) = [v for v in proto.graph.input if v.name not in {t.name for t in proto.graph.initializer}]
    shape = [d.dim_value for d in declared.type.tensor_type.shape.dim]
    expected = onnx.numpy_helper.to_array(onnx.TensorProto.FromString(path.with_name(f"{path.stem}_output_0.pb").read_bytes()))
    count = int(np.prod(shape))
    x = (np.arange(count).reshape(shape) / count).astype(np.float32)
    rep = backend.prepare(proto)
    (result,) = rep.run([x])
    assert not rep.session.host_ops
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4 * float(np.abs(expected).max()))


def test_run_node_takes_a_single_node() -> None:
    node = onnx.helper.make_node("Neg", ["x"], ["y"])
    (y,) = backend.run_node(node, [np.array([1, -2], np.float32)])
    assert y.tolist() == [-1, 2]


def test_devices() -> None:
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA")
