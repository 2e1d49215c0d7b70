"""The syntax tree: what stands in the text, before anybody asks whether the schema knows it.

A :class:`Document` keeps every token, so its text can be had back byte for byte; the nodes point into the tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import Place
from .tokens import Token

_SHOWN, _LONG = 400, 40


@dataclass(slots=True, eq=False)
class Scalar:
    """One value: a single token, or several strings that stand side by side, or a sign and its number."""

    tokens: list[Token]

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def text(self) -> str:
        """The value as written; what stands between its tokens is left out."""
        return "".join(token.text for token in self.tokens)

    @property
    def shown(self) -> str:
        """The value as a message shows it: cut off where it is long."""
        return short(self.text)


@dataclass(slots=True, eq=False)
class Block:
    """``{ … }`` or ``< … >``; `close` is None where the text ends first."""

    open: Token
    fields: list[Field]
    close: Token | None = None

    @property
    def start(self) -> int:
        return self.open.start


@dataclass(slots=True, eq=False)
class ListValue:
    """``[ … ]``."""

    open: Token
    items: list[Scalar | Block]
    close: Token | None = None

    @property
    def start(self) -> int:
        return self.open.start


Value: TypeAlias = Scalar | Block | ListValue


@dataclass(slots=True, eq=False)
class Field:
    """``name: value`` or ``name { … }``; `value` is None where it is missing or was reported as broken."""

    name: Token
    colon: Token | None
    value: Value | None

    def items(self) -> list[Scalar | Block]:
        """The values one by one: those of a list, or the only one."""
        if isinstance(self.value, ListValue):
            return self.value.items
        return [] if self.value is None else [self.value]


@dataclass(slots=True, eq=False)
class Document:
    """A whole text: its tokens (none left out) and the fields at its top."""

    tokens: list[Token]
    fields: list[Field]
    file: str | None = None
    _text: str | None = field(default=None, repr=False)
    _starts: list[int] = field(default_factory=list, repr=False)

    def text(self) -> str:
        """The text the document was read from, character for character."""
        if self._text is None:
            self._text = "".join(token.text for token in self.tokens)
        return self._text

    def comments(self) -> Iterator[Token]:
        """Every comment, in order."""
        return (token for token in self.tokens if token.kind == "comment")

    def line(self, offset: int) -> int:
        """The number of the line that holds the offset, counted from 1."""
        if not self._starts:
            self._starts = [0, *(newline.end() for newline in re.finditer("\n", self.text()))]
        return bisect_right(self._starts, offset)

    def place(self, offset: int) -> Place:
        """The place of a character.  A byte order mark takes up no column; a line too long to be shown is left out."""
        line = self.line(offset)
        start = self._starts[line - 1]
        end = self._starts[line] if line < len(self._starts) else None
        source, column = self.text()[start:end].rstrip("\r\n"), offset - start
        if source.startswith("\ufeff") and start == 0:
            source, column = source[1:], max(column - 1, 0)
        return Place(self.file, line, column + 1, printable(source) if len(source) <= _SHOWN else None)


def short(text: str) -> str:
    """The beginning of a text that is too long to be shown."""
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"


def printable(text: str) -> str:
    """The text with bytes that are no UTF-8 (kept as lone surrogates) shown as U+FFFD."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
