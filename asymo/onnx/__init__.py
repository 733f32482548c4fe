"""Everything that knows protobuf or the package `onnx`, which is imported only when a function here is called.

reader.py: a model -> asymo.graph.ir.Graph. tensors.py: its tensors, external data included. host.py: runs one node by onnx.reference.
backend.py: onnx.backend.Backend.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import ModuleType

from asymo.errors import UnsupportedError


def require() -> ModuleType:
    """The package `onnx`; UnsupportedError with the remedy where it is not installed."""
    try:
        import onnx
    except ImportError as error:
        raise UnsupportedError(
            "reading ONNX models needs the package onnx: install it, or convert the model on another machine with "
            "'asymo compile model.onnx -o model.asymo' and load that file, which needs numpy and cffi only"
        ) from error
    return onnx


def is_installed() -> bool:
    """Whether the package `onnx` is there; it is not imported."""
    try:
        return find_spec("onnx") is not None
    except ImportError:
        return False
