"""Python values into the fields of messages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from ..errors import did_you_mean
from ..prototxt.build import is_repeated
from ..prototxt.tree import short
from ..prototxt.values import kind
from .errors import SettingError

_WHOLE = "a whole number"


def assign_proto(proto: Any, name: str, val: Any) -> None:
    """Put a Python value into the field `name` of a message.

    A dict fills a message; a list, tuple, range or array fills a repeated field, and so does a single value; a NumPy
    scalar counts as a number, and a value of an enum may be given by its name.

    Raises:
        SettingError: there is no such field, or the value does not fit it.
    """
    put(proto, name, val)


def put(message: Any, name: str, value: Any, around: str = "") -> None:
    """As :func:`assign_proto`; `around` is what an error says before the name ("weight_filler.")."""
    fields = message.DESCRIPTOR.fields_by_name
    field, label = fields.get(name), f"{around}{name}"
    if field is None:
        raise SettingError(unknown(label, value), help=did_you_mean(name, fields) or f"known: {', '.join(fields)}")
    value = plain(value)
    if is_repeated(field):
        target = getattr(message, name)
        for item in value if _is_list(value) else [value]:
            if field.message_type is not None:
                _fill(target.add(), item, label)
            else:
                _store(target.append, field, plain(item), label)
    elif _is_list(value):
        raise SettingError(f"{label} takes one value, got a list of {len(value)}", help=_pair_help(name, value, fields))
    elif field.message_type is not None:
        _fill(getattr(message, name), value, label)
    else:
        _store(partial(setattr, message, name), field, value, label)


def plain(value: Any) -> Any:
    """The lists and numbers in an array or a NumPy scalar; anything else as it is."""
    return value.tolist() if callable(getattr(value, "tolist", None)) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _fill(message: Any, value: Any, label: str) -> None:
    """Fill a message from a dict, or from another message of its type."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            put(message, name, inner, f"{label}.")
    elif isinstance(value, type(message)):
        message.MergeFrom(value)
    else:
        fields = ", ".join(f"{field.name}=…" for field in message.DESCRIPTOR.fields[:4])
        help = f"write {label.rpartition('.')[2]}=dict({fields})"
        raise SettingError(f"{label} takes a dict, got {shown(value)}", help=help)


def _store(store: Callable[[Any], Any], field: FieldDescriptor, value: Any, label: str) -> None:
    """Hand a single value to the function that keeps it in its field."""
    names = field.enum_type.values_by_name if field.enum_type is not None and isinstance(value, str) else {}
    if names and value in names:
        value = names[value].number
    elif isinstance(value, os.PathLike):
        value = os.fspath(value)
    try:
        store(value)
    except (TypeError, ValueError, OverflowError):
        help = did_you_mean(value, names) if names else _whole_help(field, value)
        raise SettingError(_misfit(field, value, label), help=help) from None


def _misfit(field: FieldDescriptor, value: Any, label: str) -> str:
    if kind(field) == _WHOLE and type(value) is int:
        return f"{label} {'cannot be negative' if -(2**31) <= value < 0 else 'is out of range'}, got {value}"
    return f"{label} takes {kind(field)}, got {shown(value)}"


def _whole_help(field: FieldDescriptor, value: Any) -> str | None:
    whole = kind(field) == _WHOLE and isinstance(value, float) and value.is_integer()
    return f"write {int(value)}; // divides whole numbers into a whole number" if whole else None


def _pair_help(name: str, value: Sequence[Any], fields: Iterable[str]) -> str | None:
    stem = name.removesuffix("_size")
    both = f"{stem}_h" in fields and len(value) == 2
    return f"write {stem}_h={value[0]}, {stem}_w={value[1]}" if both else None


def shown(value: Any) -> str:
    """A value as a message shows it: in one line, cut off where it is long."""
    return short(" ".join(repr(value).split()))


def unknown(label: str, value: Any) -> str:
    """What is said of a setting that there is not."""
    return f"unknown setting {label}={shown(value)}"
