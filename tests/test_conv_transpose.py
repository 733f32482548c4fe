"""Transposed convolution where onnx.reference gives up: groups and output_shape. The oracle is its definition, scattered in float64."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from _plans import make_model, node, run


def scatter(x: np.ndarray, w: np.ndarray, b: np.ndarray, out: tuple[int, int], stride: tuple[int, int], begin: tuple[int, int], group: int,
            dilation: tuple[int, int] = (1, 1)) -> np.ndarray:  # fmt: skip
    """Every input pixel adds its weights to the output."""
    n, c, h, width = x.shape
    m = w.shape[1]
    y = np.zeros((n, m * group, *out)) + b[:, None, None]
    for g in range(group):
        xs, ws = x[:, g * c // group : (g + 1) * c // group].astype(np.float64), w[g * c // group : (g + 1) * c // group].astype(np.float64)
        for i, j, kh, kw in product(range(h), range(width), range(w.shape[2]), range(w.shape[3])):
            oh, ow = i * stride[0] + kh * dilation[0] - begin[0], j * stride[1] + kw * dilation[1] - begin[1]
            if 0 <= oh < out[0] and 0 <= ow < out[1]:
                y[:, g * m : (g + 1) * m, oh, ow] += xs[:, :, i, j] @ ws[:, :, kh, kw]
    return y


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "variable"])
@pytest.mark.parametrize(
    ("shape", "weights", "group", "stride", "pads", "out"),
    [
        ((2, 6, 4, 3), (6, 2, 3, 3), 3, (2, 2), (0, 0), (9, 7)),
        ((1, 6, 5, 3), (6, 1, 4, 4), 6, (2, 2), (1, 1), (10, 6)),
        ((1, 4, 3, 4), (4, 17, 2, 5), 2, (3, 1), (0, 2), (8, 4)),
    ],
)
def test_groups(
    shape: tuple[int, ...], weights: tuple[int, ...], group: int, stride: tuple[int, int], pads: tuple[int, int], out: tuple[int, int],
    constant: bool, rng: np.random.Generator,
) -> None:  # fmt: skip
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (shape, weights, weights[1] * group))
    conv = node("ConvTranspose", "x w b", "y", group=group, strides=list(stride), pads=[*pads, *pads])
    feeds, constants = ({"x": x}, {"w": w, "b": b}) if constant else ({"x": x, "w": w, "b": b}, {})
    want = scatter(x, w, b, out, stride, pads, group)
    (y,), _ = run(make_model([conv], feeds, constants, {"y": want.shape}), feeds)
    np.testing.assert_allclose(y, want, atol=1e-5 * np.abs(want).max())


def test_output_shape(rng: np.random.Generator) -> None:
    """Rows that no input reaches are the bias."""
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in ((1, 5, 3, 3), (5, 2, 3, 3), (2,)))
    conv = node("ConvTranspose", "x w b", "y", strides=[3, 2], output_shape=[10, 8])
    want = scatter(x, w, b, (10, 8), (3, 2), (0, 0), 1)
    (y,), _ = run(make_model([conv], {"x": x}, {"w": w, "b": b}, {"y": want.shape}), {"x": x})
    np.testing.assert_allclose(y, want, atol=1e-5 * np.abs(want).max())
