"""Squeeze-Excite's product on the weights of the convolution behind it. Oracle: onnx.reference."""

from __future__ import annotations

import numpy as np
import pytest
from _plans import check, node

Rng = np.random.Generator


def floats(rng: Rng, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def squeeze_excite(rng: Rng, n: int, images: int, swap: bool = False, pads: int = 0) -> tuple[list, dict, dict]:
    """(nodes, feeds, constants): a convolution scaled by one of its mean, then a pointwise convolution to n channels, y."""
    nodes = [
        node("Conv", "x d", "c", group=21, pads=[1] * 4),
        node("GlobalAveragePool", "c", "g"),
        node("Conv", "g v", "e"),
        node("Sigmoid", "e", "s"),
        node("Mul", "s c" if swap else "c s", "m"),
        node("Conv", "m w b", "y", **({"pads": [pads] * 4} if pads else {})),
    ]
    constants = {"d": floats(rng, 21, 1, 3, 3), "v": floats(rng, 21, 21, 1, 1), "w": floats(rng, n, 21, 1, 1), "b": floats(rng, n)}
    return nodes, {"x": floats(rng, images, 21, 12, 11)}, constants


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("n", [1, 8, 37, 65])
def test_weights_are_scaled(n: int, images: int, swap: bool, rng: Rng, isa: str) -> None:
    nodes, feeds, constants = squeeze_excite(rng, n, images, swap=swap)
    steps = check(nodes, feeds, constants, {"y": [images, n, 12, 11]})
    assert [s.op for s in steps if s.kind == "eltwise"] == ["Conv"]


def test_with_residual_and_activation(rng: Rng) -> None:
    nodes, feeds, constants = squeeze_excite(rng, 21, 2)
    nodes[-1].output[0] = "z"
    nodes += [node("Add", "z x", "a"), node("Relu", "a", "y")]
    steps = check(nodes, feeds, constants, {"y": [2, 21, 12, 11]})
    assert [s.op for s in steps if s.kind == "eltwise"] == ["Conv"]


@pytest.mark.parametrize("why", ["many channels", "read by another", "padded", "an output"])
def test_images_are_scaled(why: str, rng: Rng) -> None:
    n = 67 if why == "many channels" else 8
    nodes, feeds, constants = squeeze_excite(rng, n, 1, pads=int(why == "padded"))
    outputs = {"y": [1, n, 14, 13] if why == "padded" else [1, n, 12, 11]}
    if why == "read by another":
        nodes.append(node("Neg", "m", "k"))
        outputs["k"] = [1, 21, 12, 11]
    if why == "an output":
        outputs["m"] = [1, 21, 12, 11]
    steps = check(nodes, feeds, constants, outputs)
    assert "Conv" not in [s.op for s in steps if s.kind == "eltwise"]
