"""A text in its canonical layout: what it says, and every comment, stay.

A field a line, two blanks a level, `name: value` and `name { … }` without a colon, strings in double quotes, lists on
one line, at most one empty line; comments behind fields of neighbouring lines begin in one column.  A block that stood
on one line, without comments, stays on one if it fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from .parse import parse
from .read import refuse
from .tokens import Token
from .tree import Block, Document, Field, ListValue, Scalar, Value

WIDTH = 100
"""Characters that a line with a whole block may have."""


def formatted(text: str, file: str | None = None) -> str:
    """A text in its canonical layout; `file` is the name that places bear.

    Raises:
        PrototxtError: with every fault of its syntax.  Whether the schema knows its fields is not asked.
    """
    document, findings = parse(text, file)
    refuse([fault for fault in findings.in_order() if fault.severity == "error"], strict=False)
    return layout(document)


def layout(document: Document) -> str:
    """The text of a document without faults of syntax; laying it out again changes nothing."""
    writer = _Writer(document)
    writer.fields(document.fields, 0, len(document.text()))
    return "".join(f"{line}\n" for line in _aligned(writer.lines))


@dataclass(slots=True)
class _Line:
    """A line, and the comment behind it."""

    text: str
    comment: str = ""


def _aligned(lines: Sequence[_Line]) -> Iterator[str]:
    """The lines with their comments behind them, those of neighbours in one column."""
    for commented, group in groupby(lines, lambda line: bool(line.comment)):
        block = list(group)
        width = max(len(line.text) for line in block)
        for line in block:
            yield f"{line.text:<{width}}  {line.comment}" if commented else line.text


class _Writer:
    def __init__(self, document: Document) -> None:
        self.document, self.text = document, document.text()
        self.comments = list(document.comments())
        self.lines: list[_Line] = []
        self.end = 0  # of what was written last, in the old text
        self.opened = True  # nothing has been written into this block yet

    def fields(self, fields: Sequence[Field], depth: int, end: int) -> None:
        """The fields of a block that ends at offset `end`, with the comments among them."""
        for field in fields:
            if not isinstance(field.value, Block):
                self._flush(end_of(field), field.name.start, depth)
            else:
                self._flush(field.value.start, field.name.start, depth)
            self._gap(field.name.start)
            self._field(field, depth)
        self._flush(end, end, depth)

    def _field(self, field: Field, depth: int) -> None:
        indent, value = "  " * depth, field.value
        self.opened = False
        one = None if isinstance(value, Block) and not self._stands_on_one(value) else f"{indent}{one_line(field)}"
        if not isinstance(value, Block) or (one is not None and len(one) <= WIDTH):
            self.lines.append(_Line(str(one)))
        else:
            self.lines.append(_Line(f"{indent}{field.name.text} {{"))
            self.end, self.opened = value.open.end, True
            assert value.close is not None
            self.fields(value.fields, depth + 1, value.close.start)
            self.lines.append(_Line(f"{indent}}}"))
            self.opened = False
        self.end = end_of(field)

    def _stands_on_one(self, block: Block) -> bool:
        assert block.close is not None
        inside = (comment for comment in self.comments if block.start < comment.start < block.close.start)
        return "\n" not in self.text[block.start : block.close.end] and next(inside, None) is None

    def _flush(self, end: int, start: int, depth: int) -> None:
        """Write the comments before offset `end`, those of a field that begins at `start` above it."""
        while self.comments and self.comments[0].start < end:
            comment = self.comments.pop(0)
            if comment.start < start and self._follows(comment):
                self.lines[-1].comment = _comment(comment)
            else:
                self._gap(min(comment.start, start))
                self.lines.append(_Line(f"{'  ' * depth}{_comment(comment)}"))
            self.end = max(self.end, min(comment.end, start))
            self.opened = False

    def _follows(self, comment: Token) -> bool:
        """Whether a comment stands in the line of what was written last."""
        return bool(self.lines) and "\n" not in self.text[self.end : comment.start]

    def _gap(self, start: int) -> None:
        """An empty line, where the old text has any before offset `start`."""
        if not self.opened and len(re.findall("\n", self.text[self.end : start])) > 1:
            self.lines.append(_Line(""))


def one_line(field: Field) -> str:
    """A field on one line, without comments."""
    value = field.value
    if isinstance(value, Block):
        return f"{field.name.text} {_value(value)}"
    return f"{field.name.text}: {_value(value)}"


def _value(value: Value | None) -> str:
    if isinstance(value, Block):
        inside = " ".join(one_line(field) for field in value.fields)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, ListValue):
        return f"[{', '.join(_value(item) for item in value.items)}]"
    assert isinstance(value, Scalar)
    strings = value.tokens[0].kind == "string"
    return " ".join(map(_quoted, value.tokens)) if strings else value.text


def _quoted(token: Token) -> str:
    """A string in double quotes."""
    if token.text.startswith('"'):
        return token.text
    body = re.sub(r'(\\.)|"', lambda found: found.group(1) or '\\"', token.text[1:-1])
    return f'"{body}"'


def _comment(token: Token) -> str:
    """A comment, begun as Caffe begins them."""
    text = token.text.rstrip()
    return f"# {text[2:].lstrip()}".rstrip() if text.startswith("//") else text


def end_of(field: Field) -> int:
    """The offset behind a field."""
    value = field.value
    if isinstance(value, Scalar):
        return value.tokens[-1].end
    assert value is not None
    assert value.close is not None
    return value.close.end
