"""Filter: blobs whose size is known in each pass only; and backwards that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.errors import CaffeliteError, LayerError
from caffelite.proto import BlobProto
from caffelite.solver.testing import average

from ..nets import net_of

INPUTS = """
layer { name: "in" type: "Input" top: "x" top: "keep" top: "label"
  input_param { shape { dim: 6 dim: 3 } shape { dim: 6 } shape { dim: 6 } } }
"""
CHOSEN = (
    INPUTS
    + """
layer { name: "factor" type: "Scale" bottom: "x" top: "s" scale_param { num_axes: 0 } }
layer { name: "filter" type: "Filter" bottom: "s" bottom: "label" bottom: "keep" top: "y" top: "l" }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "ip" type: "InnerProduct" bottom: "y" top: "z"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "l" top: "loss"
  propagate_down: true propagate_down: false }
layer { name: "twice" type: "Power" bottom: "y" top: "twice" power_param { scale: 2 } }
"""
)
SELECTIONS = [[1, 0, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [0, 2, 0, -1, 0, 0]]


def fill(net, selection):
    net.blobs["x"].data[...] = np.random.default_rng(0).normal(size=(6, 3))
    net.blobs["label"].data[...] = [0, 1, 2, 0, 1, 2]
    net.blobs["keep"].data[...] = selection


def by_hand(net, selection):
    """Loss, gradient of the weights, and the two outputs that vary, of the samples that are kept."""
    keep = np.array(selection) != 0
    x, label = net.blobs["x"].data[keep].astype(np.float64), net.blobs["label"].data[keep].astype(int)
    y = np.maximum(x, 0)
    scores = y @ net.params["ip"][0].data.T.astype(np.float64)
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(p)), label]).mean()
    slope = (p - np.eye(3)[label]) / len(p)
    return loss, slope.T @ y, slope @ net.params["ip"][0].data * (x > 0), y


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_each_pass_has_the_size_it_has(observed):
    net = net_of(CHOSEN, observed=observed)
    for selection in SELECTIONS:
        fill(net, selection)
        net.clear_gradients()
        loss = net.forward_backward()
        wanted, weights, gradient, y = by_hand(net, selection)
        assert float(loss) == pytest.approx(wanted, rel=1e-5)
        np.testing.assert_allclose(net.params["ip"][0].diff, weights, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(net.blobs["twice"].data, 2 * y, rtol=1e-6)
        assert net.blobs["twice"].shape == y.shape
        if observed:
            assert net.blobs["y"].shape == net.blobs["y"].data.shape == net.blobs["y"].diff.shape == y.shape
            assert net.blobs["l"].shape == (len(y),)
            back = np.zeros((6, 3))
            back[np.array(selection) != 0] = gradient
            np.testing.assert_allclose(net.blobs["s"].diff, back, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_another_batch_size_afterwards(observed):
    net = net_of(CHOSEN, observed=observed)
    fill(net, SELECTIONS[0])
    net.forward()
    for blob, values in (("x", np.ones((2, 3))), ("keep", [0, 1]), ("label", [0, 2])):
        net.blobs[blob].reshape(*np.shape(values))
        net.blobs[blob].data[...] = values
    net.forward()
    assert net.blobs["twice"].shape == (1, 3)


def test_a_loss_that_varies_in_size_has_its_weight_everywhere():
    text = INPUTS + (
        'layer { name: "factor" type: "Scale" bottom: "x" top: "s" scale_param { num_axes: 0 } }\n'
        'layer { name: "f" type: "Filter" bottom: "s" bottom: "keep" top: "y" loss_weight: 3 }\n'
    )
    for observed in (False, True):
        net = net_of(text, observed=observed)
        for selection in SELECTIONS:
            fill(net, selection)
            net.clear_gradients()
            total = 3 * net.blobs["x"].data[np.array(selection) != 0].sum()
            assert float(net.forward_backward()) == pytest.approx(total, rel=1e-4, abs=1e-5)
            np.testing.assert_allclose(net.params["factor"][0].diff, total, rtol=1e-4, atol=1e-5)


def test_outputs_that_vary_in_size_have_no_mean():
    net = net_of(CHOSEN)
    selections = iter(SELECTIONS)

    class Choosing:
        ahead, named_outputs = staticmethod(net.ahead), staticmethod(net.named_outputs)

        def forwards(self, count):
            fill(net, next(selections))
            return net.forwards(count)

    with pytest.raises(CaffeliteError, match="outputs of the net change their size from batch to batch"):
        average(Choosing(), 2, with_loss=False, interrupted=lambda: False)


LABELS_THAT_LEARN = (
    INPUTS
    + """
layer { name: "a" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "x" top: "learned" inner_product_param { num_output: 1 } }
"""
)
LAST = {
    "loss": 'type: "SoftmaxWithLoss" bottom: "y" bottom: "learned" top: "loss"',
    "selector": 'type: "Filter" bottom: "y" bottom: "learned" top: "z" loss_weight: 1',
    "index": 'type: "Embed" bottom: "learned" top: "z" loss_weight: 1 embed_param { input_dim: 2 num_output: 1 }',
    "threshold": 'type: "Threshold" bottom: "learned" top: "z" loss_weight: 1',
    "argmax": 'type: "ArgMax" bottom: "learned" top: "z" loss_weight: 1',
    "argmax, values": 'type: "ArgMax" bottom: "learned" top: "z" loss_weight: 1 argmax_param { out_max_val: true }',
}


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
@pytest.mark.parametrize("last", LAST)
def test_a_backward_that_needs_a_gradient_there_is_none_of(last, observed):
    net = net_of(LABELS_THAT_LEARN + f'layer {{ name: "last" {LAST[last]} }}', observed=observed)
    fill(net, SELECTIONS[1])
    net.forward()
    with pytest.raises(LayerError) as caught:
        net.forward_backward()
    kind = LAST[last].split('"')[1]
    assert str(caught.value) == (
        f'layer "last" ({kind}): has no gradient for its bottom "learned", and the layers above it need one\n'
        "  help: propagate_down: false stops there; give it once for each bottom, in their order"
    )


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_a_bottom_that_may_be_left_out_is_not_asked_for(observed, tmp_path):
    (tmp_path / "H.binaryproto").write_bytes(BlobProto(data=np.eye(3).ravel()).SerializeToString())
    source = f'infogain_loss_param {{ source: "{tmp_path}/H.binaryproto" }}'
    loss = f'layer {{ name: "loss" type: "InfogainLoss" bottom: "y" bottom: "label" top: "loss" {source} }}'
    net = net_of(LABELS_THAT_LEARN + loss, observed=observed)
    fill(net, SELECTIONS[1])
    net.forward_backward()
    assert net.params["a"][0].diff.any()


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_propagate_down_stops_it(observed):
    stop = "propagate_down: true propagate_down: false"
    net = net_of(LABELS_THAT_LEARN + f'layer {{ name: "last" {LAST["loss"]} {stop} }}', observed=observed)
    fill(net, SELECTIONS[1])
    net.forward_backward()
    assert net.params["a"][0].diff.any()
    assert not net.params["b"][0].diff.any()


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
def test_a_crop_to_the_size_of_something_learned_goes_without_its_gradient(observed):
    crop = (
        'layer { name: "c" type: "Crop" bottom: "y" bottom: "learned" top: "z" crop_param { axis: 1 } loss_weight: 1 }'
    )
    net = net_of(LABELS_THAT_LEARN + crop, observed=observed)
    fill(net, SELECTIONS[1])
    net.forward_backward()
    np.testing.assert_allclose(net.params["a"][0].diff[0], net.blobs["x"].data.sum(0), rtol=1e-5)
    assert not net.params["a"][0].diff[1:].any()
    assert not net.params["b"][0].diff.any()
