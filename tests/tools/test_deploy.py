"""The net to use, made of the net that was trained."""

from __future__ import annotations

from typing import Any

import pytest

from caffelite.assembly import NetFile, build_graph
from caffelite.errors import GraphError
from caffelite.graph import Graph, state_of
from caffelite.proto import TEST, NetParameter
from caffelite.prototxt import loads
from caffelite.tools.deploy import Deployed, deploy

DATA = """
name: "n"
layer {
  name: "d" type: "Data" top: "data" top: "label" data_param { source: "nowhere" batch_size: 8 }
  transform_param { scale: 0.5 mean_value: 100 crop_size: 6 } include { phase: TEST }
}
"""
SCORE = """
layer {
  name: "score" type: "InnerProduct" bottom: "data" top: "score" param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } bias_filler { value: 1 } }
}
"""
LOSS = """
layer { name: "acc" type: "Accuracy" bottom: "score" bottom: "label" top: "acc" include { phase: TEST } }
layer {
  name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" loss_weight: 1
  softmax_param { axis: -1 }
}
"""
SHAPES = {"data": (8, 3, 6, 6), "label": (8,)}


def graph_of(text: str, given: dict[str, tuple[int, ...]] = SHAPES) -> Graph:
    message = loads(text, NetParameter).message
    return build_graph(NetFile(message), state_of(message, TEST, 0, [""]), given=given, missing_data=True)


def made(text: str, given: dict[str, tuple[int, ...]] = SHAPES, **options: Any) -> Deployed:
    return deploy(graph_of(text, given), **options)


def layers(deployed: Deployed) -> list[tuple[str, str, list[str], list[str]]]:
    return [(layer.name, layer.type, list(layer.bottom), list(layer.top)) for layer in deployed.message.layer]


def test_data_and_losses_go_and_input_and_softmax_come() -> None:
    net = made(DATA + SCORE + LOSS)
    assert layers(net) == [
        ("data", "Input", [], ["data"]),
        ("score", "InnerProduct", ["data"], ["score"]),
        ("prob", "Softmax", ["score"], ["prob"]),
    ]
    assert list(net.message.layer[0].input_param.shape[0].dim) == [1, 3, 6, 6]
    assert net.message.layer[2].softmax_param.axis == -1
    assert [note.message for note in net.notes] == [
        "left out: acc (Accuracy), loss (SoftmaxWithLoss)",
        "added: prob, the Softmax of score, which the loss contained",
    ]


def test_what_only_training_needs_goes() -> None:
    score = made(DATA + SCORE + LOSS).message.layer[1]
    assert not score.param
    assert [field.name for field, _ in score.inner_product_param.ListFields()] == ["num_output"]


def test_what_was_done_to_images_is_said() -> None:
    text = made(DATA + SCORE + LOSS, source="train_val.prototxt").text
    assert text.startswith("# The net of train_val.prototxt, for use: made by `caffelite deploy`.\n")
    assert "# As in training: mean_value 100 subtracted, multiplied by 0.5, cropped to 6.\n" in text
    assert loads(text, NetParameter).message == made(DATA + SCORE + LOSS).message


def test_batch() -> None:
    assert made(DATA + SCORE + LOSS, batch=5).message.layer[0].input_param.shape[0].dim[0] == 5
    assert made(DATA + SCORE + LOSS, batch=None).message.layer[0].input_param.shape[0].dim[0] == 8


def test_an_unknown_shape_is_asked_for() -> None:
    with pytest.raises(GraphError) as error:
        made(DATA + SCORE.replace("InnerProduct", "Power").replace("inner_product_param", "#") + LOSS, {})
    assert 'the shape of "data" is not known' in str(error.value)
    assert error.value.faults[0].help == "say it: --input data=1x3x6x6"


def test_an_auxiliary_loss_goes_with_its_branch() -> None:
    aux = SCORE.replace('"score"', '"aux"') + LOSS.replace('"score"', '"aux"').replace(
        "loss_weight: 1", "loss_weight: 0.3"
    ).replace('"loss"', '"aux_loss"').replace('"acc"', '"aux_acc"')
    assert [layer[0] for layer in layers(made(DATA + aux + SCORE + LOSS))] == ["data", "score", "prob"]


def test_two_heads_of_one_weight_stay_both() -> None:
    second = SCORE.replace('"score"', '"other"') + LOSS.replace('"score"', '"other"').replace(
        '"loss"', '"loss2"'
    ).replace('"acc"', '"acc2"')
    names = [layer[0] for layer in layers(made(DATA + SCORE + LOSS + second))]
    assert names == ["data", "score", "other", "score_prob", "other_prob"]


@pytest.mark.parametrize("top", ["score", "dropped"])
def test_dropout_goes_in_place_or_not(top: str) -> None:
    dropout = f'layer {{ name: "drop" type: "Dropout" bottom: "score" top: "{top}" }}'
    relu = f'layer {{ name: "relu" type: "ReLU" bottom: "{top}" top: "{top}" }}'
    net = made(DATA + SCORE + dropout + relu + LOSS.replace('"score"', f'"{top}"'))
    assert layers(net)[2:] == [
        ("relu", "ReLU", ["score"], ["score"]),
        ("prob", "Softmax", ["score"], ["prob"]),
    ]


def test_names_of_shared_weights_stay() -> None:
    shared = SCORE.replace("param { lr_mult: 1 }", 'param { name: "w" lr_mult: 1 }')
    param = made(DATA + shared + LOSS).message.layer[1].param
    assert [(entry.name, entry.HasField("lr_mult")) for entry in param] == [("w", False), ("", False)]


def test_a_target_that_is_the_data_itself() -> None:
    """An autoencoder: what the loss compares with is no label."""
    text = """
    layer { name: "d" type: "Data" top: "data" data_param { source: "nowhere" batch_size: 8 } }
    layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }
    layer { name: "code" type: "InnerProduct" bottom: "data" top: "code" inner_product_param { num_output: 108 } }
    layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "code" bottom: "flat" top: "loss" }
    layer { name: "sig" type: "Sigmoid" bottom: "code" top: "sig" }
    layer { name: "error" type: "EuclideanLoss" bottom: "sig" bottom: "flat" top: "error" loss_weight: 0 }
    """
    assert [layer[0] for layer in layers(made(text))] == ["data", "code", "sig"]


def test_asked_outputs() -> None:
    hidden = SCORE.replace('"score"', '"hidden"').replace("num_output: 4", "num_output: 9")
    net = made(DATA + hidden + SCORE.replace('bottom: "data"', 'bottom: "hidden"') + LOSS, outputs=["hidden"])
    assert [layer[0] for layer in layers(net)] == ["data", "hidden"]
    with pytest.raises(GraphError, match='no blob "hiden"'):
        made(DATA + hidden + LOSS.replace('"score"', '"hidden"'), outputs=["hiden"])


def test_a_net_without_loss_keeps_what_nobody_reads() -> None:
    assert [layer[0] for layer in layers(made(DATA + SCORE))] == ["data", "score"]
