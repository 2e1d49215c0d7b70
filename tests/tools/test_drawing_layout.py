"""The steps of a layout, each against a plain way to find the same thing."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from caffelite.tools.drawing import text
from caffelite.tools.drawing.columns import Frame, columns, frame
from caffelite.tools.drawing.grid import Grid, grid
from caffelite.tools.drawing.order import order
from caffelite.tools.drawing.ranks import ranks
from caffelite.tools.drawing.settle import settle

Edges = list[tuple[int, int]]


@st.composite
def graphs(draw: st.DrawFn, most: int = 12) -> tuple[int, Edges]:
    """A number of boxes, and edges from lower to higher numbers."""
    count = draw(st.integers(1, most))
    pairs = [(upper, lower) for lower in range(count) for upper in range(lower)]
    return count, draw(st.lists(st.sampled_from(pairs), max_size=2 * count)) if pairs else []


def length(rank: list[int], edges: Edges) -> int:
    return sum(rank[lower] - rank[upper] for upper, lower in edges)


def least_length(count: int, edges: Edges) -> int:
    """The least sum of lengths, by trying all ranks."""
    fitting = (
        rank for rank in product(range(count), repeat=count) if all(rank[lower] > rank[upper] for upper, lower in edges)
    )
    return min(length(list(rank), edges) for rank in fitting)


@given(graphs(most=5))
def test_ranks_are_the_shortest_there_are(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    assert length(ranks(count, edges), edges) == least_length(count, edges)


@given(graphs(most=30))
def test_edges_lead_downwards(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    found = ranks(count, edges)
    assert all(found[lower] > found[upper] for upper, lower in edges)
    assert min(found) == 0


def test_a_source_stands_just_above_its_reader() -> None:
    """A chain, and one more input of its last box: the input is not at the top, far away."""
    assert ranks(6, [(0, 1), (1, 2), (2, 3), (3, 5), (4, 5)]) == [0, 1, 2, 3, 3, 4]


def test_a_box_with_more_readers_than_sources_stands_near_its_readers() -> None:
    assert ranks(6, [(0, 1), (0, 2), (2, 3), (3, 4), (4, 5), (1, 4), (1, 5)]) == [0, 2, 1, 2, 3, 4]


def test_a_short_branch_begins_with_the_long_one() -> None:
    assert ranks(6, [(0, 1), (0, 2), (2, 3), (3, 4), (1, 5), (4, 5)]) == [0, 1, 1, 2, 3, 4]


def gridded(graph: tuple[int, Edges]) -> Grid:
    count, edges = graph
    return grid(ranks(count, edges), [(upper, 0, lower) for upper, lower in dict.fromkeys(edges)])


@given(graphs())
def test_links_lead_from_row_to_row(graph: tuple[int, Edges]) -> None:
    made = gridded(graph)
    row = {vertex: number for number, vertices in enumerate(made.rows) for vertex in vertices}
    assert sorted(row) == list(range(made.count))
    assert all(row[link.lower] == row[link.upper] + 1 for link in made.links)
    for (source, _, target), route in made.routes.items():
        assert (route[0], route[-1]) == (source, target)
        assert all(made.is_bend(vertex) for vertex in route[1:-1])
        assert {(link.upper, link.lower) for link in made.links} >= set(pairwise(route))


def test_edges_of_one_blob_share_their_bends() -> None:
    made = grid([0, 1, 2, 3, 3], [(0, 0, 1), (0, 0, 3), (0, 0, 4), (0, 1, 4)])
    assert made.routes[0, 0, 3][1:-1] == made.routes[0, 0, 4][1:-1] != made.routes[0, 1, 4][1:-1]
    assert made.count == 5 + 2 + 2


def crossings(made: Grid, rows: list[list[int]]) -> int:
    """Pairs of links that cross, by looking at all pairs."""
    place = {vertex: number for row in rows for number, vertex in enumerate(row)}
    row_of = {vertex: number for number, row in enumerate(rows) for vertex in row}
    return sum(
        row_of[one.upper] == row_of[other.upper]
        and (place[one.upper] - place[other.upper]) * (place[one.lower] - place[other.lower]) < 0
        for one, other in combinations(made.links, 2)
    )


@settings(max_examples=60)
@given(graphs(most=7))
def test_few_lines_cross(graph: tuple[int, Edges]) -> None:
    """Never many more than the fewest possible, and none where there can be none."""
    made = gridded(graph)
    vertices = [sorted(row) for row in made.rows]
    order(made)
    assert [sorted(row) for row in made.rows] == vertices
    found = crossings(made, made.rows)
    ways = [list(permutations(row)) for row in vertices]
    if sum(map(len, ways)) < 60:
        fewest = min(crossings(made, [list(row) for row in rows]) for rows in product(*ways))
        assert found <= fewest + 1


def framed(made: Grid, wide: list[float]) -> Frame:
    room = [(size / 2, size / 2 + 3) for size in (wide * made.count)[: made.count]]
    ends = [
        (0.0 if made.is_bend(link.upper) else number % 3 - 1.0, 0.0 if made.is_bend(link.lower) else number % 2 * 2.0)
        for number, link in enumerate(made.links)
    ]
    return frame(made, room, ends, 10, 5)


def spread(within: Frame, places: list[float]) -> float:
    """How far aside all links lead, together."""
    return sum(
        abs(places[hold.other] + hold.there - places[vertex] - hold.here)
        for vertex, holds in enumerate(within.up)
        for hold in holds
    )


@given(graphs(most=16), st.lists(st.floats(1, 80), min_size=1, max_size=5))
def test_neighbours_keep_their_distance(graph: tuple[int, Edges], wide: list[float]) -> None:
    made = gridded(graph)
    order(made)
    within = framed(made, wide)
    placed = columns(within)
    for places in (placed, settle(within, placed)):
        for row in made.rows:
            for left, right in pairwise(row):
                assert places[right] - places[left] >= within.apart(left, right) - 1e-6


def test_settling_closes_gaps() -> None:
    """Two chains between the same two boxes end up side by side under them."""
    made = grid([0, 1, 1, 2], [(0, 0, 1), (0, 0, 2), (1, 0, 3), (2, 0, 3)])
    within = frame(made, [(10, 10)] * 4, [(0, 0)] * 4, 10, 5)
    far = [500.0, 0.0, 900.0, 100.0]
    places = settle(within, far)
    assert places[2] - places[1] == 30
    assert places[0] == places[3] == (places[1] + places[2]) / 2
    assert spread(within, places) < spread(within, far)


def test_long_lines_are_straight() -> None:
    made = gridded((8, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (4, 5), (1, 5), (5, 6), (6, 7), (0, 7)]))
    order(made)
    places = columns(framed(made, [30.0]))
    for route in made.routes.values():
        assert len({round(places[vertex], 6) for vertex in route[1:-1]}) <= 1


# -- text ---------------------------------------------------------------------------------------------------------


def test_text_is_no_wider_than_it_is_taken_to_be() -> None:
    """Measured with the font that images are drawn with; SVGs ask for ones that are narrower."""
    from PIL import ImageFont

    font = ImageFont.load_default(100)
    for line in ("res2a_branch2a", "kernel 3x3, stride 2, pad 1", "WWW", "iiii", "Convolution · conv1", "…"):
        assert font.getlength(line) <= text.width(line, 100) <= 1.35 * font.getlength(line)
    assert text.width("内积", 10) == 20
    assert text.width("e\u0301", 10) == text.width("e", 10)


def test_text_is_made_to_fit() -> None:
    assert text.shortened("abc", 3) == "abc"
    assert text.shortened("abcdefghij", 7) == "abcd…ij"
    assert text.wrapped(["kernel 3x3", "stride 2", "pad 1"], 20) == ["kernel 3x3, stride 2", "pad 1"]
    assert text.wrapped(["a" * 50, "b"], 20) == ["a" * 50, "b"]
    assert text.clean("a\tb\x00c\ud800\u202e\uffff") == "a\ufffdb\ufffdc\ufffd\ufffd\ufffd"
