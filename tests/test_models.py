"""Whole models: outputs against ONNX Runtime's, no host step, and the same bits on every thread count and instruction set."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import asymo
from asymo import _core
from benchmarks import models
from benchmarks.models import real

onnxruntime = pytest.importorskip("onnxruntime", reason="an oracle of the model tests: pip install onnxruntime")
pytestmark = pytest.mark.models

TOLERANCE = 1e-4
"""Largest difference, relative to the largest output."""

QUICK = ("mobilenet_v2_bn", "mobilenet_v3_small", "squeezenet11", "char_rnn_s50", "mlp", "shufflenet_v2_bn")
EVERY = [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in models.FIXED + models.REAL]
SIZES = {"ppocr4_det": [(1, 3, 96, 160), (2, 3, 224, 96), (1, 3, 480, 640)], "ppocr4_rec": [(1, 3, 48, 320), (3, 3, 48, 100)]}


def reference(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feeds)


def assert_close(got: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert np.isfinite(b).all()
        assert np.abs(a - b).max(initial=0) <= TOLERANCE * np.abs(b).max(initial=0)


def digest(outputs: list[np.ndarray]) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(o).tobytes() for o in outputs)).hexdigest()


@pytest.mark.parametrize("name", models.FIXED + models.REAL)
def test_agrees_with_onnxruntime(name: str) -> None:
    feeds = models.inputs(name)
    session = asymo.load(models.path(name))
    assert_close(session.run(None, feeds), reference(models.path(name), feeds))
    assert session.host_ops == {}


@pytest.mark.parametrize("name", SIZES)
def test_several_shapes_through_one_session(name: str) -> None:
    session = asymo.load(models.path(name))
    rng = np.random.default_rng(1)
    for shape in SIZES[name] * 2:
        feeds = {"x": real.page(rng, shape)}
        assert_close(session.run(None, feeds), reference(models.path(name), feeds))
    assert session.host_ops == {}


@pytest.mark.parametrize("seq", [1, 7, 64])
def test_symbolic_sequence_length(seq: int) -> None:
    feeds = models.inputs("minilm_l6_dyn", sizes={"batch": 2, "seq": seq})
    session = asymo.load(models.path("minilm_l6_dyn"))
    assert_close(session.run(None, feeds), reference(models.path("minilm_l6_dyn"), feeds))


@pytest.mark.parametrize("name", models.light())
def test_light_models_give_their_stored_outputs(name: str) -> None:
    path = models.light()[name]
    session = asymo.load(path)
    for data in sorted(path.parent.glob(f"{name}/test_data_set_*")) or [path.parent]:
        inputs = [numpy_helper.to_array(onnx.load_tensor(p)) for p in sorted(data.glob("input_*.pb"))]
        expected = [numpy_helper.to_array(onnx.load_tensor(p)) for p in sorted(data.glob("output_*.pb"))]
        names = [i.name for i in session.get_inputs()]
        if not inputs:  # stored outputs of all-ones inputs live in the model's folder as <name>_output_<i>.pb
            expected = [numpy_helper.to_array(onnx.load_tensor(p)) for p in sorted(data.glob(f"{name}_output_*.pb"))]
            inputs = [np.ones(list(i.shape), np.float32) for i in session.get_inputs()]
        assert expected, f"{name} has no stored outputs"
        assert_close(session.run(None, dict(zip(names, inputs, strict=True))), expected)
    assert session.host_ops == {}


@pytest.mark.parametrize("name", EVERY)
def test_same_bits_on_any_thread_count(name: str) -> None:
    feeds = models.inputs(name)
    seen = {}
    for threads in (1, 2, 3, 4, 8):
        session = asymo.load(models.path(name), threads=threads)
        seen[threads] = {digest(session.run(None, feeds)) for _ in range(50)}
    assert len(set.union(*seen.values())) == 1, seen


@pytest.mark.parametrize("name", EVERY)
def test_same_bits_on_any_instruction_set(name: str) -> None:
    feeds = models.inputs(name)
    before = _core.isa_name()
    digests = {}
    try:
        for isa in _core.isas():
            _core.select_isa(isa)
            digests[isa] = digest(asymo.load(models.path(name)).run(None, feeds))
    finally:
        _core.select_isa(before)
    assert len(digests) > 1 or before == "portable"
    assert len(set(digests.values())) == 1, digests
