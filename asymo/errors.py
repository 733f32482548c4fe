"""Every error that Asymo raises. One class per `asymo_status` of csrc/asymo.h, plus those that only Python can find.

Each class derives from AsymoError and from the builtin that a caller would expect, so both `except AsymoError` and
`except ValueError` work. A message names what is wrong, where (node, input, file), and the remedy.
"""

from __future__ import annotations


class AsymoError(Exception):
    """Root of all errors of this package."""


class InvalidArgumentError(AsymoError, ValueError):
    """An argument of an API call, or the value of a knob, is out of range or of the wrong form."""


class OutOfMemoryError(AsymoError, MemoryError):
    """The C core could not allocate."""


class ThreadFailedError(AsymoError, RuntimeError):
    """The operating system refused to make a worker thread."""


class UnsupportedError(AsymoError, NotImplementedError):
    """This machine or this build cannot do what was asked, for example an instruction set that the CPU lacks."""


class ForkedError(AsymoError, RuntimeError):
    """A thread pool was used in a child of the process that made it: threads do not survive fork(). Make a new session there."""


class ModelError(AsymoError, ValueError):
    """The model breaks the ONNX specification, or its file cannot be read."""


class UnsupportedOperatorError(ModelError, NotImplementedError):
    """An operator that neither a kernel nor `onnx.reference` implements."""

    def __init__(self, node: str, op: str, domain: str, opset: int) -> None:
        self.node, self.op, self.domain, self.opset = node, op, domain, opset
        super().__init__(
            f"node {node!r}: operator {op!r} of domain {domain or 'ai.onnx'!r}, opset {opset}, is implemented neither natively nor by "
            "onnx.reference; export the model without it or with a newer opset"
        )

    def __reduce__(self) -> tuple[type, tuple[str, str, str, int]]:
        return type(self), (self.node, self.op, self.domain, self.opset)


class MissingWeightsError(ModelError):
    """A compiled model is to be planned in a way that takes weights which its file holds in packed form only."""


class InvalidInputError(AsymoError, ValueError):
    """A tensor passed to `run` has the wrong name, dtype or shape, or is missing."""


class TerminatedError(AsymoError, RuntimeError):
    """A run was not begun because its RunOptions say so."""


#: asymo_status -> class; asymo/_core.py raises by it, and a test compares it with the enum of asymo.h.
BY_STATUS: dict[int, type[AsymoError]] = {
    1: InvalidArgumentError,
    2: OutOfMemoryError,
    3: ThreadFailedError,
    4: UnsupportedError,
    5: ForkedError,
}
