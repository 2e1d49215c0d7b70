"""The text an old message was read from: which of its fields each path means, and to whom its comments belong."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from ..prototxt.build import is_repeated
from ..prototxt.layout import end_of
from ..prototxt.tree import Block, Document, Field, ListValue, Scalar

_LINE_END = re.compile(r"[ \t]*[,;]?[ \t]*(?:(?:#|//)[^\n]*|\r)?(?:\n|\Z)|[ \t]*[,;]?")


class Spot(NamedTuple):
    """A value of the old text: its field, which item of a list it is, and what was read from it."""

    field: Field
    item: Scalar | Block
    descriptor: FieldDescriptor
    value: Any


class Comment(NamedTuple):
    """A comment, and the field it belongs to (None: the document's end).  It stands "above" that field, "behind" it,
    "inside" it but in no block, "opening" its block behind the brace, or at the "end" of its block."""

    start: int
    text: str
    owner: Field | None
    where: str


class OldText:
    """What stands where in a text.

    Attributes:
        spots: the values that were read, by their path in the message.
        comments: every comment, in order.
    """

    def __init__(self, document: Document, message: Any) -> None:
        self.document, self.text = document, document.text()
        self.spots: dict[str, Spot] = {}
        self._find(document.fields, message, "")
        self.comments = list(self._owned())

    def _find(self, fields: list[Field], message: Any, prefix: str) -> None:
        counts: dict[str, int] = {}
        for field in fields:
            name = field.name.text
            descriptor = message.DESCRIPTOR.fields_by_name.get(name)
            for item in field.items() if descriptor is not None else ():
                index = counts[name] = counts.get(name, -1) + 1
                value = getattr(message, name)
                path = f"{prefix}{name}"
                if is_repeated(descriptor):
                    if index >= len(value):
                        continue
                    path, value = f"{path}[{index}]", value[index]
                elif index:
                    continue
                self.spots[path] = Spot(field, item, descriptor, value)
                if isinstance(item, Block):
                    self._find(item.fields, value, f"{path}.")

    # -- comments -------------------------------------------------------------------------------------------------

    def _owned(self) -> Iterator[Comment]:
        events = sorted(_events(self.document.fields), key=lambda event: event[0])
        offsets = [offset for offset, _, _ in events]
        for token in self.document.comments():
            after = bisect_right(offsets, token.start)
            owner, where = None, "above"
            if after and "\n" not in self.text[offsets[after - 1] : token.start]:
                _, kind, owner = events[after - 1]
                where = {"start": "inside", "open": "opening", "close": "inside"}.get(kind, "behind")
            elif after < len(events):
                _, kind, owner = events[after]
                where = {"start": "above", "close": "end"}.get(kind, "inside")
            if owner is not None and isinstance(owner.value, ListValue) and where in ("opening", "end"):
                where = "inside"  # which of the blocks of a list it belongs to matters less than that it is kept
            yield Comment(token.start, token.text.rstrip(), owner, where)

    def empty_line_above(self, offset: int) -> bool:
        """Whether an empty line stands in front of what begins at the offset."""
        return re.search(r"\n[ \t\r]*\n[ \t\r]*\Z", self.text[max(offset - 200, 0) : offset]) is not None

    # -- fields at the top ----------------------------------------------------------------------------------------

    def line_end(self, field: Field) -> int:
        """The offset behind a field, a comment behind it, and the end of its line, if nothing else stands there."""
        found = _LINE_END.match(self.text, end_of(field))
        assert found is not None
        return found.end()


def _events(fields: list[Field]) -> Iterator[tuple[int, str, Field]]:
    """Where fields and their blocks begin and end."""
    for field in fields:
        if field.value is None:
            continue
        yield field.name.start, "start", field
        for item in field.items():
            if isinstance(item, Block):
                yield item.open.end, "open", field
                yield from _events(item.fields)
                assert item.close is not None
                yield item.close.start, "close", field
        yield end_of(field), "end", field


def slice_of(field: Field, item: Scalar | Block | None) -> tuple[int, int]:
    """Where an item of a list begins and ends; or, with its name, a field that holds none, or that is wanted whole."""
    if item is None or not isinstance(field.value, ListValue):
        return field.name.start, end_of(field)
    if isinstance(item, Scalar):
        return item.start, item.tokens[-1].end
    assert item.close is not None
    return item.start, item.close.end
