"""Asymo runs ONNX models on CPUs whose cores are unequal.

    import asymo
    session = asymo.load("model.onnx")
    y = session(x)

`asymo.InferenceSession` has the interface that ONNX Runtime users know.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from asymo.errors import AsymoError as AsymoError
    from asymo.errors import InvalidArgumentError as InvalidArgumentError
    from asymo.errors import InvalidInputError as InvalidInputError
    from asymo.errors import ModelError as ModelError
    from asymo.errors import TerminatedError as TerminatedError
    from asymo.errors import UnsupportedOperatorError as UnsupportedOperatorError
    from asymo.onnx.reader import NodeArg as NodeArg
    from asymo.plan.frequency import Choice as Choice
    from asymo.plan.frequency import Deadline as Deadline
    from asymo.plan.frequency import Power as Power
    from asymo.plan.plan import Plan as Plan
    from asymo.runtime.iobinding import IOBinding as IOBinding
    from asymo.runtime.iobinding import OrtValue as OrtValue
    from asymo.runtime.options import ExecutionMode as ExecutionMode
    from asymo.runtime.options import GraphOptimizationLevel as GraphOptimizationLevel
    from asymo.runtime.options import RunOptions as RunOptions
    from asymo.runtime.options import SessionOptions as SessionOptions
    from asymo.runtime.options import get_available_providers as get_available_providers
    from asymo.runtime.options import get_device as get_device
    from asymo.runtime.options import set_default_logger_severity as set_default_logger_severity
    from asymo.runtime.session import InferenceSession as InferenceSession
    from asymo.runtime.session import load as load
    from asymo.runtime.stats import SessionStats as SessionStats
    from asymo.runtime.stats import WorkerReport as WorkerReport

_HOMES = {
    "AsymoError": "asymo.errors",
    "Choice": "asymo.plan.frequency",
    "Deadline": "asymo.plan.frequency",
    "ExecutionMode": "asymo.runtime.options",
    "GraphOptimizationLevel": "asymo.runtime.options",
    "IOBinding": "asymo.runtime.iobinding",
    "InferenceSession": "asymo.runtime.session",
    "InvalidArgumentError": "asymo.errors",
    "InvalidInputError": "asymo.errors",
    "ModelError": "asymo.errors",
    "NodeArg": "asymo.onnx.reader",
    "OrtValue": "asymo.runtime.iobinding",
    "Plan": "asymo.plan.plan",
    "Power": "asymo.plan.frequency",
    "RunOptions": "asymo.runtime.options",
    "SessionOptions": "asymo.runtime.options",
    "SessionStats": "asymo.runtime.stats",
    "TerminatedError": "asymo.errors",
    "UnsupportedOperatorError": "asymo.errors",
    "WorkerReport": "asymo.runtime.stats",
    "get_available_providers": "asymo.runtime.options",
    "get_device": "asymo.runtime.options",
    "load": "asymo.runtime.session",
    "set_default_logger_severity": "asymo.runtime.options",
}
"""Public name -> its module, which is imported when the name is first used: `import asymo` alone costs next to nothing."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'asymo' has no attribute {name!r}")
    from asymo.collector import held

    with held(all_stays=True):
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
