"""ONNX models in the formats of the runtimes that read their own: each conversion is done once per model and folder.

What a converter needs is installed by hand: MNN brings its own; pnnx wants PyTorch first; LiteRT's goes through onnx2torch and
litert-torch (docs/asymmetry.md lists the packages). The converters run in processes of their own.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asymo.onnx import rewrite

SECONDS = 900
"""A conversion that takes longer has failed."""


def to_mnn(model: Path, feeds: Mapping[str, np.ndarray], cache: Path) -> Path:
    """An .mnn file, by MNN's converter, called in the extension: its console script installs and calls a telemetry package."""

    def make(target: Path) -> Sequence[str | Path]:
        code = "import sys, _tools; _tools.mnnconvert(['x'] + sys.argv[1:])"
        return [sys.executable, "-c", code, "-f", "ONNX", "--modelFile", model.resolve(), "--MNNModel", target, "--bizCode", "x"]

    return _once(model, feeds, cache, "model.mnn", make)


def to_ncnn(model: Path, feeds: Mapping[str, np.ndarray], cache: Path) -> Path:
    """A .param file with its .bin beside it, by pnnx, which must stand beside this Python."""
    program = Path(sys.executable).parent / "pnnx"
    if not program.exists():
        raise RuntimeError("pnnx is not installed, which converts models for ncnn: pip install torch, then pip install pnnx")

    def make(target: Path) -> Sequence[str | Path]:
        fixed = _fixed(model, feeds, target.parent)
        suffix = {"float32": "f32", "int32": "i32", "int64": "i64", "bool": "bool"}
        shapes = ",".join(f"[{','.join(map(str, a.shape))}]{suffix[a.dtype.name]}" for a in feeds.values())
        return [program, fixed, "fp16=0", f"inputshape={shapes}"]

    return _once(model, feeds, cache, "model.ncnn.param", make)


def to_tflite(model: Path, feeds: Mapping[str, np.ndarray], cache: Path) -> Path:
    """A .tflite file, by onnx2torch and litert-torch."""

    def make(target: Path) -> Sequence[str | Path]:
        fixed = _fixed(model, feeds, target.parent)
        np.savez(target.parent / "inputs.npz", **dict(feeds))  # type: ignore[arg-type]
        return [sys.executable, "-m", "asymo.bench.convert", fixed, target.parent / "inputs.npz", target]

    return _once(model, feeds, cache, "model.tflite", make)


def _fixed(model: Path, feeds: Mapping[str, np.ndarray], folder: Path) -> Path:
    """The model with the feeds' shapes."""
    rewrite.fix_shapes(model, {name: array.shape for name, array in feeds.items()}, folder / "model.onnx")
    return folder / "model.onnx"


def _once(model: Path, feeds: Mapping[str, np.ndarray], cache: Path, name: str, make: Callable[[Path], Sequence[str | Path]]) -> Path:
    """The file `name` of this model and these shapes in the cache; if it is not there, the command that `make` gives makes it. What
    failed once is not tried again."""
    shapes = str([(n, a.shape, a.dtype.name) for n, a in feeds.items()])
    key = hashlib.sha256(model.read_bytes() + shapes.encode()).hexdigest()[:12]
    target = cache.resolve() / f"{model.stem}-{key}" / name
    log = target.with_name(name + ".log")
    if not target.exists() and not log.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        command = make(target)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            log.write_text(done.stdout + done.stderr)
        except subprocess.TimeoutExpired:
            log.write_text(f"took more than {SECONDS} s")
    if not target.exists():
        lines = [line for line in log.read_text().splitlines() if line.strip()]
        raise RuntimeError(f"the converter made no {name}: {lines[-1][:150] if lines else 'it says nothing'} ({log})")
    return target


def _write_tflite(model: Path, inputs: Path, target: Path) -> None:
    """litert-torch's conversion. onnx2torch and it import torchvision for detection operators only: an empty one does."""
    import importlib.machinery
    import types

    import torch

    vision, ops = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
    for module in (vision, ops):
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    for name in ("roi_align", "nms", "box_convert"):
        setattr(ops, name, None)
    vision.ops = ops  # type: ignore[attr-defined]
    import litert_torch

    sys.modules |= {"torchvision": vision, "torchvision.ops": ops}
    import onnx2torch

    network = onnx2torch.convert(str(model)).eval()
    tensors = tuple(torch.from_numpy(array) for array in np.load(inputs).values())
    _fix_reshapes(network, tensors)
    litert_torch.convert(network, tensors).export(str(target))


def _fix_reshapes(network: Any, tensors: Sequence[Any]) -> None:
    """Gives every Reshape the shape that it has for these inputs: torch.export cannot know what a tensor of dimensions holds."""
    import torch

    class Fixed(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # Any where torch is not installed
        def __init__(self, shape: Sequence[int]) -> None:
            super().__init__()
            self.shape = tuple(shape)

        def forward(self, x: Any, *shape: Any) -> Any:
            return torch.reshape(x, self.shape)

    shapes: dict[str, Sequence[int]] = {}
    hooks = [
        module.register_forward_hook(lambda module, operands, result, name=name: shapes.update({name: result.shape}))
        for name, module in network.named_modules()
        if type(module).__name__ == "OnnxReshape"
    ]
    with torch.inference_mode():
        network(*tensors)
    for hook in hooks:
        hook.remove()
    for name, shape in shapes.items():
        network.set_submodule(name, Fixed(shape))


if __name__ == "__main__":
    _write_tflite(*(Path(argument) for argument in sys.argv[1:]))
