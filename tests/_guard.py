"""Arrays beside unmapped memory: one byte too far is a crash, so an over-read or over-write cannot hide.

x = guarded((5, 7), np.float32)              # the byte after x is unmapped
x = guarded_copy(values, at="begin")         # the byte before x is unmapped
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

PAGE = mmap.PAGESIZE

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _forbid(address: int) -> None:
    if _libc.mprotect(address, PAGE, 0):
        raise OSError(ctypes.get_errno(), "mprotect")


def guarded(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float32, at: Literal["begin", "end"] = "end") -> npt.NDArray[Any]:
    """An array of zeros that ends exactly before (at="end") or begins exactly after (at="begin") a page without access."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    room = -(-n_bytes // PAGE) * PAGE
    block = np.frombuffer(mmap.mmap(-1, room + 2 * PAGE), np.uint8)
    first = block.__array_interface__["data"][0]
    _forbid(first)
    _forbid(first + PAGE + room)
    begin = PAGE if at == "begin" else PAGE + room - n_bytes
    return block[begin : begin + n_bytes].view(dtype).reshape(shape)


def guarded_copy(array: npt.NDArray[Any], at: Literal["begin", "end"] = "end") -> npt.NDArray[Any]:
    """A contiguous copy of array, placed as by guarded()."""
    copy = guarded(array.shape, array.dtype, at)
    copy[...] = array
    return copy
