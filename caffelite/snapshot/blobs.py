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
_RAW = {_DATA: (10, 12), _DIFF: (11, 13)}
_RAW_FIELDS = {(kind, VARINT) for kind, _ in _RAW.values()} | {(value, BYTES) for _, value in _RAW.values()}
_RAW_KINDS = {0: "<f8", 1: "<f4", 2: "<f2"}
_C3D_WIDTH, _C3D_DATA, _C3D_DIFF = 5, 6, 7
"""Fields of facebook/C3D v1.0, which put a length between channels and height, and so moved all that follow by one."""
_DIM = 1


@dataclass(slots=True)
class _Parts:
    """The fields of one BlobProto as they come."""

    legacy: dict[int, int] = field(default_factory=dict)
    dims: list[int] = field(default_factory=list)
    numbers: dict[int, list[Array]] = field(default_factory=dict)
    raw: dict[int, int | memoryview] = field(default_factory=dict)
    width: int | None = None

    def shape(self) -> tuple[int, ...]:
        """num, channels, height, width where any of them is given, else the shape; none at all is a scalar.  Of C3D
        v1.0: num, channels, length, height, width."""
        if self.width is not None:
            return *(self.legacy.get(axis, 0) for axis in range(4)), self.width
        if self.legacy:
            return tuple(self.legacy.get(axis, 0) for axis in range(4))
        return tuple(self.dims)

    def array(self, double: int, single: int) -> Array | None:
        """The numbers in the shape declared; doubles win, as in the original, and NVIDIA's raw ones come last."""
        pieces = self.numbers.get(double) or self.numbers.get(single) or self.raw_numbers(single)
        if not pieces and single == _DIFF:
            return None
        flat = pieces[0] if pieces and len(pieces) == 1 else np.concatenate([np.empty(0, np.float32), *(pieces or [])])
        shape = self.shape()
        if flat.size != prod(shape) or any(size < 0 for size in shape):
            sizes = "×".join(map(str, shape)) or "a scalar"
            raise WireError(f"{flat.size} numbers for the shape {sizes}")
        return flat.reshape(shape)

    def raw_numbers(self, single: int) -> list[Array]:
        """Numbers as NVIDIA's fork keeps them: a type, and bytes."""
        kind, value = (self.raw.get(number) for number in _RAW[single])
        if not isinstance(kind, int) or not isinstance(value, memoryview):
            return []
        if kind not in _RAW_KINDS:
            raise WireError(f"numbers of type {kind}, which are none of 64, 32 or 16 bits with a point")
        return [_floats(value, _RAW_KINDS[kind])]


def decode(data: memoryview) -> tuple[Array, Array | None]:
    """Data and diff of a serialised BlobProto, of any age (`Blob::FromProto` of src/caffe/blob.cpp), also of NVIDIA's
    fork, which keeps half floats as bytes.

    Returns arrays of their own, float32 (doubles are rounded); the diff is None where there is none.

    Raises:
        WireError: the bytes are damaged, or the numbers do not fill the shape.
    """
    parts = _parts(data)
    data_array = parts.array(_DOUBLE_DATA, _DATA)
    assert data_array is not None
    return data_array, parts.array(_DOUBLE_DIFF, _DIFF)


def without_raw(data: memoryview) -> list[Piece] | None:
    """A serialised BlobProto of NVIDIA's fork with its raw numbers as those that every Caffe reads; None where it has
    none.

    Raises:
        WireError: the bytes are damaged.
    """
    parts = _parts(data)
    pieces: list[Piece] = []
    for single, double in ((_DATA, _DOUBLE_DATA), (_DIFF, _DOUBLE_DIFF)):
        if not (parts.numbers.get(single) or parts.numbers.get(double)):
            pieces += [piece for array in parts.raw_numbers(single) for piece in _packed(single, array)]
    kept = [data[start:end] for number, kind, _, start, end in fields(data) if (number, kind) not in _RAW_FIELDS]
    return [*kept, *pieces] if pieces else None


def _parts(data: memoryview) -> _Parts:
    parts = _Parts()
    for number, kind, value, _, _ in fields(data):
        if number in _LEGACY_AXES and isinstance(value, int):
            parts.legacy[_LEGACY_AXES[number]] = _signed(value)
        elif number == _C3D_WIDTH and isinstance(value, int):
            parts.width = _signed(value)
        elif parts.width is not None and number in (_C3D_DATA, _C3D_DIFF) and isinstance(value, memoryview):
            found = _DATA if number == _C3D_DATA else _DIFF
            parts.numbers.setdefault(found, []).append(_floats(value, _NUMBERS[found]))
        elif number == _SHAPE and kind == BYTES and isinstance(value, memoryview):
            parts.dims += _dims(value)
        elif number in _NUMBERS and kind in (BYTES, FIXED32, FIXED64) and isinstance(value, memoryview):
            parts.numbers.setdefault(number, []).append(_floats(value, _NUMBERS[number]))
        elif (number, kind) in _RAW_FIELDS:
            parts.raw[number] = value
    return parts


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


def same_shape(stored: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether stored weights fit: equal shapes, or a legacy num × channels × height × width with leading ones.

    Old files pad every shape to four axes with ones in front (`Blob::ShapeEquals`), C3D v1.0 to five.  And forks differ
    in how many ones stand behind the channels: BN of yjxiong/caffe has 1×C where hszhao/PSPNet has 1×C×1×1.
    """
    if stored == wanted or stored + (1,) * (len(wanted) - len(stored)) == wanted:
        return True
    return len(stored) in (4, 5) and stored == (1,) * (len(stored) - len(wanted)) + wanted
