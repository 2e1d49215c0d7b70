"""MultiBoxFocalLoss: its confidences against loops over `focal_loss_layer.cpp`; the rest is MultiBoxLoss's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite import ops
from caffelite.errors import LayerError

from .alone import build, run_at

SHAPES = (1, 16), (1, 12), (1, 2, 16), (1, 1, 1, 8)  # 4 prior boxes, 3 classes
TEXT = (
    'type: "{}" bottom: "l" bottom: "c" bottom: "p" bottom: "t" top: "y" {} '
    "multibox_loss_param {{ num_classes: 3 mining_type: NONE loc_weight: {} }}"
)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss(gamma: float) -> None:
    """Value and gradient as `focal_loss_layer.cpp` of jiachen0212/ssd-focal_loss_caffe writes them out."""
    chance = np.random.default_rng(int(gamma))
    x, labels, alpha = chance.standard_normal((5, 3)), np.array([0, 2, 1, 1, 0]), 0.25
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    loss, want = 0.0, np.zeros((5, 3))
    for n, label in enumerate(labels):
        own = p[n, label]
        loss -= alpha * (1 - own) ** gamma * math.log(own)
        for c in range(3):
            steep = gamma * math.log(own) * own
            if c == label:
                want[n, c] = alpha * (1 - own) ** gamma * (steep + own - 1)
            else:
                want[n, c] = alpha * ((1 - own) ** (gamma - 1) * -steep * p[n, c] + (1 - own) ** gamma * p[n, c])
    given = torch.tensor(x, requires_grad=True)
    y = ops.losses.focal_loss(given, torch.tensor(labels), 1, alpha, gamma)
    (gradient,) = torch.autograd.grad(y, given, torch.tensor(2.0, dtype=torch.double))
    assert y.item() == pytest.approx(loss)
    np.testing.assert_allclose(gradient, 2 * want, rtol=1e-9, atol=1e-12)


def test_a_certain_prediction_has_no_gradient() -> None:
    x = torch.tensor([[200.0, 0.0]], requires_grad=True)
    for gamma in (0.5, 2.0):
        (gradient,) = torch.autograd.grad(ops.losses.focal_loss(x, torch.tensor([0]), 1, 0.25, gamma), x)
        assert gradient.tolist() == [[0, 0]]


def _bottoms() -> list[torch.Tensor]:
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.4], [0.6, 0.6, 0.9, 0.9], [0.1, 0.6, 0.4, 0.9], [0.6, 0.1, 0.9, 0.4]])
    prior = torch.stack([boxes.flatten(), torch.full((16,), 0.1)]).unsqueeze(0)
    chance = torch.Generator().manual_seed(3)
    loc, conf = (torch.randn(shape, generator=chance) for shape in SHAPES[:2])
    return [loc, conf, prior, torch.tensor([[[[0, 2, 0, 0.12, 0.12, 0.42, 0.42, 0]]]])]


def test_the_first_prior_box_should_be_the_object_and_the_others_the_background() -> None:
    """Divided by the one match; without locations, and with gamma 0 and alpha 1, it is MultiBoxLoss."""
    bottoms = _bottoms()
    layer, tops = build(TEXT.format("MultiBoxFocalLoss", "focal_loss_param { alpha: 0.5 gamma: 1.5 }", 0), *SHAPES)
    (y,) = layer.forward(run_at(), bottoms, [])
    assert tops == [()]
    p = bottoms[1].reshape(4, 3).double().softmax(1)
    own = [float(p[0, 2]), *(float(p[n, 0]) for n in (1, 2, 3))]
    assert float(y) == pytest.approx(sum(-0.5 * (1 - each) ** 1.5 * math.log(each) for each in own), rel=1e-5)
    plain, _ = build(TEXT.format("MultiBoxLoss", "", 2), *SHAPES)
    same, _ = build(TEXT.format("MultiBoxFocalLoss", "focal_loss_param { alpha: 1 gamma: 0 }", 2), *SHAPES)
    wanted, got = (each.forward(run_at(), bottoms, [])[0] for each in (plain, same))
    assert float(got) == pytest.approx(float(wanted), rel=1e-6)


def test_logistic_has_no_focus() -> None:
    text = TEXT.replace("mining_type: NONE", "mining_type: NONE conf_loss_type: LOGISTIC")
    focal = "focal_loss_param {{ gamma: {} }}"
    layers = [build(text.format("MultiBoxFocalLoss", focal.format(gamma), 1), *SHAPES)[0] for gamma in (0, 3)]
    assert len({float(layer.forward(run_at(), _bottoms(), [])[0]) for layer in layers}) == 1
    assert "gamma has no effect: conf_loss_type: LOGISTIC has no softmax" in str(layers[0].warnings()[0].message)


def test_settings() -> None:
    with pytest.raises(LayerError, match=r"gamma must not be negative, got -1.0"):
        build(TEXT.format("MultiBoxFocalLoss", "focal_loss_param { gamma: -1 }", 1), *SHAPES)
