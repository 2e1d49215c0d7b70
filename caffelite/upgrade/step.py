"""What a pass returns, and how a field of the new message finds its place in the old text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from ..errors import Fault, Place, Places


@dataclass(slots=True)
class Step:
    """The outcome of a pass.  `renamed` maps paths of the new message to paths of the old; what lies below a path
    that is listed moved with it, and what is not listed stayed where it was."""

    message: Any
    renamed: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


Pass = Callable[[Any, Places], "Step | None"]
"""Upgrades one thing; None where there is nothing to do.  Never changes the message it is given."""


def old_path(path: str, renamed: Mapping[str, str]) -> str:
    """The path that `path` had before: its longest listed beginning replaced."""
    head, rest = path, ""
    while head not in renamed:
        cut = max(head.rfind("."), head.rfind("["))
        if cut <= 0:
            return path
        head, rest = head[:cut], head[cut:] + rest
    return renamed[head] + rest


def moved(places: Places, renamed: Mapping[str, str]) -> Places:
    """Places of a new message, given those of the old."""
    if not renamed:
        return places

    def find(path: str) -> Place | None:
        return places(old_path(path, renamed))

    return find


def put(message: Any, name: str, value: Any) -> None:
    """Set a field, whatever its kind; a single value given to a repeated field is appended."""
    current = getattr(message, name)
    if isinstance(value, Message):
        current.CopyFrom(value)
    elif hasattr(value, "extend"):
        current.MergeFrom(value)
    elif hasattr(current, "append"):
        current.append(value)
    else:
        setattr(message, name, value)


def plural(count: int, noun: str) -> str:
    """ "1 layer", "2 layers"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
