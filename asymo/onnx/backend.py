"""Asymo as an `onnx.backend`: what onnx's own test suites run. The module has `prepare`, `run_model`, `run_node`, `supports_device`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from asymo.errors import UnsupportedError
from asymo.runtime.session import InferenceSession


class AsymoBackendRep(BackendRep):
    """A prepared model."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The model's outputs, in order. inputs: a sequence in the order of the model's inputs, a dict by name, or one array."""
        names = [i.name for i in self.session.get_inputs()]
        if isinstance(inputs, np.ndarray):
            inputs = [inputs]
        feed = inputs if isinstance(inputs, dict) else dict(zip(names, inputs, strict=False))
        results = self.session.run(None, {name: _plain(x) for name, x in feed.items()})
        return namedtupledict("Outputs", [o.name for o in self.session.get_outputs()])(*results)


class AsymoBackend(Backend):
    """Runs on the CPU."""

    @classmethod
    def prepare(cls, model: ModelProto, device: str = "CPU", **kwargs: Any) -> AsymoBackendRep:
        """kwargs go to InferenceSession."""
        if not cls.supports_device(device):
            raise UnsupportedError(f"device {device!r}: asymo runs on 'CPU'")
        return AsymoBackendRep(InferenceSession(model.SerializeToString(), **kwargs))

    @classmethod
    def run_model(cls, model: ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: NodeProto, inputs: Any, device: str = "CPU", outputs_info: Sequence[Any] | None = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """kwargs: opset_version, the newest when not given."""
        version = kwargs.pop("opset_version", onnx.defs.onnx_opset_version())
        names = [n for n in node.input if n]
        arrays = list(inputs.values()) if isinstance(inputs, dict) else [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        declared = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for name, a in zip(names, arrays, strict=True)
        ]
        graph = onnx.helper.make_graph([node], "node", declared, [onnx.ValueInfoProto(name=n) for n in node.output if n])
        imports = [onnx.helper.make_opsetid(node.domain, 1 if node.domain else version)]
        if node.domain:
            imports.append(onnx.helper.make_opsetid("", version))
        return cls.run_model(onnx.helper.make_model(graph, opset_imports=imports), arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return bool(Device(device).type == DeviceType.CPU)


def _plain(value: Any) -> Any:
    """Arrays out of the TensorProtos that onnx's suites use for element types numpy lacks."""
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


prepare = AsymoBackend.prepare
run_model = AsymoBackend.run_model
run_node = AsymoBackend.run_node
supports_device = AsymoBackend.supports_device
