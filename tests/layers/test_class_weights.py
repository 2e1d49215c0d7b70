"""Class weights: against sums worked out by hand, torch's own weighted loss, and what repeating a sample does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite.data.label_counts import LabelCounts
from caffelite.errors import DataError, LayerError
from caffelite.layerkit import Layer, layers
from caffelite.layerkit.class_weights import balanced
from caffelite.layerkit.losses import ClassLoss, marked
from caffelite.proto import LayerParameter

from .alone import build, run_at

LOSSES = sorted(name for name in layers if layers[name].loss)
CLASS_LOSSES = [name for name in LOSSES if issubclass(layers[name], ClassLoss)]
DIVIDED_BY_SAMPLES = ("HingeLoss", "MultinomialLogisticLoss")
"""Losses that know no `normalization`."""


def weighing(*weights: float) -> str:
    return "weight_by_label_freqs: true " + " ".join(f"class_weighting: {weight}" for weight in weights)


def text(kind: str, more: str = "", bottoms: int = 2) -> str:
    names = " ".join(f'bottom: "{name}"' for name in ("scores", "labels", "H")[:bottoms])
    return f'name: "n" type: "{kind}" {names} top: "y" loss_param {{ {more} }}'


def bottoms_of(kind: str, scores: torch.Tensor, labels: list[float]) -> list[torch.Tensor]:
    matrix = torch.tensor([[1.0, 0.5, 0.0], [0.25, 1.0, 0.0], [0.0, 2.0, 1.0]], dtype=scores.dtype)
    return [scores, torch.tensor(labels), *([matrix] if kind == "InfogainLoss" else [])]


def value_and_gradient(kind: str, more: str, bottoms: list[torch.Tensor]) -> tuple[float, torch.Tensor]:
    layer, _ = build(text(kind, more, len(bottoms)), *(tuple(bottom.shape) for bottom in bottoms))
    scores = bottoms[0].detach().requires_grad_()
    (loss,) = layer.forward(run_at(), [scores, *bottoms[1:]], [])
    return float(loss.detach()), torch.autograd.grad(loss, scores)[0]


def probabilities(samples: int, seed: int = 4) -> torch.Tensor:
    """Scores that are probabilities too, for three classes: fit for every kind of loss."""
    return torch.randn(samples, 3, generator=torch.Generator().manual_seed(seed)).softmax(1)


def test_the_losses_that_weigh_classes() -> None:
    assert {"SoftmaxWithLoss", "HingeLoss", "InfogainLoss"} <= set(CLASS_LOSSES)
    assert not {"EuclideanLoss", "SigmoidCrossEntropyLoss", "ContrastiveLoss"} & set(CLASS_LOSSES)


def test_softmax_loss_by_hand() -> None:
    scores = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]))
    loss, gradient = value_and_gradient("SoftmaxWithLoss", weighing(3, 0.5, 9), [scores, torch.tensor([0.0, 1.0])])
    assert loss == pytest.approx((3 * math.log(2) - 0.5 * math.log(0.75)) / 2)
    wanted = [[3 * -0.5 / 2, 3 * 0.25 / 2, 3 * 0.25 / 2], [0.5 * 0.125 / 2, 0.5 * -0.25 / 2, 0.5 * 0.125 / 2]]
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5)


def test_hinge_loss_by_hand() -> None:
    scores = torch.tensor([[0.5, -2.0, 0.0], [0.25, 3.0, -0.5]])
    loss, gradient = value_and_gradient("HingeLoss", weighing(2, 10, 1), [scores, torch.tensor([0.0, 1.0])])
    assert loss == (2 * (0.5 + 0 + 1) + 10 * (1.25 + 0 + 0.5)) / 2
    assert gradient.tolist() == [[-1, 0, 1], [5, 0, 5]]


def test_infogain_loss_by_hand() -> None:
    scores, labels = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])), [0.0, 2.0]
    bottoms = bottoms_of("InfogainLoss", scores, labels)
    loss, _ = value_and_gradient("InfogainLoss", weighing(3, 7, 0.5), bottoms)
    terms = 3 * (math.log(2) + 0.5 * math.log(4)), 0.5 * (-2 * math.log(0.75) + math.log(8))
    assert loss == pytest.approx(sum(terms) / 2)


@pytest.mark.parametrize("mode", ["FULL", "VALID", "BATCH_SIZE", "NONE"])
@pytest.mark.parametrize("ignore", [-1, 1])
def test_weights_do_not_change_the_divisor_and_ignored_labels_stay_out(mode: str, ignore: int) -> None:
    generator = torch.Generator().manual_seed(2)
    scores = torch.randn(2, 3, 4, generator=generator)
    labels = torch.randint(0, 3, (2, 4), generator=generator)
    labels[0, 0] = ignore
    weights = torch.tensor([0.25, 3.0, 1.5])
    more = f"{weighing(*weights.tolist())} ignore_label: {ignore} normalization: {mode}"
    loss, gradient = value_and_gradient("SoftmaxWithLoss", more, [scores, labels.float()])
    own = scores.clone().requires_grad_()
    total = torch.nn.functional.cross_entropy(own, labels, weights, ignore_index=ignore, reduction="sum")
    by = {"FULL": 8, "VALID": int((labels != ignore).sum()), "BATCH_SIZE": 2, "NONE": 1}[mode]
    assert loss == pytest.approx(float(total.detach() / by), rel=1e-5)
    np.testing.assert_allclose(gradient, torch.autograd.grad(total / by, own)[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", CLASS_LOSSES)
@pytest.mark.parametrize("more", ["", "ignore_label: 1"])
def test_weights_of_one_change_nothing(kind: str, more: str) -> None:
    bottoms = bottoms_of(kind, probabilities(5), [0.0, 1.0, 2.0, 2.0, 0.0])
    plain, weighted = (value_and_gradient(kind, each, bottoms) for each in (more, f"{more} {weighing(1, 1, 1)}"))
    assert plain[0] == weighted[0]
    assert torch.equal(plain[1], weighted[1])


@pytest.mark.parametrize("kind", CLASS_LOSSES)
def test_a_weight_of_three_is_the_sample_three_times_in_the_sum(kind: str) -> None:
    scores, labels = probabilities(4), [0.0, 1.0, 2.0, 1.0]
    rows = [0, 1, 1, 1, 2, 3, 3, 3]
    weighted, gradient = value_and_gradient(
        kind, f"{weighing(1, 3, 1)} normalization: NONE", bottoms_of(kind, scores, labels)
    )
    repeated, pieces = value_and_gradient(
        kind, "normalization: NONE", bottoms_of(kind, scores[rows], [labels[row] for row in rows])
    )
    factors = (4, 8) if kind in DIVIDED_BY_SAMPLES else (1, 1)
    assert weighted * factors[0] == pytest.approx(repeated * factors[1], rel=1e-5)
    summed = torch.zeros(4, 3).index_add(0, torch.tensor(rows), pieces)
    np.testing.assert_allclose(gradient * factors[0], summed * factors[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", CLASS_LOSSES)
def test_a_weight_of_zero_silences_a_class(kind: str) -> None:
    bottoms = bottoms_of(kind, probabilities(3), [1.0, 0.0, 1.0])
    _, gradient = value_and_gradient(kind, weighing(1, 0, 1), bottoms)
    assert not gradient[0].any() and gradient[1].any() and not gradient[2].any()


@pytest.mark.parametrize("kind", CLASS_LOSSES)
@pytest.mark.parametrize("more", ["", "ignore_label: 2", "ignore_label: 2 normalization: NONE"])
def test_gradients_are_those_of_the_value(kind: str, more: str) -> None:
    bottoms = bottoms_of(kind, probabilities(5).double(), [0.0, 1.0, 2.0, 2.0, 1.0])
    given = text(kind, f"{more} {weighing(0.3, 2.5, 1.25)}", len(bottoms))
    layer, _ = build(given, *(tuple(bottom.shape) for bottom in bottoms))
    assert torch.autograd.gradcheck(
        lambda scores: layer.forward(run_at(), [scores, *bottoms[1:]], [])[0], bottoms[0].requires_grad_()
    )


def test_where_nobody_can_wait_a_wrong_label_makes_the_weight_nan() -> None:
    layer, _ = build(text("SoftmaxWithLoss", weighing(0, 2, 4)), (3, 3), (3,))
    assert isinstance(layer, ClassLoss)
    weights, by = layer.weigh(*marked(torch.tensor([0, 3, 2]), None, 3), 3.0)
    assert weights[[0, 2]].tolist() == [0, 4] and weights[1].isnan()
    assert by == 3


# -- settings that do nothing, or harm ----------------------------------------------------------------------------


def told(layer: Layer) -> str:
    return "\n".join(map(str, layer.warnings()))


@pytest.mark.parametrize("kind", LOSSES)
def test_a_loss_weighs_classes_or_warns(kind: str) -> None:
    kind, known = layers[kind].type, kind
    param = LayerParameter(name="n", type=kind)
    assert told(layers[known](param)) == ""
    param.loss_param.weight_by_label_freqs = True
    param.loss_param.class_weighting.append(1)
    if kind in CLASS_LOSSES:
        assert told(layers[known](param)) == ""
    else:
        assert told(layers[known](param)) == (
            f'warning: layer "n" ({kind}): weight_by_label_freqs has no effect: this loss does not weigh classes\n'
            "  help: leave it out\n"
            f'warning: layer "n" ({kind}): class_weighting has no effect: this loss does not weigh classes\n'
            "  help: leave it out"
        )


def test_weights_that_nobody_asked_for_have_no_effect_and_are_warned_of() -> None:
    bottoms = bottoms_of("SoftmaxWithLoss", probabilities(2), [0.0, 1.0])
    plain = value_and_gradient("SoftmaxWithLoss", "", bottoms)
    assert value_and_gradient("SoftmaxWithLoss", "class_weighting: 7", bottoms)[0] == plain[0]
    layer, _ = build(text("SoftmaxWithLoss", "class_weighting: 7"), (2, 3), (2,))
    assert told(layer) == (
        'warning: layer "n" (SoftmaxWithLoss): class_weighting has no effect without weight_by_label_freqs: true\n'
        "  help: add weight_by_label_freqs: true"
    )


@pytest.mark.parametrize("kind", CLASS_LOSSES)
def test_a_wrong_number_of_weights(kind: str) -> None:
    bottoms = [(2, 3), (2,), *([(3, 3)] if kind == "InfogainLoss" else [])]
    with pytest.raises(LayerError) as caught:
        build(text(kind, weighing(1, 2), len(bottoms)), *bottoms)
    assert str(caught.value) == f'layer "n" ({kind}): needs one class_weighting for each of 3 classes, got 2'


def test_weights_that_are_none() -> None:
    with pytest.raises(LayerError) as caught:
        build(text("HingeLoss", weighing(1, -2, math.nan)), (2, 3), (2,))
    assert str(caught.value) == (
        'layer "n" (HingeLoss): class_weighting of class 1 must be a number from 0 on, got -2\n'
        'layer "n" (HingeLoss): class_weighting of class 2 must be a number from 0 on, got nan'
    )


# -- weights from the frequencies of labels -----------------------------------------------------------------------


def loss_of(classes: int, more: str = "", kind: str = "SoftmaxWithLoss") -> ClassLoss:
    layer, _ = build(text(kind, f"weight_by_label_freqs: true {more}"), (2, classes), (2,))
    assert isinstance(layer, ClassLoss)
    return layer


def test_balanced_weights_are_scikit_learns_and_one_for_a_class_that_does_not_occur() -> None:
    # The example of scikit-learn's compute_class_weight: y = [1, 1, 1, 1, 0, 0] gives [1.5, 0.75].
    assert balanced(np.array([2, 4])).tolist() == [1.5, 0.75]
    assert balanced(np.array([2, 0, 4])).tolist() == [1.5, 1, 0.75]
    assert balanced(np.array([5, 5, 5])).tolist() == [1, 1, 1]
    assert balanced(np.array([0, 0])).tolist() == [1, 1]


def test_every_class_weighs_as_much_as_any_other_and_a_label_weighs_one_on_the_average() -> None:
    counts = np.random.default_rng(0).integers(1, 1000, 20)
    shares = balanced(counts) * counts
    np.testing.assert_allclose(shares, counts.sum() / 20, rtol=1e-6)


def test_the_label_that_is_left_out_is_not_counted() -> None:
    assert loss_of(3, "ignore_label: 255").weigh_by(LabelCounts({0: 2, 1: 4, 255: 90}), "d").tolist() == [1.5, 0.75, 1]
    assert loss_of(3, "ignore_label: 2").weigh_by(LabelCounts({0: 2, 1: 4, 2: 90}), "d").tolist() == [1.5, 0.75, 1]
    assert loss_of(3, "ignore_label: -1").weigh_by(LabelCounts({0: 2, 1: 4, -1: 9}), "d").tolist() == [1.5, 0.75, 1]


def test_labels_that_are_no_class() -> None:
    counts = LabelCounts({0: 5, -1: 3, 0.5: 2, 3: 4, math.nan: 1})
    with pytest.raises(DataError) as caught:
        loss_of(3).weigh_by(counts, 'layer "d" (Data)')
    assert str(caught.value) == (
        'layer "n" (SoftmaxWithLoss): labels of layer "d" (Data) must be classes from 0 to 2, '
        "got 3 (4×), -1 (3×), 0.5 (2×), nan (1×)\n"
        "  help: class weights come from the frequencies of the labels: correct these, or list class_weighting"
    )


def test_of_many_labels_that_are_no_class_the_most_frequent_are_named() -> None:
    counts = LabelCounts({label + 0.5: 100 - label for label in range(40)})
    with pytest.raises(DataError, match=r"got 0\.5 \(100×\), 1\.5 \(99×\).*, 9\.5 \(91×\) and 30 more\n"):
        loss_of(3).weigh_by(counts, "d")


def test_a_loss_that_leaves_no_label_out_counts_every_label() -> None:
    with pytest.raises(DataError, match=r"got 255 \(9×\)"):
        loss_of(3, "ignore_label: 255", "HingeLoss").weigh_by(LabelCounts({0: 1, 255: 9}), "d")


def test_a_layer_that_got_no_counts_says_so() -> None:
    with pytest.raises(LayerError) as caught:
        loss_of(3).forward(run_at(), [torch.zeros(2, 3), torch.zeros(2)], [])
    assert str(caught.value) == (
        'layer "n" (SoftmaxWithLoss): has no class weights yet\n'
        "  help: a net counts the labels when it is made; a layer by itself needs class_weighting"
    )


def test_counted_weights_weigh_as_listed_ones() -> None:
    counted = loss_of(3)
    counted.weigh_by(LabelCounts({0: 2, 1: 4}), "d")
    scores, labels = probabilities(2), torch.tensor([0.0, 1.0])
    listed, _ = value_and_gradient("SoftmaxWithLoss", weighing(1.5, 0.75, 1), [scores, labels])
    assert float(counted.forward(run_at(), [scores, labels], [])[0]) == listed
