"""The files of a model, mapped into memory: weights are seen where they lie and packed from there, so they are never in memory twice.

A mapped file that somebody shortens ends the process when it is touched. So what a plan runs on is copied out (`plan.lower.Cache.settle`),
and before another plan is made `Files.check` refuses files that are not what they were.
"""

from __future__ import annotations

import mmap
import os

import numpy as np

from asymo.errors import ModelError
from asymo.record import NamedTuple

WORTH_MAPPING = 1 << 14
"""Bytes: smaller tensors are copied at once."""


class _File(NamedTuple):
    path: str
    stamp: tuple[int, int, int, int]
    data: mmap.mmap
    begin: int
    """Address of the first byte."""
    end: int


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Files:
    """What is mapped for one model."""

    def __init__(self) -> None:
        self._files: list[_File] = []

    def map(self, fd: int, path: str) -> mmap.mmap:
        """Maps an open file that is not empty."""
        data = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        begin = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        self._files.append(_File(path, _stamp(os.fstat(fd)), data, begin, begin + len(data)))
        return data

    def holds(self, array: np.ndarray) -> bool:
        """Whether the elements lie in a mapped file."""
        return self._of(array) is not None

    def _of(self, array: np.ndarray) -> _File | None:
        at = array.__array_interface__["data"][0]
        for file in self._files:
            if file.begin <= at < file.end:
                return file
        return None

    def release(self, array: np.ndarray) -> None:
        """Gives the memory of a mapped array back; when it is read again the system reads the file again."""
        file = self._of(array) if array.nbytes >= WORTH_MAPPING else None
        if file is None:
            return
        first = array.__array_interface__["data"][0] - file.begin
        begin, end = first // mmap.PAGESIZE * mmap.PAGESIZE, min(first + array.nbytes, len(file.data))
        file.data.madvise(mmap.MADV_DONTNEED, begin, end - begin)

    def check(self) -> None:
        """Raises ModelError when a file is no longer what was mapped. A file that was replaced by another of its name is no trouble: the
        old one stays until the last user goes."""
        for file in self._files:
            try:
                now = _stamp(os.stat(file.path))
            except OSError:
                continue
            if now != file.stamp and now[:2] == file.stamp[:2]:
                raise ModelError(f"{file.path!r} was written to after it had been loaded: make a new session")
