"""From boxes and edges to a sheet on which everything has its place."""

from __future__ import annotations

from . import text
from .columns import columns, frame
from .diagram import Diagram
from .docks import BESIDE, Label, docks
from .faces import SMALL, Face, face
from .grid import Link, grid
from .head import Head
from .kinds import KINDS, MISSING
from .order import order
from .ranks import ranks
from .settle import settle
from .sheet import Card, Point, Rect, Sheet, Wire, Words

DIRECTIONS = ("TB", "BT", "LR", "RL")
"""Where edges lead: top to bottom, bottom to top, left to right, right to left."""

_MARGIN = 16.0
_GAP, _BEND_GAP, _BEND = 26.0, 12.0, 3.0
"""Between neighbours in a row; between a line and what is beside it; half of a line's own room."""
_ROW_GAP, _MOST_ROW_GAP, _SLOPE = 34.0, 110.0, 0.12
"""Between rows: at least, at most, and in proportion to how far sideways a line goes there."""
_LABEL_LINE = 15.0


def layout(diagram: Diagram, direction: str = "TB") -> Sheet:
    """Place everything.

    Args:
        direction: one of :data:`DIRECTIONS`.
    """
    return _Layout(diagram, direction).sheet()


class _Layout:
    """Places in two axes, *across* (in a row) and *along* (from row to row), whatever their direction on the sheet."""

    def __init__(self, diagram: Diagram, direction: str) -> None:
        self.diagram, self.direction = diagram, direction
        self.upright = direction in ("TB", "BT")
        self.faces = [face(box) for box in diagram.boxes]
        edges = [(edge.source, edge.port, edge.target) for edge in diagram.edges]
        self.grid = grid(ranks(len(self.faces), [(source, target) for source, _, target in edges]), edges)
        order(self.grid)
        self.docks = docks(diagram, self.faces, self.grid, self.upright)
        bends = self.grid.count - len(self.faces)
        self.room = [*self.docks.room, *[(_BEND, _BEND)] * bends]
        ends = [self.docks.ends(link) for link in self.grid.links]
        within = frame(self.grid, self.room, ends, _GAP, _BEND_GAP)
        self.columns = settle(within, columns(within))
        self.rank = {vertex: number for number, row in enumerate(self.grid.rows) for vertex in row}
        self.tops: list[float] = []
        self.bottoms: list[float] = []
        self.put_rows()

    def along(self, face: Face) -> float:
        return face.height if self.upright else face.width

    def put_rows(self) -> None:
        """Where each row begins and ends: lines go sideways between rows only."""
        sideways = [0.0] * len(self.grid.rows)
        for link in self.grid.links:
            upper, lower = self.docks.ends(link)
            move = abs(self.columns[link.upper] + upper - self.columns[link.lower] - lower)
            sideways[self.rank[link.upper]] = max(sideways[self.rank[link.upper]], move)
        tall = [self.along(face) for face in self.faces]
        for label in self.docks.labels:
            room = _LABEL_LINE if self.upright else text.width(label.text, SMALL) + 2 * BESIDE
            tall[label.box] = max(tall[label.box], self.along(self.faces[label.box]) + room)
        top = 0.0
        for row, move in zip(self.grid.rows, sideways, strict=True):
            self.tops.append(top)
            self.bottoms.append(top + max(tall[vertex] for vertex in row if not self.grid.is_bend(vertex)))
            top = self.bottoms[-1] + min(_MOST_ROW_GAP, _ROW_GAP + _SLOPE * move)

    def sheet(self) -> Sheet:
        """The sheet, in the direction that is asked for."""
        ends = [(place - room[0], place + room[1]) for place, room in zip(self.columns, self.room, strict=True)]
        self.first = min((start for start, _ in ends), default=0.0)
        across = max((end for _, end in ends), default=0.0) - self.first
        self.end = max(self.bottoms, default=0.0)
        width, height = (across, self.end) if self.upright else (self.end, across)
        used = {part.kind for box in self.diagram.boxes for part in box.parts}
        head = Head(self.diagram.title, [kind for kind in KINDS if kind in used], width, _MARGIN)
        self.origin = Point(_MARGIN + (head.width - width) / 2, _MARGIN + head.height)
        return Sheet(
            self.diagram.title,
            head.width + 2 * _MARGIN,
            head.height + height + 2 * _MARGIN,
            tuple(self.cards(box) for box in range(len(self.faces))),
            tuple(self.wires()),
            tuple(head.chips),
            (*head.words, *map(self.label, self.docks.labels)),
            self.upright,
        )

    def point(self, across: float, along: float) -> Point:
        """The place on the sheet."""
        if self.direction in ("BT", "RL"):
            along = self.end - along
        x, y = (across - self.first, along) if self.upright else (along, across - self.first)
        return Point(self.origin.x + x, self.origin.y + y)

    def cards(self, box: int) -> tuple[Card, ...]:
        """A box on the sheet, and the strips in it."""
        face, side, top = self.faces[box], self.docks.sides[box], self.tops[self.rank[box]]
        corners = (
            self.point(self.columns[box] - side, top),
            self.point(self.columns[box] + side, top + self.along(face)),
        )
        x, y = min(corner.x for corner in corners), min(corner.y for corner in corners)
        width, height = abs(corners[1].x - corners[0].x), abs(corners[1].y - corners[0].y)
        cards = []
        for number, panel in enumerate(face.panels):
            rect = Rect(x + panel.inset, y + panel.top, width - 2 * panel.inset, panel.height if number else height)
            lines = (Words(line.text, x + width / 2, y + line.baseline, line.size, "middle") for line in panel.lines)
            kind = panel.part.kind
            cards.append(Card(rect, kind.fill, tuple(lines), panel.part.tip, kind is MISSING))
        return tuple(cards)

    def label(self, label: Label) -> Words:
        """A port's label on the sheet, beside the place where its edges leave."""
        along = self.tops[self.rank[label.box]] + self.along(self.faces[label.box])
        x, y = self.point(self.columns[label.box] + label.offset, along)
        if self.upright:
            return Words(label.text, x + BESIDE, y + (12 if self.direction == "TB" else -5), SMALL)
        if self.direction == "LR":
            return Words(label.text, x + BESIDE, y - 4, SMALL)
        return Words(label.text, x - BESIDE, y - 4, SMALL, "end")

    def wires(self) -> list[Wire]:
        """The edges on the sheet."""
        bundles: dict[tuple[int, int], int] = {}
        found = []
        for (source, port, target), route in self.grid.routes.items():
            at = self.columns[source] + self.docks.ports[source, port]
            start = self.tops[self.rank[source]] + self.along(self.faces[source])
            points = [self.point(at, start), self.point(at, self.bottoms[self.rank[source]])]
            for bend in route[1:-1]:
                row = self.rank[bend]
                points += [self.point(self.columns[bend], along) for along in (self.tops[row], self.bottoms[row])]
            entry = self.docks.entries[Link(route[-2], target, port if len(route) == 2 else 0)]
            points.append(self.point(self.columns[target] + entry, self.tops[self.rank[target]]))
            bundle = bundles.setdefault((source, port), len(bundles))
            found.append(Wire(source, target, bundle, tuple(points)))
        return found
