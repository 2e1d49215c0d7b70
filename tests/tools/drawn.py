"""What tests of pictures ask of a sheet: that nothing lies on anything else, and lines lead where they should."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from caffelite.tools.drawing.diagram import Diagram
from caffelite.tools.drawing.faces import SMALL
from caffelite.tools.drawing.sheet import Rect, Sheet, Wire, Words
from caffelite.tools.drawing.text import width

_ROUNDING = 1e-6


def overlap(one: Rect, other: Rect) -> bool:
    """Whether two rectangles have more than an edge in common."""
    return (
        one.x + one.width > other.x + _ROUNDING
        and other.x + other.width > one.x + _ROUNDING
        and one.y + one.height > other.y + _ROUNDING
        and other.y + other.height > one.y + _ROUNDING
    )


def within(inner: Rect, outer: Rect) -> bool:
    """Whether a rectangle lies in another one."""
    return (
        outer.x - _ROUNDING <= inner.x
        and outer.y - _ROUNDING <= inner.y
        and inner.x + inner.width <= outer.x + outer.width + _ROUNDING
        and inner.y + inner.height <= outer.y + outer.height + _ROUNDING
    )


def around(words: Words) -> Rect:
    """The room that a line of text takes at most."""
    wide = width(words.text, words.size)
    left = {"start": 0.0, "middle": wide / 2, "end": wide}[words.anchor]
    return Rect(words.x - left, words.y - 0.75 * words.size, wide, words.size)


def labels(sheet: Sheet) -> list[Rect]:
    """Where the labels beside wires are: what is written below the legend."""
    lowest = max((chip.rect.y + chip.rect.height for chip in sheet.legend), default=0.0)
    return [around(words) for words in sheet.words if words.size == SMALL and words.y > lowest]


def track(wire: Wire, upright: bool, steps: int = 16) -> np.ndarray:
    """Points along a wire, a row each, from beginning to end."""
    along = np.linspace(0, 1, steps + 1)
    # A cubic curve whose control points lie halfway along: this far along, and so far aside.
    forth, aside = 1.5 * along - 1.5 * along**2 + along**3, 3 * along**2 - 2 * along**3
    pieces = []
    for number, (start, end) in enumerate(pairwise(wire.points)):
        moves = (aside, forth) if upright else (forth, aside)
        shares = np.stack(moves if number % 2 else (along, along), axis=1)
        pieces.append(np.array(start) + shares * (np.array(end) - start))
    return np.concatenate(pieces)


def check(sheet: Sheet, diagram: Diagram, direction: str) -> None:
    """Assert what holds of every picture."""
    page = Rect(0, 0, sheet.width, sheet.height)
    boxes = [cards[0].rect for cards in sheet.boxes]
    assert not [pair for pair in combinations(boxes, 2) if overlap(*pair)]
    assert all(within(box, page) for box in boxes)
    for cards in sheet.boxes:
        assert all(within(card.rect, cards[0].rect) for card in cards)
        assert not [pair for pair in combinations([card.rect for card in cards[1:]], 2) if overlap(*pair)]
        assert all(within(around(words), card.rect) for card in cards for words in card.words)
    written = labels(sheet)
    assert not [pair for pair in combinations(written, 2) if overlap(*pair)]
    assert not [(label, box) for label in written for box in boxes if overlap(label, box)]
    assert all(within(label, page) for label in written)
    edges = {(edge.source, edge.target) for edge in diagram.edges}
    assert {(wire.source, wire.target) for wire in sheet.wires} == edges
    assert len(sheet.wires) == len(diagram.edges)
    for wire in sheet.wires:
        _check_wire(wire, np.array(boxes), direction)


def _check_wire(wire: Wire, boxes: np.ndarray, direction: str) -> None:
    along = 1 if direction in ("TB", "BT") else 0
    across, onwards = 1 - along, 1 if direction in ("TB", "LR") else -1
    points, ends = track(wire, upright=bool(along)), boxes[:, :2] + boxes[:, 2:]
    assert (onwards * np.diff(points[:, along]) >= -_ROUNDING).all(), "it turns back"
    for point, box, leaving in ((points[0], wire.source, True), (points[-1], wire.target, False)):
        side = (ends if leaving == (onwards == 1) else boxes)[box, along]
        assert abs(point[along] - side) < _ROUNDING, "it does not touch its box"
        assert boxes[box, across] < point[across] < ends[box, across], "it does not touch its box"
    depth = np.minimum(points[:, None] - boxes[None, :, :2], ends[None] - points[:, None]).min(axis=2)
    assert (depth < _ROUNDING).all(), "it goes through a box"
