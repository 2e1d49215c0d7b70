"""CenterLoss as hsmyy/CenterLoss_Caffe_Mnist means it, against loops over its `center_loss_layer.cpp`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.proto import TEST, TRAIN

from .alone import build, run_at

TEXT = 'type: "CenterLoss" dialect: "hsmyy" bottom: "x" bottom: "l" top: "y" center_loss_param {{ {} }}'


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_two_forwards(phase: int) -> None:
    """The centres begin as zeros, and the second forward sees where the first one moved them."""
    chance = np.random.default_rng(1)
    layer, tops = build(TEXT.format("loss_weight: 0.3 alpha: 0.7 cluster_num: 4"), (5, 2), (5,), phase=phase)
    assert tops == [()]
    assert layer.weights == []
    centers = np.zeros((4, 2))
    for labels in ([0, 2, 2, 3, 0], [2, 2, 1, 0, 2]):
        x = chance.standard_normal((5, 2))
        given = torch.tensor(x, requires_grad=True)
        (y,) = layer.forward(run_at(), [given, torch.tensor(labels, dtype=torch.double)], [])
        (gradient,) = torch.autograd.grad(y, given)
        loss, moves, counts = 0.0, np.zeros((4, 2)), np.ones(4)
        for row, label in zip(x, labels, strict=True):
            loss += ((row - centers[label]) ** 2).sum() * 0.3 / 2 / 5
            moves[label] += row - centers[label]
            counts[label] += 1
        assert y.item() == pytest.approx(loss, rel=1e-6)
        np.testing.assert_allclose(gradient, 0.3 * (x - centers[labels]), rtol=1e-6)
        centers = centers + 0.7 * 0.3 * moves / counts[:, None]
    np.testing.assert_allclose(layer.centers, centers, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        ("alpha: 1", ((5, 2), (5,)), "cluster_num must be positive, got 0"),
        ("cluster_num: 3", ((5, 2, 3), (5,)), "needs features of N×K"),
        ("cluster_num: 3", ((5, 2), (5, 2)), "needs one label per sample: 5, got 10"),
    ],
)
def test_settings(settings: str, shapes: tuple, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        build(TEXT.format(settings), *shapes)
