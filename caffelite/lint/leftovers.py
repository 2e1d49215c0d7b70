"""What tools leave in a text that nobody finished: merge markers, and holes of templates.

To the parser these are a heap of stray characters; here they are named as what they are, and taken out of the text
before it is parsed, so that all the rest of the file can still be checked.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import Fault, Place

_MARKER = re.compile(r"^(<{7}|\|{7}|={7}|>{7})(?=[ \t\r\n]|\Z)[^\n]*", re.MULTILINE)
_HOLES = r"\{\{[^{}\n]*\}\}|\{%[^\n]*?%\}|\$\{[^}\n]*\}|%\(\w+\)[sdfgi]|@[A-Za-z_]\w*@"
_WORDS = r"\b(?:REPLACE_?ME|CHANGE_?ME|FILL_?ME_?IN|YOUR_[A-Z][A-Z_]+)\b"
_PIECES = re.compile(
    rf"""(?P<comment>\#[^\n]*|//[^\n]*)|(?P<string>"[^"\n]*"|'[^'\n]*')|(?P<hole>{_HOLES}|{_WORDS})""", re.VERBOSE
)
_IN_STRING = re.compile(f"{_HOLES}|{_WORDS}")
_SIGNS = re.compile(rf"^(?:<{{7}}|\|{{7}}|={{7}}|>{{7}})|{_HOLES}|{_WORDS}", re.MULTILINE)


class Cleaned(NamedTuple):
    """A text without what was left over (blanks stand in its place), what was found, and the lines where something was
    taken out."""

    text: str
    faults: list[Fault]
    lines: frozenset[int]


def clean(text: str, file: str) -> Cleaned:
    """Find merge markers and holes."""
    if _SIGNS.search(text) is None:
        return Cleaned(text, [], frozenset())
    starts = [0, *(newline.end() for newline in re.finditer("\n", text))]

    def place(offset: int) -> Place:
        line = bisect_right(starts, offset)
        source = text[starts[line - 1] :].split("\n", 1)[0].rstrip("\r")
        return Place(file, line, offset - starts[line - 1] + 1, source)

    faults, cut = list[Fault](), list[tuple[int, int]]()
    for fault, spans in [*_merges(text, place), *_holes(text, place)]:
        faults.append(fault)
        cut += spans
    lines = frozenset(place(start).line or 0 for start, _ in cut)
    return Cleaned(_blanked(text, cut), faults, lines)


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    pieces, done = list[str](), 0
    for start, end in sorted(spans):
        start = max(start, done)
        pieces += [text[done:start], re.sub(r"[^\n]", " ", text[start:end])]
        done = max(done, end)
    return "".join([*pieces, text[done:]])


Found = tuple[Fault, list[tuple[int, int]]]


def _merges(text: str, place: Callable[[int], Place]) -> Iterator[Found]:
    """Every conflict, of which the upper side is kept; and markers that were left over of one."""
    opened: re.Match[str] | None = None
    divided: re.Match[str] | None = None
    help = 'keep one of the two versions, and take "<<<<<<<", "=======" and ">>>>>>>" out'
    for marker in _MARKER.finditer(text):
        sign = marker[1][0]
        if sign == "<" and opened is None:
            opened, divided = marker, None
        elif sign in "|=" and opened is not None:
            divided = divided or marker
        elif sign == ">" and opened is not None and divided is not None:
            last = place(marker.start()).line
            message = f"half-merged: two versions of the same lines stand here, up to line {last}"
            yield (
                Fault(message, place(opened.start()), help, code="CL025"),
                [opened.span(), (divided.start(), marker.end())],
            )
            opened = divided = None
        else:
            yield (
                Fault("half-merged: a marker of a merge was left over", place(marker.start()), help, code="CL025"),
                [marker.span()],
            )
    for left in (opened, divided):
        if left is not None:
            yield (
                Fault("half-merged: a marker of a merge was left over", place(left.start()), help, code="CL025"),
                [left.span()],
            )


def _holes(text: str, place: Callable[[int], Place]) -> Iterator[Found]:
    help = "write the value, or run the tool that fills the template in"
    for piece in _PIECES.finditer(text):
        if piece["hole"]:
            message = f"a hole of a template, never filled in: {piece['hole']}"
            yield Fault(message, place(piece.start()), help, code="CL026"), [piece.span()]
        elif piece["string"]:
            inside = _IN_STRING.search(piece["string"])
            if inside is not None:
                message = f"a hole of a template in a text, never filled in: {inside[0]}"
                where = place(piece.start() + inside.start())
                yield Fault(message, where, help, severity="warning", code="CL026"), []
