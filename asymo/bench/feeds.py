"""Inputs for any model: from files, or seeded random numbers of the declared types."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

import asymo
from asymo.errors import InvalidArgumentError

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """["x:1x3x224x224", ...] -> {"x": (1, 3, 224, 224)}; a name may hold colons, and may be left out when there is one input (key "")."""
    shapes = {}
    for text in texts:
        name, _, dims = text.rpartition(":")
        try:
            shapes[name] = tuple(int(d) for d in dims.replace(",", "x").split("x")) if dims else ()
        except ValueError:
            raise InvalidArgumentError(f"--shape {text!r}: write NAME:1x3x224x224") from None
    return shapes


def parse_files(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """["x:file.npy" or "file.npy", ...] -> arrays by name ("" when no name is given); an .npz gives all its arrays."""
    arrays: dict[str, np.ndarray] = {}
    for text in texts:
        name, file = ("", text) if Path(text).exists() else (text.rpartition(":")[0], text.rpartition(":")[2])
        try:
            loaded = np.load(file)
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(f"--input {text!r}: {error}") from None
        arrays.update({name: loaded} if isinstance(loaded, np.ndarray) else dict(loaded))
    return arrays


def make(
    inputs: Sequence[asymo.NodeArg], shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, np.ndarray], seed: int = 0
) -> dict[str, np.ndarray]:
    """One array per input: the given one, else random of the given or declared shape (symbolic dimensions: 1).

    Floats are standard normal, integers 0 or 1, so that indices and masks stay valid."""
    only = inputs[0].name if len(inputs) == 1 else ""
    shapes = {name or only: shape for name, shape in shapes.items()}
    arrays = {name or only: array for name, array in arrays.items()}
    for name in [*shapes, *arrays]:
        if name not in {i.name for i in inputs}:
            raise InvalidArgumentError(f"the model has no input {name!r}; it has {', '.join(i.name for i in inputs)}")
    feeds = {}
    for arg in inputs:
        if arg.name in arrays:
            feeds[arg.name] = arrays[arg.name]
            continue
        if arg.type not in DTYPES:
            raise InvalidArgumentError(f"input {arg.name!r} is a {arg.type}: give it with --input {arg.name}:FILE.npy")
        shape = shapes.get(arg.name) or tuple(d if isinstance(d, int) and d > 0 else 1 for d in arg.shape or ())
        rng = np.random.default_rng([seed, zlib.crc32(arg.name.encode())])
        dtype = np.dtype(DTYPES[arg.type])
        feeds[arg.name] = rng.standard_normal(shape).astype(dtype) if dtype.kind == "f" else rng.integers(0, 2, shape).astype(dtype)
    return feeds
