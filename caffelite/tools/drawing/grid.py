"""Rows of vertices: every box in its row, and bends in the rows that an edge passes.

Edges that leave the same port share their bends, so that a blob with many readers is one line with branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Bundle = tuple[int, int]
"""(box, port): where edges begin that show the same blob."""


@dataclass(frozen=True, slots=True)
class Link:
    """A piece of an edge, from a vertex to one in the next row; the port is that of a box, 0 of a bend."""

    upper: int
    lower: int
    port: int = 0


@dataclass(slots=True)
class Grid:
    """Vertices in rows: numbers below `boxes` are boxes, the others bends.

    Attributes:
        rows: the vertices of each row, from left to right.
        links: without repetition.
        routes: by edge (box, port, box) its vertices, from box to box.
    """

    boxes: int
    rows: list[list[int]]
    links: list[Link] = field(default_factory=list)
    routes: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)

    def is_bend(self, vertex: int) -> bool:
        """Whether it is no box."""
        return vertex >= self.boxes

    def places(self) -> dict[int, int]:
        """By vertex its place in its row."""
        return {vertex: place for row in self.rows for place, vertex in enumerate(row)}

    @property
    def count(self) -> int:
        """How many vertices there are."""
        return sum(map(len, self.rows))


def grid(ranks: Sequence[int], edges: Sequence[tuple[int, int, int]]) -> Grid:
    """The grid of boxes in given rows, and of edges (box, port, box)."""
    made = Grid(len(ranks), [[] for _ in range(max(ranks, default=-1) + 1)])
    for box, rank in enumerate(ranks):
        made.rows[rank].append(box)
    links: dict[Link, None] = {}
    chains: dict[Bundle, list[int]] = {}
    count = len(ranks)
    for source, port, target in edges:
        chain = chains.setdefault((source, port), [source])
        bends = ranks[target] - ranks[source] - 1
        while len(chain) <= bends:
            made.rows[ranks[source] + len(chain)].append(count)
            chain.append(count)
            count += 1
        route = made.routes[source, port, target] = [*chain[: bends + 1], target]
        for upper, lower in pairwise(route):
            links[Link(upper, lower, port if upper == source else 0)] = None
    made.links = list(links)
    return made
