"""What a box looks like: its size, and where its lines of text and the layers stacked in it are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from . import text
from .diagram import Box, Part
from .kinds import MISSING

NAME_SIZE, SMALL = 13, 11
_NAME_LINE, _LINE = 17, 14
_PAD = 7
_INSET = 4
_STRIP_PAD = 3
_MOST_NAME, _MOST_WORDS = 60, 30
"""Characters of a name, and of a line of settings where several share one."""
_MOST_LINES = 5
_LEAST_WIDTH = 64


class Line(NamedTuple):
    """A line of text, centred: where its baseline is below the top of the box."""

    text: str
    baseline: float
    size: int


@dataclass(frozen=True, slots=True)
class Panel:
    """A layer's own rectangle: the whole box, or a strip in it.  `top` and `inset` are measured from the box."""

    part: Part
    top: float
    height: float
    inset: float
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Face:
    """A box and its size."""

    width: float
    height: float
    panels: tuple[Panel, ...]


def face(box: Box) -> Face:
    """How a box looks: the first layer's lines, then a strip for each layer in place."""
    first, *stacked = box.parts
    lines, height = _lines(first)
    strips = []
    for part in stacked:
        strip = _strip(part, height)
        strips.append(strip)
        height = strip.top + strip.height + _STRIP_PAD
    height += 1 if strips else _PAD - 2
    panels = (Panel(first, 0, height, 0, tuple(lines)), *strips)
    room = [text.width(line.text, line.size) + 2 * (_PAD + panel.inset) for panel in panels for line in panel.lines]
    return Face(max(_LEAST_WIDTH, *room), height, panels)


def _lines(part: Part) -> tuple[list[Line], float]:
    """The lines of the layer that has the box, and how far down they reach."""
    lines = [Line(_named(part.name), _PAD + NAME_SIZE - 2, NAME_SIZE)]
    bottom: float = _PAD + _NAME_LINE - 3
    for words in [part.type] * (part.kind is not MISSING) + _settings(part):
        lines.append(Line(words, bottom + SMALL, SMALL))
        bottom += _LINE
    return lines, bottom + 1


def _strip(part: Part, bottom: float) -> Panel:
    """The strip of a layer that works in place, below what there is already."""
    words = [" · ".join(filter(None, (part.type, _named(part.name)))), *_settings(part)]
    top = bottom + _STRIP_PAD
    lines = tuple(Line(line, top + 2 + SMALL + number * _LINE - 1, SMALL) for number, line in enumerate(words))
    return Panel(part, top, 3 + len(words) * _LINE, _INSET, lines)


def _named(name: str) -> str:
    return text.shortened(name, _MOST_NAME)


def _settings(part: Part) -> list[str]:
    lines = text.wrapped(part.settings, _MOST_WORDS)
    return [*lines[:_MOST_LINES], *["…"] * (len(lines) > _MOST_LINES)]
