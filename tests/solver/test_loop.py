"""What happens when: the order of tests, displays, snapshots and requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffelite.errors import DataError, SettingsError, SnapshotError
from caffelite.logs.records import (
    Displayed,
    Finished,
    LastLoss,
    Note,
    OutputValue,
    Record,
    Snapshotted,
    Solving,
    Tested,
    TestStarted,
)
from caffelite.logs.text import lines
from caffelite.solver import Action, Solver
from caffelite.solver.events import Every

from .fakes import FakeNet, FakeParameter, settings

TEST_OUTPUTS = (("acc", 0.0), ("loss", 1.0))
RECORDED = {
    "test_iter": [2],
    "test_interval": 10,
    "base_lr": 0.1,
    "display": 5,
    "max_iter": 30,
    "lr_policy": "step",
    "gamma": 0.5,
    "momentum": 0.9,
    "stepsize": 10,
    "snapshot": 15,
    "snapshot_prefix": "snap",
    "average_loss": 3,
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def solver(request: Callable[[], Action] = lambda: Action.NONE, **fields: Any) -> tuple[Solver, list[Record]]:
    """A solver of fake nets, and what it will say."""
    said: list[Record] = []
    chosen = settings("solver.prototxt", **fields)
    tests = [FakeNet(outputs=TEST_OUTPUTS) for _ in chosen.test_nets]
    return Solver(chosen, FakeNet(), tests, [said.append], request), said


def short(record: Record) -> str:
    """A record in one word and its iteration."""
    return f"{type(record).__name__} {record.iteration}" if hasattr(record, "iteration") else type(record).__name__


def asks(*actions: Action) -> Callable[[], Action]:
    """Gives out these actions one after the other, then none."""
    waiting = iter(actions)
    return lambda: next(waiting, Action.NONE)


# -- against recorded logs ----------------------------------------------------------------------------------------


def masked(text: str) -> str:
    """A log line without what depends on weights and clocks."""
    text = re.sub(r"\([-+.e\d]+ iter/s, [-+.e\d]+s/", "(speed/", text)
    return re.sub(r"((?:loss|acc|\* 1) = )[-+.e\d]+", r"\1X", text)


def recorded_lines(path: Path) -> list[str]:
    """The lines of a recorded run that the solver writes, from "Solving" on."""
    tail = [line.split(" TID ", 1)[-1] for line in path.read_text().splitlines()]
    tail = tail[tail.index("solver.cpp:289] Solving tiny") :]
    return [masked(line) for line in tail if re.match(r"(sgd_)?solver\.cpp:", line)]


def test_a_whole_run_is_logged_as_recorded(golden: Callable[[str], Path]) -> None:
    training, said = solver(**RECORDED)
    training.solve()
    wanted = recorded_lines(golden("cli/train_from_init/stderr.txt"))
    assert [masked(f"{line.source}] {line.text}") for record in said for line in lines(record)] == wanted


def test_a_resumed_run_is_logged_as_recorded(golden: Callable[[str], Path]) -> None:
    first, _ = solver(**RECORDED)
    first.step(15)
    training, said = solver(**RECORDED)
    training.restore("snap_iter_15.solverstate")
    said.clear()
    training.solve()
    wanted = recorded_lines(golden("cli/resume/stderr.txt"))
    assert [masked(f"{line.source}] {line.text}") for record in said for line in lines(record)] == wanted


# -- order --------------------------------------------------------------------------------------------------------


def test_order_of_everything_due_at_once() -> None:
    training, said = solver(display=2, test_iter=[1], test_interval=2, snapshot=2, max_iter=2)
    training.solve()
    assert [short(record) for record in said] == [
        "Solving 0",
        "TestStarted 0",
        "Tested 0",
        "Displayed 0",
        "Snapshotted 2",
        "LastLoss 2",
        "TestStarted 2",
        "Tested 2",
        "Finished 2",
    ]


def test_no_test_before_training_when_told_so() -> None:
    training, said = solver(test_iter=[1], test_interval=2, test_initialization=False, max_iter=4)
    training.solve()
    assert [record.iteration for record in said if isinstance(record, Tested)] == [2, 4]


@pytest.mark.parametrize("first", [True, False])
def test_tests_may_be_off_the_beat(first: bool) -> None:
    """intel/caffe: where iteration − test_offset is a multiple of test_interval, at the end as well."""
    training, said = solver(test_iter=[1], test_interval=4, test_offset=1, test_initialization=first, max_iter=9)
    training.solve()
    assert [record.iteration for record in said if isinstance(record, Tested)] == [1, 5, 9]
    training, said = solver(test_iter=[1], test_interval=4, test_offset=8, test_initialization=first, max_iter=5)
    training.solve()
    assert [record.iteration for record in said if isinstance(record, Tested)] == [0, 4][not first :]


def test_the_end_off_the_beat() -> None:
    training, said = solver(display=2, test_iter=[1], test_interval=2, snapshot=2, max_iter=3)
    training.solve()
    assert [short(record) for record in said][-3:] == ["Displayed 2", "Snapshotted 3", "Finished 3"]


@pytest.mark.parametrize(
    ("fields", "iterations"),
    [
        ({"max_iter": 5}, [5]),
        ({"max_iter": 5, "snapshot": 2}, [2, 4, 5]),
        ({"max_iter": 4, "snapshot": 2}, [2, 4]),
        ({"max_iter": 5, "snapshot": 2, "snapshot_after_train": False}, [2, 4]),
        ({"max_iter": 5, "snapshot_after_train": False}, []),
    ],
)
def test_snapshots(fields: dict[str, Any], iterations: list[int]) -> None:
    training, said = solver(**fields)
    training.solve()
    assert [record.iteration for record in said if isinstance(record, Snapshotted)] == iterations
    assert {int(path.stem.split("_")[-1]) for path in Path.cwd().iterdir()} == set(iterations)


def test_the_last_display_uses_up_a_batch() -> None:
    training, _ = solver(display=1, max_iter=3)
    training.solve()
    assert [what for what, _ in training.net.seen] == ["both", "both", "both", "forward"]


def test_nothing_left_to_train() -> None:
    training, said = solver(display=1, max_iter=0, snapshot_after_train=False, test_iter=[1], test_interval=1)
    training.solve()
    assert [short(record) for record in said] == ["Solving 0", "LastLoss 0", "TestStarted 0", "Tested 0", "Finished 0"]


def test_every() -> None:
    assert [k for k in range(10) if Every(3)(k)] == [0, 3, 6, 9]
    assert [k for k in range(10) if Every(0)(k)] == []
    assert [k for k in range(10) if Every(3, offset=4)(k)] == [1, 4, 7]
    assert [k for k in range(10) if Every(3, first=2, offset=4)(k)] == [4, 7]


# -- numbers ------------------------------------------------------------------------------------------------------


def test_displays_show_the_smoothed_mean_over_iter_size() -> None:
    training, said = solver(display=2, iter_size=2, average_loss=3, max_iter=4)
    training.step(4)
    # Batches have losses 0, 1, 2 …, so iterations have 0.5, 2.5, 4.5, 6.5.
    shown = [record for record in said if isinstance(record, Displayed)]
    assert [(record.iteration, record.loss) for record in shown] == [(0, 0.5), (2, 2.5)]
    assert [record.interval for record in shown] == [0, 2]
    # The outputs are those of the last batch of the iteration.
    assert shown[1].outputs == (OutputValue(0, "loss", 5.0, 1.0),)


def test_tests_average_over_batches_and_go_on_through_the_data() -> None:
    training, said = solver(test_iter=[2], test_interval=1, test_compute_loss=True, max_iter=1)
    training.solve()
    tested = [record for record in said if isinstance(record, Tested)]
    assert tested[0].outputs == (OutputValue(0, "acc", 0.5), OutputValue(1, "loss", 0.5, 1.0))
    assert (tested[0].loss, tested[1].loss) == (0.5, 2.5)


def test_several_test_nets() -> None:
    training, said = solver(test_iter=[1, 3], test_interval=5, max_iter=1, snapshot_after_train=False)
    training.solve()
    assert [record.net for record in said if isinstance(record, TestStarted)] == [0, 1]
    assert [net.batches for net in training.test_nets] == [1, 3]


def test_a_test_of_no_batches() -> None:
    training, said = solver(test_iter=[0], test_interval=5, test_compute_loss=True, max_iter=1)
    training.test_all()
    assert said == [TestStarted(0, 0), Tested(0, 0, ())]


def test_the_rate_drops_and_is_remembered() -> None:
    training, said = solver(lr_policy="multistep", gamma=0.5, stepvalue=[1, 2], display=1, max_iter=3)
    training.step(3)
    assert [record.rate for record in said if isinstance(record, Displayed)] == [0.5, 0.25, 0.125]
    assert [record.text for record in said if isinstance(record, Note)] == [
        "MultiStep Status: Iteration 1, step = 1",
        "MultiStep Status: Iteration 2, step = 2",
    ]
    assert training.current_step == 2


def test_clipping_is_told_with_the_display() -> None:
    training, said = solver(clip_gradients=1.0, display=2, max_iter=2)
    training.step(2)
    # Six ones have the norm √6.
    note = "Gradient clipping: scaling down gradients (L2 norm 2.44949 > 1) by scale factor 0.408248"
    assert [record.text for record in said if isinstance(record, Note)] == [note]


def test_an_undefined_rate_is_an_error() -> None:
    training, _ = solver(lr_policy="poly", power=0.5, max_iter=1)
    training.step(2)  # the rate is 0 at iteration 1, and gone after it
    with pytest.raises(SettingsError, match="lr_policy poly has no finite rate at iteration 2"):
        training.step(1)


def test_iterations_are_counted_over_calls() -> None:
    training, said = solver(display=3, average_loss=5)
    training.step(2)
    training.step(2)
    assert training.iter == 4
    # The window starts anew with each call.
    assert [(r.iteration, r.loss, r.interval) for r in said if isinstance(r, Displayed)] == [(0, 0.0, 0), (3, 2.5, 1)]


def test_after_a_step_diff_is_the_update() -> None:
    training, _ = solver(momentum=0.5)
    training.step(2)
    (parameter,) = training.net.parameters
    assert parameter.diff.tolist() == [[0.75] * 3] * 2
    assert parameter.values.tolist() == [[-1.25] * 3] * 2


def test_apply_update_is_one_iteration() -> None:
    training, _ = solver()
    training.net.forward_backward()
    training.apply_update()
    assert training.iter == 1
    assert training.net.parameters[0].values[0, 0] == -0.5


def test_debug_info_of_the_train_net_follows_the_display() -> None:
    training, _ = solver(debug_info=True, display=2, test_iter=[1], test_interval=2, max_iter=3)
    training.step(3)
    assert [debug for _, debug in training.net.seen] == [True, False, True]
    assert [debug for _, debug in training.test_nets[0].seen] == [True, True]


def test_callbacks_see_the_gradient_and_may_change_it() -> None:
    training, _ = solver()
    seen: list[str] = []

    def double() -> None:
        seen.append("ready")
        training.net.parameters[0].grad *= 2

    training.add_callback(lambda: seen.append("start"), double)
    training.step(2)
    assert seen == ["start", "ready"] * 2
    assert training.net.parameters[0].values[0, 0] == -2.0


def test_nothing_waits_for_the_device_between_displays(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    training, _ = solver(display=10, max_iter=9, momentum=0.9, clip_gradients=1.0, weight_decay=0.1)
    training.step(1)

    def forbidden(*args: object) -> Any:
        raise AssertionError("a tensor was read")

    for name in ("item", "tolist", "__float__", "__bool__", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, forbidden)
    training.step(8)
    monkeypatch.undo()
    assert training.iter == 9


# -- requests -----------------------------------------------------------------------------------------------------


def test_a_request_to_stop_snapshots_and_stops() -> None:
    training, said = solver(asks(Action.NONE, Action.STOP), display=1, test_iter=[1], test_interval=100)
    training.test_nets.clear()
    training.solve()
    assert [short(record) for record in said][-2:] == ["Snapshotted 2", "Finished 2"]
    assert said[-1] == Finished(2, None, stopped=True)
    assert not [record for record in said if isinstance(record, LastLoss)]


def test_stopping_without_a_snapshot_says_so() -> None:
    training, said = solver(asks(Action.STOP), snapshot_after_train=False)
    training.solve()
    assert [short(record) for record in said] == ["Solving 0", "Note", "Finished 1"]
    assert said[1] == Note("No snapshot of iteration 1 is written: snapshot_after_train is false", "warning")


@pytest.mark.parametrize("after", [False, True])
def test_a_polite_kill_snapshots_once_in_any_case(after: bool) -> None:
    training, said = solver(asks(Action.SNAPSHOT_AND_STOP), snapshot_after_train=after)
    training.solve()
    assert [short(record) for record in said] == ["Solving 0", "Snapshotted 1", "Finished 1"]


def test_a_snapshot_on_request() -> None:
    training, said = solver(asks(Action.NONE, Action.SNAPSHOT), max_iter=4)
    training.solve()
    assert [record.iteration for record in said if isinstance(record, Snapshotted)] == [2, 4]


def test_a_test_can_be_interrupted() -> None:
    training, said = solver(
        asks(Action.SNAPSHOT, Action.NONE, Action.STOP), test_iter=[5, 5], test_interval=1, snapshot_after_train=False
    )
    training.solve()
    assert [short(record) for record in said] == [
        "Solving 0",
        "TestStarted 0",
        "Snapshotted 0",
        "Note",
        "Finished 0",
    ]
    assert said[3] == Note("Test interrupted.", source="solver.cpp:396")
    assert [net.batches for net in training.test_nets] == [1, 0]


def test_training_goes_on_after_a_stop() -> None:
    training, _ = solver(asks(Action.STOP))
    training.step(5)
    assert (training.iter, training.stopped) == (1, True)
    training.step(5)
    assert (training.iter, training.stopped) == (6, False)


def test_a_folder_that_is_not_there_is_found_before_training() -> None:
    training, said = solver(snapshot_prefix="nowhere/x")
    with pytest.raises(SnapshotError, match="there is no folder nowhere"):
        training.solve()
    assert training.net.batches == 0
    assert said == []


# -- snapshots ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["BINARYPROTO", "HDF5"])
def form(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both formats."""
    yield request.param


def two(kind: str = "Adam", **fields: Any) -> Solver:
    """A solver of two parameters, the first one in channels_last order."""
    import torch

    fields = {"type": kind, "momentum": 0.5} | fields
    parameters = [
        FakeParameter(np.zeros((2, 3, 2, 2), np.float32)),
        FakeParameter(np.zeros(3, np.float32), 2.0, slot=1),
    ]
    parameters[0].tensor = torch.zeros(2, 3, 2, 2).to(memory_format=torch.channels_last).requires_grad_(True)
    return Solver(settings("s.prototxt", **fields), FakeNet(parameters=parameters))


def test_a_resumed_run_ends_where_an_unbroken_one_does(form: str) -> None:
    fields = {"lr_policy": "multistep", "gamma": 0.5, "stepvalue": [1, 4], "snapshot_format": form}
    whole, first, second = two(**fields), two(**fields), two(**fields)
    for training in (whole, first):
        training.step(3)
    first.snapshot()
    end = ".h5" if form == "HDF5" else ""
    second.restore(f"s_iter_3.solverstate{end}")
    assert (second.iter, second.current_step) == (3, 1)
    for training in (whole, second):
        training.step(3)
    for wanted, got in zip(whole.net.parameters, second.net.parameters, strict=True):
        assert np.array_equal(wanted.values, got.values)
    assert all(a.equal(b) for a, b in zip(whole.rule.history, second.rule.history, strict=True))


def test_snapshot_diff_stores_the_update(form: str) -> None:
    from caffelite.snapshot import read_weights

    training = two("SGD", snapshot_diff=True, snapshot_format=form)
    training.step(1)
    training.snapshot()
    (layer,) = read_weights("s_iter_1.caffemodel" + ".h5" * (form == "HDF5")).layers
    assert [float(diff.flat[0]) for diff in layer.diffs if diff is not None] == [0.5, 1.0]


def test_a_state_of_another_solver_type_does_not_fit() -> None:
    adam, sgd = two(), two("SGD")
    adam.step(2)
    adam.snapshot()
    with pytest.raises(SnapshotError, match="the state holds 4 history blobs; type SGD needs 2 for the 2 parameters"):
        sgd.restore("s_iter_2.solverstate")
    assert sgd.iter == 0
    assert not sgd.net.parameters[0].values.any()


def test_a_state_of_another_shape_does_not_fit() -> None:
    training, _ = solver()
    training.step(1)
    training.snapshot()
    other = Solver(settings(), FakeNet(parameters=[FakeParameter(np.zeros((3, 2), np.float32))]))
    with pytest.raises(SnapshotError, match=r"history blob 0 has shape \(2, 3\); parameter ip/0 .* has \(3, 2\)"):
        other.restore("solver_iter_1.solverstate")


def test_weights_are_not_a_state() -> None:
    training, _ = solver()
    training.step(1)
    training.snapshot()
    with pytest.raises(SnapshotError, match="--weights"):
        training.restore("solver_iter_1.caffemodel")


def test_weights_that_moved_are_found_beside_the_state() -> None:
    training, _ = solver(snapshot_prefix="run/s", max_iter=2)
    Path("run").mkdir()
    training.solve()
    Path("run").rename("elsewhere")
    other, _ = solver()
    other.restore("elsewhere/s_iter_2.solverstate")
    assert np.array_equal(other.net.parameters[0].values, training.net.parameters[0].values)


def test_resuming_in_solve_tells_where_it_starts() -> None:
    first, _ = solver(snapshot=2)
    first.step(2)
    training, said = solver(max_iter=3)
    training.solve("solver_iter_2.solverstate")
    assert said[0] == Note("Restoring previous solver status from solver_iter_2.solverstate", source="solver.cpp:296")
    assert Solving("tiny", "fixed", 2, 3) in said
    assert training.iter == 3


@pytest.mark.parametrize(("broken", "saved"), [(3, [3]), (0, []), (2, [])])
def test_what_was_learned_is_saved_before_an_error_of_the_data(broken: int, saved: list[int]) -> None:
    def losses(batch: int) -> float:
        if batch == broken:
            raise DataError('record "00000007" is damaged')
        return 1.0

    training, said = solver(max_iter=10, snapshot_prefix="run", snapshot_after_train=broken != 2)
    training.net.losses = losses
    with pytest.raises(DataError, match="00000007"):
        training.solve()
    assert [record.iteration for record in said if isinstance(record, Snapshotted)] == saved
