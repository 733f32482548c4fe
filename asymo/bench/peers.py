"""Runtimes to compare with. Each is an adapter in its own process (see worker.py); none is imported by the package itself.

A new peer is one class here. It is made with the model's path, the thread count and the inputs, and its `run` takes the inputs in the
model's order and returns the outputs in the model's order.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Feeds = dict[str, np.ndarray]


class Peer(Protocol):
    """What an adapter provides; `version` is the runtime's."""

    version: str

    def __init__(self, model: Path, threads: int, feeds: Feeds) -> None: ...

    def run(self, feeds: Feeds) -> list[np.ndarray]: ...


class Asymo:
    def __init__(self, model: Path, threads: int, feeds: Feeds) -> None:
        import asymo

        self.version = asymo.__version__
        self._session = asymo.load(model, threads=threads)

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return self._session.run(None, feeds)


class OnnxRuntime:
    def __init__(self, model: Path, threads: int, feeds: Feeds) -> None:
        import onnxruntime

        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return list(self._session.run(None, feeds))


class OpenVino:
    """Held to fp32: by default it would choose bf16 where the CPU has it."""

    def __init__(self, model: Path, threads: int, feeds: Feeds) -> None:
        import openvino

        self.version = openvino.__version__.split("-")[0]
        core = openvino.Core()
        network = core.read_model(str(model))
        if any(port.partial_shape.is_dynamic for port in network.inputs):
            network.reshape({port: list(feeds[port.any_name].shape) for port in network.inputs})
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
        self._request = core.compile_model(network, "CPU", settings).create_infer_request()
        self._outputs = len(network.outputs)

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        results = self._request.infer(feeds, share_inputs=True, share_outputs=False)
        return [results[i] for i in range(self._outputs)]


class Mnn:
    """Converted by MNN's own converter, called in the extension: its console script installs and calls a telemetry package."""

    def __init__(self, model: Path, threads: int, feeds: Feeds) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "model.mnn"
            code = "import sys, _tools; _tools.mnnconvert(['x'] + sys.argv[1:])"
            options = ["-f", "ONNX", "--modelFile", str(model), "--MNNModel", str(target), "--bizCode", "x"]
            done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True)
            if not target.exists():
                raise RuntimeError(f"MNN's converter failed: {(done.stdout + done.stderr)[-200:]}")
            import MNN

            self.version = str(MNN.version())
            self._expr = MNN.expr
            manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": threads},))
            self._net = MNN.nn.load_module_from_file(str(target), list(feeds), output_names(model), runtime_manager=manager)
            self._manager = manager

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        expr = self._expr
        inputs = []
        for array in feeds.values():
            array = array.astype(np.int32) if array.dtype == np.int64 else array
            variable = expr.placeholder(list(array.shape), expr.NCHW, expr.int if array.dtype == np.int32 else expr.float)
            variable.write(array)
            inputs.append(variable)
        results = self._net.forward(inputs)
        results = list(results) if isinstance(results, list | tuple) else [results]
        return [np.array((expr.convert(r, expr.NCHW) if r.data_format == expr.NC4HW4 else r).read(), copy=True) for r in results]


class Ncnn:
    """Converted by pnnx (package `pnnx`, which needs PyTorch installed first)."""

    def __init__(self, model: Path, threads: int, feeds: Feeds) -> None:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder) / "model.onnx"
            link.symlink_to(model.resolve())
            suffix = {"float32": "f32", "int32": "i32", "int64": "i64", "bool": "bool"}
            shapes = ",".join(f"[{','.join(map(str, a.shape))}]{suffix[a.dtype.name]}" for a in feeds.values())
            program = Path(sys.executable).parent / "pnnx"
            if not program.exists():
                raise RuntimeError("pnnx is not installed, which converts models for ncnn: pip install torch, then pip install pnnx")
            done = subprocess.run([program, link.name, "fp16=0", f"inputshape={shapes}"], cwd=folder, capture_output=True, text=True)
            parameters = Path(folder) / "model.ncnn.param"
            if not parameters.exists():
                raise RuntimeError(f"pnnx failed: {(done.stdout + done.stderr)[-200:]}")
            import ncnn

            self.version = str(ncnn.__version__)
            self._ncnn = ncnn
            self._net = ncnn.Net()
            self._net.opt.use_vulkan_compute = False
            self._net.opt.num_threads = threads
            for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_bf16_packed"):
                if hasattr(self._net.opt, option):
                    setattr(self._net.opt, option, False)
            if self._net.load_param(str(parameters)) or self._net.load_model(str(parameters.with_suffix(".bin"))):
                raise RuntimeError("ncnn cannot load what pnnx made")

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        extractor = self._net.create_extractor()
        alive: list[Any] = []
        for name, array in zip(self._net.input_names(), feeds.values(), strict=True):
            array = array.astype(np.int32) if array.dtype == np.int64 else array
            array = array[0] if array.ndim > 1 and array.shape[0] == 1 else array
            mat = self._ncnn.Mat(np.ascontiguousarray(array))
            alive += [array, mat]
            extractor.input(name, mat)
        outputs = []
        for name in self._net.output_names():
            failed, mat = extractor.extract(name)
            if failed:
                raise RuntimeError(f"ncnn cannot extract {name}")
            outputs.append(np.array(mat))
        return outputs


PEERS: dict[str, type[Peer]] = {"asymo": Asymo, "onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn, "mnn": Mnn}


def output_names(model: Path) -> list[str]:
    """Names of the model's outputs in order."""
    from asymo.onnx import reader

    return [v.name for v in reader.read(os.fspath(model)).meta.outputs]
