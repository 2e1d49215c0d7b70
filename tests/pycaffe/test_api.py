"""What scripts do with a net besides forward and backward: the expectations are the original's behaviour."""

from __future__ import annotations

import copy
import gc
import logging
import multiprocessing
import os
import pickle
import weakref

import h5py
import numpy as np
import pytest
import torch

import caffelite
from caffelite.errors import SnapshotError, UsageError
from caffelite.logs.bridge import LogBridge

NET = """
name: "net" force_backward: true
layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "y" top: "prob" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" loss_weight: 2
  propagate_down: true propagate_down: false }
"""
DEPLOY = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { value: 1 } } }
layer { name: "prob" type: "Softmax" bottom: "y" top: "prob" }
"""


def made(tmp_path, text=NET, phase=caffelite.TRAIN, **options):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    return caffelite.Net(path, phase, **options)


@pytest.fixture
def net(tmp_path):
    return made(tmp_path)


def softmax(y):
    e = np.exp(y - y.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


X = np.random.default_rng(0).random((11, 3), dtype=np.float32)


# -- construction -----------------------------------------------------------------------------------------------------


def test_every_form_of_the_constructor(tmp_path, net):
    net.save(tmp_path / "w.caffemodel")
    path = str(tmp_path / "net.prototxt")
    weights = str(tmp_path / "w.caffemodel")
    forms = [
        caffelite.Net(path, caffelite.TEST, weights=weights),
        caffelite.Net(path, weights, caffelite.TEST),
        caffelite.Net(network_file=path, phase=caffelite.TEST, weights=weights),
        caffelite.Net(path, caffelite.TEST, 0, None, weights),
        caffelite.Net(path, caffelite.TEST, level=0, stages=[], weights=weights),
    ]
    for form in forms:
        assert np.array_equal(form.params["ip"][0].data, net.params["ip"][0].data)
    for wrong in ((path,), (path, weights), (path, 7), (path, weights, 7)):
        with pytest.raises(UsageError, match="Net needs a phase"):
            caffelite.Net(*wrong)
    with pytest.raises(RuntimeError, match=r"nowhere.prototxt: no such file"):
        caffelite.Net("nowhere.prototxt", caffelite.TEST)
    with pytest.raises(RuntimeError, match=r"nowhere\.caffemodel"):
        caffelite.Net(path, caffelite.TEST, weights="nowhere.caffemodel")


def test_a_net_is_made_of_a_message_too(tmp_path):
    from google.protobuf import text_format

    from caffelite.proto import NetParameter, SolverParameter

    message = text_format.Parse(DEPLOY, NetParameter())
    before = message.SerializeToString()
    assert caffelite.Net(message, caffelite.TEST).outputs == ["prob"]
    assert message.SerializeToString() == before
    with pytest.raises(UsageError, match="a NetParameter is needed, not a SolverParameter"):
        caffelite.Net(SolverParameter(), caffelite.TEST)


def test_a_netspec_is_taken_and_a_text_is_told_from_a_path(tmp_path):
    n = caffelite.NetSpec()
    n.x = caffelite.layers.Input(shape=dict(dim=[2, 3]))
    assert caffelite.Net(n, caffelite.TEST).inputs == ["x"]
    with pytest.raises(UsageError, match="the text of a net is given where a file's path is expected"):
        caffelite.Net(str(n.to_proto()), caffelite.TEST)


def test_names_that_are_not_there_are_answered_and_nothing_is_replaced(net):
    for table, wrong, right in (
        (net.blobs, "probb", "prob"),
        (net.params, "ipp", "ip"),
        (net.layer_dict, "lose", "loss"),
    ):
        with pytest.raises(KeyError, match=f"{wrong!r}\\n  help: did you mean {right}"):
            table[wrong]
        assert table.get(wrong) is None
        assert wrong not in table
    with pytest.raises(UsageError, match="a blob cannot be replaced, only written to"):
        net.blobs["x"] = np.zeros((4, 3))
    changed = net.blobs.copy()
    changed["x"] = None
    assert net.blobs["x"] is not None
    assert list(pickle.loads(pickle.dumps(net.top_names))) == net._layer_names


def test_level_and_stages_choose_layers(tmp_path):
    text = NET + 'layer { name: "a" type: "Power" bottom: "prob" top: "a" include { stage: "A" } }'
    text += 'layer { name: "b" type: "Power" bottom: "prob" top: "b" include { min_level: 1 } }'
    assert "a" not in made(tmp_path, text).blobs
    assert "a" in made(tmp_path, text, stages=["A"]).blobs
    assert "b" in made(tmp_path, text, level=1).blobs


def test_the_names_that_scripts_read_behind_the_underscore(net):
    assert net._layer_names == ["in", "ip", "y_ip_0_split", "prob", "loss"]
    assert list(net.layer_dict) == net._layer_names
    assert net._blob_names == list(net.blobs)
    assert [net._blob_names[index] for index in net._inputs] == net.inputs == ["x", "label"]
    assert [net._blob_names[index] for index in net._outputs] == net.outputs == ["loss", "prob"] == net._output_list
    ip = net._layer_names.index("ip")
    assert [net._blob_names[index] for index in net._bottom_ids(ip)] == ["x"]
    assert [net._blob_names[index] for index in net._top_ids(ip)] == ["y"]
    assert net.layers[ip].type == "InnerProduct"
    assert [tuple(blob.shape) for blob in net.layers[ip].blobs] == [(2, 3), (2,)]
    assert net.layers[ip].blobs[0] is net.params["ip"][0]
    assert net.blob_loss_weights["loss"] == 2
    assert dict(zip(net._blob_names, net._blob_loss_weights, strict=True)) == net.blob_loss_weights


def test_the_types_of_the_extension_module(net):
    """Scripts that merge BatchNorm into convolutions ask whether the weights of a layer are a BlobVec."""
    from caffelite.pycaffe import _caffe

    assert all(type(blobs) is caffelite._caffe.BlobVec for blobs in net.params.values())
    assert net.params["ip"] is net.layer_dict["ip"].blobs
    assert isinstance(net.blobs["x"], _caffe.Blob)
    assert isinstance(net.layers, _caffe.LayerVec)
    assert issubclass(caffelite.AdamSolver, _caffe.Solver)
    assert (_caffe.Net, _caffe.Layer, _caffe.log) == (caffelite.Net, caffelite.Layer, caffelite.log)
    with pytest.raises(AttributeError, match="no attribute 'Nets'; did you mean Net"):
        _caffe.Nets  # noqa: B018


def test_what_took_the_place_of_former_names(net):
    for name, remedy in (
        ("set_phase_test", r"Net\('net.prototxt', caffe.TEST\)"),
        ("set_mode_gpu", r"caffe.set_mode_gpu\(\) does it"),
        ("preprocess", "net.transformer"),
        ("forwards", "no attribute 'forwards'$"),
    ):
        assert not hasattr(net, name)
        with pytest.raises(AttributeError, match=remedy):
            getattr(net, name)
    with pytest.raises(AttributeError, match=r"Net\('net.prototxt', caffe.TEST\)"):
        caffelite.set_phase_test()
    with pytest.raises(AttributeError, match="get_solver takes a SolverParameter"):
        caffelite.get_solver_from_string("")


def test_what_is_odd_about_a_net_is_a_line_of_the_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest listens, too
    odd = 'layer { name: "m" type: "MemoryData" top: "x" top: "y" transform_param { scale: 2 }'
    odd += "memory_data_param { batch_size: 1 channels: 1 height: 1 width: 1 } }"
    for level, shown in (("0", True), ("1", True), ("2", False)):
        monkeypatch.setenv("GLOG_minloglevel", level)
        made(tmp_path, odd)
        assert ("transform_param has no effect" in capsys.readouterr().err) == shown


# -- passes -----------------------------------------------------------------------------------------------------------


def test_callbacks_are_told_the_index_of_each_layer(net):
    said = []
    for moment in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, moment)(lambda layer, moment=moment: said.append((moment, layer)))
    net.forward()
    layers = range(len(net.layers))
    assert said == [(moment, layer) for layer in layers for moment in ("before_forward", "after_forward")]
    said.clear()
    net.backward(start="loss", end="prob")
    assert said == [(moment, layer) for layer in (4, 3) for moment in ("before_backward", "after_backward")]
    with pytest.raises(UsageError, match="before_forward takes a function"):
        net.before_forward(3)


def test_a_callback_sees_the_blobs_of_the_layers_before_it_and_may_change_them(net):
    def change(layer):
        if net._layer_names[layer] == "prob":
            net.blobs["y"].data[...] = [[0, np.log(3)]]

    net.before_forward(change)
    np.testing.assert_allclose(net.forward()["prob"], [[0.25, 0.75]] * 4, rtol=1e-6)


def test_an_error_of_a_callback_arrives_as_it_is(net):
    def stop(layer):
        raise StopAsyncIteration(layer)

    net.after_forward(stop)
    with pytest.raises(StopAsyncIteration):
        net.forward()


def test_forward_all_takes_any_number_of_samples(tmp_path):
    net = made(tmp_path, DEPLOY, caffelite.TEST)
    weight, bias = (blob.data for blob in net.params["ip"])
    out = net.forward_all(x=X, blobs=["y"])
    assert sorted(out) == ["prob", "y"]
    np.testing.assert_allclose(out["y"], X @ weight.T + bias, rtol=1e-5)
    np.testing.assert_allclose(out["prob"], softmax(X @ weight.T + bias), rtol=1e-5)
    assert net.forward_all(x=X[:2])["prob"].shape == (2, 2)
    assert net.forward_all(x=X[:8])["prob"].shape == (8, 2)
    with pytest.raises(UsageError, match="no arrays are given"):
        net.forward_all()
    with pytest.raises(UsageError, match="'z' is no input of this net"):
        net.forward_all(z=X)


def test_forward_backward_all_gives_gradients_of_every_sample(tmp_path):
    net = made(tmp_path, "force_backward: true" + DEPLOY, caffelite.TEST)
    weight = net.params["ip"][0].data
    above = np.random.default_rng(1).random((11, 2), dtype=np.float32)
    out, gradients = net.forward_backward_all(x=X, prob=above, diffs=["y"])
    p = out["prob"]
    expected = p * (above - (p * above).sum(1, keepdims=True))
    np.testing.assert_allclose(gradients["y"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(gradients["x"], expected @ weight, rtol=1e-4, atol=1e-6)
    with pytest.raises(UsageError, match="of different lengths: x 11, prob 3"):
        net.forward_backward_all(x=X, prob=above[:3])


def test_a_blob_that_several_layers_read_is_one_memory(net):
    """The original's Split shares its bottom's data: what is written to `y` is what the layers behind it read."""
    net.forward(x=X[:4], label=np.zeros(4))
    net.blobs["y"].data[...] = np.log([[1, 3]])
    assert np.array_equal(net.blobs["y_ip_0_split_1"].data, net.blobs["y"].data)
    np.testing.assert_allclose(net.forward(start="prob", end="prob")["prob"], [[0.25, 0.75]] * 4, rtol=1e-6)
    np.testing.assert_allclose(net.forward(start="loss", end="loss")["loss"], np.log(4), rtol=1e-6)
    net.forward(start="ip", end="ip")
    np.testing.assert_allclose(net.forward(start="prob", end="prob")["prob"], softmax(net.blobs["y"].data), rtol=1e-5)


def test_labels_written_between_forward_and_backward_count(net):
    net.forward(x=X[:4], label=np.zeros(4))
    net.blobs["label"].data[...] = 1
    net.backward()
    expected = 2 * (softmax(net.blobs["y"].data) - [[0, 1]]) / 4
    np.testing.assert_allclose(net.blobs["y"].diff, expected, rtol=1e-4, atol=1e-6)


def test_and_those_that_another_layer_has_taken_since(tmp_path):
    accuracy = 'layer { name: "acc" type: "Accuracy" bottom: "y" bottom: "label" top: "acc" }'
    net = made(tmp_path, NET + accuracy)
    net.forward(x=X[:4], label=np.zeros(4))
    net.blobs["label"].data[...] = 1
    net.forward(start="acc", end="acc")
    net.backward()
    expected = 2 * (softmax(net.blobs["y"].data) - [[0, 1]]) / 4
    np.testing.assert_allclose(net.blobs["y"].diff, expected, rtol=1e-4, atol=1e-6)


def test_a_call_of_the_module_comes_between_a_forward_and_its_backward_unnoticed(tmp_path):
    shape = "reshape_param { shape { dim: 0 dim: 3 dim: 1 } }"
    net = made(tmp_path, COLLECTING + f'layer {{ name: "r" type: "Reshape" bottom: "d" top: "r" {shape} }}')
    net.blobs["x"].data[...] = X[:4]
    net.forward()
    net.blobs["r"].diff[...] = 1
    net.module(torch.from_numpy(X))
    net.backward()
    np.testing.assert_array_equal(net.blobs["n"].diff, 2 * (net.blobs["d"].data != 0))


def test_a_loss_weight_lies_in_the_diff_from_the_beginning(net):
    assert net.blobs["loss"].diff == 2
    net.blobs["loss"].diff[...] = 4
    net.forward(x=X[:4], label=np.zeros(4))
    net.backward()
    expected = 4 * (softmax(net.blobs["y"].data) - [[1, 0]]) / 4
    np.testing.assert_allclose(net.blobs["y"].diff, expected, rtol=1e-4, atol=1e-6)


def test_a_backward_needs_no_forward_before_it(net):
    net.blobs["x"].data[...] = X[:4]
    above = np.arange(8, dtype=np.float32).reshape(4, 2)
    net.blobs["y"].diff[...] = above
    gradient = net.backward(start="ip", end="ip")
    assert sorted(gradient) == ["x"]
    np.testing.assert_allclose(gradient["x"], above @ net.params["ip"][0].data, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(net.params["ip"][0].diff, above.T @ X[:4], rtol=1e-5, atol=1e-5)


COLLECTING = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "n" }
layer { name: "drop" type: "Dropout" bottom: "n" top: "d" dropout_param { dropout_ratio: 0.5 } }
"""


def test_a_backward_without_a_forward_collects_nothing(tmp_path):
    net = made(tmp_path, COLLECTING)
    net.blobs["x"].data[...] = X[:4]
    net.blobs["d"].diff[...] = 1
    net.backward()
    assert not any(blob.data.any() for blob in net.params["bn"])
    net.forward()
    assert net.params["bn"][2].data == 1


def test_a_backward_after_weights_were_changed_takes_them_as_they_are(net):
    net.forward(x=X[:4], label=np.zeros(4))
    above = np.ones((4, 2), np.float32)
    net.core.parameters[0].load(np.full((2, 3), 5.0))
    net.blobs["y"].diff[...] = above
    np.testing.assert_allclose(net.backward(start="ip")["x"], np.full((4, 3), 10.0))


FIXED = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
layer { name: "double" type: "Power" bottom: "x" top: "d" power_param { scale: 2 } }
layer { name: "pool" type: "Pooling" bottom: "d" top: "p" pooling_param { pool: AVE kernel_size: 4 } }
layer { name: "ip" type: "InnerProduct" bottom: "d" top: "y"
  inner_product_param { num_output: 1 weight_filler { value: 1 } } }
"""


def test_layers_that_do_not_run_need_not_fit_the_input(tmp_path):
    """The original reshapes a layer when it runs it: an image of any size goes through the layers below the first
    InnerProduct, or below a pooling that is larger than what is left."""
    net = made(tmp_path, FIXED, caffelite.TEST)
    for height, width in ((3, 7), (5, 2)):
        image = np.arange(height * width, dtype=np.float32).reshape(1, 1, height, width)
        net.blobs["x"].reshape(*image.shape)
        net.blobs["x"].data[...] = image
        assert np.array_equal(net.forward(end="double")["d"], 2 * image)
        net.blobs["d"].diff[...] = image
        assert np.array_equal(net.backward(start="double")["x"], 2 * image)
        assert net.blobs["p"].shape == (1, 1, 1, 1)
        for whole in (net.forward, net.reshape, lambda: net.forward(start="pool")):
            with pytest.raises(RuntimeError, match='layer "pool"'):
                whole()
    net.blobs["x"].reshape(1, 1, 4, 4)
    net.blobs["x"].data[...] = 1
    assert net.forward()["y"] == 32


def test_layers_that_were_left_out_follow_at_the_next_pass(tmp_path):
    net = made(tmp_path, FIXED, caffelite.TEST)
    net.blobs["x"].reshape(3, 1, 4, 4)
    net.blobs["x"].data[...] = np.arange(3).reshape(3, 1, 1, 1)
    net.forward(end="double")
    assert net.blobs["y"].shape == (1, 1)
    np.testing.assert_array_equal(net.forward(start="d_double_0_split", end="pool")["p"].ravel(), [0, 2, 4])
    np.testing.assert_array_equal(net.forward()["y"].ravel(), [0, 32, 64])
    net.blobs["x"].reshape(2, 1, 4, 4)
    net.forward(end="double")
    assert net.module(torch.ones(2, 1, 4, 4))["y"].shape == (2, 1)


def test_a_pass_that_begins_within_takes_the_shape_it_finds(tmp_path):
    net = made(tmp_path, FIXED, caffelite.TEST)
    net.forward(end="double")
    net.blobs["d_double_0_split_1"].reshape(2, 1, 4, 4)
    net.blobs["d_double_0_split_1"].data[...] = [[[[1]]], [[[2]]]]
    np.testing.assert_array_equal(net.forward(start="ip")["y"].ravel(), [16, 32])
    net.blobs["x"].data[...] = 1
    np.testing.assert_array_equal(net.forward()["y"].ravel(), [32])


def test_parts_and_blobs_that_are_not_there_are_told_before_anything_runs(net):
    before = net.core.run.position
    with pytest.raises(UsageError, match=r"there is no layer 'ipp'\n  help: did you mean ip\?"):
        net.forward(start="ipp")
    with pytest.raises(UsageError, match="there is no blob 'probb'"):
        net.forward(blobs=["probb"])
    with pytest.raises(UsageError, match="there is no blob 'yy'"):
        net.backward(diffs=["yy"])
    assert net.core.run.position == before


# -- weights ----------------------------------------------------------------------------------------------------------


def test_weights_shared_with_another_net_are_one_memory_and_gradients_two(tmp_path, net):
    held = net.params["ip"][0].data
    other = made(tmp_path, DEPLOY, caffelite.TEST)
    early = other.params["ip"][0].data.copy()
    other.share_with(net)
    assert not np.array_equal(early, other.params["ip"][0].data)
    held[0, 0] = 9
    assert other.params["ip"][0].data[0, 0] == 9
    np.testing.assert_allclose(
        other.forward(x=X[:4])["prob"], softmax(X[:4] @ held.T + net.params["ip"][1].data), rtol=1e-5
    )
    other.params["ip"][1].data[...] = 3
    net.forward(x=X[:4], label=np.zeros(4))
    np.testing.assert_allclose(net.blobs["y"].data, X[:4] @ held.T + 3, rtol=1e-5)
    net.backward()
    assert net.params["ip"][0].diff.any()
    assert not other.params["ip"][0].diff.any()
    other.share_with(net)
    assert other.params["ip"][0].data[0, 0] == 9


def test_weights_that_do_not_fit_are_not_shared(tmp_path, net):
    other = made(tmp_path, DEPLOY.replace("num_output: 2", "num_output: 5"), caffelite.TEST)
    with pytest.raises(SnapshotError, match=r'layer "ip": weight 0 has shape \(5, 3\) here and \(2, 3\) in the other'):
        other.share_with(net)
    bare = made(tmp_path, DEPLOY.replace("num_output: 2", "num_output: 2 bias_term: false"), caffelite.TEST)
    with pytest.raises(SnapshotError, match="has 1 weights here and 2 in the other net"):
        bare.share_with(net)
    unrelated = made(tmp_path, DEPLOY.replace('name: "ip"', 'name: "fc"'), caffelite.TEST)
    before = unrelated.params["fc"][0].data.copy()
    unrelated.share_with(net)
    assert np.array_equal(before, unrelated.params["fc"][0].data)


def test_a_weight_in_another_shape_shows_its_values(tmp_path):
    net = made(tmp_path, TIED.format('param { name: "w" share_mode: PERMISSIVE }'))
    net.params["a"][0].data[...] = 2
    assert repr(net.params["b"][0]) == "<Blob 3 x 2, 2 to 2>"


TIED = """
layer {{ name: "in" type: "Input" top: "x" top: "z"
  input_param {{ shape {{ dim: 4 dim: 3 }} shape {{ dim: 4 dim: 2 }} }} }}
layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "y" {0}
  inner_product_param {{ num_output: 2 bias_term: false }} }}
layer {{ name: "b" type: "InnerProduct" bottom: "z" top: "v" {0}
  inner_product_param {{ num_output: 3 bias_term: false }} }}
"""


def test_weights_that_are_one_here_and_two_there_are_not_shared(tmp_path):
    tied = made(tmp_path, TIED.format('param { name: "w" share_mode: PERMISSIVE }'))
    free = made(tmp_path, TIED.format(""))
    with pytest.raises(SnapshotError, match='layer "b": weight 0 is shared with another layer in only one'):
        tied.share_with(free)
    tied.forward()
    tied.share_with(made(tmp_path, TIED.format('param { name: "w" share_mode: PERMISSIVE }')))
    tied.forward()


def test_weights_go_through_hdf5(tmp_path, net):
    net.save_hdf5(str(tmp_path / "plain"))
    with h5py.File(tmp_path / "plain") as file:
        np.testing.assert_array_equal(file["data/ip/0"], net.params["ip"][0].data)
    other = made(tmp_path)
    other.load_hdf5(str(tmp_path / "plain"))
    assert np.array_equal(other.params["ip"][0].data, net.params["ip"][0].data)


WIDE = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 8 dim: 3 dim: 64 dim: 64 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { value: 1 } } }
"""


def test_a_forked_process_computes_too(tmp_path):
    """Scripts hand nets to multiprocessing.Process, whose child has no threads but its own."""
    fork = multiprocessing.get_context("fork")
    net, told = made(tmp_path, WIDE, caffelite.TEST), fork.Queue()

    def child(given):
        mine = given or made(tmp_path, WIDE, caffelite.TEST)
        mine.blobs["x"].data[...] = 1
        told.put(float(mine.forward()["y"].mean()))

    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        net.forward()
        for given in (None, net):
            process = fork.Process(target=child, args=(given,), daemon=True)
            process.start()
            assert told.get(timeout=60) == 27
            process.join(60)
    finally:
        torch.set_num_threads(usual)
        process.kill()


def test_weights_outlive_their_net(net):
    blobs = [*net.blobs.values(), *net.params["ip"]]
    del net
    assert all(np.isfinite(blob.data).all() and np.isfinite(blob.diff).all() for blob in blobs)


def test_a_net_is_gone_when_nobody_has_it(tmp_path):
    """Its memory does not wait for the garbage collector."""
    net = made(tmp_path)
    net.forward(x=X[:4], label=np.zeros(4))
    net.core.forward_backward()
    weight = weakref.ref(net.core.parameters[0].tensor)
    gc.disable()
    try:
        del net
        assert weight() is None
    finally:
        gc.enable()


def test_a_net_is_a_torch_module_in_the_same_memory(tmp_path):
    net = made(tmp_path, DEPLOY, caffelite.TEST)
    module = net.module
    assert net.module is module
    x = torch.from_numpy(X).requires_grad_()
    weight, bias = (blob.data for blob in net.params["ip"])
    np.testing.assert_allclose(module(x).detach().numpy(), softmax(X @ weight.T + bias), rtol=1e-5)
    weight[...] = 0
    np.testing.assert_allclose(module(x).detach().numpy(), np.full((11, 2), 0.5))
    module(x)[:, 0].sum().backward()
    np.testing.assert_allclose(net.params["ip"][1].diff, [11 / 4, -11 / 4], rtol=1e-5)
    assert x.grad is not None
    with torch.no_grad():
        module.get_parameter("ip.bias").copy_(torch.tensor([0, np.log(3)]))
    np.testing.assert_allclose(bias, [0, np.log(3)], rtol=1e-6)
    np.testing.assert_allclose(net.forward()["prob"], [[0.25, 0.75]] * 4, rtol=1e-5)


def test_a_module_goes_on_reading_data_when_the_net_is_gone(tmp_path, golden, monkeypatch):
    monkeypatch.chdir(golden("solvers/_data/train.h5").parent)
    source = 'hdf5_data_param { source: "list.txt" batch_size: 6 }'
    text = f'layer {{ name: "d" type: "HDF5Data" top: "data" top: "label" {source} }}'
    module = made(tmp_path, text).module
    first, second = module()["data"].clone(), module()["data"]
    assert first.shape == (6, 6)
    assert not torch.equal(first, second)


# -- layers in Python -------------------------------------------------------------------------------------------------


class OfItsOwn(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class Raising(caffelite.Layer):
    def setup(self, bottom, top):
        if self.param_str == "setup":
            raise RuntimeError("in setup")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        raise OfItsOwn(7)


RAISING = """
layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 4 }} }} }}
layer {{ name: "mine" type: "Python" bottom: "x" top: "y"
  python_param {{ module: "tests.pycaffe.test_api" layer: "Raising" param_str: "{}" }} }}
"""


def test_what_a_layer_raises_can_be_caught_as_what_it_is(tmp_path):
    with pytest.raises(RuntimeError, match=r'layer "mine" .* raised RuntimeError: in setup'):
        made(tmp_path, RAISING.format("setup"))
    net = made(tmp_path, RAISING.format(""))
    with pytest.raises(OfItsOwn, match='layer "mine"') as caught:
        net.forward()
    assert caught.value.code == 7
    assert isinstance(caught.value, caffelite.CaffeliteError)


class Feeding(caffelite.Layer):
    images = ()

    def reshape(self, bottom, top):
        top[0].reshape(max(len(self.images), 1))

    def forward(self, bottom, top):
        top[0].data[...] = self.images

    def feed(self, images):
        self.images = images


FEEDING = """
layer { name: "mine" type: "Python" top: "y"
  python_param { module: "tests.pycaffe.test_api" layer: "Feeding" } }
layer { name: "double" type: "Power" bottom: "y" top: "z" power_param { scale: 2 } }
"""


def test_a_layer_of_a_net_is_the_instance_of_its_class(tmp_path):
    """In the original `net.layers[0]` is the user's object: its methods are called and its attributes set."""
    net = made(tmp_path, FEEDING)
    net.layers[0].feed([1, 2])
    np.testing.assert_array_equal(net.forward()["z"], [2, 4])
    net.layer_dict["mine"].images = [3, 4, 5]
    assert net.layers[0].images == [3, 4, 5]
    np.testing.assert_array_equal(net.forward()["z"], [6, 8, 10])
    with pytest.raises(AttributeError, match="'Feeding' object has no attribute 'fed'"):
        net.layers[0].fed  # noqa: B018
    with pytest.raises(AttributeError, match="the layer has no attribute 'feed'"):
        net.layers[1].feed([1])
    net.layers[1].note = "mine"
    assert copy.copy(net.layers[1]).note == "mine"


def test_an_array_that_is_given_another_shape_is_the_scripts_own(net):
    """In the original each access makes an array object over the one memory."""
    blobs = [(net.blobs["x"], "data"), (net.blobs["x"], "diff"), (net.params["ip"][0], "data")]
    for blob, part in [*blobs, (net.params["ip"][0], "diff")]:
        shape, array = blob.shape, getattr(blob, part)
        array.shape = (-1,)
        assert getattr(blob, part).shape == shape
        array[0] = 7
        assert getattr(blob, part).flat[0] == 7
    array = net.blobs["x"].data
    array.shape = (3, 4)
    net.blobs["x"].data[...] = 5
    assert (array == 5).all()
    net.blobs["x"].reshape(2, 3)
    assert (array == 5).all()


def test_a_net_can_be_given_a_name_and_other_attributes(net):
    """Fast R-CNN calls a net after its weights."""
    assert net.name == "net"
    net.name, net.epoch = "zf_iter_6", 3
    assert (net.name, net.epoch) == ("zf_iter_6", 3)


# -- the module -------------------------------------------------------------------------------------------------------


def test_layer_types_are_listed():
    listed = list(caffelite.layer_type_list())
    assert {"Data", "Convolution", "InnerProduct", "Python", "SoftmaxWithLoss"} <= set(listed)
    assert listed == sorted(listed)


def test_every_name_of_the_table_is_there():
    from types import ModuleType

    modules = {"io", "draw", "coord_map", "classifier", "detector", "net_spec", "layers", "proto"}
    for name in caffelite.pycaffe.names():
        value = getattr(caffelite, name)
        assert isinstance(value, ModuleType) == (name in modules), name
    with pytest.raises(AttributeError, match="has no attribute 'Nett'"):
        caffelite.Nett  # noqa: B018


def test_every_name_comes_with_a_star():
    for module in ("caffelite", "caffelite.pycaffe"):
        names: dict[str, object] = {}
        exec(f"from {module} import *", names)
        assert {*caffelite.pycaffe.names()} <= names.keys()


def test_names_for_several_gpus_say_what_is_here():
    assert (caffelite.has_nccl(), caffelite.solver_count(), caffelite.solver_rank()) == (False, 1, 0)
    caffelite.set_solver_count(1)
    caffelite.set_solver_rank(0)
    caffelite.set_multiprocess(False)
    refused = [
        lambda: caffelite.set_solver_count(2),
        lambda: caffelite.set_solver_rank(1),
        lambda: caffelite.set_multiprocess(True),
        lambda: caffelite.NCCL(None, "uid"),
        lambda: caffelite.NCCL.new_uid(),
    ]
    for call in refused:
        with pytest.raises(UsageError, match="one process trains on one device here"):
            call()


def test_a_timer_measures_between_start_and_stop(monkeypatch):
    from caffelite.pycaffe import timer

    clock = iter([1.0, 1.5, 2.0, 4.0])
    monkeypatch.setattr(timer.time, "perf_counter", lambda: next(clock))
    watch = caffelite.Timer()
    assert watch.ms == 0
    watch.start()
    watch.start()
    watch.stop()
    assert watch.ms == 500
    watch.start()
    assert watch.ms == 2000  # asking ends it
    assert watch.ms == 2000


SOLVER = 'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" display: 1 max_iter: 2 snapshot_after_train: false'


@pytest.fixture
def logged(tmp_path, monkeypatch, capfd):
    """A function that trains, and gives what stood on stderr."""
    from caffelite.pycaffe import telling

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.setattr(telling.shown, "least", None)
    monkeypatch.delenv("GLOG_minloglevel", raising=False)

    def train():
        caffelite.get_solver("solver.prototxt").step(2)
        return capfd.readouterr().err

    return train


def test_solvers_log_as_the_original_does(logged, monkeypatch):
    assert "solver.cpp:239] Iteration 1 (" in logged()
    caffelite.log("here I am")
    monkeypatch.setenv("GLOG_minloglevel", "2")
    assert logged().splitlines()[0].endswith("_caffe.cpp:67] here I am")
    assert logged() == ""
    caffelite.init_log(0)
    assert "Iteration 1" in logged()
    caffelite.init_log(1)
    assert logged() == ""
    caffelite.init_log(0, False)
    assert logged() == ""


def test_what_a_command_logs_is_not_said_twice(capsys, monkeypatch):
    monkeypatch.delenv("GLOG_minloglevel", raising=False)
    caffelite.init_log(0)
    logger, notes = logging.getLogger("caffelite"), []
    bridge = LogBridge(notes.append)
    logger.addHandler(bridge)
    try:
        logger.warning("once", extra={"source": "net.cpp:1"})
    finally:
        logger.removeHandler(bridge)
    assert [note.text for note in notes] == ["once"]
    assert capsys.readouterr().err == ""
    logger.warning("alone", extra={"source": "net.cpp:1"})
    assert capsys.readouterr().err.endswith("net.cpp:1] alone\n")


# -- as `caffe` -------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys

import caffe
import caffe.io
import caffe.proto.caffe_pb2 as pb
from caffe import layers as L, params as P
from caffe.net_spec import NetSpec
from caffe.pycaffe import Net
from caffe.proto import caffe_pb2

assert pb is caffe_pb2 and NetSpec is caffe.NetSpec and Net is caffe.Net
assert sys.modules["caffe.io"] is caffe.io
import caffelite
assert caffelite.Net is Net and caffelite.io is caffe.io
assert caffe.__spec__.name == "caffelite.pycaffe"


class Ten(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data


if __name__ == "__main__":
    n = caffe.NetSpec()
    n.x = L.Input(shape=dict(dim=[2, 3]))
    n.y = L.Python(n.x, module="script", layer="Ten")
    open("n.prototxt", "w").write(str(n.to_proto()))
    net = caffe.Net("n.prototxt", caffe.TEST)
    net.blobs["x"].data[...] = 4
    print(sys.argv[1:], net.forward()["y"].sum())
    if "--fail" in sys.argv:
        net.forward(start="nowhere")
    if "--python" in sys.argv:
        {}["missing"]
    if "--exit" in sys.argv:
        sys.exit(3)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that runs `caffelite run script.py …` in a process of its own."""
    import subprocess
    import sys

    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "old.py").write_text('print "hello"\n')

    def run(*arguments):
        command = [sys.executable, "-m", "caffelite", "run", *arguments]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_a_script_that_imports_caffe_runs_unchanged(script):
    done = script("script.py", "-x", "--solver=3", "--", "file")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['-x', '--solver=3', '--', 'file'] 240.0\n"


def test_what_fails_in_a_script_is_shown_where_it_stands_there(script):
    failed = script("script.py", "--fail")
    assert failed.returncode == 1
    assert 'net.forward(start="nowhere")' in failed.stderr
    assert "there is no layer 'nowhere'" in failed.stderr
    assert "caffelite/pycaffe" not in failed.stderr
    python = script("script.py", "--python")
    assert python.stderr.splitlines()[-1] == "KeyError: 'missing'"
    assert "runpy" not in python.stderr
    assert script("script.py", "--exit").returncode == 3


def test_a_script_that_cannot_be_run_is_told(script):
    assert "written for Python 2" in script("old.py").stderr
    missing = script("none.py")
    assert (missing.returncode, missing.stderr) == (2, "caffelite: none.py is not there: run takes a Python script\n")


def test_another_caffe_that_is_imported_already_is_not_replaced(monkeypatch):
    import sys
    from types import ModuleType

    other = ModuleType("caffe")
    monkeypatch.setitem(sys.modules, "caffe", other)
    with pytest.raises(UsageError, match="another module caffe is imported already"):
        caffelite.install_as_caffe()
    assert sys.modules["caffe"] is other


def test_modules_of_the_original_can_be_imported_from_here():
    import caffelite.coord_map
    import caffelite.io
    from caffelite.proto import caffe_pb2

    assert caffelite.io.load_image is not None
    assert caffelite.coord_map.crop is not None
    assert caffe_pb2.NetParameter().DESCRIPTOR.full_name == "caffe.NetParameter"
    with pytest.raises(ModuleNotFoundError, match=r"caffelite\.iox"):
        import caffelite.iox
