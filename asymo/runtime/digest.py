"""SHA-256 of what is in memory."""

from __future__ import annotations

from importlib import import_module
from typing import Any

MODULES = ("_sha2", "_sha256", "hashlib")
"""Of Python 3.12, before it, and everywhere. Importing hashlib takes 3 ms, for it loads OpenSSL; the others belong to the interpreter."""

MOST_BYTES = 1 << 20
"""Beyond, OpenSSL's five times as fast code is worth its import."""


def sha256(data: Any) -> str:
    """The hexadecimal digest of bytes, or of an array of bytes."""
    for name in MODULES if len(data) <= MOST_BYTES else MODULES[-1:]:
        try:
            return str(import_module(name).sha256(data).hexdigest())
        except ImportError:
            continue
    raise AssertionError("hashlib is part of every Python")
