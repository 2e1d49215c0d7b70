"""Which output is watched, and when it has become better."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import pytest

from caffelite import graph
from caffelite.assembly import make_layer
from caffelite.errors import Place, SettingsError
from caffelite.proto import NetParameter, NetState, TestWatchParameter, TestWatchState
from caffelite.prototxt import loads
from caffelite.solver.tracker import Tracker, Watched

NET = """
layer { name: "in" type: "Input" top: "y" top: "label" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "acc" type: "Accuracy" bottom: "y" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
layer { name: "sum" type: "Reduction" bottom: "y" top: "weighed" loss_weight: 0.1 }
layer { name: "half" type: "Power" bottom: "label" top: "half" power_param { scale: 0.5 } }
layer { name: "one" type: "Reshape" bottom: "accuracy" top: "again" reshape_param { shape { dim: 1 dim: 1 } } }
"""
SMALL = """
layer { name: "in" type: "Input" top: "y" top: "label" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "out" type: "%s" bottom: "y" bottom: "label" top: "out" }
"""


def built(text: str) -> graph.Graph:
    return graph.build(loads(text, NetParameter).message, NetState(), make_layer)


def asked(**fields: object) -> Watched:
    return Watched.of(TestWatchParameter(**fields))


def place(field: str) -> Place:
    return Place(field)


def fault(text: str, **fields: object) -> str:
    with pytest.raises(SettingsError) as caught:
        asked(**fields).found_in(built(text), "early_stop", place)
    return str(caught.value)


# -- which output --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output", "more"), [("again", True), ("loss", False), ("weighed", False)])
def test_of_losses_less_is_better_and_of_all_else_more(output: str, more: bool) -> None:
    assert asked(output=output).found_in(built(NET), "plateau", place) == Watched(output, more, 0, 10, 0.0)
    for mode in ("MAX", "MIN"):
        found = asked(output=output, mode=mode).found_in(built(NET), "plateau", place)
        assert found.more_is_better == (mode == "MAX")


@pytest.mark.parametrize(("kind", "more"), [("Accuracy", True), ("SoftmaxWithLoss", False), ("EuclideanLoss", False)])
def test_a_single_output_need_not_be_named(kind: str, more: bool) -> None:
    text = SMALL % kind
    if kind == "EuclideanLoss":
        text = (
            text.replace('bottom: "label"', 'bottom: "y"').replace(' top: "label"', "").replace(" shape { dim: 4 }", "")
        )
    assert asked(patience=2).found_in(built(text), "early_stop", place) == Watched("out", more, 0, 2, 0.0)


def test_of_several_outputs_one_must_be_named() -> None:
    assert fault(NET).splitlines() == [
        "early_stop: early_stop must name an output: test net #0 has again, half, loss, weighed",
        '  help: early_stop { output: "again" }',
    ]


def test_an_output_that_is_not_there() -> None:
    assert fault(NET, output="los").splitlines() == [
        'early_stop.output: early_stop: test net #0 has no output "los": it has again, half, loss, weighed',
        "  help: did you mean loss?",
    ]
    assert fault(NET, output="accuracy", test_net=3).splitlines() == [
        'early_stop.output: early_stop: test net #3 has no output "accuracy": it has again, half, loss, weighed',
        "  help: a layer reads accuracy, and outputs are what none reads",
    ]


def test_a_net_without_outputs() -> None:
    silent = 'layer { name: "quiet" type: "Silence" bottom: "out" }'
    assert fault(SMALL % "Accuracy" + silent) == (
        "early_stop: early_stop must name an output: test net #0 has no outputs"
    )


def test_an_output_of_several_numbers() -> None:
    assert fault(NET, output="half").splitlines() == [
        'early_stop.output: early_stop watches a single number; output "half" of test net #0 has 4',
        "  help: watch another, or let a Reduction sum it up",
    ]


def test_what_was_not_found_in_a_net_is_not_tracked() -> None:
    for fields in ({}, {"output": "acc"}, {"mode": "MAX"}):
        with pytest.raises(ValueError, match="first find it in a net"):
            Tracker(asked(**fields))


# -- better or not -------------------------------------------------------------------------------------------------


def seen(values: Sequence[float], **fields: object) -> tuple[list[bool], Tracker]:
    """Which of these means, of tests at iterations 0, 10, 20, …, were better than all before."""
    tracker = Tracker(asked(**{"output": "acc", "mode": "MAX"} | fields))
    return [tracker.see(value, 10 * index) for index, value in enumerate(values)], tracker


@pytest.mark.parametrize(
    ("fields", "values", "better", "state"),
    [
        ({}, [0.5, 0.25, 0.75, 0.75, 0.5], [1, 0, 1, 0, 0], (0.75, 20, 2)),
        ({"mode": "MIN"}, [0.5, 0.25, 0.75, 0.25, 0.125], [1, 1, 0, 0, 1], (0.125, 40, 0)),
        ({"min_delta": 0.25}, [0.0, 0.25, 0.5, 0.75, 0.76], [1, 0, 1, 0, 1], (0.76, 40, 0)),
        ({"mode": "MIN", "min_delta": 0.25}, [1.0, 0.75, 0.5], [1, 0, 1], (0.5, 20, 0)),
        ({}, [math.nan, math.nan, -3.0, math.nan], [0, 0, 1, 0], (-3.0, 20, 1)),
        ({"mode": "MIN"}, [math.inf, math.nan, 1.0, math.inf], [1, 0, 1, 0], (1.0, 20, 1)),
        ({}, [math.nan], [0], (None, None, 1)),
        ({}, [], [], (None, None, 0)),
    ],
)
def test_better_than_all_before(
    fields: dict[str, object], values: list[float], better: list[int], state: tuple[float | None, int | None, int]
) -> None:
    got, tracker = seen(values, **fields)
    assert got == [bool(one) for one in better]
    assert (tracker.best, tracker.iteration, tracker.tests) == state


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_ends_after_so_many_tests_in_a_row(patience: int) -> None:
    values = [0.5, 0.25, 0.75, *[0.75] * patience]
    assert [seen(values[:count], patience=patience)[1].exhausted for count in range(3, len(values) + 1)] == (
        [False] * patience + [True]
    )


def test_what_is_told() -> None:
    assert seen([0.5, 0.25])[1].told() == "acc has not become better than 0.5 (iteration 0) in 1 test"
    assert seen([0.5, 0.75, 0, 0])[1].told() == "acc has not become better than 0.75 (iteration 10) in 2 tests"
    assert seen([math.nan] * 3)[1].told() == "acc has been no number in 3 tests"


@pytest.mark.parametrize("values", [[0.5, 0.25, 0.75, 0.5, 0.5], [math.nan, math.nan], [], [0.0, 0.0]])
def test_a_state_goes_through_the_schema(values: list[float]) -> None:
    _, tracker = seen(values)
    _, other = seen([9.0, 1.0])
    other.restore(TestWatchState.FromString(tracker.state().SerializeToString()))
    assert (other.best, other.iteration, other.tests) == (tracker.best, tracker.iteration, tracker.tests)
    assert other.state() == tracker.state()
    assert other.see(0.625, 70) == tracker.see(0.625, 70)


def test_without_a_state_everything_begins_anew() -> None:
    _, tracker = seen([9.0, 1.0])
    tracker.restore(None)
    assert (tracker.best, tracker.iteration, tracker.tests) == (None, None, 0)


def test_the_state_of_another_output_is_not_compared_with(caplog: pytest.LogCaptureFixture) -> None:
    _, tracker = seen([9.0, 1.0])
    _, other = seen([], output="loss", mode="MIN")
    with caplog.at_level(logging.WARNING, "caffelite"):
        other.restore(tracker.state())
    assert 'what was seen of "acc" says nothing about "loss": that begins anew' in caplog.text
    assert (other.best, other.iteration, other.tests) == (None, None, 0)
