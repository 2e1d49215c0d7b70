"""One value of the text to one value of a field, by the field's type.

What is read, and how, is protobuf's text format (`google/protobuf/text_format.py`, `io/tokenizer.cc`): hex and octal
integers, ``1.``, ``.5``, ``1f``, ``inf``, escapes, ``t`` and ``0`` for booleans, enums by number.  Beyond it, with a
warning: names in the wrong case, and a backslash that begins no escape.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from math import isinf
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor

from ..errors import did_you_mean
from .tree import Scalar, short

Warn: TypeAlias = Callable[[str, "str | None", str], None]
"""Told of something irregular: the message, a help line and the code."""
Reader: TypeAlias = Callable[[Scalar, FieldDescriptor, Warn], Any]


class BadValue(Exception):
    """A value that does not fit its field: the message, perhaps a help line, and the code."""

    def __init__(self, message: str, help: str | None = None, *, code: str = "CL013") -> None:
        super().__init__(message)
        self.message = message
        self.help = help
        self.code = code


def kind(field: FieldDescriptor) -> str:
    """What a field takes, in words."""
    if field.enum_type is not None:
        names = [value.name for value in field.enum_type.values]
        return f"one of {', '.join(names)}" if len(names) <= 8 else f"a name such as {', '.join(names[:3])}"
    return _KINDS[field.cpp_type]


def _wrong(field: FieldDescriptor, got: str, help: str | None = None) -> BadValue:
    return BadValue(f"{field.name} takes {kind(field)}, got {short(got)}", help, code="CL014")


def _unquoted_help(scalar: Scalar, field: FieldDescriptor, fits: Callable[[str], object]) -> str | None:
    """The help for a value that would have been right without its quotes."""
    if scalar.tokens[0].kind != "string":
        return None
    inner = scalar.tokens[0].text[1:-1]
    try:
        fits(inner)
    except ValueError:
        return None
    return f"take the quotes off: {field.name}: {inner}"


# Numbers

_OCTAL = re.compile(r"-?0[0-9]+$")
_FLOAT_WORD = re.compile(r"(-?)(inf(?:inity)?|nan)f?$", re.IGNORECASE)
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def _integer(text: str) -> int:
    return int(text, 8) if _OCTAL.match(text) else int(text, 0)


def _float(text: str) -> float:
    if re.match(r"-?0[0-9]", text):
        raise ValueError(text)
    word = _FLOAT_WORD.match(text)
    if word:
        return float(word[1] + word[2])
    try:
        return float(text)
    except ValueError:
        return float(text.rstrip("fF"))


def read_integer(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> int:
    """An integer, decimal, hex (0x10) or octal (010), in the range of the field's type."""
    text = scalar.text
    try:
        value = _integer(text)
    except ValueError:
        raise _wrong(
            field, text, _whole_help(text) or _zeros_help(text) or _unquoted_help(scalar, field, _integer)
        ) from None
    low, high = _RANGES[field.cpp_type]
    if not low <= value <= high:
        if low == 0 and value < 0:
            raise BadValue(f"{field.name} cannot be negative, got {scalar.shown}", code="CL015")
        raise BadValue(f"{field.name} must lie between {low} and {high}, got {scalar.shown}", code="CL015")
    return value


def _zeros_help(text: str) -> str | None:
    leading = re.fullmatch(r"(-?)0+([0-9]+(?:\.[0-9]*)?)", text)
    return f"take the leading 0 off: {leading[1]}{leading[2]}" if leading else None


def _whole_help(text: str) -> str | None:
    try:
        value = _float(text)
    except ValueError:
        return None
    return f"write {int(value)}" if value.is_integer() and abs(value) < 2**63 else None


def read_float(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> float:
    """A decimal number, with or without a trailing f; inf and nan in any case."""
    text = scalar.text
    try:
        value = _float(text)
    except ValueError:
        raise _wrong(field, text, _zeros_help(text) or _unquoted_help(scalar, field, _float)) from None
    if not _FLOAT_WORD.match(text) and _is_infinite(value, field):
        bits, most = (32, "3.4e38") if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT else (64, "1.8e308")
        warn(
            f"{scalar.shown} is too large for {field.name} and is read as infinite",
            f"{bits}-bit numbers end at {most}",
            "CL022",
        )
    return value


def _is_infinite(value: float, field: FieldDescriptor) -> bool:
    """Whether the field holds the value as an infinite one."""
    try:
        struct.pack("<f" if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT else "<d", value)
    except OverflowError:
        return True
    return isinf(value)


# Words

_TRUE = frozenset({"true", "t", "1", "True"})
_FALSE = frozenset({"false", "f", "0", "False"})
_LIKE_BOOL = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def read_bool(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> bool:
    """true, t, True, 1 and their opposites; in another case with a warning."""
    text = scalar.text
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    folded = text.lower()
    if folded in _TRUE or folded in _FALSE:
        word = "true" if folded in _TRUE else "false"
        warn(f"{text} is read as {word}", f"write {field.name}: {word}", "CL019")
        return folded in _TRUE
    meant = _LIKE_BOOL.get(folded.strip("\"'"), folded.strip("\"'"))
    raise _wrong(field, text, f"write {field.name}: {meant}" if meant in ("true", "false") else None)


def read_enum(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> int:
    """A name of the enum, or the number of one; in another case with a warning."""
    text, enum = scalar.text, field.enum_type
    named = enum.values_by_name.get(text)
    if named is not None:
        return int(named.number)
    try:
        number = int(text, 0)
    except ValueError:
        return _enum_in_another_case(scalar, field, warn)
    if number not in enum.values_by_number:
        known = ", ".join(f"{value.name} ({value.number})" for value in enum.values)
        raise BadValue(f"{field.name} has no value with the number {scalar.shown}", f"known: {known}")
    return number


def _enum_in_another_case(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> int:
    text, names = scalar.text, field.enum_type.values_by_name
    if field.full_name == "caffe.V1LayerParameter.type":
        return _v1_type(scalar, field, warn)
    if scalar.tokens[0].kind == "string":
        inner = text[1:-1].upper()
        near = f"take the quotes off: {field.name}: {inner}" if inner in names else did_you_mean(inner, names)
        raise _wrong(field, text, near)
    folded = {name.lower(): name for name in names}
    name = folded.get(text.lower())
    if name is None:
        raise BadValue(
            f"unknown value {scalar.shown} for {field.name}", did_you_mean(text, names) or f"write {kind(field)}"
        )
    warn(f"{text} is read as {name}", f"write {field.name}: {name}", "CL019")
    return int(names[name].number)


def _v1_type(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> int:
    """The type of a V1 layer as today's are written, with quotes ("InnerProduct") or without."""
    names, written = field.enum_type.values_by_name, scalar.text.strip("\"'")
    plain = {name.replace("_", "").lower(): name for name in names} | {"softmaxwithloss": "SOFTMAX_LOSS"}
    name = plain.get(written.replace("_", "").lower())
    if name is None and scalar.tokens[0].kind == "string":
        help = f"write layer {{ … }} instead of layers {{ … }}, if {written} is one of today's types"
        raise BadValue(f"layers {{ … }} have no type {scalar.shown}", help)
    if name is None:
        help = did_you_mean(written, names) or f"write {kind(field)}"
        raise BadValue(f"unknown value {scalar.shown} for {field.name}", help)
    warn(f"{scalar.shown} is read as {name}", f"write {field.name}: {name}", "CL019")
    return int(names[name].number)


# Texts

_ESCAPE = re.compile(
    rb"\\(?:([abfnrtv\\'\"])|([0-7]{1,3})|x([0-9a-fA-F]{1,2})"
    rb"|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))",
    re.DOTALL,
)
_LETTERS = dict(zip(b"abfnrtv\\'\"", b"\a\b\f\n\r\t\v\\'\"", strict=True))


def _unescape(quoted: str, warn: Warn) -> bytes:
    def replace(match: re.Match[bytes]) -> bytes:
        letter, octal, hexadecimal, high, low, short, long, other = match.groups()
        if letter:
            return bytes([_LETTERS[letter[0]]])
        if octal or hexadecimal:
            return _byte(int(octal, 8) if octal else int(hexadecimal, 16), match[0])
        if high:
            return chr(0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF)).encode()
        if short or long:
            return _character(int(short or long, 16), match[0])
        return _no_escape(match[0], other, warn)

    return _ESCAPE.sub(replace, quoted[1:-1].encode("utf-8", "surrogateescape"))


def _byte(value: int, written: bytes) -> bytes:
    if value > 255:
        raise BadValue(f"{written.decode()} is no byte", r"octal escapes end at \377", code="CL021")
    return bytes([value])


def _character(value: int, written: bytes) -> bytes:
    try:
        return chr(value).encode()
    except (ValueError, UnicodeEncodeError):
        raise BadValue(f"{written.decode()} is no character", code="CL021") from None


def _no_escape(written: bytes, letter: bytes, warn: Warn) -> bytes:
    if letter in b"xuU":
        help = r"a backslash itself is written \\"
        raise BadValue(f"\\{letter.decode()} needs hexadecimal digits behind it", help, code="CL021")
    if letter == b"?":
        warn(r"\? is read as ?", "write ? alone", "CL021")
        return letter
    shown = written.decode("utf-8", "replace")
    warn(f"{shown} is no escape and is read as it stands", r"write \\ for a backslash, and / in paths", "CL021")
    return written


def read_bytes(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> bytes:
    """Quoted strings side by side, joined, escapes resolved."""
    if scalar.tokens[0].kind != "string":
        raise _wrong(field, scalar.text, f'put quotes around it: {field.name}: "{scalar.text}"')
    return b"".join(_unescape(token.text, warn) for token in scalar.tokens)


def read_string(scalar: Scalar, field: FieldDescriptor, warn: Warn) -> str:
    """As :func:`read_bytes`; the bytes must be UTF-8."""
    first = scalar.tokens[0]
    if len(scalar.tokens) == 1 and first.kind == "string" and "\\" not in first.text and first.text.isascii():
        return first.text[1:-1]
    try:
        return read_bytes(scalar, field, warn).decode()
    except UnicodeDecodeError:
        raise BadValue(f"{field.name} is not UTF-8", "save the file in UTF-8", code="CL021") from None


_KINDS = {
    FieldDescriptor.CPPTYPE_INT32: "a whole number",
    FieldDescriptor.CPPTYPE_INT64: "a whole number",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_STRING: "a text in quotes",
    FieldDescriptor.CPPTYPE_MESSAGE: "a block { … }",
}

_READERS: dict[int, Reader] = {
    FieldDescriptor.CPPTYPE_FLOAT: read_float,
    FieldDescriptor.CPPTYPE_DOUBLE: read_float,
    FieldDescriptor.CPPTYPE_BOOL: read_bool,
    FieldDescriptor.CPPTYPE_ENUM: read_enum,
    **dict.fromkeys(_RANGES, read_integer),
}


def reader(field: FieldDescriptor) -> Reader | None:
    """The function that reads the values of a field; None for a field that holds a block."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return None
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return read_bytes if field.type == FieldDescriptor.TYPE_BYTES else read_string
    return _READERS[field.cpp_type]
