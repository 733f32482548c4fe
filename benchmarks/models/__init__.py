"""The models that benchmarks and tests run: FIXED (built, seeded weights), REAL (from wheels), LIGHT (in the onnx package)."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import onnx

from benchmarks.models import build, real

FOLDER = Path(__file__).resolve().parent.parent.parent / ".cache" / "models"
FIXED = tuple(build.MODELS)
REAL = tuple(real.MODELS)


def light() -> dict[str, Path]:
    """The light_* models of the onnx package by name; each has stored inputs and outputs beside it."""
    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    return {path.stem: path for path in sorted(folder.glob("light_*.onnx"))}


def path(name: str) -> Path:
    """The model's file, built or downloaded on first use."""
    file = FOLDER / f"{name}.onnx"
    if not file.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        if name in build.MODELS:
            build.build(name, FOLDER)
        elif name in real.MODELS:
            real.fetch(name, FOLDER)
        else:
            raise KeyError(f"no model is called {name!r}; there are {', '.join(FIXED + REAL)}")
    return file


def inputs(name: str, seed: int = 0, sizes: dict[str, int] | None = None) -> dict[str, np.ndarray]:
    """Seeded inputs for the model. sizes: values for symbolic dimensions (default: batch 1, others 16)."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    model = onnx.load(path(name), load_external_data=False)
    constants = {i.name for i in model.graph.initializer}
    feeds = {}
    for value in model.graph.input:
        if value.name in constants:
            continue
        tensor = value.type.tensor_type
        declared = [d.dim_value or d.dim_param for d in tensor.shape.dim]
        known = {"batch": 1, "seq": 16, **(sizes or {})}
        shape = tuple(d if isinstance(d, int) and d > 0 else known.get(str(d), 16) for d in declared)
        feeds[value.name] = _fill(rng, name, value.name, shape, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return feeds


def _fill(rng: np.random.Generator, model: str, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    info = real.MODELS.get(model)
    if info is not None:
        shape = info.shapes.get(name, shape)
        if info.page:
            return real.page(rng, shape)
        if name in info.fill:
            return np.full(shape, info.fill[name], dtype)
        if name in info.integers:
            return rng.integers(*info.integers[name], shape).astype(dtype)
        if name in info.uniform:
            return rng.uniform(*info.uniform[name], shape).astype(dtype)
    if dtype.kind in "iu":
        return np.ones(shape, dtype) if "mask" in name else rng.integers(0, 2 if "type" in name else 90, shape).astype(dtype)
    return rng.standard_normal(shape, dtype)
