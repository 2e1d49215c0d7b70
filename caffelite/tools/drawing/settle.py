"""Places made better: lines shorter, chains and long lines kept straight.

A chain that is straight moves as one, to where its other links are shortest, as far as its neighbours leave it room;
and so on, as long as anything moves.
"""

from __future__ import annotations

from collections.abc import Sequence

from .columns import Frame, Hold

_ROUNDS = 40
_STRAIGHT = 0.01
_WEIGHTS = (1.0, 1.0, 8.0)
"""Of a link between two boxes, a box and a bend, two bends."""


def settle(frame: Frame, places: Sequence[float]) -> list[float]:
    """The places after all moves; the order in rows and the room of vertices stay as they were."""
    at = list(places)
    beside, firm = _neighbours(frame), _firm(frame)
    for round in range(_ROUNDS):
        groups = _groups(frame, at, firm)
        moved = False
        for group in groups if round % 2 == 0 else reversed(groups):
            move = _within(_wish(frame, at, group), frame, at, group, beside)
            if abs(move) > _STRAIGHT:
                moved = True
                for vertex in group:
                    at[vertex] += move
        if not moved:
            break
    return _centred(frame, at)


def _centred(frame: Frame, at: Sequence[float]) -> list[float]:
    """Floors, parts of the net between which no link is straight, each moved to the middle of the picture as far as
    the links between it and the floor before do not become longer by that, all together."""
    offsets, before = [0.0] * len(at), 0.0
    floors: list[list[list[int]]] = []
    for row in frame.rows:
        bent = [_bent(at, vertex, hold) for vertex in row for hold in frame.up[vertex]]
        if not floors or (bent and all(abs(move) > _STRAIGHT for move in bent)):
            floors.append([])
        floors[-1].append(row)
    for floor in floors:
        inside = [vertex for row in floor for vertex in row]
        left = min(at[vertex] - frame.before[vertex] for vertex in inside)
        right = max(at[vertex] + frame.after[vertex] for vertex in inside)
        bent = sorted(_bent(at, vertex, hold) for vertex in floor[0] for hold in frame.up[vertex])
        move = -(left + right) / 2
        if bent:
            least, most = bent[(len(bent) - 1) // 2], bent[len(bent) // 2]
            move = before + min(max(move - before, least), most)
        for vertex in inside:
            offsets[vertex] = move
        before = move
    return [place + move for place, move in zip(at, offsets, strict=True)]


def _bent(at: Sequence[float], vertex: int, hold: Hold) -> float:
    """How far a vertex must move to make a link straight."""
    return at[hold.other] + hold.there - at[vertex] - hold.here


def _neighbours(frame: Frame) -> list[tuple[int | None, int | None]]:
    beside: list[tuple[int | None, int | None]] = [(None, None)] * len(frame.up)
    for row in frame.rows:
        for left, vertex, right in zip([None, *row], row, [*row[1:], None], strict=False):
            beside[vertex] = left, right
    return beside


def _firm(frame: Frame) -> list[list[Hold]]:
    """By vertex the links that are to be straight: between bends, and those in the middle at both of their ends."""
    firm: list[list[Hold]] = [[] for _ in frame.up]
    for lower, holds in enumerate(frame.up):
        for number, hold in enumerate(holds):
            upper = hold.other
            together = [back for back in frame.down[upper] if back.here == hold.there]
            place = next(place for place, back in enumerate(together) if back.other == lower)
            middle = 2 * number == len(holds) - 1 and 2 * place == len(together) - 1
            if middle or (frame.bends[lower] and frame.bends[upper]):
                firm[lower].append(hold)
                firm[upper].append(Hold(lower, hold.here, hold.there))
    return firm


def _groups(frame: Frame, at: Sequence[float], firm: Sequence[Sequence[Hold]]) -> list[set[int]]:
    """Vertices that firm links hold together, where these are straight."""
    seen: set[int] = set()
    groups = []
    for start in (vertex for row in frame.rows for vertex in row):
        if start in seen:
            continue
        group, waiting = {start}, [start]
        while waiting:
            vertex = waiting.pop()
            for hold in firm[vertex]:
                if hold.other not in group and abs(_bent(at, vertex, hold)) <= _STRAIGHT:
                    group.add(hold.other)
                    waiting.append(hold.other)
        seen |= group
        groups.append(group)
    return groups


def _wish(frame: Frame, at: Sequence[float], group: set[int]) -> float:
    """The move after which the links that leave the group are shortest: a weighted median of what each asks for."""
    asked = sorted(
        (_bent(at, vertex, hold), _WEIGHTS[frame.bends[vertex] + frame.bends[hold.other]])
        for vertex in group
        for hold in (*frame.up[vertex], *frame.down[vertex])
        if hold.other not in group
    )
    half = sum(weight for _, weight in asked) / 2
    passed = 0.0
    for number, (move, weight) in enumerate(asked):
        passed += weight
        if passed > half:
            return move
        if passed == half:
            return (move + asked[number + 1][0]) / 2
    return 0.0


def _within(
    move: float, frame: Frame, at: Sequence[float], group: set[int], beside: Sequence[tuple[int | None, int | None]]
) -> float:
    """As much of a move as the neighbours leave room for."""
    for vertex in group:
        left, right = beside[vertex]
        if move < 0 and left is not None and left not in group:
            move = max(move, min(0.0, at[left] + frame.apart(left, vertex) - at[vertex]))
        if move > 0 and right is not None and right not in group:
            move = min(move, max(0.0, at[right] - frame.apart(vertex, right) - at[vertex]))
    return move
