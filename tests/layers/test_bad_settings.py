"""What a bad setting is told, word for word."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pytest
import torch

from caffelite import ops
from caffelite.errors import DataError, LayerError
from caffelite.layerkit.losses import marked

from .conform import build, run_at

Shape = tuple[int, ...]

BAD: list[tuple[str, list[Shape], str]] = [
    (
        'name: "a" type: "AbsVal" bottom: "x" top: "x"',
        [(2, 3)],
        'layer "a" (AbsVal): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "f" type: "Flatten" bottom: "x" top: "x"',
        [(2, 3)],
        'layer "f" (Flatten): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "s" type: "Split" bottom: "x" top: "y" top: "x"',
        [(2, 3)],
        'layer "s" (Split): cannot work in place: its top may not be its bottom "x"\n'
        "  help: give the top a name of its own",
    ),
    (
        'name: "f" type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 3 end_axis: 1 }',
        [(2, 3, 4, 5)],
        'layer "f" (Flatten): end_axis must not lie before axis 3, got 1',
    ),
    (
        'name: "f" type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 2 }',
        [(2, 3)],
        'layer "f" (Flatten): axis must be an axis of a 2-d blob, got 2',
    ),
    (
        'name: "p" type: "Softmax" bottom: "x" top: "y"',
        [(4,)],
        'layer "p" (Softmax): axis must be an axis of a 1-d blob, got 1',
    ),
    (
        'name: "d" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 1 }',
        [(4,)],
        'layer "d" (Dropout): dropout_ratio must be at least 0 and below 1, got 1.0',
    ),
    (
        'name: "c" type: "Concat" bottom: "x" bottom: "z" top: "y"',
        [(2, 3, 4), (2, 5, 6)],
        'layer "c" (Concat): its bottoms may differ in size on axis 1 only, got shapes (2, 3, 4) and (2, 5, 6)',
    ),
    (
        'name: "c" type: "Concat" bottom: "x" top: "y" concat_param { axis: 1 concat_dim: 1 }',
        [(2, 3)],
        'layer "c" (Concat): axis: 1 and concat_dim: 1 are two names of one setting\n  help: keep axis',
    ),
    (
        'name: "c" type: "Concat" bottom: "x" top: "y" concat_param { concat_dim: 2 }',
        [(2, 3)],
        'layer "c" (Concat): concat_dim must be an axis of a 2-d blob, got 2',
    ),
    (
        'name: "e" type: "Eltwise" bottom: "x" bottom: "z" top: "y" '
        "eltwise_param { operation: PROD coeff: 1 coeff: 2 }",
        [(2, 3), (2, 3)],
        'layer "e" (Eltwise): operation PROD takes no coeff\n  help: coeff belongs to operation: SUM',
    ),
    (
        'name: "e" type: "Eltwise" bottom: "x" bottom: "z" top: "y" eltwise_param { coeff: 2 }',
        [(2, 3), (2, 3)],
        'layer "e" (Eltwise): needs a coeff for each of its 2 bottoms, or none at all, got 1',
    ),
    (
        'name: "e" type: "Eltwise" bottom: "x" bottom: "z" top: "y"',
        [(2, 3), (3, 2)],
        'layer "e" (Eltwise): its bottoms must have one shape, got (2, 3) and (3, 2)',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y" scale_param { num_axes: 3 }',
        [(2, 3, 4)],
        'layer "s" (Scale): num_axes must be at most 2 from axis 1 of (2, 3, 4) on, or -1 for all, got 3',
    ),
    (
        'name: "b" type: "Bias" bottom: "x" top: "y" bias_param { num_axes: -2 }',
        [(2, 3, 4)],
        'layer "b" (Bias): num_axes must not be negative, but for -1: all axes, got -2',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y"',
        [(4,)],
        'layer "s" (Scale): axis must be an axis of a 1-d blob, got 1',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y" scale_param { filler { type: "one" } }',
        [(2, 3)],
        'layer "s" (Scale): filler type names no filler, got "one"\n'
        "  help: known: bilinear, constant, gaussian, msra, positive_unitball, uniform, xavier",
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y"',
        [(2, 0)],
        'layer "s" (Scale): filler type cannot fill a shape without elements, got (0,)',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" bottom: "z" top: "y"',
        [(2, 3, 4), (2, 3)],
        'layer "s" (Scale): its second bottom of shape (2, 3) does not fit its bottom of shape (2, 3, 4) from axis 1 '
        "on\n  help: with axis: 0 it would",
    ),
    (
        'name: "s" type: "Scale" bottom: "x" bottom: "z" top: "y" scale_param { axis: 3 bias_term: true }',
        [(2, 3, 4), ()],
        'layer "s" (Scale): axis must be an axis of a 3-d blob, got 3',
    ),
    (
        'name: "s" type: "Scale" bottom: "x" top: "y" scale_param { num_axes: 0 filler { type: "msra" } }',
        [(2, 3)],
        'layer "s" (Scale): filler type "msra" needs a weight with at least one axis, this one is a scalar',
    ),
    (
        'name: "b" type: "Bias" bottom: "x" bottom: "z" top: "y"',
        [(2, 3, 4), (3, 4, 1)],
        'layer "b" (Bias): its second bottom of shape (3, 4, 1) does not fit its bottom of shape (2, 3, 4) from axis 1 '
        "on",
    ),
    (
        'name: "r" type: "Reduction" bottom: "x" top: "y" reduction_param { axis: -3 }',
        [(2, 3)],
        'layer "r" (Reduction): axis must be an axis of a 2-d blob, got -3',
    ),
    (
        'name: "r" type: "Reduction" bottom: "x" top: "y"',
        [()],
        'layer "r" (Reduction): axis must be an axis of a 0-d blob, got 0',
    ),
    (
        'name: "l" type: "EuclideanLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2,)],
        'layer "l" (EuclideanLoss): its bottoms must have as many elements per sample, got 4 (shape (2, 4)) and '
        "1 (shape (2,))",
    ),
    (
        'name: "l" type: "EuclideanLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (3, 4)],
        'layer "l" (EuclideanLoss): the first axis (the batch) of its bottoms must be the same, got shapes (2, 4) and '
        "(3, 4)",
    ),
    (
        'name: "l" type: "SoftmaxWithLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4, 3, 3), (2, 3)],
        'layer "l" (SoftmaxWithLoss): needs one label per prediction: scores of shape (2, 4, 3, 3) with their classes '
        "on axis 1 are 18 predictions, got 6 labels of shape (2, 3)\n"
        "  help: for scores N×C×H×W with the classes on axis 1, the labels are N×H×W or N×1×H×W",
    ),
    (
        'name: "l" type: "HingeLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2, 4)],
        'layer "l" (HingeLoss): needs one label per sample: 2, got 8 labels of shape (2, 4)',
    ),
    (
        'name: "l" type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2, 3)],
        'layer "l" (SigmoidCrossEntropyLoss): needs one target per score, got 8 scores of shape (2, 4) and 6 targets '
        "of shape (2, 3)",
    ),
    (
        'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" top: "y"',
        [(2, 4), (2,)],
        'layer "l" (InfogainLoss): needs the matrix H: as a third bottom, or infogain_loss_param { source }',
    ),
    (
        'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "h" top: "y"',
        [(2, 4), (2,), (4, 3)],
        'layer "l" (InfogainLoss): H must hold 4×4 numbers for 4 classes, got 12',
    ),
    (
        'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "h" top: "y" loss_param { normalize: true }',
        [(2, 4), (2,), (4, 4)],
        'layer "l" (InfogainLoss): normalize is not known to InfogainLoss, got True\n'
        "  help: use normalization: VALID instead of normalize: true, BATCH_SIZE instead of false",
    ),
    (
        'name: "a" type: "Accuracy" bottom: "x" bottom: "l" top: "y" accuracy_param { top_k: 5 }',
        [(2, 4), (2,)],
        'layer "a" (Accuracy): top_k must not exceed the number of classes, 4, got 5',
    ),
    (
        'name: "i" type: "Input" top: "a" top: "b" top: "c" input_param { shape { dim: 1 } shape { dim: 1 } }',
        [],
        'layer "i" (Input): needs one shape for all of its 3 tops or one for each, got 2',
    ),
    (
        'name: "i" type: "Input" top: "a" input_param { shape { dim: 2 dim: -1 } }',
        [],
        'layer "i" (Input): shape must have no negative dim, got [2, -1]',
    ),
    (
        'name: "d" type: "DummyData" top: "a" '
        "dummy_data_param { shape { dim: 1 } num: 2 channels: 1 height: 1 width: 1 }",
        [],
        'layer "d" (DummyData): shape and num, channels, height, width are two spellings of one setting\n'
        "  help: keep shape { dim: … }",
    ),
    (
        'name: "d" type: "DummyData" top: "a" dummy_data_param { num: 2 channels: 1 width: 1 }',
        [],
        'layer "d" (DummyData): needs one height for all of its 1 tops or one for each, got 0',
    ),
    (
        'name: "d" type: "DummyData" top: "a" dummy_data_param { shape { dim: 1 } data_filler { type: "gausian" } }',
        [],
        'layer "d" (DummyData): data_filler type names no filler, got "gausian"\n  help: did you mean gaussian?',
    ),
    (
        'name: "d" type: "DummyData" top: "a" top: "b" top: "c" '
        "dummy_data_param { shape { dim: 1 } data_filler { } data_filler { } }",
        [],
        'layer "d" (DummyData): needs no data_filler, one for all of its 3 tops or one for each, got 2',
    ),
]


@pytest.mark.parametrize(("text", "bottoms", "message"), BAD, ids=lambda value: str(value)[:80])
def test_bad_setting(text: str, bottoms: list[Shape], message: str) -> None:
    with pytest.raises(LayerError) as caught:
        build(text, *bottoms)
    assert str(caught.value) == message


def test_all_faults_of_a_layer_are_told_at_once() -> None:
    with pytest.raises(LayerError) as caught:
        build('type: "DummyData" top: "a" top: "b" top: "c" dummy_data_param { num: 2 num: 3 channels: 1 width: 1 }')
    assert len(caught.value.faults) == 2


def test_scale_is_told_of_a_bottom_that_no_longer_fits() -> None:
    layer, _ = build('name: "s" type: "Scale" bottom: "x" top: "y"', (2, 3, 4))
    layer.shapes([(7, 3, 5)])
    layer.raise_faults()
    layer.shapes([(2, 5, 4)])
    with pytest.raises(LayerError) as caught:
        layer.raise_faults()
    assert str(caught.value) == (
        'layer "s" (Scale): its weight of shape (3,) does not fit its bottom of shape (2, 5, 4) from axis 1 on'
    )


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy", "HingeLoss", "InfogainLoss"])
def test_label_beyond_the_classes(kind: str) -> None:
    third = [(4, 4)] if kind == "InfogainLoss" else []
    bottoms = 'bottom: "x" bottom: "l"' + ' bottom: "h"' * len(third)
    layer, _ = build(f'name: "n" type: "{kind}" {bottoms} top: "y"', (3, 4), (3,), *third)
    with pytest.raises(LayerError) as caught:
        layer.forward(run_at(), [torch.zeros(3, 4), torch.tensor([0.0, 3.0, 4.0]), *map(torch.zeros, third)], [])
    assert str(caught.value) == (
        f'layer "n" ({kind}): label of sample 2 must be a class from 0 to 3, got 4\n'
        "  help: labels count from 0: a label 4 needs at least 5 scores; ignore_label: 4 would leave such labels out"
    )


def test_negative_label_of_a_pixel() -> None:
    layer, _ = build('name: "n" type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', (2, 3, 2, 2), (2, 1, 2, 2))
    labels = torch.zeros(2, 1, 2, 2)
    labels[1, 0, 1, 0] = -1
    with pytest.raises(LayerError) as caught:
        layer.forward(run_at(), [torch.zeros(2, 3, 2, 2), labels], [])
    assert str(caught.value) == (
        'layer "n" (SoftmaxWithLoss): label of sample 1 at position 2 of 4 must be a class from 0 to 2, got -1\n'
        "  help: ignore_label: -1 would leave such labels out"
    )


def test_label_that_is_no_number() -> None:
    layer, _ = build('type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', (2, 3), (2,))
    with pytest.raises(LayerError, match="label of sample 1 must be a class from 0 to 2, got nan"):
        layer.forward(run_at(), [torch.zeros(2, 3), torch.tensor([0.0, float("nan")])], [])


def test_where_nobody_can_wait_a_wrong_label_makes_the_loss_nan() -> None:
    scores = torch.zeros(3, 4, requires_grad=True)
    for labels, spoilt in (([0, 3, 1], False), ([0, 4, 1], True), ([0, -1, 1], True)):
        indices, weights = marked(torch.tensor(labels), None, 4)
        loss = ops.losses.softmax_loss(scores, indices, weights, 1, 3.0)
        assert loss.isnan() == spoilt
        assert torch.autograd.grad(loss, scores)[0].isnan().any() == spoilt


INFOGAIN = 'name: "l" type: "InfogainLoss" bottom: "x" bottom: "l" infogain_loss_param {{ source: "{}" }}'


def test_infogain_source_that_is_not_there(tmp_path: Path) -> None:
    with chdir(tmp_path), pytest.raises(DataError) as caught:
        build(INFOGAIN.format("H.binaryproto"), (2, 4), (2,))
    assert str(caught.value) == (
        'layer "l" (InfogainLoss): cannot read source "H.binaryproto": No such file or directory\n'
        f"  help: looked in {tmp_path}"
    )


def test_infogain_source_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "H.binaryproto").write_bytes(b"\xff\xff not a blob")
    with pytest.raises(DataError, match="is not a BlobProto"):
        build(INFOGAIN.format(tmp_path / "H.binaryproto"), (2, 4), (2,))
