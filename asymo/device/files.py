"""Text files below a root. What is missing is empty, what cannot be read or understood is empty and leaves a note.

Sessions begin here, so paths are texts: pathlib takes 5 ms to import.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from asymo.errors import InvalidArgumentError

MAX_CPUS = 8192


class Files:
    """Reads below `root`; writes nothing. notes: one sentence for each file that was there and told nothing."""

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        self.root = os.path.normpath(root)
        self.notes: list[str] = []

    def path(self, path: str) -> str:
        """Where the file lies."""
        return os.path.join(self.root, path)

    def has(self, path: str) -> bool:
        """Whether the file or folder is there."""
        return os.path.exists(self.path(path))

    def text(self, path: str) -> str:
        """The file's text without surrounding blanks, "" when it is missing, unreadable or not text."""
        try:
            return _read(self.path(path)).decode().strip().strip("\0")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            self.note(path, error.strerror or str(error))
        except UnicodeDecodeError:
            self.note(path, "not text")
        return ""

    def number(self, path: str, base: int = 10) -> int:
        """The file's number, 0 when there is none or it is negative."""
        text = self.text(path)
        try:
            number = int(text, base) if text else 0
        except ValueError:
            number = -1
        if not 0 <= number < 2**53:
            self.note(path, f"{text[:40]!r} is no number")
            return 0
        return number

    def cpus(self, path: str) -> tuple[int, ...]:
        """The file's CPU list ("0-3,6" or "0 1 2 3"), () when there is none."""
        text = self.text(path)
        try:
            return parse_cpu_list(",".join(text.replace(",", " ").split())) if text else ()
        except InvalidArgumentError:
            self.note(path, f"{text[:40]!r} is no list of CPUs")
            return ()

    def names(self, path: str, prefix: str) -> list[int]:
        """The numbers N of the entries `prefix`N of a directory, ascending."""
        try:
            entries = os.listdir(self.path(path))
        except OSError:
            return []
        return sorted(int(e[len(prefix) :]) for e in entries if e.startswith(prefix) and e[len(prefix) :].isdecimal())

    def note(self, path: str, what: str) -> None:
        self.notes.append(f"/{path}: {what}")


def _read(path: str) -> bytes:
    """All of a file, in two thirds of the time of `open` (10 us; a phone has 200 of them)."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while piece := os.read(handle, 1 << 16):
            found += piece
        return found
    finally:
        os.close(handle)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """ "0-3,6" -> (0, 1, 2, 3, 6), the kernel's list format. Raises InvalidArgumentError."""
    cpus: list[int] = []
    try:
        for part in text.split(","):
            first, *last = (int(number) for number in part.split("-"))
            end = sum(last or [first])
            if len(last) > 1 or not first <= end < MAX_CPUS:
                raise ValueError
            cpus.extend(range(first, end + 1))
    except ValueError:
        raise InvalidArgumentError(f'{text!r} is no list of CPUs; write "all", "big", "little", or for example "0-3,6"') from None
    return tuple(cpus)


def format_cpu_list(cpus: Sequence[int]) -> str:
    """(0, 1, 2, 3, 6) -> "0-3,6"."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
