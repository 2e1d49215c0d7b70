"""Types that search, with nets: the same batches and draws in every evaluation, and nothing else left behind."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from caffelite import assembly
from caffelite.errors import DivergedError, UsageError
from caffelite.logs.records import Displayed
from caffelite.net.moment import Moment
from caffelite.solver import Solver
from caffelite.solver.repetition import Repetition
from caffelite.solver.watch import Watch

from .test_search import TYPES, copied

ROWS = 24
DATA = """
layer { name: "data" type: "HDF5Data" top: "x" top: "label" hdf5_data_param { source: "list.txt" batch_size: %d } }
"""
LEARNED = """
layer { name: "ip1" type: "InnerProduct" bottom: "%s" top: "h" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "tanh" type: "TanH" bottom: "h" top: "h" }
layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
"""
PLAIN = DATA + LEARNED % "x"
CHANCE = (
    DATA
    + """
layer { name: "steps" type: "Reshape" bottom: "x" top: "steps" reshape_param { shape { dim: 4 dim: 1 dim: 5 } } }
layer { name: "cont" type: "DummyData" top: "cont"
  dummy_data_param { shape { dim: 4 dim: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "rnn" type: "RNN" bottom: "steps" bottom: "cont" top: "r"
  recurrent_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "flat" type: "Reshape" bottom: "r" top: "flat" reshape_param { shape { dim: 4 dim: 4 } } }
layer { name: "norm" type: "BatchNorm" bottom: "flat" top: "flat" }
layer { name: "drop" type: "Dropout" bottom: "flat" top: "flat" }
layer { name: "out" type: "HDF5Output" bottom: "flat" bottom: "label" hdf5_output_param { file_name: "out.h5" } }
"""
    + LEARNED % "flat"
)
"""Everything that a forward leaves to the next one, and to the world."""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    x = random.standard_normal((ROWS, 5)).astype(np.float32)
    label = random.integers(0, 3, ROWS).astype(np.float32)
    x[:, 0] += label
    with h5py.File("data.h5", "w") as file:
        file["x"], file["label"] = x, label
    Path("list.txt").write_text("data.h5\n")


def solver(kind: str, net: str = PLAIN, batch: int = ROWS, *, observed: bool = False, **fields: Any) -> Solver:
    """A solver of this net."""
    chosen = {"type": f'"{kind}"', "base_lr": 1, "lr_policy": '"fixed"', "max_iter": 20, "random_seed": 3} | fields
    Path("net.prototxt").write_text(net % batch)
    lines = [f"{name}: {value}" for name, value in ({"snapshot_prefix": '"s"'} | chosen).items()]
    Path("s.prototxt").write_text("\n".join(['net: "net.prototxt"', *lines]))
    return assembly.make_solver(assembly.read_solver("s.prototxt"), observed=observed, on_nan="stop")


def weights(training: Solver) -> list[np.ndarray]:
    return [parameter.data.copy() for parameter in training.net.parameters]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", TYPES)
def test_the_loss_of_all_data_never_rises(kind: str) -> None:
    training = solver(kind, display=1)
    records: list[Any] = []
    training.sinks.append(records.append)
    training.step(20)
    losses = [record.loss for record in records if isinstance(record, Displayed)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0.8
    assert losses[-1] < 0.3


@pytest.mark.parametrize("kind", TYPES)
def test_an_iteration_is_one_of_data_and_chance(kind: str) -> None:
    searching = solver(kind, CHANCE, 4, iter_size=2)
    plain = solver("SGD", CHANCE.replace("out.h5", "plain.h5"), 4, iter_size=2, base_lr=0)
    seen: list[int] = []
    searching.add_callback(lambda: None, lambda: seen.append(searching.iter))
    for _ in range(4):
        searching.step(1)
        plain.step(1)
        # With their weights alike, both go on with the same: dropout, state, records, statistics.
        for one, other in zip(plain.net.parameters, searching.net.parameters, strict=True):
            if one.lr_mult:
                one.data[...] = other.data
    assert len(seen) > 8
    same(weights(plain), weights(searching))
    assert searching.net.run.position == plain.net.run.position == 8
    assert [layer.consumed for _, layer in searching.net.sources()] == [32]
    for training, name in ((searching, "out.h5"), (plain, "plain.h5")):
        training.net.close()
        with h5py.File(name) as file:
            assert len(file["data"]) == 32


def test_a_repetition_gives_what_was_and_takes_it_away_again() -> None:
    training = solver("LBFGS", CHANCE, 4, iter_size=2)
    net = training.net
    net.clear_gradients()
    start = Moment(net)
    loss = training.accumulate(net)
    gradients = [None if one.grad is None else one.grad.clone() for one in net.parameters]
    before, now = weights(training), Moment(net)
    again = Repetition(training, start, loss)
    for _ in range(2):
        assert float(again()) == float(again.loss)
        for parameter, gradient in zip(net.parameters, gradients, strict=True):
            assert gradient is None or (parameter.grad is not None and parameter.grad.equal(gradient))
        same(weights(training), before)
        end = Moment(net)
        assert end.position == now.position
        for (_, name, value), (_, _, wanted) in zip(end.remembered, now.remembered, strict=True):
            assert value is wanted or value == wanted, name


@pytest.mark.parametrize("kind", TYPES)
def test_halves_are_the_whole(kind: str) -> None:
    whole, halves = solver(kind, weight_decay=0.01), solver(kind, batch=ROWS // 2, iter_size=2, weight_decay=0.01)
    for _ in range(5):
        whole.step(1)
        halves.step(1)
    for one, other in zip(weights(whole), weights(halves), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", TYPES)
def test_both_plans_and_arrays_that_are_held(kind: str) -> None:
    fast, observed = solver(kind), solver(kind, observed=True)
    held = [parameter.data for parameter in observed.net.parameters]
    diffs = [parameter.diff for parameter in observed.net.parameters]
    fast.step(4)
    observed.step(3)
    loss, before = float(observed.net.blobs["loss"].data), [array.copy() for array in held]
    observed.step(1)
    same(held, weights(fast))
    same(diffs, [one - other for one, other in zip(before, held, strict=True)])
    assert float(observed.net.blobs["loss"].data) < loss


@pytest.mark.parametrize("kind", TYPES)
def test_a_run_goes_on_in_another_solver(kind: str) -> None:
    whole, first, second = (solver(kind, weight_decay=0.01, history_size=3) for _ in range(3))
    whole.step(9)
    first.step(5)
    for one, other in zip(first.net.parameters, second.net.parameters, strict=True):
        other.load(one.data)
    second.rule.remember(copied(first.rule.remembered()))
    second.iter = first.iter
    for (_, here), (_, there) in zip(first.net.sources(), second.net.sources(), strict=True):
        there.consumed = here.consumed
    second.step(4)
    same(weights(second), weights(whole))


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("kind", [*TYPES, "AdamW"])
def test_a_snapshot_has_the_history_of_its_type(kind: str, form: str) -> None:
    training = solver(kind, snapshot_format=form, base_lr=0.01 if kind == "AdamW" else 1)
    training.step(3)
    training.snapshot()
    other = solver(kind, snapshot_format=form)
    other.restore(str(training.newest))
    assert other.iter == 3
    assert len(other.rule.history) == (8 if kind == "AdamW" else 0)
    same(weights(other), weights(training))


@pytest.mark.parametrize("kind", TYPES)
def test_a_loss_that_is_not_finite_ends_it(kind: str) -> None:
    training = solver(kind)
    training.step(1)
    training.net.params["ip2"][1].data[0] = np.nan
    with pytest.raises(DivergedError, match="weights that are not finite"):
        training.step(1)


@pytest.mark.parametrize(("kind", "deferred"), [("SGD", True), ("LBFGS", False)])
def test_what_waits_for_the_device_anyway_is_watched_at_once(kind: str, deferred: bool) -> None:
    training = solver(kind)
    training.net.run = replace(training.net.run, device=torch.device("meta"))
    assert (Watch(training, "stop").defers_from == 0) == deferred


@pytest.mark.parametrize("kind", TYPES)
def test_gradients_alone_are_no_update(kind: str) -> None:
    training = solver(kind)
    training.net.forward_backward()
    with pytest.raises(UsageError, match="call step"):
        training.apply_update()


def test_callbacks_see_every_gradient() -> None:
    training = solver("LBFGS")
    seen: list[float] = []

    def halve() -> None:
        for parameter in training.net.parameters:
            parameter.grad *= 0.5
        seen.append(float(training.net.parameters[0].grad.norm()))

    training.add_callback(lambda: None, halve)
    training.step(3)
    assert len(seen) >= 6
    assert any(one == other for one, other in pairwise(seen))  # where a search ended, the next iteration begins
