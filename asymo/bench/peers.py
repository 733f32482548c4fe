"""Runtimes to compare with. Each is an adapter in its own process (see worker.py); none is imported by the package itself.

A new peer is one class here and a row of PEERS. It is made with the model's path, the thread count, the inputs and the model's file in
its own format (CONVERTERS; else the model itself). Its `run` takes the inputs in the model's order and returns the outputs so.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from asymo.bench import convert

Feeds = dict[str, np.ndarray]


class Peer(Protocol):
    """What an adapter provides; `version` is the runtime's."""

    version: str

    def run(self, feeds: Feeds) -> list[np.ndarray]: ...


class MakePeer(Protocol):
    """A row of PEERS. file: the model converted for it."""

    def __call__(self, model: Path, threads: int, feeds: Feeds, file: Path) -> Peer: ...


class Asymo:
    def __init__(self, model: Path, threads: int, feeds: Feeds, file: Path) -> None:
        import asymo

        self.version = asymo.__version__
        self._session = asymo.load(model, threads=threads)

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return self._session.run(None, feeds)

    def set_policy(self, policy: str) -> None:
        """Another of POLICIES for sharing units."""
        self._session._team.pool.set_policy(policy)

    def stats(self) -> list[dict[str, Any]]:
        """What each worker has done so far."""
        return [asdict(worker) for worker in self._session.stats().workers]


class OnnxRuntime:
    """dynamic: ONNX Runtime's own remedy for unequal cores, session.dynamic_block_base = 4."""

    def __init__(self, model: Path, threads: int, feeds: Feeds, file: Path, dynamic: bool = False) -> None:
        import onnxruntime

        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if dynamic:
            options.add_session_config_entry("session.dynamic_block_base", "4")
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return list(self._session.run(None, feeds))


class OpenVino:
    """Held to fp32: by default it would choose bf16 where the CPU has it."""

    def __init__(self, model: Path, threads: int, feeds: Feeds, file: Path) -> None:
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
    """little_percent: MNN's remedy for unequal cores, the work it takes off its cores of lower maximum frequency."""

    LITTLE_CORE_DECREASE_RATE = 6

    def __init__(self, model: Path, threads: int, feeds: Feeds, file: Path, little_percent: int | None = None) -> None:
        import MNN

        self.version = str(MNN.version())
        self._expr = MNN.expr
        manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "precision": "high", "numThread": threads},))
        if little_percent is not None:
            manager.set_hint(self.LITTLE_CORE_DECREASE_RATE, little_percent)
        self._net = MNN.nn.load_module_from_file(str(file), list(feeds), output_names(model), runtime_manager=manager)
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
    def __init__(self, model: Path, threads: int, feeds: Feeds, file: Path) -> None:
        import ncnn

        self.version = str(ncnn.__version__)
        self._ncnn = ncnn
        self._net = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        self._net.opt.num_threads = threads
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage", "use_bf16_packed"):
            if hasattr(self._net.opt, option):
                setattr(self._net.opt, option, False)
        if self._net.load_param(str(file)) or self._net.load_model(str(file.with_suffix(".bin"))):
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


class LiteRt:
    """With its XNNPACK delegate, which is the default. The converter numbers the inputs args_0, args_1, ..."""

    def __init__(self, model: Path, threads: int, feeds: Feeds, file: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.version = metadata.version("ai-edge-litert")
        self._interpreter = Interpreter(str(file), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._inputs = [(d["index"], d["dtype"]) for d in sorted(self._interpreter.get_input_details(), key=_number)]
        self._outputs = [d["index"] for d in sorted(self._interpreter.get_output_details(), key=_number)]

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        for (index, dtype), array in zip(self._inputs, feeds.values(), strict=True):
            self._interpreter.set_tensor(index, array.astype(dtype, copy=False))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _number(detail: dict[str, Any]) -> int:
    """serving_default_args_3 -> 3"""
    found = re.search(r"(?:args|output)_(\d+)", detail["name"])
    return int(found[1]) if found else 0


PEERS: dict[str, MakePeer] = {
    "asymo": Asymo,
    "onnxruntime": OnnxRuntime,
    "onnxruntime-dynamic": partial(OnnxRuntime, dynamic=True),
    "openvino": OpenVino,
    "ncnn": Ncnn,
    "mnn": Mnn,
    "mnn-50": partial(Mnn, little_percent=50),
    "litert": LiteRt,
}

CONVERTERS = {"ncnn": convert.to_ncnn, "mnn": convert.to_mnn, "litert": convert.to_tflite}
"""By the name of the peer up to its first dash."""


def file_for(peer: str, model: Path, feeds: Feeds, cache: Path) -> Path:
    """The model as the peer reads it, converted into the folder `cache` if that has not been done before."""
    converter = CONVERTERS.get(peer.split("-")[0])
    return converter(model, feeds, cache) if converter else model


def output_names(model: Path) -> list[str]:
    """Names of the model's outputs in order."""
    from asymo.onnx import reader

    return [v.name for v in reader.read(os.fspath(model)).meta.outputs]
