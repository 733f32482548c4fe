"""Inputs and outputs bound to arrays before the run, as ONNX Runtime's IOBinding does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from asymo.errors import InvalidArgumentError


class OrtValue:
    """A tensor on the CPU: a numpy array behind ONNX Runtime's interface."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    @staticmethod
    def ortvalue_from_numpy(numpy_obj: np.ndarray, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        _need_cpu(device_type)
        return OrtValue(numpy_obj)

    @staticmethod
    def ortvalue_from_shape_and_type(shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0) -> OrtValue:
        _need_cpu(device_type)
        return OrtValue(np.empty(shape, element_type))

    def numpy(self) -> np.ndarray:
        return self._array

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def device_name(self) -> str:
        return "cpu"


class IOBinding:
    """What `run_with_iobinding` reads and writes. Steady-state runs on bound arrays allocate nothing."""

    def __init__(self, output_names: Sequence[str]) -> None:
        self._names = tuple(output_names)
        self.inputs: dict[str, np.ndarray] = {}
        self.targets: dict[str, np.ndarray] = {}
        self._wanted: list[str] = []
        self._results: dict[str, Any] = {}

    def bind_cpu_input(self, name: str, arr_on_cpu: np.ndarray) -> None:
        self.inputs[name] = arr_on_cpu

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self.inputs[name] = ortvalue.numpy()

    def bind_output(self, name: str, device_type: str = "cpu", device_id: int = 0) -> None:
        """The output is wanted; a new array is made for it at each run."""
        _need_cpu(device_type)
        self._want(name)

    def bind_ortvalue_output(self, name: str, ortvalue: OrtValue) -> None:
        self.bind_cpu_output(name, ortvalue.numpy())

    def bind_cpu_output(self, name: str, array: np.ndarray) -> None:
        """The output is written into this array (C-contiguous, of the output's dtype and shape)."""
        if not array.flags.c_contiguous or not array.flags.writeable:
            raise InvalidArgumentError(f"the array bound to output {name!r} must be C-contiguous and writeable")
        self._want(name)
        self.targets[name] = array

    def clear_binding_inputs(self) -> None:
        self.inputs.clear()

    def clear_binding_outputs(self) -> None:
        self.targets.clear()
        self._wanted.clear()

    def get_outputs(self) -> list[OrtValue]:
        return [OrtValue(a) for a in self.copy_outputs_to_cpu()]

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        """The bound outputs of the last run, in the order they were bound."""
        return [self._results[name] for name in self._wanted]

    def store(self, results: Mapping[str, Any]) -> None:
        """Keeps the outputs of a run; called by the session."""
        self._results = {name: self.targets.get(name, results[name]) for name in self._wanted}

    def _want(self, name: str) -> None:
        if name not in self._names:
            raise InvalidArgumentError(f"the model has no output {name!r}; it has {', '.join(self._names)}")
        if name not in self._wanted:
            self._wanted.append(name)


def _need_cpu(device_type: str) -> None:
    if device_type.lower() != "cpu":
        raise InvalidArgumentError(f"device {device_type!r}: Asymo runs on CPUs only")
