"""Weights that stand for a product nobody has computed: packing multiplies on the way, so that no scaled copy is ever in memory."""

from __future__ import annotations

import numpy as np

from asymo.graph.ir import TensorType, Value
from asymo.plan.layout import product


class Scaled:
    """A convolution's weights W[m, ...] (fp32) that stand for W[i] * factor[i] (float64, contiguous), rounded once."""

    __slots__ = ("weights", "factor", "_elements")

    def __init__(self, weights: np.ndarray, factor: np.ndarray) -> None:
        self.weights, self.factor = weights, factor
        self._elements: np.ndarray | None = None

    @property
    def elements(self) -> np.ndarray:
        """The array, computed when somebody first asks."""
        if self._elements is None:
            self._elements = product(self.weights, self.factor.reshape(-1, *(1,) * (self.weights.ndim - 1)))
        return self._elements


class ScaledValue(Value):
    """Such a constant. Whoever asks for `const` has it computed; `is_const`, type and shape cost nothing."""

    __slots__ = ("scaled",)

    def __init__(self, name: str, scaled: Scaled) -> None:
        self.scaled = scaled
        super().__init__(name, TensorType(scaled.weights.dtype, scaled.weights.shape))

    @property
    def const(self) -> np.ndarray | None:
        return self.scaled.elements

    @const.setter
    def const(self, array: np.ndarray | None) -> None:
        assert array is None

    @property
    def is_const(self) -> bool:
        return True

    @property
    def parts(self) -> list[np.ndarray]:
        return [self.scaled.weights, self.scaled.factor]

    def twin(self) -> Value:
        return ScaledValue(self.name, self.scaled)
