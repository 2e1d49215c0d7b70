"""Files of MATLAB's format (level 5, not compressed) with one array."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, Fault

_INT8, _INT32, _UINT32, _SINGLE, _MATRIX = 1, 5, 6, 7, 14
"""Types of elements."""
_SINGLE_CLASS = 7
"""The class of arrays in single precision."""


def _element(kind: int, content: bytes) -> bytes:
    """Type, length, and content, filled up to a multiple of 8 bytes."""
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def write_mat(path: str, array: NDArray[np.floating]) -> None:
    """Write the array to the file as the variable "data" in single precision, its axes reversed: MATLAB runs through
    the first axis fastest, NumPy through the last one.

    Raises:
        DataError: the file cannot be written.
    """
    text = b"MATLAB 5.0 MAT-file, written by caffelite".ljust(116) + bytes(8)
    head = text + struct.pack("<HH", 0x0100, 0x4D49)
    sizes = np.array(array.shape[::-1], "<i4").tobytes()
    parts = [
        _element(_UINT32, struct.pack("<II", _SINGLE_CLASS, 0)),
        _element(_INT32, sizes),
        _element(_INT8, b"data"),
        _element(_SINGLE, np.ascontiguousarray(array, "<f4").tobytes()),
    ]
    try:
        Path(path).write_bytes(head + _element(_MATRIX, b"".join(parts)))
    except (OSError, ValueError) as error:
        raise DataError(Fault(f"cannot write {path}: {getattr(error, 'strerror', None) or error}")) from error
