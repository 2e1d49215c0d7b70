"""What tests lead to: drops of the rate, the best weights, the end of training; and all of it after a resume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.logs.records import (
    BestKept,
    Displayed,
    Finished,
    LastLoss,
    Note,
    Record,
    Snapshotted,
    Tested,
)
from caffelite.snapshot import read_state, read_weights
from caffelite.solver import Action, Solver

from .fakes import FakeNet, settings

WATCHED = {"output": "acc", "mode": "MAX", "patience": 2}
FIELDS: dict[str, Any] = {"max_iter": 100, "test_iter": [1], "test_interval": 2, "snapshot_prefix": "s"}
DROPPING = FIELDS | {"lr_policy": "plateau", "gamma": 0.5, "plateau": WATCHED, "display": 1}
STOPPING = FIELDS | {"early_stop": WATCHED}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def scored(values: Sequence[float]) -> FakeNet:
    """A test net whose tests give these values one after the other, and then the last again and again."""
    return FakeNet(lambda batch: values[min(batch, len(values) - 1)], (("acc", 0.0), ("loss", 1.0)))


def solver(*values: Sequence[float], request: Callable[[], Action] = lambda: Action.NONE, **fields: Any) -> Any:
    """A solver with a test net for each list of values, and what it will say.  Each update takes 0.5 · rate / 0.5."""
    said: list[Record] = []
    chosen = settings(**fields)
    return Solver(chosen, FakeNet(), [scored(one) for one in values], [said.append], request), said


def of(said: Sequence[Record], kind: type) -> list[Any]:
    return [record for record in said if isinstance(record, kind)]


def notes(said: Sequence[Record], beginning: str) -> list[str]:
    return [record.text for record in of(said, Note) if record.text.startswith(beginning)]


def weight(net: FakeNet) -> float:
    """The value that all weights have."""
    (value,) = set(net.parameters[0].values.flat)
    return float(value)


def stored(path: str) -> float:
    (layer,) = read_weights(path).layers
    (value,) = set(np.asarray(layer.blobs[0]).flat)
    return float(value)


# -- plateau -------------------------------------------------------------------------------------------------------


def test_the_rate_drops_when_tests_bring_nothing_better_and_the_count_begins_anew() -> None:
    # Tests at iterations 0, 2, 4, …; none of those from 4 on is better than that at 2.
    training, said = solver([0.25, 0.5, 0.5, 0.25, 0.5, 0.5], **DROPPING)
    training.step(12)
    assert [record.rate for record in of(said, Displayed)] == [0.5] * 6 + [0.25] * 4 + [0.125] * 2
    assert notes(said, "Plateau Status") == [
        "Plateau Status: Iteration 6, step = 1: acc has not become better than 0.5 (iteration 2) in 2 tests",
        "Plateau Status: Iteration 10, step = 2: acc has not become better than 0.5 (iteration 2) in 2 tests",
    ]
    assert training.current_step == 2


def test_the_rate_stays_while_tests_become_better() -> None:
    training, said = solver([0.0, 0.1, 0.0, 0.2, 0.0, 0.3], **DROPPING)
    training.step(11)
    assert {record.rate for record in of(said, Displayed)} == {0.5}
    assert training.current_step == 0


def test_a_loss_is_better_when_it_falls() -> None:
    watched = {"output": "loss", "mode": "MIN", "patience": 1}
    training, _ = solver([3.0, 2.0, 2.5, 1.0, 1.0], **(DROPPING | {"plateau": watched}))
    training.step(9)
    assert training.current_step == 2


def test_the_test_net_that_is_named_is_watched() -> None:
    fields = DROPPING | {"test_iter": [1, 1], "plateau": WATCHED | {"test_net": 1, "patience": 1}}
    training, _ = solver([0.5], [0.0, 1.0, 2.0, 3.0], **fields)
    training.step(7)
    assert training.current_step == 0
    training, _ = solver([0.0, 1.0, 2.0, 3.0], [0.5], **fields)
    training.step(7)
    assert training.current_step == 3


def test_both_may_watch() -> None:
    watched = {"output": "loss", "mode": "MIN", "patience": 1}
    training, _ = solver(
        [1.0, 2.0, 3.0, 0.0], **(DROPPING | {"plateau": watched, "early_stop": WATCHED | {"patience": 9}})
    )
    training.step(7)
    assert training.current_step == 2
    assert (training.follow_up.early_stop.best, training.follow_up.plateau.best) == (3.0, 0.0)


# -- early_stop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_training_ends_early_with_the_best_weights(form: str) -> None:
    end = ".h5" if form == "HDF5" else ""
    training, said = solver([0.25, 0.5, 0.25, 0.5], **STOPPING, display=3, snapshot_format=form)
    training.solve()
    assert (training.iter, training.stopped, training.ended_early) == (6, False, True)
    assert [(record.iteration, record.value, record.model) for record in of(said, BestKept)] == [
        (0, 0.25, f"s_best.caffemodel{end}"),
        (2, 0.5, f"s_best.caffemodel{end}"),
    ]
    assert notes(said, "Early stop") == [
        "Early stop: Iteration 6, acc has not become better than 0.5 (iteration 2) in 2 tests"
    ]
    # The last weights are in the usual snapshot, the best in their file and in the net.
    assert [record.iteration for record in of(said, Snapshotted)] == [6]
    assert stored(f"s_iter_6.caffemodel{end}") == -3.0
    assert stored(f"s_best.caffemodel{end}") == weight(training.net) == -1.0
    assert notes(said, "The net has") == [
        f"The net has the best weights of the run now: acc = 0.5 at iteration 2, s_best.caffemodel{end}"
    ]
    # The last display comes as ever, but the test is not made twice.
    assert [record.iteration for record in of(said, Tested)] == [0, 2, 4, 6]
    assert of(said, LastLoss)[0].iteration == 6
    assert said[-1] == Finished(6, said[-1].loss, stopped=False)
    assert said[-2].text.startswith("The net has")


def test_the_best_weights_are_put_back_at_max_iter_too() -> None:
    training, said = solver([0.25, 0.5, 0.25], **(STOPPING | {"max_iter": 4}))
    training.solve()
    assert (training.iter, training.ended_early) == (4, False)
    assert notes(said, "Early stop") == []
    assert (stored("s_iter_4.caffemodel"), weight(training.net)) == (-2.0, -1.0)
    assert [record.iteration for record in of(said, Tested)] == [0, 2, 4]


def test_the_last_test_may_be_the_best() -> None:
    training, said = solver([0.25, 0.5, 0.75], **(STOPPING | {"max_iter": 4}))
    training.solve()
    assert of(said, BestKept)[-1].iteration == 4
    assert stored("s_best.caffemodel") == stored("s_iter_4.caffemodel") == weight(training.net) == -2.0


def test_tests_in_the_middle_of_patience_do_not_end_anything() -> None:
    training, _ = solver([0.25, 0.0, 0.5, 0.0, 0.75, 0.0, 1.0], **(STOPPING | {"max_iter": 12}))
    training.solve()
    assert (training.iter, training.ended_early) == (12, False)


def test_a_mean_that_is_no_number_is_never_better() -> None:
    training, said = solver([math.nan, math.nan], **STOPPING)
    training.solve()
    assert training.iter == 2
    assert notes(said, "Early stop") == ["Early stop: Iteration 2, acc has been no number in 2 tests"]
    assert not Path("s_best.caffemodel").exists()
    assert weight(training.net) == -1.0
    assert notes(said, "The net has") == []


def test_steps_stop_too_and_further_ones_do_nothing() -> None:
    training, said = solver([0.5], **STOPPING)
    training.step(50)
    assert (training.iter, training.stopped, training.ended_early) == (4, False, True)
    assert weight(training.net) == -2.0  # the end of training is nobody's but solve's
    said.clear()
    training.step(1)
    assert said == [Note("Nothing is trained: early_stop has ended this training", "warning")]
    assert (training.iter, training.test_nets[0].batches) == (4, 3)


def test_solving_twice_leaves_the_last_snapshot_alone() -> None:
    training, said = solver([0.5], **STOPPING)
    training.solve()
    training.solve()
    assert [record.iteration for record in of(said, Snapshotted)] == [4]
    assert (stored("s_iter_4.caffemodel"), weight(training.net)) == (-2.0, 0.0)


def test_training_again_from_a_snapshot_ends_with_one_again() -> None:
    training, said = solver([0.5], **(STOPPING | {"max_iter": 3, "snapshot": 2}))
    training.solve()
    said.clear()
    training.solve("s_iter_2.solverstate")
    assert [record.iteration for record in of(said, Snapshotted)] == [3]
    assert (stored("s_iter_3.caffemodel"), weight(training.net)) == (-1.5, 0.0)


def test_a_request_to_stop_leaves_the_last_weights_in_the_net() -> None:
    actions = iter([*[Action.NONE] * 4, Action.STOP])
    training, said = solver([0.5], request=lambda: next(actions, Action.NONE), **STOPPING)
    training.solve()
    # The requests of two tests and three iterations.
    assert (training.iter, training.stopped, training.ended_early) == (3, True, False)
    assert weight(training.net) == -1.5
    assert notes(said, "The net has") == []


def test_an_interrupted_round_does_not_count() -> None:
    waiting = [Action.NONE, Action.NONE, Action.NONE, Action.NONE, Action.NONE, Action.STOP]
    training, said = solver([0.5], [0.5], request=lambda: waiting.pop(0) if waiting else Action.NONE,
                            **(STOPPING | {"test_iter": [1, 1]}))  # fmt: skip
    training.step(10)
    # Stopped between the two test nets, in the second round.
    assert (training.iter, training.stopped) == (2, True)
    assert notes(said, "Test interrupted") == ["Test interrupted."]
    assert training.follow_up.early_stop.tests == 0
    training.step(1)
    assert training.follow_up.early_stop.tests == 1


# -- snapshots and resuming ----------------------------------------------------------------------------------------


def both(training: Solver) -> list[tuple[float | None, int | None, int]]:
    return [
        (tracker.best, tracker.iteration, tracker.tests)
        for tracker in (training.follow_up.early_stop, training.follow_up.plateau)
        if tracker is not None
    ]


BOTH = DROPPING | {"early_stop": WATCHED | {"patience": 5}, "display": 1}
VALUES = [0.25, 0.5, 0.25, 0.5, 0.25, 0.75, 0.5, 0.5, 0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_run_resumed_anywhere_is_the_same_run(form: str) -> None:
    fields = BOTH | {"snapshot_format": form, "snapshot_prefix": "whole"}
    whole, said = solver(VALUES, **fields)
    whole.solve()
    assert whole.ended_early
    end = ".h5" if form == "HDF5" else ""
    for stop in range(1, whole.iter + 1):
        prefix = f"stop_{stop}"
        first, _ = solver(VALUES, **(fields | {"snapshot_prefix": prefix}))
        first.step(stop)
        first.snapshot()
        second, resumed = solver(VALUES, **(fields | {"snapshot_prefix": prefix}))
        second.test_nets[0].batches = first.test_nets[0].batches
        second.solve(f"{prefix}_iter_{stop}.solverstate{end}")
        assert second.run_id == first.run_id
        assert (second.iter, second.current_step, second.ended_early) == (whole.iter, whole.current_step, True)
        assert both(second) == both(whole)
        assert [record.rate for record in of(resumed, Displayed)] == [
            record.rate for record in of(said, Displayed) if record.iteration >= stop
        ]
        assert stored(f"{prefix}_best.caffemodel{end}") == stored(f"whole_best.caffemodel{end}") == weight(second.net)


def test_a_snapshot_during_a_round_of_tests_or_after_it_is_of_before_it() -> None:
    """What resumes makes the round again, which counts once then, and drops the rate once."""
    fields = BOTH | {"test_iter": [1, 1]}
    waiting: list[Action] = []
    training, _ = solver(VALUES, [0.0], request=lambda: waiting.pop(0) if waiting else Action.NONE, **fields)
    training.step(6)
    before = (training.current_step, both(training))
    waiting += [Action.NONE, Action.SNAPSHOT]  # asked for between the test nets
    training.step(1)
    assert (training.current_step, both(training)) != before
    again, _ = solver(VALUES, [0.0], **fields)
    again.restore("s_iter_6.solverstate")
    assert (again.current_step, both(again)) == before

    late, _ = solver(VALUES, [0.0], **fields)
    late.step(6)
    late.test_all()
    late.snapshot()
    after = (late.current_step, both(late))
    assert after != before
    again, _ = solver(VALUES, [0.0], **fields)
    again.restore("s_iter_6.solverstate")
    assert (again.current_step, both(again)) == before
    again.test_nets[0].batches = 3
    again.test_all()
    assert (again.current_step, both(again)) == after
    again.test_nets[0].batches = 3
    again.test_all()
    assert (again.current_step, both(again)) == after


def test_an_early_stop_is_met_again_after_a_resume() -> None:
    training, _ = solver([0.5, 0.25], **STOPPING)
    training.solve()
    assert read_state("s_iter_4.solverstate").run.early_stop.tests == 1
    again, _ = solver([0.25], **STOPPING)
    again.solve("s_iter_4.solverstate")
    assert (again.iter, again.ended_early) == (4, True)
    assert weight(again.net) == 0.0
    more, _ = solver([0.25], **(STOPPING | {"early_stop": WATCHED | {"patience": 4}}))
    more.solve("s_iter_4.solverstate")
    assert more.iter == 8


def test_damaged_data_is_met_with_the_round_of_tests_before_it_still_to_be_counted() -> None:
    training, _ = solver([0.5], **STOPPING)

    def losses(batch: int) -> float:
        if batch == 2:
            raise DataError("damaged")
        return 1.0

    training.net.losses = losses
    with pytest.raises(DataError):
        training.solve()
    assert read_state("s_iter_2.solverstate").run.early_stop.tests == 0
    assert training.follow_up.early_stop.tests == 1


def test_a_state_of_the_original_begins_to_watch_anew() -> None:
    first, _ = solver([0.5], **FIELDS)
    first.step(3)
    first.snapshot()
    training, _ = solver([0.75], **STOPPING)
    training.step(1)
    training.restore("s_iter_3.solverstate")
    assert both(training) == [(None, None, 0)]
    training.step(3)
    assert both(training) == [(0.75, 4, 0)]
