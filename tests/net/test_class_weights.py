"""Class weights in nets: on both plans, and counted from the data that the labels come from."""

from __future__ import annotations

import logging

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from caffelite import assembly
from caffelite.commands import perform
from caffelite.errors import CaffeliteError, DataError, GraphError, LayerError
from caffelite.proto import TEST, TRAIN

from ..data.databases import datum, numbered, write_values
from ..nets import net_of

LABELS = [1, 1, 0, 1, 0, 1]
BALANCED = [1.5, 0.75, 1]
"""What scikit-learn's compute_class_weight says of LABELS; 1 for a third class, which does not occur."""


def scorer(bottom="data", classes=3):
    filler = 'weight_filler { type: "xavier" }'
    more = f"inner_product_param {{ num_output: {classes} {filler} }}"
    return f'layer {{ name: "ip" type: "InnerProduct" bottom: "{bottom}" top: "scores" {more} }}\n'


def loss(more="weight_by_label_freqs: true", labels="label", name="loss", kind="SoftmaxWithLoss"):
    bottoms = f'bottom: "scores" bottom: "{labels}"'
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{name}" loss_param {{ {more} }} }}\n'


def inputs(*shape):
    sizes = " ".join(f"dim: {size}" for size in shape)
    return (
        f'layer {{ name: "in" type: "Input" top: "data" top: "label" '
        f"input_param {{ shape {{ {sizes} }} shape {{ dim: {shape[0]} }} }} }}\n"
    )


def weights_of(net, name="loss"):
    (layer,) = (node.layer for node in net.graph.nodes if node.name == name)
    return layer.class_weights.tolist()


# -- listed weights, on both plans --------------------------------------------------------------------------------


@pytest.mark.parametrize("observed", [False, True])
def test_a_net_learns_by_the_weighted_loss(observed):
    weights = "weight_by_label_freqs: true class_weighting: 0.5 class_weighting: 4 class_weighting: 1"
    net = net_of(inputs(4, 5) + scorer() + loss(f"{weights} ignore_label: 2"), observed=observed)
    generator = np.random.default_rng(1)
    data, labels = generator.standard_normal((4, 5)).astype(np.float32), np.array([1, 0, 2, 1], np.float32)
    net.blobs["data"].data[...], net.blobs["label"].data[...] = data, labels
    got = float(net.forward_backward())
    matrix, bias = (torch.tensor(blob.data.copy(), requires_grad=True) for blob in net.params["ip"])
    scores = torch.nn.functional.linear(torch.from_numpy(data), matrix, bias)
    wanted = torch.nn.functional.cross_entropy(
        scores, torch.from_numpy(labels).long(), torch.tensor([0.5, 4, 1]), ignore_index=2, reduction="sum"
    )
    (wanted / 3).backward()
    assert got == pytest.approx(float(wanted.detach()) / 3, rel=1e-5)
    for blob, own in zip(net.params["ip"], (matrix, bias), strict=True):
        np.testing.assert_allclose(blob.diff, own.grad, rtol=1e-4, atol=1e-6)


def test_a_net_takes_other_numbers_of_predictions_but_not_of_classes():
    listed = "weight_by_label_freqs: true " + 3 * "class_weighting: 2 "
    text = inputs(4, 3) + loss(listed).replace('"scores"', '"data"')
    net = net_of(text)
    net.blobs["data"].reshape(2, 3)
    net.blobs["label"].reshape(2)
    assert float(net.forward()) == pytest.approx(2 * np.log(3))
    net.blobs["data"].reshape(2, 4)
    with pytest.raises(LayerError, match="needs one class_weighting for each of 4 classes, got 3"):
        net.forward()


# -- weights from the labels of the data --------------------------------------------------------------------------


def lmdb(path, labels=LABELS):
    images = numbered(len(labels))
    return write_values(path, [datum(image, label) for image, label in zip(images, labels, strict=True)])


def data(path, phase="TRAIN", kind="Data"):
    return (
        f'layer {{ name: "{phase.lower()} data" type: "Data" top: "data" top: "label" include {{ phase: {phase} }} '
        f'data_param {{ source: "{path}" batch_size: 2 backend: LMDB }} }}\n'
    )


def test_labels_of_a_database_are_counted(tmp_path, caplog):
    caplog.set_level(logging.INFO, "caffelite")
    net = net_of(data(lmdb(tmp_path / "lmdb")) + scorer() + loss())
    try:
        assert weights_of(net) == BALANCED
        assert caplog.messages == [
            'layer "loss" weighs classes by the labels of layer "train data" (Data): '
            "class_weighting: 1.5 class_weighting: 0.75 class_weighting: 1"
        ]
        net.params["ip"][0].data[...] = 0
        terms = [BALANCED[label] * np.log(3) for label in LABELS]
        for start in (0, 2, 4):  # counting moved nothing: the first batch is the first two records
            assert float(net.forward()) == pytest.approx(sum(terms[start : start + 2]) / 2, rel=1e-5)
    finally:
        net.close()


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "HingeLoss"])
def test_the_way_of_the_labels_is_followed_through_layers_that_keep_them(tmp_path, kind):
    flat = 'layer { name: "flat" type: "Flatten" bottom: "label" top: "flat" flatten_param { axis: 0 } }\n'
    column = "reshape_param { shape { dim: -1 dim: 1 } }"
    shaped = f'layer {{ name: "shaped" type: "Reshape" bottom: "flat" top: "shaped" {column} }}\n'
    accuracy = 'layer { name: "accuracy" type: "Accuracy" bottom: "scores" bottom: "label" top: "accuracy" }\n'
    net = net_of(data(lmdb(tmp_path / "lmdb")) + scorer() + accuracy + flat + shaped + loss(labels="shaped", kind=kind))
    net.close()
    assert weights_of(net) == BALANCED


def test_the_label_that_is_left_out_is_not_counted(tmp_path):
    net = net_of(
        data(lmdb(tmp_path / "lmdb", [*LABELS, 255, 255]))
        + scorer()
        + loss("weight_by_label_freqs: true ignore_label: 255")
    )
    net.close()
    assert weights_of(net) == BALANCED


def test_a_test_net_takes_the_weights_of_the_train_net(tmp_path):
    train, test = lmdb(tmp_path / "train"), lmdb(tmp_path / "test", [0, 1, 2])
    text = data(train) + data(test, "TEST") + scorer() + loss()
    nets = [net_of(text)]
    nets += [net_of(text, TEST, share=nets[0]), net_of(text, TEST)]
    other = text.replace('name: "loss"', 'name: "other"')
    nets.append(net_of(other, TEST, share=nets[0]))
    for net in nets:
        net.close()
    assert [weights_of(net) for net in nets[:3]] == [BALANCED, BALANCED, [1, 1, 1]]
    assert weights_of(nets[3], "other") == [1, 1, 1]


def test_a_test_net_takes_listed_weights_too_and_refuses_those_of_another_number_of_classes():
    train = net_of(inputs(4, 5) + scorer() + loss("weight_by_label_freqs: true " + 3 * "class_weighting: 2 "))
    assert weights_of(net_of(inputs(4, 5) + scorer() + loss(), TEST, share=train)) == [2, 2, 2]
    wider = scorer(classes=4).replace('"ip"', '"wide"')
    with pytest.raises(LayerError) as caught:
        net_of(inputs(4, 5) + wider + loss(), TEST, share=train)
    assert str(caught.value) == (
        'layer "loss" (SoftmaxWithLoss): the train net has class weights for 3 classes, this layer has 4'
    )


def test_a_solver_s_test_net_shares_the_class_weights(tmp_path):
    train, test = lmdb(tmp_path / "train"), lmdb(tmp_path / "test", [0, 1, 2])
    (tmp_path / "net.prototxt").write_text(data(train) + data(test, "TEST") + scorer() + loss())
    solver = tmp_path / "solver.prototxt"
    solver.write_text(
        f'net: "{tmp_path / "net.prototxt"}" base_lr: 0 lr_policy: "fixed" max_iter: 1 test_iter: 1 test_interval: 1 '
        f'snapshot_prefix: "{tmp_path / "s"}"'
    )
    made = assembly.load_solver(solver)
    made.close()
    assert weights_of(made.net) == weights_of(made.test_nets[0]) == BALANCED


def test_labels_of_a_list_of_images_are_counted(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "list").write_text("".join(f"{tmp_path}/a.png {label}\n" for label in LABELS))
    source = (
        f'layer {{ name: "images" type: "ImageData" top: "data" top: "label" '
        f'image_data_param {{ source: "{tmp_path / "list"}" batch_size: 2 shuffle: true }} }}\n'
    )
    net = net_of(source + scorer() + loss())
    net.close()
    assert weights_of(net) == BALANCED


def test_labels_of_hdf5_files_are_counted(tmp_path):
    for name, rows in (("a", LABELS[:2]), ("b", LABELS[2:])):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["data"], file["target"] = np.zeros((len(rows), 4)), np.array(rows, np.int32)
    (tmp_path / "list").write_text(f"{tmp_path}/a.h5\n{tmp_path}/b.h5\n")
    source = (
        f'layer {{ name: "rows" type: "HDF5Data" top: "data" top: "target" '
        f'hdf5_data_param {{ source: "{tmp_path / "list"}" batch_size: 2 }} }}\n'
    )
    net = net_of(source + scorer() + loss(labels="target"))
    net.close()
    assert weights_of(net) == BALANCED


# -- labels that cannot be counted --------------------------------------------------------------------------------

REMEDY = "  help: list class_weighting, one for each class, in the loss that says weight_by_label_freqs"


def told(text):
    with pytest.raises(CaffeliteError) as caught:
        net_of(text).close()
    return caught.type, str(caught.value)


def test_labels_from_no_data_layer():
    slicing = 'layer { name: "slice" type: "Power" bottom: "label" top: "other" }\n'
    message = (
        'layer "loss" (SoftmaxWithLoss): cannot count labels: "%s" comes from layer %s, which is no data layer\n'
        + REMEDY
    )
    assert told(inputs(4, 5) + scorer() + loss()) == (GraphError, message % ("label", '"in" (Input)'))
    assert told(inputs(4, 5) + scorer() + slicing + loss(labels="other")) == (
        GraphError,
        message % ("other", '"slice" (Power)'),
    )


def test_labels_that_are_not_there_yet():
    memory = (
        'layer { name: "memory" type: "MemoryData" top: "data" top: "label" '
        "memory_data_param { batch_size: 2 channels: 1 height: 4 width: 4 } }\n"
    )
    assert told(memory + scorer() + loss()) == (
        DataError,
        'layer "memory" (MemoryData): cannot count the labels of its top "label": '
        "they are handed over only after the net is made\n" + REMEDY,
    )


def test_a_data_layer_that_cannot_count(tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "windows").write_text(f"# 0\n{tmp_path}/a.png\n3\n8\n8\n2\n1 0.9 1 1 4 4\n0 0.1 2 2 5 5\n")
    windows = (
        'layer { name: "windows" type: "WindowData" top: "data" top: "label" transform_param { crop_size: 4 } '
        f'window_data_param {{ source: "{tmp_path / "windows"}" batch_size: 2 fg_fraction: 0.5 }} }}\n'
    )
    message = 'layer "windows" (WindowData): cannot count the labels of its top "label"\n' + REMEDY
    assert told(windows + scorer() + loss()) == (DataError, message)


def test_images_as_labels(tmp_path):
    flat = 'layer { name: "flat" type: "Flatten" bottom: "data" top: "pixels" }\n'
    scores = 'layer { name: "s" type: "Input" top: "scores" input_param { shape { dim: 2 dim: 3 dim: 16 } } }\n'
    assert told(data(lmdb(tmp_path / "lmdb")) + flat + scores + loss(labels="pixels")) == (
        DataError,
        'layer "train data" (Data): cannot count the labels of its top "data": it holds images\n' + REMEDY,
    )


def test_labels_of_a_database_that_are_no_class(tmp_path):
    kind, message = told(data(lmdb(tmp_path / "lmdb", [0, -1, 1, -1, 7])) + scorer() + loss())
    assert kind is DataError
    assert message.startswith(
        'layer "loss" (SoftmaxWithLoss): labels of layer "train data" (Data) must be classes from 0 to 2, '
        "got -1 (2×), 7 (1×)\n"
    )


# -- warnings -----------------------------------------------------------------------------------------------------

USELESS = inputs(4, 5) + scorer() + loss("class_weighting: 3")


def test_settings_without_effect_are_warned_of_once_and_strictly_are_errors(tmp_path):
    path, warned = tmp_path / "net.prototxt", []
    path.write_text(USELESS)
    assembly.load_net(path, TRAIN, warn=warned.append)
    assert [fault.severity for fault in warned] == ["warning"]
    column = USELESS.splitlines()[2].index("class_weighting") + 1
    assert str(warned[0]).startswith(
        f'{path}:3:{column}: warning: layer "loss" (SoftmaxWithLoss): '
        "class_weighting has no effect without weight_by_label_freqs: true\n"
    )
    with pytest.raises(GraphError, match="class_weighting has no effect without weight_by_label_freqs: true"):
        assembly.load_net(path, TRAIN, strict=True)


def test_check_finds_settings_without_effect(tmp_path, capsys):
    path = tmp_path / "net.prototxt"
    path.write_text(USELESS)
    assert perform(["check", str(path)]) == 0
    assert "ok (1 warning)" in capsys.readouterr().out
    assert perform(["check", str(path), "--strict"]) == 1
