"""A message to its canonical text.

The text is the one that the original writes and logs (`TextFormat::Printer` and `SimpleFtoa` of the protobuf for C++):
fields in the order of their numbers, two blanks a level, and the shortest of 6 or 9 digits that gives the number back,
so ``lr_mult: 1`` where protobuf's `text_format` for Python writes ``lr_mult: 1.0``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from .build import is_repeated

_PLAIN = {code: f"\\{code:03o}" for code in (*range(32), 127)}
_ESCAPES = _PLAIN | {
    ord(a): b for a, b in {"\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "'": "\\'", "\\": "\\\\"}.items()
}
_BYTE_ESCAPES = _ESCAPES | {code: f"\\{code:03o}" for code in range(128, 256)}


def dump(message: Message) -> str:
    """The message as prototxt; reading it back gives an equal message.  Unset fields are left out."""
    lines: list[str] = []
    _write(message, "", lines)
    return "".join(lines)


def _write(message: Message, indent: str, lines: list[str]) -> None:
    for field, value in message.ListFields():
        values = value if is_repeated(field) else (value,)
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            for block in values:
                lines.append(f"{indent}{field.name} {{\n")
                _write(block, indent + "  ", lines)
                lines.append(f"{indent}}}\n")
        else:
            show = _shower(field)
            lines.extend(f"{indent}{field.name}: {show(item)}\n" for item in values)


def shown(field: FieldDescriptor, value: Any) -> str:
    """A value of a field that holds no block, as text."""
    return _shower(field)(value)


def _shower(field: FieldDescriptor) -> Callable[[Any], str]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT:
        return _float
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return _double
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return lambda value: "true" if value else "false"
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return quoted
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        names = field.enum_type.values_by_number
        return lambda number: names[number].name
    return str


def _float(value: float) -> str:
    if value - value != 0:
        return str(value)
    short = f"{value:.6g}"
    return short if struct.pack("f", float(short)) == struct.pack("f", value) else f"{value:.9g}"


def _double(value: float) -> str:
    short = f"{value:.15g}"
    return short if value != value or float(short) == value else f"{value:.17g}"


def quoted(value: str | bytes) -> str:
    """A text or bytes as a quoted string of prototxt."""
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    return f'"{value.decode("latin-1").translate(_BYTE_ESCAPES)}"'
