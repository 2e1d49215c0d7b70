"""ContrastiveLoss and MultinomialLogisticLoss against the loops of the original."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .alone import build, run_at


def contrastive(
    a: np.ndarray, b: np.ndarray, labels: np.ndarray, margin: float, legacy: bool
) -> tuple[float, np.ndarray]:
    """Loss and gradient of a (`src/caffe/layers/contrastive_loss_layer.cpp`)."""
    loss, gradient = 0.0, np.zeros_like(a)
    for at, label in enumerate(labels.ravel()):
        difference = a[at] - b[at]
        squared = float(difference @ difference)
        if int(label):
            loss += squared
            gradient[at] = difference
        elif legacy:
            loss += max(margin - squared, 0)
            gradient[at] = -difference if margin - squared > 0 else 0
        else:
            distance = np.sqrt(squared)
            loss += max(margin - distance, 0) ** 2
            gradient[at] = -difference * (margin - distance) / (distance + 1e-4) if margin > distance else 0
    return loss / len(a) / 2, gradient / len(a)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("margin", [0.0, 1.0, 4.0])
def test_contrastive_loss(margin: float, legacy: bool) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(9, 4)), rng.normal(size=(9, 4))
    b[3] = a[3]  # a distance of 0
    labels = np.array([0, 1, 0, 0, 0.9, -1, 1.5, 0, -0.5])
    settings = f"margin: {margin} legacy_version: {legacy}".lower()
    layer, _ = build(
        f'type: "ContrastiveLoss" bottom: "a" bottom: "b" bottom: "l" contrastive_loss_param {{ {settings} }}',
        (9, 4), (9, 4, 1, 1), (9, 1),
    )  # fmt: skip
    bottoms = [torch.tensor(a, requires_grad=True), torch.tensor(b.reshape(9, 4, 1, 1), requires_grad=True)]
    (loss,) = layer.forward(run_at(), [*bottoms, torch.tensor(labels.reshape(9, 1))], [])
    wanted, gradient = contrastive(a, b, labels, margin, legacy)
    assert float(loss.detach()) == pytest.approx(wanted, rel=1e-9)
    found = torch.autograd.grad(2 * loss, bottoms)
    np.testing.assert_allclose(found[0].numpy(), 2 * gradient, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found[1].numpy(), -2 * gradient.reshape(9, 4, 1, 1), rtol=1e-9, atol=1e-12)


def test_multinomial_logistic_loss_clips_the_probability_but_not_its_gradient() -> None:
    layer, _ = build('type: "MultinomialLogisticLoss" bottom: "x" bottom: "l"', (3, 2), (3,))
    prob = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.2, -0.3]], dtype=torch.float64, requires_grad=True)
    (loss,) = layer.forward(run_at(), [prob, torch.tensor([0.0, 1.0, 1.0])], [])
    assert float(loss.detach()) == pytest.approx(-(np.log(0.5) + 2 * np.log(1e-20)) / 3)
    (gradient,) = torch.autograd.grad(loss, prob)
    np.testing.assert_allclose(gradient.numpy(), [[-2 / 3, 0], [0, -1e20 / 3], [0, -1e20 / 3]])


@pytest.mark.parametrize("legacy", ["true", "false"])
def test_with_the_labels_of_both_sides_pairs_of_one_label_are_similar(legacy: str) -> None:
    """As `contrastive_loss_layer.cpp` of happynear/caffe-windows compares them, their fractions cut off."""
    text = f'type: "ContrastiveLoss" top: "y" contrastive_loss_param {{ margin: 2 legacy_version: {legacy} }}'
    chance = torch.Generator().manual_seed(1)
    a, b = (torch.randn(5, 3, generator=chance) for _ in range(2))
    ours, theirs = torch.tensor([0.0, 3, 2, 7.5, 1]), torch.tensor([0.0, 2, 2, 7, 0])
    same = torch.tensor([1.0, 0, 1, 1, 0])
    both, _ = build(f'{text} bottom: "a" bottom: "b" bottom: "l" bottom: "m"', (5, 3), (5, 3), (5,), (5, 1))
    one, _ = build(f'{text} bottom: "a" bottom: "b" bottom: "l"', (5, 3), (5, 3), (5,))
    (got,) = both.forward(run_at(), [a, b, ours, theirs.unsqueeze(1)], [])
    (wanted,) = one.forward(run_at(), [a, b, same], [])
    assert got == wanted
