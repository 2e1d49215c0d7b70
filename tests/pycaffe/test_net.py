"""The Python API: nets and solvers as scripts use them, against recorded values of the original."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import caffelite
from caffelite.errors import CaffeliteError
from caffelite.snapshot import read_state, write_state

from ..conftest import CARRIED
from ..recorded import close

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def put(net, arrays, head):
    for key, values in arrays.items():
        kind, _, rest = key.partition("/")
        if kind == head:
            net.blobs[rest].data[...] = values


@pytest.mark.parametrize("name", ["batch_size", "fully_conv", "global_pool_spp"])
def test_a_net_follows_its_inputs_when_they_are_reshaped(name):
    arrays = dict(np.load(CARRIED / "reshape" / f"{name}.npz"))
    net = caffelite.Net(CARRIED / "reshape" / f"{name}.prototxt", caffelite.TEST)
    for key, values in arrays.items():
        if key.startswith("param/"):
            layer, slot = key.removeprefix("param/").rsplit("/", 1)
            net.params[layer][int(slot)].data[...] = values
    steps = sorted({key.partition("/")[0].partition("@")[2] for key in arrays if key.startswith("in")}, key=len)
    assert len(steps) > 1
    for step in steps:
        suffix = f"@{step}" if step else ""
        for key, values in arrays.items():
            if key.startswith(f"in{suffix}/"):
                net.blobs[key.partition("/")[2]].reshape(*values.shape)
        net.reshape()
        put(net, arrays, f"in{suffix}")
        net.forward()
        net.clear_param_diffs()
        for key, values in arrays.items():
            if key.startswith(f"topdiff{suffix}/"):
                net.blobs[key.partition("/")[2]].diff[...] = values
        net.backward()
        for key, values in arrays.items():
            kind, _, rest = key.partition("/")
            if kind == f"out{suffix}":
                close(key, net.blobs[rest].data, values, TOLERANCE)
            if kind == f"bottomdiff{suffix}":
                close(key, net.blobs[rest].diff, values, TOLERANCE)
            if kind == f"paramdiff{suffix}":
                layer, slot = rest.rsplit("/", 1)
                close(key, net.params[layer][int(slot)].diff, values, TOLERANCE)


@pytest.mark.parametrize("name", ["shared.caffemodel", "shared.caffemodel.h5", "slash_in_name.caffemodel"])
def test_weights_the_original_wrote_give_its_outputs(name):
    case = CARRIED / "weights" / name.split(".")[0]
    arrays = dict(np.load(case.with_suffix(".npz")))
    net = caffelite.Net(case.with_suffix(".prototxt"), caffelite.TEST, weights=CARRIED / "weights" / name)
    for key, values in arrays.items():
        if key.startswith("param/"):
            layer, slot = key.removeprefix("param/").rsplit("/", 1)
            assert np.array_equal(net.params[layer][int(slot)].data, values)
    put(net, arrays, "in")
    net.forward()
    compared = [close(key, net.blobs[key[4:]].data, arrays[key], TOLERANCE) for key in arrays if key.startswith("out/")]
    assert compared


def test_saved_weights_come_back_the_same(tmp_path):
    source = CARRIED / "weights" / "shared.prototxt"
    one, other = caffelite.Net(source, caffelite.TEST), caffelite.Net(source, caffelite.TEST)
    one.save(tmp_path / "saved.caffemodel")
    other.copy_from(tmp_path / "saved.caffemodel")
    for name in one.params:
        for mine, theirs in zip(one.params[name], other.params[name], strict=True):
            assert np.array_equal(mine.data, theirs.data)


NET = """
name: "tiny"
layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "prob" type: "Softmax" bottom: "y" top: "prob" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
"""


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    return caffelite.Net(tmp_path / "net.prototxt", caffelite.TRAIN)


def test_names_are_those_of_the_prototxt(tiny):
    assert tiny.inputs == ["x", "label"]
    assert tiny.outputs == ["loss", "prob"]
    assert list(tiny.params) == ["ip"]
    assert [layer.type for layer in tiny.layers if layer.type != "Split"] == [
        "Input", "InnerProduct", "ReLU", "Softmax", "SoftmaxWithLoss"
    ]  # fmt: skip
    assert tiny.bottom_names["ip"] == ["x"]
    assert tiny.blob_loss_weights["loss"] == 1


def test_forward_takes_inputs_and_gives_outputs(tiny):
    out = tiny.forward(x=np.ones((4, 3)), label=np.zeros(4), blobs=["y"])
    assert sorted(out) == ["loss", "prob", "y"]
    np.testing.assert_allclose(out["prob"].sum(1), 1, rtol=1e-6)
    with pytest.raises(CaffeliteError, match="'z' is no input of this net"):
        tiny.forward(z=np.ones(3))


@pytest.mark.parametrize("x", [np.ones((1, 3)), np.ones((4, 2)), np.ones((4, 3, 1))])
def test_values_that_do_not_fit_a_blob_are_refused_and_not_repeated(tiny, x):
    with pytest.raises(CaffeliteError, match=r"do not fit blob 'x' of shape \(4, 3\)"):
        tiny.forward(x=x, label=np.zeros(4))
    with pytest.raises(CaffeliteError, match="do not fit blob 'prob'"):
        tiny.backward(prob=np.ones((1, 2)), loss=1)
    with pytest.raises(CaffeliteError, match=r"'probe' is no output of this net\n  help: did you mean prob\?"):
        tiny.backward(probe=np.ones((4, 2)))


def test_values_are_given_for_all_inputs_or_none(tiny):
    with pytest.raises(CaffeliteError, match="given for some inputs and not for 'label'"):
        tiny.forward(x=np.ones((4, 3)))


def test_reshaping_to_the_same_shape_keeps_what_a_backward_needs(tiny):
    tiny.params["ip"][0].data[...] = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]
    tiny.forward(x=np.ones((4, 3)), label=np.zeros(4))
    tiny.backward()
    wanted = tiny.params["ip"][1].diff.copy()
    tiny.clear_param_diffs()
    tiny.forward()
    tiny.reshape()
    tiny.backward()
    assert wanted.any()
    assert np.array_equal(tiny.params["ip"][1].diff, wanted)


def test_a_part_of_the_net_can_be_run_on_changed_values(tiny):
    tiny.forward(x=np.ones((4, 3)), label=np.zeros(4))
    tiny.blobs["y"].data[...] = [1.0, 3.0]
    assert sorted(tiny.forward(start="relu", end="relu")) == ["y"]
    out = tiny.forward(start="prob", end="prob")
    split = next(name for name in tiny.blobs if name.startswith("y_") and name.endswith("_0"))
    tiny.blobs[split].data[...] = [1.0, 3.0]
    out = tiny.forward(start="prob", end="prob")
    np.testing.assert_allclose(out["prob"][0], np.exp([1, 3]) / np.exp([1, 3]).sum(), rtol=1e-5)


def test_parameter_gradients_are_those_of_the_formula(tiny):
    x = np.arange(12, dtype=np.float32).reshape(4, 3) / 10
    tiny.params["ip"][0].data[...] = [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]]
    out = tiny.forward(x=x, label=np.array([0, 1, 0, 1]))
    tiny.backward()
    delta = (out["prob"] - np.eye(2)[[0, 1, 0, 1]]) / 4 * (tiny.blobs["y"].data > 0)
    np.testing.assert_allclose(tiny.params["ip"][0].diff, delta.T @ x, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(tiny.params["ip"][1].diff, delta.sum(0), rtol=1e-4, atol=1e-6)
    assert not tiny.blobs["x"].diff.any()


def test_the_seed_of_the_process_names_weights_and_two_nets_differ(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)

    def weights():
        return caffelite.Net(tmp_path / "net.prototxt", caffelite.TRAIN).params["ip"][0].data.copy()

    caffelite.set_random_seed(7)
    first, second = weights(), weights()
    caffelite.set_random_seed(7)
    assert np.array_equal(first, weights())
    assert not np.array_equal(first, second)


def test_a_phase_is_asked_for(tmp_path):
    with pytest.raises(CaffeliteError, match="needs a phase"):
        caffelite.Net(tmp_path / "net.prototxt")


SOLVER = """
net: "net.prototxt"
base_lr: 0.5
momentum: 0.9
lr_policy: "fixed"
max_iter: 10
random_seed: 1
snapshot_prefix: "tiny"
solver_mode: CPU
"""


def test_a_solver_steps_and_shows_the_update_it_applied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    solver = caffelite.get_solver("solver.prototxt")
    solver.net.blobs["x"].data[...] = np.random.default_rng(0).random((4, 3))
    solver.net.blobs["label"].data[...] = [0, 1, 1, 1]
    parameter = solver.net.params["ip"][0]
    before, losses = parameter.data.copy(), []
    for _ in range(3):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert solver.iter == 3
    assert losses[2] < losses[0]
    held = parameter.data
    now = held.copy()
    solver.step(1)
    np.testing.assert_allclose(now - held, parameter.diff, rtol=1e-4, atol=1e-7)
    assert not np.array_equal(held, before)
    solver.snapshot()
    again = caffelite.get_solver("solver.prototxt")
    again.restore("tiny_iter_4.solverstate")
    assert again.iter == 4
    assert np.array_equal(again.net.params["ip"][0].data, parameter.data)


def test_a_state_that_names_no_weights_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    solver = caffelite.get_solver("solver.prototxt")
    solver.step(1)
    solver.snapshot()
    state = read_state("tiny_iter_1.solverstate")
    write_state("bare.solverstate", replace(state, learned_net=None))
    caffelite.get_solver("solver.prototxt").restore("bare.solverstate")
    assert "bare.solverstate names no weights" in caplog.text


def test_early_stop_ends_steps_and_puts_the_best_weights_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    # Each update makes the loss smaller, which is taken for a score here, so that nothing is better than the beginning.
    watched = 'test_iter: 1 test_interval: 2 early_stop { output: "loss" mode: MAX patience: 2 }'
    (tmp_path / "solver.prototxt").write_text(SOLVER + watched)
    solver = caffelite.get_solver("solver.prototxt")
    for net in (solver.net, *solver.test_nets):
        net.blobs["x"].data[...] = np.random.default_rng(0).random((4, 3))
        net.blobs["label"].data[...] = [0, 1, 1, 1]
    held = solver.net.params["ip"][0].data
    first = held.copy()
    solver.step(10)
    assert (solver.iter, solver.ended_early) == (4, True)
    assert not np.array_equal(held, first)
    solver.step(10)
    assert solver.iter == 4
    solver.solve()
    assert np.array_equal(held, first)
    assert np.array_equal(solver.test_nets[0].params["ip"][0].data, first)


def test_weights_can_be_written_between_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    solver = caffelite.get_solver("solver.prototxt")
    weights = solver.net.params["ip"][0].data
    weights[...] = 0
    solver.net.params["ip"][1].data.reshape(-1)[...] = -1
    solver.step(1)
    # With negative biases and no weights ReLU passes nothing on, so nothing can have moved.
    assert not weights.any()
    assert not solver.net.blobs["y"].data.any()


def test_what_is_odd_about_a_net_is_logged(tmp_path, caplog):
    path = tmp_path / "net.prototxt"
    path.write_text(
        'layer { name: "m" type: "MemoryData" top: "x" top: "y" transform_param { scale: 2 }\n'
        "memory_data_param { batch_size: 1 channels: 1 height: 1 width: 1 } }"
    )
    caffelite.Net(path, caffelite.TEST)
    assert 'layer "m" (MemoryData): transform_param has no effect: arrays are taken as they are' in caplog.text
