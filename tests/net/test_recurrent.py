"""Recurrent layers in nets: weights the original wrote, both plans, state over forwards, and learning."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import caffelite
from caffelite.errors import CaffeliteError
from caffelite.proto import TEST

from ..nets import net_of
from ..recorded import close

NET = """
layer {{ name: "in" type: "Input" top: "x" top: "cont" top: "label"
  input_param {{ shape {{ dim: 4 dim: 2 dim: 3 }} shape {{ dim: 4 dim: 2 }} shape {{ dim: 4 dim: 2 }} }} }}
layer {{ name: "r" type: "{type}" bottom: "x" bottom: "cont" top: "y"
  recurrent_param {{ num_output: 5 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "score" type: "InnerProduct" bottom: "y" top: "score"
  inner_product_param {{ num_output: 3 axis: 2 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
  softmax_param {{ axis: 2 }} }}
"""


def _feed(net, seed, cont, count=2):  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    net.blobs["x"].data[...] = random.standard_normal((4, count, 3))
    net.blobs["cont"].data[...] = cont
    net.blobs["label"].data[...] = random.integers(0, 3, (4, count))


@pytest.mark.parametrize("suffix", ["caffemodel", "caffemodel.h5"])
def test_weights_the_original_wrote_give_its_outputs(tmp_path, golden, suffix):  # type: ignore[no-untyped-def]
    """The recurrent part of a net of many layers; the file's other layers are passed over."""
    text = """
    layer { name: "in" type: "Input" top: "seq" top: "cont"
      input_param { shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } } }
    layer { name: "lstm" type: "LSTM" bottom: "seq" bottom: "cont" top: "h" recurrent_param { num_output: 3 } }
    layer { name: "rnn" type: "RNN" bottom: "h" bottom: "cont" top: "g" recurrent_param { num_output: 2 } }
    """
    (tmp_path / "net.prototxt").write_text(text)
    arrays = np.load(golden("weights/many_layers.npz"))
    net = caffelite.Net(tmp_path / "net.prototxt", caffelite.TEST, weights=golden(f"weights/many_layers.{suffix}"))
    for name, count in (("lstm", 3), ("rnn", 5)):
        assert len(net.params[name]) == count
        for slot, blob in enumerate(net.params[name]):
            np.testing.assert_array_equal(blob.data, arrays[f"param/{name}/{slot}"])
    net.forward(seq=arrays["in/seq"], cont=arrays["in/cont"])
    for blob in ("h", "g"):
        close(blob, net.blobs[blob].data, arrays[f"out/{blob}"], {"rtol": 1e-4, "atol": 1e-5})


@pytest.mark.parametrize("type", ["RNN", "LSTM"])
def test_both_plans_carry_the_state_on_alike(type):  # type: ignore[no-untyped-def]
    nets = [net_of(NET.format(type=type), observed=observed) for observed in (False, True)]
    losses = []
    for seed in range(3):
        for net in nets:
            _feed(net, seed, np.ones((4, 2)))
        one, other = (float(net.forward_backward()) for net in nets)
        assert one == pytest.approx(other, rel=1e-6)
        losses.append(one)
    for fast, seen in zip(*(net.parameters for net in nets), strict=True):
        np.testing.assert_allclose(fast.diff, seen.diff, rtol=1e-5, atol=1e-7)
    fresh = net_of(NET.format(type=type))
    _feed(fresh, 2, np.ones((4, 2)))
    assert float(fresh.forward()) != pytest.approx(losses[-1], rel=1e-4)


@pytest.mark.parametrize("type", ["RNN", "LSTM"])
@pytest.mark.parametrize("cont", [1, 0.5])
def test_a_second_backward_adds_the_same_gradients_again(type, cont):  # type: ignore[no-untyped-def]
    net = net_of(NET.format(type=type), observed=True)
    _feed(net, 1, np.full((4, 2), cont))
    net.forward_backward()
    once = [parameter.diff.copy() for parameter in net.parameters]
    net.backward()
    for parameter, diff in zip(net.parameters, once, strict=True):
        assert diff.any()
        np.testing.assert_allclose(parameter.diff, 2 * diff, rtol=1e-6)


def test_a_test_net_has_a_state_of_its_own():  # type: ignore[no-untyped-def]
    train = net_of(NET.format(type="LSTM"))
    test = net_of(NET.format(type="LSTM"), TEST, share=train)
    for net in (train, test):
        _feed(net, 1, np.ones((4, 2)))
    first = float(train.forward())
    train.forward()
    assert float(test.forward()) == first


def test_a_net_reshaped_to_fewer_sequences_goes_on_with_the_first():  # type: ignore[no-untyped-def]
    net, alone = (net_of(NET.format(type="LSTM"), observed=True) for _ in range(2))
    for one, count in ((net, 2), (alone, 1)):
        one.blobs["x"].reshape(4, count, 3)
        one.blobs["cont"].reshape(4, count)
        one.blobs["label"].reshape(4, count)
    _feed(net, 1, np.ones((4, 2)))
    alone.blobs["x"].data[...] = net.blobs["x"].data[:, :1]
    alone.blobs["cont"].data[...] = 1
    net.forward()
    alone.forward()
    np.testing.assert_allclose(net.blobs["y"].data[:, :1], alone.blobs["y"].data, rtol=1e-5, atol=1e-7)
    for blob, shape in (("x", (4, 1, 3)), ("cont", (4, 1)), ("label", (4, 1))):
        net.blobs[blob].reshape(*shape)
    for one in (net, alone):
        _feed(one, 2, np.ones((4, 1)), count=1)
        one.forward()
    np.testing.assert_allclose(net.blobs["y"].data, alone.blobs["y"].data, rtol=1e-5, atol=1e-7)


def test_what_learns_to_say_where_sequences_begin_is_refused():  # type: ignore[no-untyped-def]
    text = (
        NET.format(type="LSTM")
        .replace(
            'layer { name: "r"',
            """
        layer { name: "begin" type: "InnerProduct" bottom: "x" top: "flag"
          inner_product_param { num_output: 1 axis: 2 } }
        layer { name: "flat" type: "Flatten" bottom: "flag" top: "flags" }
        layer { name: "unused" type: "Silence" bottom: "cont" }
        layer { name: "r\"""",
        )
        .replace('bottom: "cont" top: "y"', 'bottom: "flags" top: "y"')
    )
    net = net_of(text)
    with pytest.raises(CaffeliteError, match="has no gradient for its bottom"):
        net.forward_backward()


def test_an_lstm_learns_to_repeat_what_it_saw_two_steps_ago(tmp_path):  # type: ignore[no-untyped-def]
    """Guessing costs log 3 = 1.1 a step; only who remembers gets lower."""
    steps, count = 8, 16
    symbols = np.random.default_rng(1).integers(0, 3, (40, steps, count))
    label = np.full(symbols.shape, -1)
    label[:, 2:] = symbols[:, :-2]
    cont = np.ones(symbols.shape)
    cont[:, 0] = 0
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.eye(3, dtype=np.float32)[symbols].reshape(-1, count, 3)
        file["cont"], file["label"] = (v.reshape(-1, count).astype(np.float32) for v in (cont, label))
    (tmp_path / "list.txt").write_text(f"{tmp_path}/data.h5\n")
    layers = NET.format(type="LSTM").partition('layer { name: "r"')
    source = f"""layer {{ name: "in" type: "HDF5Data" top: "x" top: "cont" top: "label"
      hdf5_data_param {{ source: "{tmp_path}/list.txt" batch_size: {steps} }} }}"""
    text = (
        source
        + layers[1]
        + layers[2]
        .replace("num_output: 5", "num_output: 12")
        .replace("softmax_param", "loss_param { ignore_label: -1 } softmax_param")
    )
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" type: "Adam" base_lr: 0.03 lr_policy: "fixed" momentum: 0.9 momentum2: 0.999 '
        "max_iter: 150 solver_mode: CPU random_seed: 1"
    )
    solver = caffelite.get_solver(tmp_path / "solver.prototxt")
    solver.step(1)
    before = float(solver.net.blobs["loss"].data)
    solver.step(149)
    after = float(solver.net.blobs["loss"].data)
    assert before > 0.9
    assert after < 0.05
