"""From field paths to places, and the list that collects what is found on the way."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from ..errors import Fault, Place, Places, Severity
from .tree import Block, Document, Field

_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?")


_MOST = 1000
"""Findings of one severity that are kept: who gave a log for a net is not helped by a fault for each of its lines."""


class Findings:
    """Faults and warnings of one document, whatever order they are found in; after a thousand they are only counted."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.unbalanced = False
        """Whether braces are missing or left over, so that fields may stand in blocks they were not meant for."""
        self._found: list[tuple[int, Fault]] = []
        self._counts: Counter[Severity] = Counter()

    @property
    def full(self) -> bool:
        """Whether no more errors are kept, so that no help need be thought of."""
        return self._counts["error"] >= _MOST

    def add(
        self,
        offset: int,
        message: str,
        help: str | None = None,
        severity: Severity = "error",
        *,
        code: str | None = None,
    ) -> None:
        """Enter something wrong at a character of the document."""
        if self._counts[severity] < _MOST:
            fault = Fault(message, self.document.place(offset), help, severity=severity, code=code)
            self._found.append((offset, fault))
        self._counts[severity] += 1

    def warn(self, offset: int, message: str, help: str | None = None, *, code: str | None = None) -> None:
        """Enter something irregular that is understood all the same."""
        self.add(offset, message, help, "warning", code=code)

    def in_order(self) -> list[Fault]:
        """Everything, in the order of the text; last of all, how much was left out."""
        found = sorted(self._found, key=lambda entry: entry[0])
        more = [
            Fault(
                f"there are {count - _MOST} more that are not listed",
                found[-1][1].place,
                severity=severity,
                code="CL024",
            )
            for severity, count in self._counts.items()
            if count > _MOST
        ]
        return [fault for _, fault in found] + more


class TreePlaces:
    """The :data:`~caffelite.errors.Places` of a message that was read from a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._indexes: dict[int, dict[str, list[tuple[int, Block | None]]]] = {}

    def __call__(self, path: str) -> Place | None:
        """The place of the field; of the nearest one around it that is in the text; of the start for ""."""
        offset, _ = self.find(path)
        return self.document.place(offset)

    def find(self, path: str) -> tuple[int, list[Field] | None]:
        """The offset of the nearest field and, where the path leads to a block, what that block holds."""
        offset: int = 0
        fields: list[Field] | None = self.document.fields
        for name, index in _STEP.findall(path):
            found = self._index(fields).get(name, []) if fields is not None else []
            position = int(index or 0)
            if position >= len(found):
                return offset, None
            offset, block = found[position]
            fields = block.fields if block is not None else None
        return offset, fields

    def _index(self, fields: list[Field]) -> dict[str, list[tuple[int, Block | None]]]:
        index = self._indexes.get(id(fields))
        if index is None:
            index = self._indexes[id(fields)] = {}
            for name, offset, block in _values(fields):
                index.setdefault(name, []).append((offset, block))
        return index


def _values(fields: list[Field]) -> Iterator[tuple[str, int, Block | None]]:
    for field in fields:
        items = field.items()
        for item in items:
            offset = field.name.start if item is field.value else item.start
            yield field.name.text, offset, item if isinstance(item, Block) else None


def sub(places: Places, prefix: str) -> Places:
    """Places of paths that begin below `prefix`: ``sub(places, "layer[3]")("name")`` is the place of that name."""
    return lambda path: places(f"{prefix}.{path}" if prefix and path else prefix or path)
