"""What the two plans of a net share, and what each does in its own way."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from caffelite.net import Net
from caffelite.proto import TEST, TRAIN

from ..conftest import CARRIED
from ..nets import graph_of, net_of

LENET = CARRIED / "nets" / "net" / "mini_lenet.prototxt"


def mini(observed, seed=3):
    net = net_of(LENET.read_text(), seed=seed, observed=observed)
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
    made: list[weakref.ref[torch.Tensor]] = []
    for turn in net.fast_plan.turns:
        note_tops(turn.kernel, made)
    net.forward_backward()
    gc.collect()
    held = {id(net.blobs[blob].data_mirror.value) for blob in net.graph.outputs}
    assert len(made) > 2
    assert {id(tensor()) for tensor in made if tensor() is not None} <= held


def test_a_plan_that_nobody_needs_is_gone_at_once():
    """What it holds may be memory of a GPU, which no collector of garbage knows of."""
    net = mini(False)
    for _ in range(4):
        net.forward_backward()
    plan = weakref.ref(net.fast_plan)
    assert plan().captured.settled
    gc.disable()
    try:
        net.close()
        assert plan() is None
    finally:
        gc.enable()


def note_tops(kernel, made):
    """Let a kernel note its tops without keeping them."""
    forward = kernel.forward

    def noting(*arguments):
        tops = forward(*arguments)
        made.extend(weakref.ref(top) for top in tops)
        return tops

    kernel.forward = noting


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
    nets = [net_of(FORCED, observed=observed) for observed in (False, True)]
    for net in nets:
        net.blobs["x"].data[...] = np.arange(96).reshape(2, 3, 4, 4) / 96
        net.forward_backward()
    np.testing.assert_allclose(nets[0].parameters[0].diff, nets[1].parameters[0].diff, rtol=1e-5, atol=1e-7)
    assert nets[1].blobs["x"].diff.any()


def both(text, phase=TRAIN, **options):
    """The fast and the observed net of a text, with the same weights and 1, 2, 3 … in blob x."""
    graph = graph_of(text, phase)
    nets = [Net(graph, seed=1, observed=observed, **options) for observed in (False, True)]
    for net in nets:
        net.blobs["x"].data[...] = np.arange(1, net.blobs["x"].count + 1).reshape(net.blobs["x"].shape)
    return nets


X = 'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }\n'


def dense(name, bottom, top, size=3, more=""):
    filler = 'weight_filler { type: "xavier" }'
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top}" '
        f"inner_product_param {{ num_output: {size} {filler} }} {more} }}\n"
    )


def test_a_layer_may_work_in_place_on_an_input():
    power = 'layer { name: "p" type: "Power" bottom: "x" top: "x" power_param { scale: -2 } }\n'
    reduction = 'layer { name: "r" type: "Reduction" bottom: "x" top: "sum" }\n'
    for net in both(X + power + reduction):
        for shape, total in (((2, 3), -42), ((1, 3), -12), ((4, 3), -156)):
            net.blobs["x"].reshape(*shape)
            net.blobs["x"].data[...] = np.arange(1, net.blobs["x"].count + 1).reshape(shape)
            net.forward()
            assert net.blobs["sum"].data == total
            assert net.blobs["x"].shape == shape


def test_and_what_it_makes_of_the_input_is_where_the_next_pass_begins():
    """They are one memory, as in the original."""
    power = 'layer { name: "p" type: "Power" bottom: "x" top: "x" power_param { scale: -2 } }\n'
    reduction = 'layer { name: "r" type: "Reduction" bottom: "x" top: "sum" }\n'
    for net in both(X + power + reduction):
        for factor in (-2, 4, -8):
            net.forward()
            assert np.array_equal(net.blobs["x"].data, factor * np.arange(1, 7).reshape(2, 3))


def test_a_loss_that_a_later_layer_reads_gets_that_layers_gradient_only():
    """Its backward overwrites the gradient, where the original keeps the loss weight."""
    reduction = 'layer { name: "r" type: "Reduction" bottom: "y" top: "a" loss_weight: 5 }\n'
    power = 'layer { name: "p" type: "Power" bottom: "a" top: "b" power_param { scale: 3 } loss_weight: 2 }\n'
    loss = 'layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "x" top: "a" }\n'
    summed, default = (
        both(X + dense("ip", "x", "y") + reduction + power),
        both(X + dense("ip", "x", "y") + loss + power),
    )
    for net in summed:
        net.forward_backward()
        # An explicit weight is a reader: a Split adds the two gradients, 5 and 2 * 3.
        np.testing.assert_allclose(net.params["ip"][1].diff, [22, 22, 22], rtol=1e-6)
    for net in default:
        net.forward_backward()
        net.clear_gradients()
        net.forward_backward()
        x = np.arange(1, 7).reshape(2, 3)
        error = x @ net.params["ip"][0].data.T - x
        np.testing.assert_allclose(net.params["ip"][1].diff, 6 * error.sum(0) / 2, rtol=1e-5)


def test_a_loss_made_in_place_has_its_weight_again_at_every_forward():
    relu = 'layer { name: "r" type: "Sigmoid" bottom: "y" top: "y" loss_weight: 2 }\n'
    for net in both(X + dense("ip", "x", "y") + relu):
        net.params["ip"][0].data[...] = 0
        for _ in range(3):
            net.clear_gradients()
            assert float(net.forward_backward()) == 6
            np.testing.assert_allclose(net.params["ip"][1].diff, [1, 1, 1])


def test_a_loss_of_another_shape_keeps_its_weight():
    """The original forgets it where there are to be more values."""
    power = 'layer { name: "p" type: "Power" bottom: "y" top: "z" loss_weight: 2 }\n'
    for net in both(X + dense("ip", "x", "y") + power):
        for count in (2, 5):
            net.blobs["x"].reshape(count, 3)
            net.clear_gradients()
            net.forward_backward()
            np.testing.assert_allclose(net.params["ip"][1].diff, [2 * count] * 3)


def test_only_layers_that_learn_a_shared_weight_add_to_its_gradient():
    frozen = 'param { name: "w" lr_mult: 0 } param { lr_mult: 0 }'
    text = X + dense("a", "x", "y", more='param { name: "w" }') + dense("b", "y", "z", more=frozen)
    reduction = 'layer { name: "r" type: "Reduction" bottom: "z" top: "sum" loss_weight: 1 }\n'
    for net in both(text + reduction):
        net.forward_backward()
        weight = net.params["b"][0]
        assert weight.owner.lr_mult == 0
        x = np.arange(1, 7).reshape(2, 3)
        wanted = np.tile(weight.data.sum(0), (2, 1)).T @ x
        np.testing.assert_allclose(weight.diff, wanted, rtol=1e-5)


@pytest.mark.parametrize("mults", [("", "lr_mult: 0"), ("lr_mult: 0", "")])
def test_a_frozen_weight_that_layers_share_is_followed_to_other_memory(mults):
    specs = [f'param {{ name: "w" {mult} }} param {{ lr_mult: 0 }}' for mult in mults]
    text = X + dense("a", "x", "y", more=specs[0]) + dense("b", "y", "z", more=specs[1])
    reduction = 'layer { name: "r" type: "Reduction" bottom: "z" top: "sum" loss_weight: 1 }\n'
    sums = []
    for net in both(text + reduction):
        net.forward_backward()
        other = net_of(text, seed=7)
        other.params["a"][0].data[...] = 2
        net.share(other)
        sums.append(float(net.forward_backward()))
    assert sums == [21 * 2 * 3 * 2 * 3] * 2


def test_layers_of_one_name_have_weights_of_their_own_wherever_these_go(tmp_path):
    text = X + dense("", "x", "y", 4) + dense("", "y", "z", 4) + dense("", "z", "u", 4)
    net, _ = both(text)
    weights = [row[0].data.copy() for row in net.rows if row]
    assert not np.array_equal(weights[1], weights[2])
    test_net, _ = both(text, TEST, share=net)
    owners = [[row[0].owner for row in each.rows if row] for each in (net, test_net)]
    assert [owner.memory for owner in owners[0]] == [owner.memory for owner in owners[1]]
    assert len({owner.memory for owner in owners[0]}) == 3
    net.save(str(tmp_path / "net.caffemodel"))
    again = Net(net.graph, seed=2)
    assert [row.status for row in again.load_weights(str(tmp_path / "net.caffemodel"))] == ["loaded"] * 3
    for row, wanted in zip([row for row in again.rows if row], weights, strict=True):
        assert np.array_equal(row[0].data, wanted)
    assert again.params[""][0] is again.rows[-1][0]


def test_a_net_without_a_loss_or_weights_or_layers_can_be_run():
    for net in (*both(X), *both(X + dense("ip", "x", "y"))):
        assert float(net.forward_backward()) == 0
        assert not any(parameter.diff.any() for parameter in net.parameters)
    for observed in (False, True):
        assert float(net_of("", observed=observed).forward()) == 0


OVERWRITTEN = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 1 bias_filler { type: "constant" value: 1 } } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "h" top: "y" }
layer { name: "double" type: "Power" bottom: "y" top: "y" power_param { scale: 2 } }
layer { name: "sum" type: "Reduction" bottom: "y" top: "sum" loss_weight: 1 }
"""


@pytest.mark.parametrize("observed", [False, True])
def test_a_sigmoid_takes_its_slope_from_what_a_later_layer_left_in_its_top(observed):
    # `src/caffe/layers/sigmoid_layer.cpp` reads top_data in backward: y(1 - y) with y doubled by then.
    net = net_of(OVERWRITTEN, observed=observed)
    net.forward_backward()
    y = 2 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(net.params["ip"][1].diff, [3 * 2 * y * (1 - y)], rtol=1e-5)
