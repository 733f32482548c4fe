"""Channels-last tensors inside wider, guarded buffers, for the tests of the spatial steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from _guard import guarded

from asymo import _core

CANARY = np.float32(-1.25e37)


class Nhwc:
    """[batch, *spatial, channels] floats in a buffer that ends (or begins) at an unmapped page.

    One pixel is `pixel` elements after the one before it (channels when None), rows and images follow without a gap. What lies between
    the channels of two pixels is `gap`: NaN for inputs, CANARY for outputs.
    """

    def __init__(
        self, shape: tuple[int, ...], pixel: int | None = None, *, gap: float = np.nan, dtype: npt.DTypeLike = np.float32, at: Any = "end"
    ) -> None:
        *self.spatial, channels = shape
        self.pixel = channels if pixel is None else pixel
        n_pixels = int(np.prod(self.spatial))
        size = max(0, (n_pixels - 1) * self.pixel + channels)
        self.flat = guarded(size, dtype, at)
        self.flat[...] = gap
        self.strides = [self.pixel * int(np.prod(self.spatial[i + 1 :])) for i in range(len(self.spatial))]
        self.array = self._shaped(self.flat, shape)
        self.mask = np.ones(size, bool)
        self._shaped(self.mask, shape)[...] = False

    def _shaped(self, flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.lib.stride_tricks.as_strided(flat, shape, [flat.itemsize * s for s in [*self.strides, 1]])

    @property
    def gaps(self) -> np.ndarray:
        """The elements that belong to no pixel's channels."""
        return self.flat[self.mask]


def filled(values: np.ndarray, pixel: int | None = None, at: Any = "end") -> Nhwc:
    """An input: values in channels-last order, NaN between."""
    tensor = Nhwc(values.shape, pixel, at=at)
    tensor.array[...] = values
    return tensor


def every_isa() -> list[str]:
    return list(_core.isas())


class using_isa:
    """Selects an instruction set inside a with block."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        self.before = _core.isa_name()
        _core.select_isa(self.name)

    def __exit__(self, *_: object) -> None:
        _core.select_isa(self.before)


def bits(array: np.ndarray) -> np.ndarray:
    """The array's bits, every NaN made equal (its payload is not promised)."""
    flat = np.ascontiguousarray(array, np.float32).copy()
    flat[np.isnan(flat)] = np.nan
    return flat.view(np.uint32)
