"""Solvers as scripts use them: what can be seen after a step, against recorded values of the original."""

from __future__ import annotations

import math
import os
import shutil

import numpy as np
import pytest
import torch

import caffelite
from caffelite.errors import CaffeliteError, UsageError

from ..solver.test_trajectories import CASES

TOLERANCE = {"rtol": 2e-3, "atol": 2e-5}


@pytest.fixture
def recorded(golden, tmp_path, monkeypatch):
    """A function that makes the solver of a recorded case, at its first weights, and loads what was recorded."""

    def make(case):
        shutil.copytree(golden(f"solvers/{case}/trajectory.npz").parent, tmp_path / case)
        shutil.copytree(golden("solvers/_data/train.h5").parent, tmp_path / "_data", dirs_exist_ok=True)
        monkeypatch.chdir(tmp_path / case)
        solver = caffelite.get_solver("solver.prototxt")
        solver.net.copy_from("init.caffemodel")
        return solver, dict(np.load("trajectory.npz"))

    return make


def weights(arrays, updates):
    head = f"w{updates}/"
    return {key.removeprefix(head): values for key, values in arrays.items() if key.startswith(head)}


@pytest.mark.parametrize("case", CASES)
def test_a_step_shows_its_losses_and_the_update_it_made(case, recorded):
    solver, arrays = recorded(case)
    losses = [blob for blob, weight in solver.net.blob_loss_weights.items() if weight]
    for updates in (1, 2):
        before = {name: solver.net.params[name.rsplit("/", 1)[0]] for name in weights(arrays, updates)}
        solver.step(1)
        shown = [float(solver.net.blobs[blob].data.sum()) for blob in losses]
        np.testing.assert_allclose(sorted(shown), sorted(arrays["loss_blobs"][updates - 1]), rtol=1e-4, atol=1e-5)
        for name, values in weights(arrays, updates).items():
            blob = before[name][int(name.rsplit("/", 1)[1])]
            np.testing.assert_allclose(blob.data, values, **TOLERANCE, err_msg=name)
            if solver.core.net.graph.weights and not name.startswith("bn/"):
                moved = weights(arrays, updates - 1)[name] - values
                np.testing.assert_allclose(blob.diff, moved, rtol=2e-3, atol=3e-5, err_msg=name)


def test_every_blob_and_gradient_of_a_step_can_be_looked_at(recorded):
    """They are those of a forward and a backward with the same weights and batch, which other recordings verify."""
    solver, arrays = recorded("sgd_batchnorm")
    by_hand = caffelite.Net("net.prototxt", caffelite.TRAIN, weights="init.caffemodel")
    solver.step(3)
    for name, values in weights(arrays, 2).items():
        layer, slot = name.rsplit("/", 1)
        by_hand.params[layer][int(slot)].data[...] = values
    for _ in range(3):
        by_hand.forward()
    by_hand.backward()
    for name, blob in by_hand.blobs.items():
        np.testing.assert_allclose(solver.net.blobs[name].data, blob.data, rtol=1e-3, atol=1e-4, err_msg=name)
        if name not in ("data", "label"):
            np.testing.assert_allclose(solver.net.blobs[name].diff, blob.diff, rtol=1e-3, atol=1e-4, err_msg=name)
    assert solver.net.blobs["h"].diff.any()


def test_only_the_last_iteration_of_a_step_keeps_what_nobody_else_could_see(recorded):
    solver, arrays = recorded("sgd_m09_l2_mults")
    core, seen = solver.core.net, []
    core.observed_plan.watch = None
    plain = core.forward_backward

    def counted():
        seen.append(core.observed)
        return plain()

    core.forward_backward = counted
    solver.step(5)
    assert seen == [False] * 4 + [True]
    activations = [blob for name, blob in core.blobs.items() if name not in core.graph.outputs]
    assert all(blob.data_mirror.value is not None for blob in activations)
    solver.step(15)
    assert seen[5:] == [False] * 14 + [True]
    for name, values in weights(arrays, 20).items():
        layer, slot = name.rsplit("/", 1)
        np.testing.assert_allclose(solver.net.params[layer][int(slot)].data, values, **TOLERANCE)
    seen.clear()
    solver.add_callback(lambda: None, lambda: None)
    solver.step(3)
    assert seen == [True] * 3  # callbacks may look at any time


def test_memory_of_what_was_looked_at_comes_back_when_training_goes_on(recorded):
    solver, _ = recorded("sgd_m09_l2_mults")
    core = solver.core.net
    held = solver.net.blobs["h"].data if "h" in solver.net.blobs else None
    solver.step(1)
    during = []
    plain = core.forward_backward

    def looked():
        kept = [name for name, blob in core.blobs.items() if blob.data_mirror.value is not None]
        during.append((len(core.observed_plan.played), kept))
        return plain()

    core.forward_backward = looked
    solver.step(2)
    played, kept = during[0]
    assert played == 0
    assert set(kept) <= {"h"} | set(core.input_values)
    if held is not None:
        assert np.shares_memory(held, solver.net.blobs["h"].data)


def test_an_array_that_is_held_shows_the_last_iteration(recorded):
    solver, _ = recorded("sgd_batchnorm")
    held = solver.net.blobs["h"].data
    other, _ = recorded("sgd_m0_fixed")
    del other
    os.chdir(os.path.join(os.getcwd(), os.pardir, "sgd_batchnorm"))
    twin = caffelite.get_solver("solver.prototxt")
    twin.net.copy_from("init.caffemodel")
    solver.step(4)
    twin.step(4)
    assert np.array_equal(held, twin.net.blobs["h"].data)
    assert held.any()
    alone = caffelite.get_solver("solver.prototxt")
    alone.net.copy_from("init.caffemodel")
    for _ in range(4):
        alone.step(1)  # each of these is observed, and computes BatchNorm and Scale one after the other
    np.testing.assert_allclose(held, alone.net.blobs["h"].data, rtol=1e-5, atol=1e-6)


NET = """
layer { name: "in" type: "DummyData" top: "x" top: "label"
  dummy_data_param { shape { dim: 8 dim: 3 } shape { dim: 8 }
    data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "r" }
layer { name: "out" type: "InnerProduct" bottom: "r" top: "z"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "label" top: "loss" }
layer { name: "accuracy" type: "Accuracy" bottom: "z" bottom: "label" top: "accuracy" include { phase: TEST } }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 6 random_seed: 3 '


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER + "test_iter: 3 test_interval: 2 snapshot_after_train: false")
    return tmp_path


def test_the_last_test_pass_can_be_looked_at(folder):
    solver = caffelite.get_solver("solver.prototxt")
    solver.step(3)
    (net,) = solver.test_nets
    assert net.blobs["r"].data.any()
    z = net.blobs["z"].data
    np.testing.assert_allclose(net.blobs["accuracy"].data, (z.argmax(1) == 1).mean())
    np.testing.assert_allclose(z, net.blobs["r"].data @ net.params["out"][0].data.T, rtol=1e-2, atol=1)


def test_what_is_seen_after_solve_is_its_last_pass(folder):
    solver = caffelite.get_solver("solver.prototxt")
    solver.solve()
    assert solver.iter == 6
    x, weight, bias = (a for a in (solver.net.blobs["x"].data, *(p.data for p in solver.net.params["ip"])))
    # display is 0: the last pass is that of the last iteration, whose update has changed the weights since.
    before = weight + solver.net.params["ip"][0].diff
    before_bias = bias + solver.net.params["ip"][1].diff
    np.testing.assert_allclose(solver.net.blobs["y"].data, x @ before.T + before_bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("SGD", ""),
        ("Nesterov", "momentum: 0.9"),
        ("AdaGrad", "delta: 1e-8"),
        ("RMSProp", "rms_decay: 0.9 delta: 1e-8"),
        ("AdaDelta", "momentum: 0.9 delta: 1e-6"),
        ("Adam", "momentum: 0.9 momentum2: 0.999"),
        ("AdamW", "momentum: 0.9 momentum2: 0.999"),
    ],
)
def test_the_class_says_the_type_and_get_solver_finds_the_class(kind, more, folder):
    (folder / "solver.prototxt").write_text(f'{SOLVER} {more} type: "{kind}"')
    cls = getattr(caffelite, f"{kind}Solver")
    named, found = cls("solver.prototxt"), caffelite.get_solver("solver.prototxt")
    assert type(named) is type(found) is cls
    assert issubclass(cls, caffelite.SGDSolver)
    for solver in (named, found):
        solver.step(2)
    assert np.array_equal(named.net.params["ip"][0].data, found.net.params["ip"][0].data)
    assert f"{kind}Solver" in dir(caffelite)


def test_a_class_of_another_type_than_the_files_trains_with_its_own_and_says_so(folder, caplog):
    (folder / "solver.prototxt").write_text(SOLVER + 'momentum: 0.9 momentum2: 0.999 type: "Adam"')
    solver = caffelite.NesterovSolver("solver.prototxt")
    assert "NesterovSolver trains with Nesterov, and the file says Adam" in caplog.text
    assert solver.core.settings.type == "Nesterov"
    with pytest.raises(AttributeError, match="no solver type 'Adan'; known: AdaDeltaSolver"):
        caffelite.AdanSolver  # noqa: B018


def test_rate_and_settings_can_be_read_and_the_rate_be_set(folder):
    solver = caffelite.get_solver("solver.prototxt")
    rates = []
    for _ in range(4):
        rates.append(solver.lr)
        solver.step(1)
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.05, 0.05])
    assert (solver.param.max_iter, solver.param.display) == (6, 0)
    assert solver.param.base_lr == pytest.approx(0.1)
    before = [parameter.data.copy() for parameter in solver.net.params["ip"]]
    solver.param.base_lr = 0
    solver.step(1)
    assert all(np.array_equal(a, p.data) for a, p in zip(before, solver.net.params["ip"], strict=True))
    solver.param.base_lr = 0.4
    assert solver.lr == pytest.approx(0.4 * 0.25)
    with pytest.raises(UsageError, match="max_iter cannot be set any more"):
        solver.param.max_iter = 7
    with pytest.raises(UsageError, match="base_lr must be at least 0 and finite, got nan"):
        solver.param.base_lr = math.nan


def test_callbacks_come_before_the_forward_and_between_gradients_and_update(folder):
    solver = caffelite.get_solver("solver.prototxt")
    said, parameter = [], solver.net.params["out"][1]

    def ready():
        said.append(("ready", solver.iter, bool(solver.net.blobs["z"].diff.any())))
        parameter.diff[...] = 1

    solver.add_callback(lambda: said.append(("start", solver.iter)), ready)
    before = parameter.data.copy()
    solver.step(2)
    assert said == [("start", 0), ("ready", 0, True), ("start", 1), ("ready", 1, True)]
    np.testing.assert_allclose(before - parameter.data, 0.2, rtol=1e-5)
    with pytest.raises(UsageError, match="add_callback takes two functions"):
        solver.add_callback(print)


def test_callbacks_of_a_net_find_what_the_pass_before_left(folder):
    solver, seen = caffelite.get_solver("solver.prototxt"), []
    (tested,) = solver.test_nets
    solver.net.before_forward(lambda layer: layer or seen.append(solver.net.blobs["y"].data.copy()))
    tested.before_forward(lambda layer: layer or seen.append(tested.blobs["loss"].data.copy()))
    solver.step(4)
    assert len(seen) == 4 + 2 * 3
    assert [bool(values.any()) for values in seen].count(False) == 2  # the first of each


def test_apply_update_takes_the_gradients_that_lie_there(folder):
    solver = caffelite.get_solver("solver.prototxt")
    data = solver.net.layers[1].blobs[0].data
    data[...] = 0
    solver.net.layers[1].blobs[0].diff[...] = 1
    solver.apply_update()
    np.testing.assert_allclose(data, -0.1, rtol=1e-6)
    assert solver.iter == 1


def test_the_seed_of_the_process_counts_where_the_file_has_none(folder):
    (folder / "solver.prototxt").write_text(SOLVER.replace("random_seed: 3", ""))

    def first():
        return caffelite.get_solver("solver.prototxt").net.params["ip"][0].data.copy()

    caffelite.set_random_seed(5)
    one, other = first(), first()
    caffelite.set_random_seed(5)
    assert np.array_equal(one, first())
    assert not np.array_equal(one, other)


def test_nets_survive_their_solver(folder):
    solver = caffelite.get_solver("solver.prototxt")
    solver.step(1)
    nets = [solver.net, *solver.test_nets]
    del solver
    assert all(np.isfinite(blob.data).all() for net in nets for blob in net.blobs.values())
    nets[0].forward()


def test_weights_can_be_shared_with_a_net_of_ones_own(folder):
    solver = caffelite.get_solver("solver.prototxt")
    net = caffelite.Net("net.prototxt", caffelite.TEST)
    solver.share_weights(net)
    solver.step(2)
    for name, row in net.params.items():
        for mine, theirs in zip(row, solver.net.params[name], strict=True):
            assert np.array_equal(mine.data, theirs.data)
            assert not mine.diff.any()
            assert theirs.diff.any()


def test_a_solver_is_resumed_as_anywhere(folder):
    (folder / "solver.prototxt").write_text(SOLVER + 'snapshot: 2 snapshot_prefix: "s"')
    whole = caffelite.get_solver("solver.prototxt")
    whole.solve()
    again = caffelite.get_solver("solver.prototxt")
    again.solve("s_iter_2.solverstate")
    assert np.array_equal(whole.net.params["ip"][0].data, again.net.params["ip"][0].data)
    third = caffelite.get_solver("solver.prototxt")
    third.restore("s_iter_4.solverstate")
    third.step(2)
    assert torch.equal(third.core.net.parameters[0].tensor, whole.core.net.parameters[0].tensor)


def test_a_faulty_solver_is_told_like_anywhere(folder):
    (folder / "solver.prototxt").write_text("net: 'net.prototxt' base_lrr: 1")
    with pytest.raises(CaffeliteError, match=r"solver.prototxt:1:21: .*base_lrr"):
        caffelite.get_solver("solver.prototxt")


def test_a_test_net_has_the_trained_weights_and_gradients_of_its_own(folder):
    solver = caffelite.get_solver("solver.prototxt")
    solver.step(1)
    (net,) = solver.test_nets
    update = solver.net.params["out"][0].diff.copy()
    assert np.array_equal(net.params["out"][0].data, solver.net.params["out"][0].data)
    assert update.any()
    assert not net.params["out"][0].diff.any()
    net.forward()
    net.backward()
    assert net.params["out"][0].diff.any()
    assert np.array_equal(solver.net.params["out"][0].diff, update)
    net.clear_param_diffs()
    assert np.array_equal(solver.net.params["out"][0].diff, update)


def test_test_nets_follow_a_train_net_that_is_given_other_weights(folder):
    solver = caffelite.get_solver("solver.prototxt")
    other = caffelite.Net("net.prototxt", caffelite.TRAIN)
    solver.net.share_with(other)
    other.params["out"][0].data[...] = 0
    solver.step(1)
    assert np.array_equal(solver.test_nets[0].params["ip"][0].data, other.params["ip"][0].data)
    assert np.array_equal(solver.net.params["ip"][0].data, other.params["ip"][0].data)


def test_a_weight_written_into_the_gradient_of_a_loss_counts_in_every_iteration(folder):
    """The original's loss layers read it there, and write it nowhere."""
    (folder / "solver.prototxt").write_text(SOLVER.replace('lr_policy: "step"', 'lr_policy: "fixed"'))
    several, single, plain = (caffelite.get_solver("solver.prototxt") for _ in range(3))
    for solver in (several, single):
        solver.net.blobs["loss"].diff[...] = 3
    several.step(4)
    for _ in range(4):
        single.step(1)
    plain.param.base_lr = 0.3
    plain.step(4)
    for a, b, c in zip(*(solver.net.params["ip"] for solver in (several, single, plain)), strict=True):
        assert np.array_equal(a.data, b.data)
        np.testing.assert_allclose(a.data, c.data, rtol=1e-4, atol=1e-6)


def test_and_in_the_loss_that_is_told(folder):
    net = caffelite.Net("net.prototxt", caffelite.TRAIN)
    net.blobs["loss"].diff[...] = 3
    assert net._forward(0, len(net.layers) - 1) == pytest.approx(3 * float(net.blobs["loss"].data))


def test_a_solver_is_made_of_a_message_too(folder):
    from google.protobuf import text_format

    from caffelite.proto import NetParameter, SolverParameter

    message = text_format.Parse(SOLVER + 'type: "Nesterov" momentum: 0.9', SolverParameter())
    file = caffelite.NesterovSolver(message)
    inside = SolverParameter()
    inside.CopyFrom(message)
    inside.ClearField("net")
    inside.net_param.CopyFrom(text_format.Parse(NET, NetParameter()))
    solver = caffelite.get_solver(inside)
    for each in (file, solver):
        each.step(2)
    assert type(solver) is caffelite.NesterovSolver
    assert np.array_equal(file.net.params["ip"][0].data, solver.net.params["ip"][0].data)
    assert repr(solver) == '<NesterovSolver of net "", 2 of 6 iterations>'
    with pytest.raises(UsageError, match="a SolverParameter is needed, not a NetParameter"):
        caffelite.get_solver(NetParameter())
