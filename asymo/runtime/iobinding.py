"""Inputs and outputs bound to arrays before the run, as ONNX Runtime's IOBinding does it."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from asymo.errors import InvalidArgumentError
from asymo.graph.dtypes import type_name


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

    @staticmethod
    def from_dlpack(data: Any, is_bool_tensor: bool = False) -> OrtValue:
        """A view of another library's tensor on the CPU; bool tensors may come as uint8."""
        array = np.from_dlpack(data)
        return OrtValue(array.view(np.bool_) if is_bool_tensor else array)

    def numpy(self) -> np.ndarray:
        """The array itself, not a copy."""
        return self._array

    def update_inplace(self, np_arr: np.ndarray) -> None:
        if np_arr.shape != self._array.shape or np_arr.dtype != self._array.dtype:
            raise InvalidArgumentError(
                f"{np_arr.dtype}{np_arr.shape} cannot replace the elements of {self._array.dtype}{self._array.shape}; make a new OrtValue"
            )
        self._array[...] = np_arr

    def shape(self) -> list[int]:
        return list(self._array.shape)

    def data_type(self) -> str:
        """The ONNX type, e.g. "tensor(float)"."""
        return f"tensor({type_name(self._array.dtype)})"

    def data_ptr(self) -> int:
        return int(self._array.ctypes.data)

    def tensor_size_in_bytes(self) -> int:
        return self._array.nbytes

    def device_name(self) -> str:
        return "cpu"

    def is_tensor(self) -> bool:
        return isinstance(self._array, np.ndarray)

    def has_value(self) -> bool:
        return True


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

    def bind_input(self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int) -> None:
        """The input is read from memory at buffer_ptr: prod(shape) elements of the numpy dtype element_type, C-contiguous."""
        _need_cpu(device_type)
        self.inputs[name] = _array_at(buffer_ptr, element_type, shape)

    def bind_ortvalue_input(self, name: str, ortvalue: OrtValue) -> None:
        self.inputs[name] = ortvalue.numpy()

    def bind_output(
        self,
        name: str,
        device_type: str = "cpu",
        device_id: int = 0,
        element_type: Any = None,
        shape: Sequence[int] | None = None,
        buffer_ptr: int | None = None,
    ) -> None:
        """The output is wanted: written to memory at buffer_ptr (see `bind_input`), or, without one, into a new array at each run."""
        _need_cpu(device_type)
        if buffer_ptr is not None:
            if element_type is None or shape is None:
                raise InvalidArgumentError(f"output {name!r} is bound to a buffer: give its element_type and shape too")
            self.bind_cpu_output(name, _array_at(buffer_ptr, element_type, shape))
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

    def synchronize_inputs(self) -> None:
        """Nothing is left to wait for on a CPU."""

    def synchronize_outputs(self) -> None:
        """Nothing is left to wait for on a CPU."""

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


def _array_at(address: int, element_type: Any, shape: Sequence[int]) -> np.ndarray:
    """A view of memory that the caller keeps alive."""
    dtype = np.dtype(element_type)
    return np.frombuffer((ctypes.c_char * (prod(shape) * dtype.itemsize)).from_address(address), dtype).reshape(shape)


def _need_cpu(device_type: str) -> None:
    if device_type.lower() != "cpu":
        raise InvalidArgumentError(f"device {device_type!r}: Asymo runs on CPUs only")
