"""A picture, whatever it is going to be written as: rectangles, lines and text in their places."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Point(NamedTuple):
    """A place on the sheet, from its top left corner."""

    x: float
    y: float


class Rect(NamedTuple):
    """A rectangle by its top left corner."""

    x: float
    y: float
    width: float
    height: float


class Words(NamedTuple):
    """A line of text whose baseline begins, ends or has its middle (`anchor`: start, end, middle) at (x, y)."""

    text: str
    x: float
    y: float
    size: int
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Card:
    """A filled rectangle and the text on it: a box, or a strip in one.  `tip` is shown to whoever points at it."""

    rect: Rect
    fill: str
    words: tuple[Words, ...] = ()
    tip: str = ""
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """An edge from box to box: from its first point straight on to the second, in a curve to the third, and so on.

    The last piece is a curve.  Curves begin and end in the direction of the sheet.  Wires that begin together have the
    same `bundle`.
    """

    source: int
    target: int
    bundle: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The picture.

    Attributes:
        boxes: by box its cards: the whole box, then the strips in it.
        legend: patches of colour; `words`: what they mean, the title, and labels beside wires.
        upright: wires lead up or down (otherwise to a side).
    """

    title: str
    width: float
    height: float
    boxes: tuple[tuple[Card, ...], ...]
    wires: tuple[Wire, ...]
    legend: tuple[Card, ...]
    words: tuple[Words, ...]
    upright: bool


TEXT, PALE, LINE, OUTLINE = "#1b1b1b", "#7a7a7a", "#858585", "#6f6f6f"
"""Colours: of text on cards; of text beside them, wires and outlines, all of which are seen on white and on black."""

_ARROW = 7.0


class Stroke(NamedTuple):
    """A piece of a wire that is still to be drawn."""

    curved: bool
    start: Point
    end: Point


def bundles(sheet: Sheet) -> list[list[Stroke]]:
    """By bundle its strokes: none twice where wires run together, and straight on as one."""
    found: dict[int, list[Stroke]] = {}
    drawn: set[tuple[int, Point, Point]] = set()
    for wire in sheet.wires:
        strokes = found.setdefault(wire.bundle, [])
        for number, (start, end) in enumerate(pairwise(wire.points)):
            if start == end or (wire.bundle, start, end) in drawn:
                continue
            drawn.add((wire.bundle, start, end))
            curved = number % 2 == 1 and abs(start[not sheet.upright] - end[not sheet.upright]) > 0.05
            if strokes and not curved and not strokes[-1].curved and strokes[-1].end == start:
                start = strokes.pop().start
            strokes.append(Stroke(curved, start, end))
    return list(found.values())


def bends(stroke: Stroke, upright: bool) -> tuple[Point, Point] | None:
    """The two control points of a curve; None for what is straight."""
    if not stroke.curved:
        return None
    (x, y), (to_x, to_y) = stroke.start, stroke.end
    if upright:
        return Point(x, (y + to_y) / 2), Point(to_x, (y + to_y) / 2)
    return Point((x + to_x) / 2, y), Point((x + to_x) / 2, to_y)


def arrows(sheet: Sheet) -> list[tuple[Point, Point, Point]]:
    """A triangle for the end of every wire."""
    found = []
    for wire in sheet.wires:
        before, (x, y) = wire.points[-2:]
        back = -_ARROW if (y > before.y if sheet.upright else x > before.x) else _ARROW
        side = _ARROW / 2 - 0.4
        if sheet.upright:
            found.append((Point(x, y), Point(x - side, y + back), Point(x + side, y + back)))
        else:
            found.append((Point(x, y), Point(x + back, y - side), Point(x + back, y + side)))
    return found
