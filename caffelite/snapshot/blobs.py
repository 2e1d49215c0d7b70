"""float32 arrays ↔ BlobProto.

Protobuf's own lists go through a Python object for every number (1.6 s for five million of them, both ways); a packed
list is just little-endian numbers after a length, so arrays are copied to and from the wire whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import proto
from ..errors import SnapshotError
from .wire import BYTES, FIXED32, FIXED64, VARINT, Piece, WireError, bytes_field, fields, read_varint, varint

Array = NDArray[np.float32]

_LEGACY_AXES = {1: 0, 2: 1, 3: 2, 4: 3}
_DATA, _DIFF, _SHAPE, _DOUBLE_DATA, _DOUBLE_DIFF = 5, 6, 7, 8, 9
_NUMBERS = {_DATA: "<f4", _DIFF: "<f4", _DOUBLE_DATA: "<f8", _DOUBLE_DIFF: "<f8"}
_DIM = 1


@dataclass(slots=True)
class _Parts:
    """The fields of one BlobProto as they come."""

    legacy: dict[int, int] = field(default_factory=dict)
    dims: list[int] = field(default_factory=list)
    numbers: dict[int, list[Array]] = field(default_factory=dict)

    def shape(self) -> tuple[int, ...]:
        """num, channels, height, width where any of them is given, else the shape; none at all is a scalar."""
        if self.legacy:
            return tuple(self.legacy.get(axis, 0) for axis in range(4))
        return tuple(self.dims)

    def array(self, double: int, single: int) -> Array | None:
        """The numbers in the shape declared; doubles win, as in the original."""
        pieces = self.numbers.get(double) or self.numbers.get(single)
        if not pieces and single == _DIFF:
            return None
        flat = pieces[0] if pieces and len(pieces) == 1 else np.concatenate([np.empty(0, np.float32), *(pieces or [])])
        shape = self.shape()
        if flat.size != prod(shape) or any(size < 0 for size in shape):
            sizes = "×".join(map(str, shape)) or "a scalar"
            raise WireError(f"{flat.size} numbers for the shape {sizes}")
        return flat.reshape(shape)


def decode(data: memoryview) -> tuple[Array, Array | None]:
    """Data and diff of a serialised BlobProto, of any age (`Blob::FromProto` of src/caffe/blob.cpp).

    Returns arrays of their own, float32 (doubles are rounded); the diff is None where there is none.

    Raises:
        WireError: the bytes are damaged, or the numbers do not fill the shape.
    """
    parts = _Parts()
    for number, kind, value, _, _ in fields(data):
        if number in _LEGACY_AXES and isinstance(value, int):
            parts.legacy[_LEGACY_AXES[number]] = _signed(value)
        elif number == _SHAPE and kind == BYTES and isinstance(value, memoryview):
            parts.dims += _dims(value)
        elif number in _NUMBERS and kind in (BYTES, FIXED32, FIXED64) and isinstance(value, memoryview):
            parts.numbers.setdefault(number, []).append(_floats(value, _NUMBERS[number]))
    data_array = parts.array(_DOUBLE_DATA, _DATA)
    assert data_array is not None
    return data_array, parts.array(_DOUBLE_DIFF, _DIFF)


def _floats(value: memoryview, kind: str) -> Array:
    if len(value) % np.dtype(kind).itemsize:
        raise WireError(f"{len(value)} bytes are no whole number of values")
    return np.frombuffer(value, kind).astype(np.float32)


def _dims(shape: memoryview) -> list[int]:
    dims: list[int] = []
    for number, kind, value, _, _ in fields(shape):
        if number != _DIM:
            continue
        if kind == VARINT and isinstance(value, int):
            dims.append(_signed(value))
        elif isinstance(value, memoryview):
            end = 0
            while end < len(value):
                dim, end = read_varint(value, end)
                dims.append(_signed(dim))
    return dims


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def encode(data: Any, diff: Any = None) -> list[Piece]:
    """A serialised BlobProto, in pieces, as the original writes it (`Blob::ToProto`): data, diff, shape."""
    data = np.asarray(data)
    pieces = _packed(_DATA, data)
    if diff is not None:
        pieces += _packed(_DIFF, np.asarray(diff))
    if data.ndim:
        pieces += bytes_field(_SHAPE, bytes_field(_DIM, [b"".join(map(varint, data.shape))]))
    return pieces


def _packed(number: int, array: Any) -> list[Piece]:
    if not array.size:
        return []
    flat: Array = np.ascontiguousarray(array, "<f4").reshape(-1)
    return bytes_field(number, [flat.data.cast("B")])


def array_to_blob(data: Any, diff: Any = None) -> Any:
    """A BlobProto that holds an array of any shape (and its gradient)."""
    return proto.BlobProto.FromString(b"".join(encode(data, diff)))


def blob_to_array(message: Any) -> Array:
    """The data of a BlobProto, float32, in its shape.

    Raises:
        SnapshotError: the numbers do not fill the shape.
    """
    try:
        return decode(memoryview(message.SerializeToString()))[0]
    except WireError as error:
        raise SnapshotError(f"the blob cannot be read: {error}") from error


def encode_all(arrays: Sequence[Any], diffs: Sequence[Any], number: int) -> list[Piece]:
    """A repeated field of BlobProtos; `diffs` is empty, or as long as `arrays`."""
    pieces: list[Piece] = []
    for array, diff in zip(arrays, diffs or [None] * len(arrays), strict=True):
        pieces += bytes_field(number, encode(array, diff))
    return pieces
