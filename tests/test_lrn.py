"""The step lrn against numpy in float64."""

import numpy as np
import pytest
from _everywhere import run_everywhere, same_bits
from _steps import run_step


def oracle(x: np.ndarray, size: int, alpha: float, beta: float, bias: float) -> np.ndarray:
    """ONNX LRN: the window of channel c is c - floor((size - 1) / 2) .. c + ceil((size - 1) / 2)."""
    x = x.astype(np.float64)
    channels = x.shape[1]
    sums = np.zeros_like(x)
    for c in range(channels):
        low, high = max(0, c - (size - 1) // 2), min(channels - 1, c + -(-(size - 1) // 2))
        sums[:, c] = (x[:, low : high + 1] ** 2).sum(1)
    return x / (bias + alpha / size * sums) ** beta


@pytest.mark.parametrize("channels", [1, 3, 16, 17, 64, 96])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 33])
@pytest.mark.parametrize(("alpha", "beta", "bias"), [(1e-4, 0.75, 1.0), (0.5, 0.75, 2.0), (0.3, 0.5, 1.5), (2.0, 1.3, 0.1)])
def test_lrn(channels: int, size: int, alpha: float, beta: float, bias: float, rng: np.random.Generator) -> None:
    x = rng.standard_normal((7, channels)).astype(np.float32)
    args = {"rows": 7, "channels": channels, "size": size, "unit_rows": 2, "alpha": alpha, "beta": beta, "bias": bias}
    y = run_everywhere("lrn", args, [x, (x.shape, np.float32)])[0]
    np.testing.assert_allclose(y, oracle(x, size, alpha, beta, bias), rtol=2e-6)
    run_step("lrn", args, [x, x])
    assert same_bits(x, y)
