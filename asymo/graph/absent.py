"""Arrays whose elements are not there: the weights that a compiled file holds in packed form only."""

from __future__ import annotations

from typing import Any

import numpy as np

from asymo.errors import MissingWeightsError


class Absent(np.ndarray):
    """Shape and dtype of an array without its elements. Planning needs no more; whoever asks for elements gets MissingWeightsError.

    `what` names it in the message. The memory behind it is one element, repeated."""

    what: str

    def __new__(cls, shape: tuple[int, ...], dtype: np.dtype, what: str) -> Absent:
        stand_in = np.broadcast_to(np.zeros((), dtype), shape).view(cls)
        stand_in.what = what
        return stand_in

    def missing(self) -> MissingWeightsError:
        """What asking for the elements raises."""
        return MissingWeightsError(
            f"{self.what}: its elements are needed in a form that the file does not hold; compile the model again for these input shapes, "
            "or with --weights keep"
        )

    def __array_finalize__(self, source: Any) -> None:
        if isinstance(source, Absent):
            raise source.missing()

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.missing()

    def __array_function__(self, *args: Any, **kwargs: Any) -> Any:
        raise self.missing()

    def __getitem__(self, index: Any) -> Any:
        raise self.missing()

    def __repr__(self) -> str:
        return f"Absent({self.shape}, {self.dtype})"

    def item(self, *args: Any) -> Any:
        raise self.missing()

    def tobytes(self, order: Any = "C") -> bytes:
        raise self.missing()

    def tolist(self) -> Any:
        raise self.missing()


def present(array: np.ndarray) -> np.ndarray:
    """The array; MissingWeightsError when its elements are not there."""
    if isinstance(array, Absent):
        raise array.missing()
    return array
