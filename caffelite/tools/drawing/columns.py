"""Where each vertex stands in its row: long lines straight, and straight on through boxes where that can be.

Brandes and Köpf, "Fast and simple horizontal coordinate assignment" (2001), with sizes of vertices and with ports: a
block is a line of links without a bend, and a vertex hangs on it by the port through which the line goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from .grid import Grid

End = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Hold:
    """A link as one end sees it: the vertex at the other end, where there it is held, and where here."""

    other: int
    there: float
    here: float


@dataclass(frozen=True, slots=True)
class Frame:
    """What the places must fit: rows, the links of each vertex upwards and downwards, and room.

    Attributes:
        up, down: sorted as their other ends are.
        before, after: how far a vertex reaches to the left and right of its place.
        gap: what is left free between two neighbours, by whether they are bends.
    """

    rows: list[list[int]]
    up: list[list[Hold]]
    down: list[list[Hold]]
    before: Sequence[float]
    after: Sequence[float]
    bends: Sequence[bool]
    gap: float
    bend_gap: float

    def apart(self, left: int, right: int) -> float:
        """How far two neighbours' places are apart at least."""
        gap = self.bend_gap if self.bends[left] or self.bends[right] else self.gap
        return self.after[left] + gap + self.before[right]

    def upside_down(self) -> Frame:
        """The same seen from below."""
        return replace(self, rows=self.rows[::-1], up=self.down, down=self.up)

    def mirrored(self) -> Frame:
        """The same seen in a mirror."""
        return replace(
            self,
            rows=[row[::-1] for row in self.rows],
            up=[[Hold(hold.other, -hold.there, -hold.here) for hold in holds[::-1]] for holds in self.up],
            down=[[Hold(hold.other, -hold.there, -hold.here) for hold in holds[::-1]] for holds in self.down],
            before=self.after,
            after=self.before,
        )


def frame(grid: Grid, room: Sequence[End], ends: Sequence[End], gap: float, bend_gap: float) -> Frame:
    """The frame of a grid in order.

    Args:
        room: by vertex how far it reaches to the left and right of its place.
        ends: by link where it is held, measured from the places of its upper and its lower vertex.
    """
    place = grid.places()
    up: list[list[Hold]] = [[] for _ in room]
    down: list[list[Hold]] = [[] for _ in room]
    for link, (upper, lower) in zip(grid.links, ends, strict=True):
        down[link.upper].append(Hold(link.lower, lower, upper))
        up[link.lower].append(Hold(link.upper, upper, lower))
    for holds in (*up, *down):
        holds.sort(key=lambda hold: (place[hold.other], hold.there))
    before, after = zip(*room, strict=True) if room else ((), ())
    bends = [grid.is_bend(vertex) for vertex in range(len(room))]
    return Frame(grid.rows, up, down, before, after, bends, gap, bend_gap)


def columns(frame: Frame) -> list[float]:
    """A place for each vertex: the mean of the two in the middle of four, each of which leans to another side."""
    crossed = _crossed(frame)
    leaning = []
    for seen in (frame, frame.upside_down()):
        leaning.append(_leaning_left(seen, crossed))
        leaning.append([-place for place in _leaning_left(seen.mirrored(), crossed)])
    spans = [_span(frame, places) for places in leaning]
    narrowest = min(spans, key=lambda span: span[1] - span[0])
    for number, (places, span) in enumerate(zip(leaning, spans, strict=True)):
        move = narrowest[number % 2] - span[number % 2]
        leaning[number] = [place + move for place in places]
    return [sum(sorted(four)[1:3]) / 2 for four in zip(*leaning, strict=True)]


def _span(frame: Frame, places: Sequence[float]) -> End:
    return (
        min((place - room for place, room in zip(places, frame.before, strict=True)), default=0.0),
        max((place + room for place, room in zip(places, frame.after, strict=True)), default=0.0),
    )


def _crossed(frame: Frame) -> set[tuple[int, int]]:
    """Links, either way round, that cross one between two bends: they give way, so that long lines are straight."""
    crossed = set()
    for upper, lower in zip(frame.rows, frame.rows[1:], strict=False):
        place = {vertex: number for number, vertex in enumerate(upper)}
        inner = [
            [place[hold.other] for hold in frame.up[vertex] if frame.bends[vertex] and frame.bends[hold.other]]
            for vertex in lower
        ]
        most = list(accumulate((max(places, default=-1) for places in inner), max, initial=-1))
        least = list(accumulate((min(places, default=len(upper)) for places in inner[::-1]), min, initial=len(upper)))
        for number, vertex in enumerate(lower):
            for hold in frame.up[vertex]:
                beside = most[number] > place[hold.other] or least[-number - 2] < place[hold.other]
                if beside and not inner[number]:
                    crossed |= {(vertex, hold.other), (hold.other, vertex)}
    return crossed


def _leaning_left(frame: Frame, crossed: set[tuple[int, int]]) -> list[float]:
    root, shift = _blocks(frame, crossed)
    return _packed(frame, root, shift)


def _blocks(frame: Frame, crossed: set[tuple[int, int]]) -> tuple[list[int], list[float]]:
    """Lines from the top, each vertex hung on the left one of its middle links.

    Returns:
        By vertex the first of its block, and how far right of that one's place its own is.
    """
    root = list(range(len(frame.up)))
    shift = [0.0] * len(root)
    for upper, lower in zip(frame.rows, frame.rows[1:], strict=False):
        place = {vertex: number for number, vertex in enumerate(upper)}
        last = -1
        for vertex in lower:
            holds = frame.up[vertex]
            for hold in holds[(len(holds) - 1) // 2 : len(holds) // 2 + 1]:
                if place[hold.other] > last and (hold.other, vertex) not in crossed:
                    root[vertex] = root[hold.other]
                    shift[vertex] = shift[hold.other] + hold.there - hold.here
                    last = place[hold.other]
                    break
    return root, shift


def _packed(frame: Frame, root: Sequence[int], shift: Sequence[float]) -> list[float]:
    """Blocks as far left as they can stand, then each as far right as it can without moving another."""
    after: dict[int, dict[int, float]] = {block: {} for block in root}
    pending = dict.fromkeys(after, 0)
    for row in frame.rows:
        for left, right in pairwise(row):
            apart = frame.apart(left, right) + shift[left] - shift[right]
            following = after[root[left]]
            pending[root[right]] += root[right] not in following
            following[root[right]] = max(following.get(root[right], apart), apart)
    ready = [block for block, count in pending.items() if not count]
    at = dict.fromkeys(ready, 0.0)
    for block in ready:
        for other, apart in after[block].items():
            at[other] = max(at.get(other, float("-inf")), at[block] + apart)
            pending[other] -= 1
            if not pending[other]:
                ready.append(other)
    for block in reversed(ready):
        if after[block]:
            at[block] = max(at[block], min(at[other] - apart for other, apart in after[block].items()))
    return [at[block] + move for block, move in zip(root, shift, strict=True)]
