"""Every operator against onnx.reference, on every instruction set and for several numbers of workers; cases are the operators' examples."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import numpy as np
import pytest
from _models import assert_close, example_model, model, node, reference

from asymo import _core, ops
from asymo.runtime.session import InferenceSession, SessionOptions

OPERATORS = sorted(name for domain, name in ops.registered() if domain == "")
ON_HOST = {"MeanVarianceNormalization"}
"""Operators of which some example may be left to the host."""


def build(name: str, example: ops.Example) -> tuple[bytes, dict[str, np.ndarray], list[np.ndarray]]:
    """(model, feeds, answers) of one example."""
    proto, arrays = example_model(name, example)
    return proto.SerializeToString(), arrays, reference(proto, arrays)


def run(blob: bytes, feeds: dict[str, np.ndarray], workers: int) -> tuple[list[np.ndarray], list[str]]:
    options = SessionOptions()
    options.intra_op_num_threads = workers
    session = InferenceSession(blob, options)
    return session.run(None, feeds), list(session.host_ops)


NOT_IN_REFERENCE = {"GlobalLpPool"}
"""Operators that onnx.reference lacks; other tests run them."""


def test_files_are_listed_with_their_operators() -> None:
    """What is not listed would be left to the host."""
    for file in pkgutil.iter_modules(ops.__path__):
        import_module(f"asymo.ops.{file.name}")
    found = {(type(operator).__module__.removeprefix("asymo.ops."), name) for (_, name), operator in ops._registry.items()}
    assert {(file, name) for file, names in ops.FILES.items() for name in names.split()} == found


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - NOT_IN_REFERENCE))
def test_has_examples(name: str) -> None:
    assert next(iter(ops.registered()["", name].examples()), None) is not None, f"{name} has no examples"


@pytest.mark.parametrize("name", OPERATORS)
def test_against_reference(name: str) -> None:
    selected = _core.isa_name()
    for index, example in enumerate(ops.registered()["", name].examples()):
        what = f"{name} example {index} {example.attrs}"
        blob, feeds, want = build(name, example)
        first: list[np.ndarray] | None = None
        try:
            for isa in _core.isas():
                _core.select_isa(isa)
                for workers in (1, 2, 3):
                    got, host = run(blob, feeds, workers)
                    assert not host or name in ON_HOST, f"{what} runs on the host"
                    if first is None:
                        first = got
                        for a, b in zip(got, want, strict=True):
                            assert_close(a, b, example.tolerance, what)
                    for a, b in zip(got, first, strict=True):
                        assert a.tobytes() == b.tobytes(), f"{what}: {isa} with {workers} workers differs from {_core.isas()[0]} with 1"
        finally:
            _core.select_isa(selected)


def test_negative_pads_crop() -> None:  # onnx.reference refuses them
    x = np.arange(20, dtype=np.float32).reshape(4, 5)
    feeds, constants = {"x": x}, {"pads": np.array([-1, 2, 1, -2])}
    got, host = run(model([node("Pad", ["x", "pads"], ["y"])], feeds, ["y"], constants).SerializeToString(), feeds, 2)
    np.testing.assert_array_equal(got[0], np.pad(x, ((0, 1), (2, 0)))[1:, :-2])
    assert not host
