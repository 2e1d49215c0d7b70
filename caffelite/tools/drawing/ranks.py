"""Which box comes in which row: all edges go downwards and are, together, as short as they can be.

Network simplex, after Gansner, Koutsofios, North, Vo: "A technique for drawing directed graphs" (1993), section 2.
"""

from __future__ import annotations

from collections.abc import Sequence

Edge = tuple[int, int]
"""(upper, lower); the upper one has the smaller number."""


def ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """A row for each of `count` boxes, such that rank[lower] − rank[upper] ≥ 1 and the sum of these is the least.

    Boxes that are free to move stand as far up as they can.  Parts of the net without a connection begin at 0 each.
    """
    found = [0] * count
    for upper, lower in sorted(edges):
        found[lower] = max(found[lower], found[upper] + 1)
    for part in _components(count, edges):
        if len(part) > 1:
            inside = set(part)
            _shorten(found, part, [edge for edge in edges if edge[0] in inside])
        top = min(found[box] for box in part)
        for box in part:
            found[box] -= top
    return _raised(found, edges)


def _neighbours(count: int, edges: Sequence[Edge]) -> list[list[Edge]]:
    """The edges at each box."""
    at: list[list[Edge]] = [[] for _ in range(count)]
    for edge in edges:
        for box in edge:
            at[box].append(edge)
    return at


def _components(count: int, edges: Sequence[Edge]) -> list[list[int]]:
    at, seen, parts = _neighbours(count, edges), [False] * count, []
    for start in range(count):
        if seen[start]:
            continue
        seen[start], part, waiting = True, [], [start]
        while waiting:
            box = waiting.pop()
            part.append(box)
            for edge in at[box]:
                for other in edge:
                    if not seen[other]:
                        seen[other] = True
                        waiting.append(other)
        parts.append(sorted(part))
    return parts


def _slack(rank: Sequence[int], edge: Edge) -> int:
    return rank[edge[1]] - rank[edge[0]] - 1


def _tight_tree(rank: list[int], part: Sequence[int], edges: Sequence[Edge]) -> list[Edge]:
    """A spanning tree of edges without slack; ranks are moved until there is one."""
    at = _neighbours(len(rank), edges)
    inside, tree = {part[0]}, list[Edge]()
    waiting = [part[0]]
    while True:
        while waiting:
            box = waiting.pop()
            for edge in at[box]:
                other = edge[0] + edge[1] - box
                if other not in inside and _slack(rank, edge) == 0:
                    inside.add(other)
                    tree.append(edge)
                    waiting.append(other)
        if len(inside) == len(part):
            return tree
        leaving = [edge for edge in edges if (edge[0] in inside) != (edge[1] in inside)]
        edge = min(leaving, key=lambda edge: _slack(rank, edge))
        slack = _slack(rank, edge)
        move = slack if edge[0] in inside else -slack
        for box in inside:
            rank[box] += move
        waiting = [edge[0] if edge[0] in inside else edge[1]]


def _shorten(rank: list[int], part: Sequence[int], edges: Sequence[Edge]) -> None:
    """Exchange tree edges until no cut can be made shorter."""
    tree = _tight_tree(rank, part, edges)
    pull = dict.fromkeys(part, 0)
    for upper, lower in edges:
        pull[upper] += 1
        pull[lower] -= 1
    for _ in range(4 * len(part)):  # a bound only: exchanges without gain could go round in circles
        found = _negative_cut(part[0], tree, pull)
        if found is None:
            return
        leaving, tail = found
        entering = min(
            (edge for edge in edges if edge[0] not in tail and edge[1] in tail), key=lambda edge: _slack(rank, edge)
        )
        slack = _slack(rank, entering)
        for box in tail:
            rank[box] -= slack
        tree.remove(leaving)
        tree.append(entering)


def _negative_cut(root: int, tree: Sequence[Edge], pull: dict[int, int]) -> tuple[Edge, set[int]] | None:
    """A tree edge such that more edges lead to the side of its upper end than from there; and that side.

    Edges from a side less edges to it are the sum of `pull` over its boxes (edges out less edges in).
    """
    at: dict[int, list[Edge]] = {box: [] for box in pull}
    for edge in tree:
        for box in edge:
            at[box].append(edge)
    order, above = [root], {root: (-1, -1)}
    for box in order:
        for edge in at[box]:
            other = edge[0] + edge[1] - box
            if edge != above[box]:
                above[other] = edge
                order.append(other)
    sums = dict(pull)
    for box in reversed(order[1:]):
        edge = above[box]
        if (sums[box] if edge[0] == box else -sums[box]) < 0:
            below = _side(box, edge, at)
            return edge, below if edge[0] == box else pull.keys() - below
        sums[edge[0] + edge[1] - box] += sums[box]
    return None


def _side(box: int, cut: Edge, at: dict[int, list[Edge]]) -> set[int]:
    side, waiting = {box}, [box]
    while waiting:
        box = waiting.pop()
        for edge in at[box]:
            other = edge[0] + edge[1] - box
            if edge != cut and other not in side:
                side.add(other)
                waiting.append(other)
    return side


def _raised(rank: list[int], edges: Sequence[Edge]) -> list[int]:
    """Boxes that lose nothing by it moved to just below what they read."""
    above: list[list[int]] = [[] for _ in rank]
    below = [0] * len(rank)
    for upper, lower in edges:
        above[lower].append(upper)
        below[upper] += 1
    for box, readers in enumerate(below):
        if readers and len(above[box]) == readers:
            rank[box] = max(rank[upper] for upper in above[box]) + 1
    return rank
