"""Where edges leave boxes and arrive, and how much room a box needs in its row for that."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import text
from .diagram import Diagram
from .faces import SMALL, Face
from .grid import Grid, Link

BESIDE = 6.0
"""Between an edge and its label."""
_PORT_ROOM, _ENTRY_GAP = 18.0, 26.0
_CORNER = 8.0


@dataclass(slots=True)
class Label:
    """The label of a port: at which box, how far from the middle of its side, and the text."""

    box: int
    offset: float
    text: str


@dataclass(slots=True)
class Docks:
    """Measured across, in the direction of rows, from the middles of boxes.

    Attributes:
        sides: half of each box.
        room: how far each box reaches, with its label.
        ports, entries: where a port is, and where a link arrives.
    """

    sides: list[float]
    room: list[tuple[float, float]] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    ports: dict[tuple[int, int], float] = field(default_factory=dict)
    entries: dict[Link, float] = field(default_factory=dict)

    def ends(self, link: Link) -> tuple[float, float]:
        """Where a link begins and ends, each from the middle of its vertex; a bend has nothing but its middle."""
        return self.ports.get((link.upper, link.port), 0.0), self.entries.get(link, 0.0)


def docks(diagram: Diagram, faces: list[Face], grid: Grid, upright: bool) -> Docks:
    """The docks of boxes in a grid in order."""
    found = Docks([(face.width if upright else face.height) / 2 for face in faces])
    place = grid.places()
    leads: list[dict[int, list[int]]] = [{} for _ in faces]
    for link in grid.links:
        if not grid.is_bend(link.upper):
            leads[link.upper].setdefault(link.port, []).append(place[link.lower])
    for box in range(len(faces)):
        _put_ports(found, diagram, box, leads[box], upright)
    _put_entries(found, grid, place)
    return found


def _put_ports(found: Docks, diagram: Diagram, box: int, leads: dict[int, list[int]], upright: bool) -> None:
    """Ports side by side, each with room for its label, in the order of what they lead to."""
    ports = diagram.boxes[box].ports
    shown = [number for number, port in enumerate(ports) if number in leads or port]
    shown.sort(key=lambda number: sum(leads.get(number, [0])) / len(leads.get(number, [0])))
    rooms = [_label_room(ports[number], upright) for number in shown]
    several = len(shown) > 1
    side = found.sides[box] = max(found.sides[box], sum(rooms) / 2 if several else 0.0)
    spare = (2 * side - sum(rooms)) / max(1, len(rooms))
    start = -side
    for number, room in zip(shown, rooms, strict=True):
        at = start + (BESIDE + spare / 2 if upright else (room + spare) / 2) if several else 0.0
        found.ports[box, number] = at
        found.labels += [Label(box, at, ports[number])] if ports[number] else []
        start += room + spare
    found.room.append((side, side if several or not shown else max(side, rooms[0] - BESIDE)))


def _label_room(label: str, upright: bool) -> float:
    """How much of a box's side a port takes: a label stands to the right of an edge downwards, and above others."""
    return max(_PORT_ROOM, text.width(label, SMALL) + 3 * BESIDE if upright and label else 0.0)


def _put_entries(found: Docks, grid: Grid, place: dict[int, int]) -> None:
    """Links arrive side by side, in the order in which they come."""
    arriving: dict[int, list[Link]] = {}
    for link in grid.links:
        if not grid.is_bend(link.lower):
            arriving.setdefault(link.lower, []).append(link)
    for box, links in arriving.items():
        links.sort(key=lambda link: (place[link.upper], found.ports.get((link.upper, link.port), 0.0)))
        gap = min(_ENTRY_GAP, 2 * (found.sides[box] - _CORNER) / max(1, len(links) - 1))
        for number, link in enumerate(links):
            found.entries[link] = (number - (len(links) - 1) / 2) * gap
