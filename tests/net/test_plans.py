"""Both plans of a net compute what the original recorded, and agree with each other."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from caffelite import assembly
from caffelite.graph import state_of
from caffelite.layerkit import layers
from caffelite.net import Net
from caffelite.proto import TEST, TRAIN, NetParameter

from ..conftest import CARRIED
from ..layers.conform import close

CASES = [
    case
    for case in json.loads((CARRIED / "nets" / "index.json").read_text())
    if all(kind in layers for kind in case["layer_types"])
]


def start(case, observed):
    """The net of a case with its recorded inputs and weights."""
    file = assembly.read_net(CARRIED / case["prototxt"])
    phase = TEST if case["phase"] == "TEST" else TRAIN
    net = Net(assembly.build_graph(file, state_of(file.message, phase)), observed=observed)
    arrays = dict(np.load(CARRIED / case["npz"]))
    for key, values in arrays.items():
        kind, _, rest = key.partition("/")
        if kind == "in":
            net.blobs[rest].data[...] = values
        if kind == "param":
            layer, slot = rest.rsplit("/", 1)
            net.params[layer][int(slot)].data[...] = values
    return net, arrays


def by_name(case):
    return case["id"].rsplit("/", 1)[-1]


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_fast_plan_gives_the_recorded_loss_outputs_and_parameter_gradients(case):
    net, arrays = start(case, observed=False)
    # The recorded backward starts from any top gradient; the fast plan starts from losses, as training does.
    trained = all(blob in case["loss_weights"] for blob in case["net_outputs"]) and case["backward"]
    loss = net.forward_backward() if trained else net.forward()
    close("loss", loss, arrays["loss"], case["tol"])
    for blob in net.graph.outputs:
        if f"out/{blob}" in arrays:
            close(blob, net.blobs[blob].data, arrays[f"out/{blob}"], case["tol"])
    compared = 0
    for key in arrays if trained else ():
        kind, _, rest = key.partition("/")
        if kind == "paramdiff":
            layer, slot = rest.rsplit("/", 1)
            close(key, net.params[layer][int(slot)].diff, arrays[key], case["tol"])
            compared += 1
    assert compared or not trained


@pytest.mark.parametrize("case", CASES, ids=by_name)
def test_the_observed_plan_gives_every_recorded_blob_and_gradient(case):
    net, arrays = start(case, observed=True)
    close("loss", net.forward(), arrays["loss"], case["tol"])
    for key, values in arrays.items():
        if key.startswith("topdiff/"):
            net.blobs[key.partition("/")[2]].diff[...] = values
    if case["backward"]:
        net.backward()
    for key, values in arrays.items():
        kind, _, rest = key.partition("/")
        if kind == "out":
            close(key, net.blobs[rest].data, values, case["tol"])
        if kind == "bottomdiff":
            close(key, net.blobs[rest].diff, values, case["tol"])
        if kind == "paramdiff":
            layer, slot = rest.rsplit("/", 1)
            close(key, net.params[layer][int(slot)].diff, values, case["tol"])


LENET = CARRIED / "nets" / "net" / "mini_lenet.prototxt"


def mini(observed, seed=3):
    file = assembly.read_net(LENET)
    net = Net(assembly.build_graph(file, state_of(file.message, TRAIN)), seed=seed, observed=observed)
    generator = np.random.default_rng(0)
    for blob in net.graph.inputs:
        shape = net.blobs[blob].shape
        net.blobs[blob].data[...] = (
            generator.random(shape) if len(shape) > 1 else generator.integers(0, 3, shape)
        ).astype(np.float32)
    return net


def test_gradients_add_up_until_they_are_cleared():
    for observed in (False, True):
        net = mini(observed)
        net.forward_backward()
        once = {parameter.name: parameter.diff.copy() for parameter in net.parameters}
        net.forward_backward()
        for parameter in net.parameters:
            np.testing.assert_allclose(parameter.diff, 2 * once[parameter.name], rtol=1e-4, atol=1e-6)
        net.clear_gradients()
        assert not any(parameter.diff.any() for parameter in net.parameters)


def test_the_seed_names_the_first_weights():
    one, same, other = mini(False), mini(True), mini(False, seed=4)
    for a, b, c in zip(one.parameters, same.parameters, other.parameters, strict=True):
        assert np.array_equal(a.data, b.data)
        if a.slot == 0:
            assert not np.array_equal(a.data, c.data)


def test_weights_of_a_convolution_lie_in_channels_last_and_read_as_usual():
    net = mini(False)
    conv = next(parameter for parameter in net.parameters if len(parameter.shape) == 4)
    assert conv.tensor.is_contiguous(memory_format=torch.channels_last)
    assert conv.data.flags.c_contiguous
    conv.data.reshape(-1)[0] = 5
    net.forward()
    assert conv.tensor[0, 0, 0, 0].item() == 5


def test_a_held_array_of_a_parameter_shows_what_happened_to_it():
    net = mini(False)
    conv = net.parameters[0]
    data, diff = conv.data, conv.diff
    net.forward_backward()
    assert diff.any()
    with torch.no_grad():
        conv.tensor.fill_(2)
    net.push()
    assert (data == 2).all()


def test_after_an_update_gradients_are_added_to_the_update_that_diff_shows():
    net = mini(False)
    net.forward_backward()
    gradient = net.parameters[0].diff.copy()
    net.parameters[0].update = lambda: torch.ones_like(net.parameters[0].tensor)
    net.forward_backward()
    np.testing.assert_allclose(net.parameters[0].diff, gradient + 1, rtol=1e-4, atol=1e-5)


def test_a_net_forgets_values_nobody_reads_any_more():
    net = mini(False)
    net.forward_backward()
    assert all(value is None for value in net.fast_plan.table)


FORCED = """
force_backward: true
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } shape { dim: 2 } } }
layer { name: "pool" type: "Pooling" bottom: "x" top: "p" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" propagate_down: true
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
"""


def test_asking_for_a_gradient_of_the_data_does_not_disturb_training():
    file = assembly.NetFile(text_format.Parse(FORCED, NetParameter()))
    nets = [
        Net(assembly.build_graph(file, state_of(file.message, TRAIN)), seed=1, observed=observed)
        for observed in (False, True)
    ]
    for net in nets:
        net.blobs["x"].data[...] = np.arange(96).reshape(2, 3, 4, 4) / 96
        net.forward_backward()
    np.testing.assert_allclose(nets[0].parameters[0].diff, nets[1].parameters[0].diff, rtol=1e-5, atol=1e-7)
    assert nets[1].blobs["x"].diff.any()
