"""Asymo's logger, "asymo" of the standard library, looked up when there is something to say: importing `logging` takes 3 ms, which is a
twentieth of loading a small model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from asymo import knobs

if TYPE_CHECKING:
    import logging


LEVEL = str(knobs.LOG.get()).upper()
"""Lowest level that is logged unless the program sets another."""


def logger() -> logging.Logger:
    """The logger; its level is what the program has set, else LEVEL."""
    import logging

    found = logging.getLogger("asymo")
    if found.level == logging.NOTSET:
        found.setLevel(LEVEL)
    return found


def warning(message: str, *args: Any) -> None:
    logger().warning(message, *args)


def info(message: str, *args: Any) -> None:
    """Costs nothing where nobody can be listening."""
    if "logging" in sys.modules or LEVEL in ("DEBUG", "INFO"):
        logger().info(message, *args)
