"""Hard example mining: SoftmaxWithLossOHEM against SoftmaxWithLoss and by hand, BoxAnnotatorOHEM against a loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at


def softmax(kind: str, more: str = "", tops: int = 1, scores=(4, 3), labels=(4,)):
    blobs = 'bottom: "x" bottom: "l" ' + "".join(f'top: "t{at}" ' for at in range(tops))
    return build(f'name: "s" type: "{kind}" {blobs} {more}', scores, labels)


@pytest.mark.parametrize("more", ["", "ignore_label: 2", "normalization: PRE_FIXED pre_fixed_normalizer: 7"])
@pytest.mark.parametrize("scores", [(4, 3), (4, 3, 2, 2)])
def test_loss_and_gradient_are_those_of_softmax_with_loss(more: str, scores: tuple[int, ...]) -> None:
    labels = (4, 1, *scores[2:]) if len(scores) > 2 else (4, 1, 1, 1)
    x = torch.randn(scores, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    where = torch.randint(0, 3, labels, generator=torch.Generator().manual_seed(2)).double()
    results = []
    for kind in ("SoftmaxWithLoss", "SoftmaxWithLossOHEM"):
        layer, _ = softmax(kind, f"loss_param {{ {more} }}", 1, scores, labels)
        given = x.clone().requires_grad_()
        (loss,) = layer.forward(run_at(), [given, where], [])
        results.append((loss.item(), *torch.autograd.grad(loss, given)))
    assert results[0][0] == results[1][0]
    torch.testing.assert_close(results[0][1], results[1][1])


def test_what_each_label_adds_by_hand() -> None:
    layer, tops = softmax("SoftmaxWithLossOHEM", "loss_param { ignore_label: -1 }", 3, (3, 2), (3, 1, 1, 1))
    assert tops == [(), (3, 2), (3, 1, 1, 1)]
    x = torch.log(torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.125, 0.875]]))
    loss, prob, each = layer.forward(run_at(), [x, torch.tensor([1.0, -1.0, 0.0]).reshape(3, 1, 1, 1)], [])
    torch.testing.assert_close(prob, x.exp())
    want = [-math.log(0.75), 0, math.log(8)]
    assert each.flatten().tolist() == pytest.approx(want)
    assert loss.item() == pytest.approx(sum(want) / 2)


def test_one_label_costs_at_most_87() -> None:
    layer, _ = softmax("SoftmaxWithLossOHEM", "", 3, (1, 2), (1,))
    _, _, each = layer.forward(run_at(), [torch.tensor([[1000.0, 0.0]]), torch.tensor([1.0])], [])
    assert each.item() == pytest.approx(-math.log(np.finfo(np.float32).tiny))


def annotated(rois, losses, labels, weights, per_image: int, ignore: int = -1):
    shapes = [each.shape for each in (rois, losses, labels, weights)]
    blobs = 'bottom: "r" bottom: "c" bottom: "l" bottom: "w" top: "a" top: "b"'
    settings = f"box_annotator_ohem_param {{ roi_per_img: {per_image} ignore_label: {ignore} }}"
    layer, tops = build(f'name: "b" type: "BoxAnnotatorOHEM" {blobs} {settings}', *shapes)
    result = layer.forward(run_at(), [torch.from_numpy(each).float() for each in (rois, losses, labels, weights)], [])
    assert [tuple(top.shape) for top in result] == tops
    return [top.numpy() for top in result]


@pytest.mark.parametrize("places", [(1, 1), (2, 3)])
@pytest.mark.parametrize("per_image", [1, 4, 50])
def test_the_hardest_of_each_image_by_a_loop(places: tuple[int, int], per_image: int) -> None:
    chance = np.random.default_rng(3)
    rois = chance.integers(0, 3, (12, 5, *places)).astype(float)
    losses, labels = chance.permutation(12 * math.prod(places)).reshape(12, 1, *places), chance.integers(1, 9, 12)
    labels = np.broadcast_to(labels.reshape(12, 1, 1, 1), losses.shape).copy()
    weights = chance.integers(1, 5, (12, 8, *places))
    want_labels, want_weights = np.full(losses.shape, -1), np.zeros(weights.shape)
    left = {image: per_image for image in range(3)}
    for flat in sorted(range(losses.size), key=lambda at: -losses.ravel()[at]):
        n, _, h, w = np.unravel_index(flat, losses.shape)
        if left[rois[n, 0, h, w]] > 0:
            left[rois[n, 0, h, w]] -= 1
            want_labels[n, 0, h, w] = labels[n, 0, h, w]
            want_weights[n, :, h, w] = weights[n, :, h, w]
    got = annotated(rois, losses, labels, weights, per_image)
    np.testing.assert_array_equal(got[0], want_labels)
    np.testing.assert_array_equal(got[1], want_weights)


def test_blobs_without_axes_of_size_1() -> None:
    rois = np.array([[0.0, 1, 2, 3, 4], [1, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    labels, weights = annotated(rois, np.array([1.0, 2, 3]), np.array([5, 6, 7]), np.ones((3, 8)), 1, 255)
    assert labels.ravel().tolist() == [255, 6, 7]
    assert weights.reshape(3, 8).sum(1).tolist() == [0, 8, 8]


def test_faults() -> None:
    with pytest.raises(LayerError) as raised:
        annotated(np.zeros((3, 4)), np.zeros(3), np.zeros(2), np.zeros((3, 8)), 0)
    assert [fault.message for fault in raised.value.faults] == ["roi_per_img must be positive, got 0"]
    with pytest.raises(LayerError) as raised:
        annotated(np.zeros((3, 4)), np.zeros(3), np.zeros(2), np.zeros((3, 8)), 1)
    assert [fault.message[-16:] for fault in raised.value.faults] == [", got shape (3, 4)"[-16:], ", got shape (2,)"]
