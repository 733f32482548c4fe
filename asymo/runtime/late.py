"""What few sessions need, imported when one does: importing all of it takes longer than loading a small model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from asymo.device.places import state_path
from asymo.runtime.model import Model

if TYPE_CHECKING:
    from asymo.plan.frequency import Policy
    from asymo.runtime.clocks import Clocks
    from asymo.runtime.profile import Profile

COMPILED = b'{"__metadata__":{"format":"asymo"'
"""What an `.asymo` file has behind its first 8 bytes."""


def model_class(source: str | bytes | os.PathLike[str]) -> type[Model]:
    """What opens a source, sound or not, by its name or its first bytes: `Model` an ONNX model, `CompiledModel` a compiled one."""
    if not _is_compiled(source):
        return Model
    from asymo.runtime.compiled import CompiledModel

    return CompiledModel


def _is_compiled(source: str | bytes | os.PathLike[str]) -> bool:
    if isinstance(source, bytes):
        return source.startswith(COMPILED, 8)
    if os.fspath(source).endswith(".asymo"):
        return True
    with open(source, "rb") as file:
        return file.read(64).startswith(COMPILED, 8)


def clocks(policy: Policy) -> Clocks | None:
    """Those of a session's policy; None for "latency", which leaves them alone. Raises InvalidArgumentError for what is no policy."""
    if policy == "latency":
        return None
    from asymo.plan.frequency import parse
    from asymo.runtime.clocks import Clocks

    return Clocks(parse(policy))


def recover_clocks() -> None:
    """Puts back what a killed process left behind."""
    if os.path.exists(state_path()):
        from asymo.device.frequency import recover

        recover()


def profile() -> Profile:
    """An empty one."""
    from asymo.runtime.profile import Profile

    return Profile()
