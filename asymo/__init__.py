"""Asymo runs ONNX models on CPUs whose cores are unequal.

    import asymo
    session = asymo.load("model.onnx")
    y = session(x)

`asymo.InferenceSession` has the interface that ONNX Runtime users know.
"""

__version__ = "0.1.0"

from asymo.errors import AsymoError, InvalidArgumentError, InvalidInputError, ModelError, UnsupportedOperatorError
from asymo.onnx.reader import NodeArg
from asymo.plan.plan import Plan
from asymo.runtime.iobinding import IOBinding, OrtValue
from asymo.runtime.session import InferenceSession, SessionOptions, load
from asymo.runtime.stats import SessionStats, WorkerReport

__all__ = [
    "AsymoError",
    "IOBinding",
    "InferenceSession",
    "InvalidArgumentError",
    "InvalidInputError",
    "ModelError",
    "NodeArg",
    "OrtValue",
    "Plan",
    "SessionOptions",
    "SessionStats",
    "UnsupportedOperatorError",
    "WorkerReport",
    "load",
]
