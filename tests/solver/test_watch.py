"""The watch over a training: what is found, where it began, and that looking changes nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from caffelite import assembly
from caffelite.errors import DivergedError, LayerError, SettingsError
from caffelite.layerkit import Run, losses
from caffelite.layerkit.losses import class_labels, marked
from caffelite.logs.records import Displayed, Note, NotFinite, Record, Snapshotted, Tested
from caffelite.net import search
from caffelite.net.census import finite
from caffelite.solver import Solver, watch

from .fakes import FakeNet, settings

RECORDS, BATCH, BAD = 24, 4, 13
"""Record 13 is bad: with batches of 4 it comes in iteration 3 as sample 1; with iter_size 2, in iteration 1."""

DATA = """
layer { name: "data" type: "HDF5Data" top: "x" top: "label" hdf5_data_param { source: "list.txt" batch_size: 4 } }
"""
LEARNING = """
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 1 bias_term: false
  weight_filler { type: "constant" value: 1 } } }
"""
LOSS = """
layer { name: "loss" type: "EuclideanLoss" bottom: "%s" bottom: "label" top: "loss" }
"""
LOG = DATA + 'layer { name: "log" type: "Log" bottom: "x" top: "z" }' + LEARNING.replace('"x"', '"z"') + LOSS % "h"
SQUARE_ROOT = 'layer { name: "root" type: "Power" bottom: "h" top: "r" power_param { power: 0.5 } }'
ROOT = DATA + LEARNING + SQUARE_ROOT + LOSS % "r"
PLAIN = DATA + LEARNING + LOSS % "h"

CLASSES = (
    DATA
    + """
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 6
  weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "h" bottom: "label" top: "loss" }
"""
)

BESIDE = (
    DATA
    + """
layer { name: "log" type: "Log" bottom: "x" top: "z" }
layer { name: "beside" type: "Reduction" bottom: "z" top: "beside" loss_weight: 1 }
layer { name: "steps" type: "Reshape" bottom: "x" top: "steps" reshape_param { shape { dim: 4 dim: 1 dim: 2 } } }
layer { name: "cont" type: "DummyData" top: "cont"
  dummy_data_param { shape { dim: 4 dim: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "rnn" type: "RNN" bottom: "steps" bottom: "cont" top: "y"
  recurrent_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "flat" type: "Reshape" bottom: "y" top: "flat" reshape_param { shape { dim: 4 dim: 3 } } }
layer { name: "norm" type: "BatchNorm" bottom: "flat" top: "flat" }
layer { name: "drop" type: "Dropout" bottom: "flat" top: "flat" }
layer { name: "ip" type: "InnerProduct" bottom: "flat" top: "h" inner_product_param { num_output: 1
  weight_filler { type: "xavier" } } }
layer { name: "out" type: "HDF5Output" bottom: "h" bottom: "label" hdf5_output_param { file_name: "out.h5" } }
"""
    + LOSS % "h"
)
"""In iteration 3 a loss that no weight contributes to is -inf, and training goes on all the same.  In the net there is
everything that a repeated pass could disturb: data, chance, a remembered state, statistics, a file that is written."""


Write = Callable[..., None]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the data: x from 1 to 2 and label, their sum and 1, but record 13 as given (to begin with, 0 and 1)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("data.h5\n")

    def write(bad: float, label: float = 1) -> None:
        x = np.random.default_rng(1).uniform(1, 2, (RECORDS, 2)).astype(np.float32)
        labels = x.sum(1, keepdims=True) + 1
        x[BAD], labels[BAD] = bad, label
        with h5py.File(tmp_path / "data.h5", "w") as file:
            file["x"], file["label"] = x, labels

    write(0)
    return write


def solver(net: str, on_nan: Any = "stop", *, observed: bool = False, deferred: bool = False, **fields: Any) -> Solver:
    """A solver of this net, and in its sinks a list, `said`, of its records."""
    chosen = {"base_lr": 0.01, "lr_policy": '"fixed"', "max_iter": 12, "random_seed": 3, "momentum": 0.5} | fields
    Path("net.prototxt").write_text(net)
    lines = [f"{name}: {value}" for name, value in ({"snapshot_prefix": '"s"'} | chosen).items()]
    Path("s.prototxt").write_text("\n".join(['net: "net.prototxt"', *lines]))
    made = assembly.make_solver(assembly.read_solver("s.prototxt"), observed=observed, on_nan=on_nan)
    made.watch.defers_from = 0 if deferred else math.inf
    made.sinks.append(Said())
    return made


class Said(list[Record]):
    """A sink that keeps what it is given."""

    def __call__(self, record: Record) -> None:
        self.append(record)


def said(training: Solver, kind: type[Record]) -> list[Any]:
    return [record for record in training.sinks[0] if isinstance(record, kind)]


def stopped(training: Solver, iterations: int = 12) -> str:
    """Train, and return the error that ends it."""
    with pytest.raises(DivergedError) as caught:
        training.step(iterations)
    return str(caught.value)


def standing(training: Solver) -> list[np.ndarray]:
    """Everything that what comes next depends on."""
    net = training.net
    consumed = [layer.consumed for _, layer in net.sources()]
    tensors = [*(parameter.tensor.detach() for parameter in net.parameters), *training.rule.history]
    counts = np.array([training.iter, training.current_step, net.run.position, *consumed])
    return [counts, *(one.numpy().copy() for one in tensors)]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


# -- what is found ------------------------------------------------------------------------------------------------


def test_a_layer_that_makes_infinity_of_its_bottom() -> None:
    training = solver(LOG)
    text = stopped(training).splitlines()
    assert re.fullmatch(
        r'net\.prototxt:\d+:1: layer "log" \(Log\): the loss of iteration 3 is inf; this begins here: top "z" has '
        r"2 -inf among 8 values, the first in sample 1, the others 0\.\d+ to 0\.\d+; "
        r'made from bottom "x" \(0 to 1\.\d+\)',
        text[0],
    )
    assert text[-1] == (
        "  help: the rate was 0.01: try a smaller base_lr or clip_gradients, or look at what the layer is given; "
        "no snapshot was written"
    )
    [record] = said(training, NotFinite)
    assert record == NotFinite(3, "loss", record.rate, float("inf"), "log", 'top "z"')
    assert record.rate == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_is_not_finite_is_named_by_its_record(data: Write, bad: float) -> None:
    data(bad)
    text = stopped(solver(PLAIN))
    assert text.startswith('net.prototxt:2:1: layer "data" (HDF5Data): the loss of iteration 3 is ')
    assert f'; this begins here: top "x" has 2 {bad} among 8 values' in text
    assert "the first in sample 1, the others 1." in text
    assert "that is record 13 of the run\n" in text
    assert "help: mend the data, or leave out what is not finite in it" in text


def test_a_gradient_that_is_not_finite_is_found_while_the_weights_still_are() -> None:
    training = solver(ROOT)
    text = stopped(training)
    # The square root of 0 is 0, its slope is not finite.
    assert re.search(r'layer "root" \(Power\): the loss of iteration 3 is \d\.\d+ but its gradient is not finite', text)
    assert 'the gradient of bottom "h" has 1 nan among 4 values, the first in sample 1, the others' in text
    assert re.search(r'made from the gradient of top "r" \(\S+ to \S+\), bottom "h" \(0 to \S+\)', text)
    assert said(training, NotFinite)[0].what == "gradient"
    unwatched = solver(ROOT, "ignore")
    unwatched.step(3)
    same(standing(training), standing(unwatched))


def test_a_gradient_of_weights_that_overflows() -> None:
    # Before the first update every error is -1: the loss is 1/2, the gradient of a weight the mean of -x.
    text = stopped(solver(PLAIN.replace('top: "loss"', 'top: "loss" loss_weight: 3e38')))
    assert 'layer "ip" (InnerProduct): the loss of iteration 0 is 1.5e+38 but its gradient is not finite; this ' in text
    assert "begins here: the gradient of weight blob 0 has 2 -inf among 2 values; made from the gradient of " in text


def test_weights_that_an_update_spoiled() -> None:
    training = solver(PLAIN, base_lr=3e38)
    text = stopped(training)
    assert 'layer "ip" (InnerProduct): iteration 0 left weights that are not finite: weight blob 0 has 2 inf' in text
    assert "help: the rate was 3e+38: try a smaller base_lr; no snapshot was written" in text
    assert (training.iter, said(training, NotFinite)[0].iteration) == (1, 0)


def test_weights_that_came_so() -> None:
    training = solver(PLAIN)
    training.net.params["ip"][0].data[0, 1] = np.nan
    text = stopped(training)
    assert 'layer "ip" (InnerProduct): training began with weights that are not finite: weight blob 0 has 1 nan' in text
    assert "help: load other weights" in text


def test_layers_off_the_way_to_the_loss_are_not_blamed() -> None:
    net = DATA + 'layer { name: "aside" type: "Log" bottom: "x" top: "a" }' + LOG.removeprefix(DATA)
    assert 'layer "log" (Log)' in stopped(solver(net))


def test_layers_that_the_fast_plan_takes_no_gradient_through_are_not_blamed() -> None:
    aside = SQUARE_ROOT.replace('"root"', '"aside"').replace('top: "r"', 'top: "a"')
    assert 'layer "root" (Power)' in stopped(solver("force_backward: true" + ROOT + aside))
    assert 'layer "aside" (Power)' in stopped(solver("force_backward: true" + ROOT + aside, observed=True))


def test_all_layers_where_it_begins_are_named() -> None:
    second = 'layer { name: "log2" type: "Log" bottom: "x" top: "w" }\n' + LEARNING.replace('"x"', '"w"').replace(
        '"ip"', '"ip2"'
    ).replace('top: "h"', 'top: "v"')
    text = stopped(solver(LOG + second + LOSS.replace('"loss"', '"loss2"') % "v"))
    assert 'layer "log" (Log)' in text
    assert "; it begins in log2 as well\n" in text


def test_a_sum_of_losses_that_is_too_large_has_no_layer() -> None:
    losses = [(LOSS % "h").replace('"loss"', f'"loss{number}"', 1) for number in range(3)]
    tops = [loss.replace('top: "loss"', f'top: "loss{number}" loss_weight: 3e38') for number, loss in enumerate(losses)]
    text = stopped(solver(DATA + LEARNING + "".join(tops)))
    assert text.startswith(
        "the loss of iteration 0 is inf; made again, every layer is finite: the sum of losses is too"
    )


@pytest.mark.parametrize("deferred", [False, True])
def test_iterations_of_several_batches(deferred: bool) -> None:
    for net, what in ((LOG, "is inf; this"), (ROOT, "but its gradient is not finite; this")):
        training = solver(net, iter_size=2, deferred=deferred)
        text = stopped(training)
        assert "the loss of iteration 1 is" in text
        assert what in text
        assert "the first in sample 1" in text
        unwatched = solver(net, "ignore", iter_size=2)
        unwatched.step(1)
        same(standing(training), standing(unwatched))


def test_no_such_choice() -> None:
    with pytest.raises(SettingsError, match='on_nan must be one of stop, warn, ignore, got "halt"'):
        solver(PLAIN, "halt")


# -- snapshots ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deferred", [False, True])
def test_no_snapshot_of_broken_weights_is_written(deferred: bool) -> None:
    training = solver(LOG, snapshot=2, deferred=deferred)
    assert "the newest snapshot is s_iter_2.solverstate" in stopped(training)
    assert sorted(path.name for path in Path().glob("s_iter*")) == ["s_iter_2.caffemodel", "s_iter_2.solverstate"]

    spoiled = solver(PLAIN, base_lr=3e38, snapshot=1, snapshot_prefix='"t"', deferred=deferred)
    assert "iteration 0 left weights that are not finite" in stopped(spoiled)
    assert not list(Path().glob("t_iter*"))


def test_a_snapshot_is_written_over_a_warning() -> None:
    training = solver(PLAIN, "warn", base_lr=3e38, snapshot=1)
    training.step(2)
    assert [record.iteration for record in said(training, Snapshotted)] == [1, 2]
    assert len([record for record in said(training, Note) if record.severity == "warning"]) == 1


def test_a_resumed_run_names_what_it_went_on_from() -> None:
    first = solver(LOG)
    first.step(2)
    first.snapshot()
    again = solver(LOG)
    again.restore("s_iter_2.solverstate")
    assert "the newest snapshot is s_iter_2.solverstate" in stopped(again)


# -- looking changes nothing --------------------------------------------------------------------------------------


def outcome(training: Solver) -> tuple[list[np.ndarray], list[Any]]:
    """Where a training of 12 iterations ends, and what was displayed."""
    training.step(12)
    training.net.close()
    return standing(training), [(one.loss, one.outputs) for one in said(training, Displayed)]


@pytest.mark.parametrize("fields", [{}, {"iter_size": 2}, {"type": '"Adam"', "momentum": 0.9}], ids=str)
@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize("deferred", [False, True])
def test_a_warned_training_ends_where_an_unwatched_one_does(
    deferred: bool, observed: bool, fields: dict[str, Any]
) -> None:
    fields = {"display": 5} | fields
    unwatched = solver(BESIDE, "ignore", observed=observed, **fields)
    wanted, shown = outcome(unwatched)
    blobs = {name: blob.data.copy() for name, blob in unwatched.net.blobs.items()} if observed else {}
    training = solver(BESIDE, "warn", observed=observed, deferred=deferred, **fields)
    found, displayed = outcome(training)
    same(found, wanted)
    assert repr(displayed) == repr(shown)  # nan is nan
    assert np.isfinite(np.concatenate([values.ravel() for values in found])).all()
    for name, values in blobs.items():
        np.testing.assert_array_equal(training.net.blobs[name].data, values)
    with h5py.File("out.h5") as file:
        assert len(file["data"]) == 12 * BATCH * fields.get("iter_size", 1)
    [warning] = [record.text for record in said(training, Note) if record.severity == "warning"]
    assert f'warning: layer "log" (Log): the loss of iteration {3 // fields.get("iter_size", 1)} is -inf' in warning
    assert len(said(training, NotFinite)) == 1


@pytest.mark.parametrize("deferred", [False, True])
def test_arrays_that_somebody_holds_show_what_they_would_without_a_watch(deferred: bool) -> None:
    arrays = []
    for on_nan in ("ignore", "warn"):
        training = solver(BESIDE, on_nan, deferred=deferred and on_nan == "warn", display=5)
        held = [array for parameter in training.net.parameters for array in (parameter.data, parameter.diff)]
        training.step(12)
        training.net.close()
        arrays.append(held)
    same(*arrays)


def test_a_watched_training_in_which_all_is_well_is_the_same_training(data: Write) -> None:
    data(1)
    for deferred in (False, True):
        same(outcome(solver(BESIDE, deferred=deferred))[0], outcome(solver(BESIDE, "ignore"))[0])


# -- later than at once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("net", [LOG, ROOT, BESIDE], ids=["Log", "root", "beside"])
@pytest.mark.parametrize("fields", [{}, {"display": 2}, {"display": 7}, {"lr_policy": '"multistep"', "stepvalue": 2}])
def test_a_deferred_look_finds_the_same_and_leaves_the_same(net: str, fields: dict[str, Any]) -> None:
    if "stepvalue" in fields:
        fields = fields | {"gamma": 0.5}
    at_once, deferred = solver(net, **fields), solver(net, **fields, deferred=True)
    texts = []
    for training in (at_once, deferred):
        texts.append(stopped(training))
        training.net.close()
    assert texts[0] == texts[1]
    assert said(at_once, NotFinite) == said(deferred, NotFinite)
    same(standing(at_once), standing(deferred))


def test_a_deferred_look_finds_the_update_that_spoiled_the_weights(data: Write) -> None:
    data(1e38, 3)
    for deferred in (False, True):
        training = solver(CLASSES, deferred=deferred, lr_policy='"step"', stepsize=3, gamma=1e4)
        assert 'layer "ip" (InnerProduct): iteration 3 left weights that are not finite' in stopped(training)
        assert training.iter == 4


def test_losses_are_looked_at_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caffelite.solver.watch.MOST_PENDING", 5)
    training = solver(LOG, deferred=True)
    stopped(training)
    assert training.watch._losses == []
    assert said(training, NotFinite)[0].iteration == 3


def test_what_a_repetition_does_not_show_is_told_all_the_same(data: Write) -> None:
    training = solver(LOG, deferred=True)
    forward = training.net.forward_backward
    losses = iter([torch.tensor(1.0), torch.tensor(torch.nan)])

    def once() -> torch.Tensor:
        forward()
        return next(losses, torch.tensor(1.0))

    training.net.forward_backward = once
    training.net.double = lambda double=training.net.double: healthy(double())

    def healthy(net: Any) -> Any:
        del net.__dict__["forward_backward"]
        return net

    text = stopped(training, 3)
    assert text.startswith("the loss of iteration 1 is nan; made again, every layer is finite")
    assert training.iter == 3


def test_functions_of_others_cannot_be_called_again() -> None:
    training, seen = solver(LOG, deferred=True), []
    training.add_callback(lambda: seen.append(training.iter), lambda: None)
    stopped(training)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(("iterations", "small", "looks"), [(60, 1 << 20, 1), (40, 1 << 20, 41), (60, 4, 61)])
def test_small_nets_are_looked_at_seldom_in_long_trainings(
    monkeypatch: pytest.MonkeyPatch, iterations: int, small: int, looks: int
) -> None:
    seen = []
    monkeypatch.setattr(watch, "_SMALL", small)
    monkeypatch.setattr(watch, "finite", lambda tensors: seen.append(1) or finite(tensors))
    Path("net.prototxt").write_text(PLAIN)
    Path("s.prototxt").write_text('net: "net.prototxt" base_lr: 0 lr_policy: "fixed" snapshot_prefix: "s"')
    training = assembly.make_solver(assembly.read_solver("s.prototxt"), on_nan="stop")
    training.step(iterations)
    assert len(seen) == looks


def test_a_deferred_watch_waits_for_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    class Net(FakeNet):
        run, graph = Run(torch.device("cpu"), 1), SimpleNamespace(nodes=())

    training = Solver(settings(display=10, momentum=0.9, max_iter=9), Net(), on_nan="stop")
    training.watch.defers_from = 0
    training.watch.begin(9)
    training._iterate()

    def forbidden(*args: object) -> Any:
        raise AssertionError("a tensor was read")

    for name in ("item", "tolist", "__float__", "__bool__", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, forbidden)
    for _ in range(8):
        training.net.clear_gradients()
        training._iterate()
    monkeypatch.undo()
    assert len(training.watch._losses) == 8


# -- labels on a device -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_nan", ["stop", "warn"])
def test_a_label_that_nobody_could_check_is_named(monkeypatch: pytest.MonkeyPatch, data: Write, on_nan: str) -> None:
    data(1, label=9)
    elsewhere = [True]

    def labels(layer: Any, values: torch.Tensor, shape: Any, classes: int, ignore: Any) -> Any:
        if elsewhere[-1]:
            return marked(values.long().reshape(shape), None, classes)
        return class_labels(layer, values, shape, classes, ignore)

    def on_the_cpu(*arguments: Any, compute: Any = search._compute_on_the_cpu) -> None:
        elsewhere.append(False)
        compute(*arguments)

    monkeypatch.setattr(losses, "class_labels", labels)
    monkeypatch.setattr(search, "_compute_on_the_cpu", on_the_cpu)
    training = solver(CLASSES, on_nan, deferred=True, display=6)
    with pytest.raises(LayerError) as caught:
        training.step(12)
    assert 'layer "loss" (SoftmaxWithLoss): label of sample 1 must be a class from 0 to 5, got 9' in str(caught.value)


# -- tests, and the end -------------------------------------------------------------------------------------------

TESTED = LOG.replace('"HDF5Data"', '"HDF5Data" include { phase: TEST }')


def with_good_training(net: str) -> str:
    """The net with other data, all good, in TRAIN."""
    with h5py.File("good.h5", "w") as file:
        file["x"], file["label"] = np.full((4, 2), 1.5, np.float32), np.ones((4, 1), np.float32)
    Path("good.txt").write_text("good.h5\n")
    return DATA.replace("list.txt", "good.txt").replace('"HDF5Data"', '"HDF5Data" include { phase: TRAIN }') + net


@pytest.mark.parametrize("on_nan", ["stop", "warn", "ignore"])
def test_a_test_that_is_not_finite_is_a_warning(on_nan: str) -> None:
    training = solver(with_good_training(TESTED), on_nan, test_iter=6, test_interval=2, max_iter=4)
    training.solve()
    assert len(said(training, Tested)) == 3
    warnings = [record.text for record in said(training, Note) if record.severity == "warning"]
    if on_nan == "ignore":
        assert warnings == []
        return
    [warning] = warnings
    assert 'layer "log" (Log): the mean of "loss" over the 6 batches of test net #0 is not finite; this ' in warning
    assert 'top "z" has 2 -inf among 8 values, the first in sample 1' in warning


def test_the_loss_after_the_last_update_is_looked_at() -> None:
    training = solver(LOG, max_iter=3, display=1)
    training.solve()
    [warning] = [record.text for record in said(training, Note) if record.severity == "warning"]
    assert 'layer "log" (Log): the loss after the last update is inf; this begins here: top "z"' in warning
