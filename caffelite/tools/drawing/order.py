"""The order of vertices in each row, with few crossings of links.

Barycentres, up and down in turns, and exchanges of neighbours, after Sugiyama, Tagawa, Toda (1981) and Gansner et al.
(1993), section 3.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Sequence
from itertools import product

from .grid import Grid

_ROUNDS = 24
_PATIENCE = 6
"""Rounds without fewer crossings after which nothing more is tried."""

Rows = list[list[int]]


def order(grid: Grid) -> None:
    """Put the rows of the grid in order: the best that is found from several beginnings."""
    up: Rows = [[] for _ in range(grid.count)]
    down: Rows = [[] for _ in range(grid.count)]
    for link in grid.links:
        down[link.upper].append(link.lower)
        up[link.lower].append(link.upper)
    beginnings = _as_visited(grid.rows, down), _as_visited(grid.rows[::-1], up)[::-1]
    grid.rows, fewest = beginnings[0], _crossings(beginnings[0], down)
    for rows, first in product(beginnings, (0, 1)):
        if fewest:
            rows, crossings = _improved(rows, up, down, first)
            if crossings < fewest:
                grid.rows, fewest = rows, crossings


def _improved(rows: Rows, up: Rows, down: Rows, first: int) -> tuple[Rows, int]:
    """The best rows that sweeps lead to, the first one downwards (0) or upwards (1), and their crossings."""
    rows = [list(row) for row in rows]
    best, fewest, waited = rows, _crossings(rows, down), 0
    for round in range(first, first + _ROUNDS):
        if not fewest or waited == _PATIENCE:
            break
        rows = _swept(rows, up) if round % 2 == 0 else _swept(rows[::-1], down)[::-1]
        _exchange(rows, up, down)
        crossings, waited = _crossings(rows, down), waited + 1
        if crossings < fewest:
            best, fewest, waited = [list(row) for row in rows], crossings, 0
    return best, fewest


def _as_visited(rows: Rows, down: Rows) -> Rows:
    """The rows in the order in which a walk along the links, depth first, comes by."""
    seen: set[int] = set()
    ordered: Rows = [[] for _ in rows]
    rank = {vertex: number for number, row in enumerate(rows) for vertex in row}
    for start in (vertex for row in rows for vertex in row):
        waiting = [start]
        while waiting:
            vertex = waiting.pop()
            if vertex not in seen:
                seen.add(vertex)
                ordered[rank[vertex]].append(vertex)
                waiting += reversed(down[vertex])
    return ordered


def _swept(rows: Rows, above: Rows) -> Rows:
    """Every row but the first sorted by the mean places of what its vertices hang on in the row before.

    Vertices that hang on nothing there stay where they are.
    """
    swept = [rows[0]]
    for row in rows[1:]:
        place = _places(swept[-1])
        means = {v: sum(place[u] for u in above[v]) / len(above[v]) for v in row if above[v]}
        hanging = iter(sorted(means, key=means.__getitem__))
        swept.append([next(hanging) if vertex in means else vertex for vertex in row])
    return swept


def _places(row: Sequence[int]) -> dict[int, int]:
    return {vertex: place for place, vertex in enumerate(row)}


def _crossings(rows: Rows, down: Rows) -> int:
    return sum(
        _crossings_below([[place[w] for w in down[v]] for v in upper])
        for upper, place in zip(rows, map(_places, rows[1:]), strict=False)
    )


def _crossings_below(ends: Sequence[Sequence[int]]) -> int:
    """Crossings of links given, from left to right, by the places where those of each vertex end."""
    count, passed = 0, list[int]()
    for places in ends:
        count += sum(len(passed) - bisect(passed, place) for place in places)
        for place in places:
            insort(passed, place)
    return count


def _exchange(rows: Rows, up: Rows, down: Rows) -> None:
    """Exchange neighbours as long as that takes crossings away."""
    for number, row in enumerate(rows):
        above = _places(rows[number - 1]) if number else {}
        below = _places(rows[number + 1]) if number + 1 < len(rows) else {}
        ends = {v: (sorted(above[u] for u in up[v]), sorted(below[w] for w in down[v])) for v in row}
        changed = True
        while changed:
            changed = False
            for place in range(len(row) - 1):
                left, right = row[place], row[place + 1]
                if _excess(ends[left], ends[right]) > 0:
                    row[place], row[place + 1] = right, left
                    changed = True


def _excess(left: tuple[list[int], list[int]], right: tuple[list[int], list[int]]) -> int:
    """Crossings between the links of two neighbours, less those there would be the other way round."""
    return sum(_crossings_below([a, b]) - _crossings_below([b, a]) for a, b in zip(left, right, strict=True))
