"""What a session and a run may be told, by ONNX Runtime's names, and what programs ask ONNX Runtime about itself."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from asymo import log
from asymo.errors import InvalidArgumentError
from asymo.graph.ir import TensorType

PROVIDERS = ("AsymoExecutionProvider", "CPUExecutionProvider")


class GraphOptimizationLevel(IntEnum):
    """ONNX Runtime's levels. Asymo always optimises in full."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(IntEnum):
    """ONNX Runtime's modes. Asymo runs one step after the other, each on all cores that gain by it."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class _Options:
    """Fields with defaults, as the annotations of a class say. Not a dataclass: making one takes three times as long as this file."""

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            if name not in self.__annotations__:
                raise TypeError(f"{self.__class__.__name__} has no field {name!r}; there are {', '.join(self.__annotations__)}")
            setattr(self, name, value)
        self._config: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__annotations__)})"


class SessionOptions(_Options):
    """The fields of ONNX Runtime's SessionOptions that mean something here, by the same names.

    intra_op_num_threads: workers, one per core of the core set at most; 0: as many as the cgroup's CPU quota pays. Few take the fastest.
    enable_profiling, profile_file_prefix: see `InferenceSession.end_profiling`.
    add_free_dimension_override_by_name gives a symbolic dimension its size, so that the session plans when it is made.
    add_session_config_entry knows "session.intra_op.allow_spinning" ("0": workers sleep at once).
    Fields that only steer ONNX Runtime's own machinery (inter_op_num_threads, execution_mode, graph_optimization_level,
    enable_mem_pattern, enable_cpu_mem_arena, optimized_model_filepath, ...) may be set and have no effect; results are always
    deterministic, whatever use_deterministic_compute says."""

    intra_op_num_threads: int = 0
    inter_op_num_threads: int = 0
    execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
    graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
    enable_profiling: bool = False
    profile_file_prefix: str = "asymo_profile"
    enable_mem_pattern: bool = True
    enable_mem_reuse: bool = True
    enable_cpu_mem_arena: bool = True
    use_deterministic_compute: bool = True
    log_severity_level: int = 2
    log_verbosity_level: int = 0
    logid: str = ""
    optimized_model_filepath: str = ""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self.free_dimensions: dict[str, int] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self._config[key] = value

    def get_session_config_entry(self, key: str) -> str:
        return self._config[key]

    @property
    def may_spin(self) -> bool:
        return self._config.get("session.intra_op.allow_spinning") != "0"

    def add_free_dimension_override_by_name(self, dim_name: str, dim_value: int) -> None:
        if dim_value < 0:
            raise InvalidArgumentError(f"dimension {dim_name!r} is to be {dim_value}; give a size of 0 or more")
        self.free_dimensions[dim_name] = dim_value


class RunOptions(_Options):
    """ONNX Runtime's RunOptions. terminate: a run that is given these options raises instead of starting; one under way goes on to its
    end. The other fields may be set and have no effect."""

    terminate: bool = False
    only_execute_path_to_fetches: bool = False
    log_severity_level: int = 2
    log_verbosity_level: int = 0
    logid: str = ""

    def add_run_config_entry(self, key: str, value: str) -> None:
        self._config[key] = value

    def get_run_config_entry(self, key: str) -> str:
        return self._config[key]


def with_sizes(type: TensorType | None, sizes: Mapping[str, int]) -> TensorType | None:
    """A declared type whose symbolic dimensions have the sizes given for their names."""
    if type is None or type.shape is None or not sizes:
        return type
    return TensorType(type.dtype, tuple(sizes.get(d, d) if isinstance(d, str) else d for d in type.shape))


def get_available_providers() -> list[str]:
    return list(PROVIDERS)


def get_device() -> str:
    return "CPU"


def set_default_logger_severity(severity: int) -> None:
    """Lowest level that is logged: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal. `ASYMO_LOG` sets it from outside."""
    if severity not in range(5):
        raise InvalidArgumentError(f"severity {severity}: 0 (verbose) to 4 (fatal)")
    log.logger().setLevel((severity + 1) * 10)
