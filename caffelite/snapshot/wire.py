"""The protobuf wire format, as far as reading weights of any fork and writing large arrays fast ask for it.

A message class fails on the first field number that a fork gave another type; here a reader takes the fields it knows
and steps over the others.  https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10

Field = tuple[int, int, "int | memoryview", int, int]
"""Number, wire type, value (an int for a varint, else the bytes), and where the field starts and ends."""


class WireError(ValueError):
    """The bytes are not a protobuf message."""


def read_varint(data: memoryview, start: int) -> tuple[int, int]:
    """An unsigned number and where it ends."""
    value = 0
    for index, byte in enumerate(data[start : start + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, start + index + 1
    raise WireError(f"a number at byte {start} does not end")


def fields(data: memoryview) -> Iterator[Field]:
    """The fields of a message, in order.

    Raises:
        WireError: a field is cut off or malformed.
    """
    end = 0
    while end < len(data):
        start = end
        tag, end = read_varint(data, start)
        number, kind = tag >> 3, tag & 7
        value: int | memoryview
        if number == 0 or number >= 1 << 29:
            raise WireError(f"no field number at byte {start}")
        if kind == VARINT:
            value, end = read_varint(data, end)
            yield number, kind, value, start, end
            continue
        if kind == BYTES:
            size, end = read_varint(data, end)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise WireError(f"a field of unknown kind at byte {start}")
        if end + size > len(data):
            raise WireError(f"a field at byte {start} needs {size} bytes, {len(data) - end} are left")
        value, end = data[end : end + size], end + size
        yield number, kind, value, start, end


def varint(value: int) -> bytes:
    """A number as a varint; negative ones in 64-bit two's complement."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number_field(number: int, value: int) -> bytes:
    """A field that holds a number."""
    return varint(number << 3 | VARINT) + varint(value)


Piece = bytes | memoryview
"""A stretch of the output; large arrays are written from where they lie."""


def bytes_field(number: int, pieces: Iterable[Piece]) -> list[Piece]:
    """A field that holds a string, a message or a packed list."""
    held = list(pieces)
    return [varint(number << 3 | BYTES) + varint(sum(map(len, held))), *held]
