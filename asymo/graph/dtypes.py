"""ONNX's element types: their numbers (attribute `to` of Cast and the like), their names, and the numpy dtypes that hold them.

The small floats and the integers of 2 and 4 bits need the package `ml_dtypes`; strings are arrays of Python objects.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from asymo.errors import ModelError

STRING = np.dtype(object)

# number: (name in a type string such as "tensor(float)", name of the dtype in numpy or ml_dtypes)
_ROWS: dict[int, tuple[str, str]] = {
    1: ("float", "float32"),
    2: ("uint8", "uint8"),
    3: ("int8", "int8"),
    4: ("uint16", "uint16"),
    5: ("int16", "int16"),
    6: ("int32", "int32"),
    7: ("int64", "int64"),
    8: ("string", "object"),
    9: ("bool", "bool"),
    10: ("float16", "float16"),
    11: ("double", "float64"),
    12: ("uint32", "uint32"),
    13: ("uint64", "uint64"),
    14: ("complex64", "complex64"),
    15: ("complex128", "complex128"),
    16: ("bfloat16", "bfloat16"),
    17: ("float8e4m3fn", "float8_e4m3fn"),
    18: ("float8e4m3fnuz", "float8_e4m3fnuz"),
    19: ("float8e5m2", "float8_e5m2"),
    20: ("float8e5m2fnuz", "float8_e5m2fnuz"),
    21: ("uint4", "uint4"),
    22: ("int4", "int4"),
    23: ("float4e2m1", "float4_e2m1fn"),
    24: ("float8e8m0", "float8_e8m0fnu"),
    25: ("uint2", "uint2"),
    26: ("int2", "int2"),
    27: ("float6e2m3", "float6_e2m3fn"),
    28: ("float6e3m2", "float6_e3m2fn"),
}


@cache
def dtype_of(number: int) -> np.dtype:
    """The numpy dtype of an ONNX element type number; ModelError when ONNX has no such number or `ml_dtypes` lacks the type."""
    if number not in _ROWS:
        raise ModelError(f"{number} is no ONNX element type (known: 1 to {max(_ROWS)})")
    name = _ROWS[number][1]
    if number <= 15:
        return np.dtype(name)
    try:
        import ml_dtypes

        small: type = getattr(ml_dtypes, name)
    except (ImportError, AttributeError):
        raise ModelError(f"element type {_ROWS[number][0]} needs the package ml_dtypes in a version that has {name}: install it") from None
    return np.dtype(small)


@cache
def number_of(dtype: np.dtype) -> int:
    """The ONNX element type number of a numpy dtype (any width of numpy string counts as string)."""
    if dtype.kind in "OUS":
        return 8
    for number, (_, name) in _ROWS.items():
        if dtype.name == name:
            return number
    raise ModelError(f"numpy dtype {dtype} has no ONNX element type")


@cache
def type_name(dtype: np.dtype) -> str:
    """The element type in an ONNX type string: "float" for float32, as in tensor(float)."""
    return _ROWS[number_of(dtype)][0]
