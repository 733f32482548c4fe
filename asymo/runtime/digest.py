"""SHA-256 of what is in memory."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

MODULES = ("_sha2", "_sha256", "hashlib")
"""Of Python 3.12, before it, and everywhere. Importing hashlib takes 3 ms, for it loads OpenSSL; the others belong to the interpreter."""

MOST_BYTES = 1 << 20
"""Beyond, OpenSSL's five times as fast code is worth its import."""


def sha256(data: Any) -> str:
    """The hexadecimal digest of bytes, or of an array of bytes."""
    return str(_first(MODULES if len(data) <= MOST_BYTES else MODULES[-1:]).sha256(data).hexdigest())


@cache
def _first(names: tuple[str, ...]) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise AssertionError("hashlib is part of every Python")
