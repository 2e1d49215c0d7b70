"""DiceCoefLoss, SoftmaxCrossEntropyLoss, VarLoss, SetLoss2, and NormalizationL2 and Mixup before them: against plain
loops over the forks' formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.proto import TRAIN

from .alone import build, run_at


def run(text: str, bottoms: list[np.ndarray], graded: int, above: float = 1.0) -> Any:
    """The first top, and the gradients of the first bottoms."""
    layer, shapes = build(text, *(bottom.shape for bottom in bottoms), phase=TRAIN)
    given = [torch.tensor(array, requires_grad=at < graded) for at, array in enumerate(bottoms)]
    tops = layer.forward(run_at(), given, [])
    assert [tuple(top.shape) for top in tops] == shapes
    gradients = torch.autograd.grad(tops[0], given[:graded], torch.full(shapes[0], above, dtype=torch.double))
    return tops[0].detach().numpy(), [gradient.numpy() for gradient in gradients]


def test_dice() -> None:
    """The gradient as `dice_coef_loss_layer.cpp` writes it out, 2·(d·a − b)/Σ: unlike the loss, not divided by N."""
    chance = np.random.default_rng(2)
    a, b = chance.uniform(0, 1, (3, 2, 2)), chance.uniform(0, 1, (3, 4))
    sums = [(a[n] ** 2).sum() + (b[n] ** 2).sum() for n in range(3)]
    dice = [2 * (a[n].ravel() * b[n]).sum() / sums[n] for n in range(3)]
    y, gradients = run('type: "DiceCoefLoss" bottom: "a" bottom: "b" top: "y"', [a, b], 2, 3.0)
    assert y == pytest.approx(1 - sum(dice) / 3)
    for n in range(3):
        mine = 3 * 2 * (dice[n] * a[n].ravel() - b[n]) / sums[n]
        np.testing.assert_allclose(gradients[0][n].ravel(), mine, rtol=1e-9)
        np.testing.assert_allclose(gradients[1][n], 3 * 2 * (dice[n] * b[n] - a[n].ravel()) / sums[n], rtol=1e-9)


@pytest.mark.parametrize(("mode", "divisor"), [("", 6), ("FULL", 6), ("BATCH_SIZE", 2), ("NONE", 1)])
def test_softmax_cross_entropy(mode: str, divisor: int) -> None:
    """Targets that add up to other than 1: the gradient stays p − q."""
    chance = np.random.default_rng(4)
    x, q = chance.standard_normal((2, 4, 3)), chance.uniform(0, 1, (2, 4, 3))
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    settings = f"loss_param {{ normalization: {mode} }}" if mode else ""
    y, (gradient,) = run(f'type: "SoftmaxCrossEntropyLoss" bottom: "x" bottom: "q" top: "y" {settings}', [x, q], 1, 2.0)
    assert y == pytest.approx(-(q * np.log(p)).sum() / divisor)
    np.testing.assert_allclose(gradient, 2 * (p - q) / divisor, rtol=1e-9, atol=1e-12)


def test_softmax_cross_entropy_gives_the_probabilities_and_refuses_labels() -> None:
    text = 'type: "SoftmaxCrossEntropyLoss" bottom: "x" bottom: "q" top: "y" top: "p"'
    layer, tops = build(text, (2, 3), (2, 3))
    _, p = layer.forward(run_at(), [torch.zeros(2, 3), torch.ones(2, 3)], [])
    assert tops == [(), (2, 3)]
    np.testing.assert_allclose(p, 1 / 3)
    with pytest.raises(LayerError, match="its bottoms must have one shape"):
        build(text, (2, 3), (2,))
    with pytest.raises(LayerError, match="ignore_label leaves nothing out"):
        build(text + " loss_param { ignore_label: 3 }", (2, 3), (2, 3))


def _classes() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(6).standard_normal((6, 2, 2)), np.array([4.0, 4.0, 1.0, 1.0, 7.0, 7.0])


def test_var_loss() -> None:
    x, labels = _classes()
    loss, want = 0.0, np.zeros((6, 4))
    for first in (0, 2, 4):
        mean = (x[first] + x[first + 1]).ravel() / 2
        for at in (first, first + 1):
            loss += ((x[at].ravel() - mean) ** 2).sum()
            want[at] = 3 * (x[at].ravel() - mean) / 6
    y, (gradient,) = run('type: "VarLoss" bottom: "x" bottom: "l" top: "y"', [x, labels], 1, 3.0)
    assert y == pytest.approx(loss / 2 / 6)
    np.testing.assert_allclose(gradient.reshape(6, 4), want, rtol=1e-9)


def test_set_loss2() -> None:
    x, labels = _classes()
    means = [(x[first] + x[first + 1]).ravel() / 2 for first in (0, 2, 4)]
    alpha = 0.25 * np.median([((means[i] - means[j]) ** 2).sum() for i in range(3) for j in range(i)])
    loss, of_means = 0.0, np.zeros((3, 4))
    for i in range(3):
        for j in range(i + 1, 3):
            apart = means[i] - means[j]
            missing = alpha - 0.25 * (apart**2).sum()
            if missing > 0:
                loss += missing
                of_means[i] += apart
                of_means[j] -= apart
    assert loss > 0
    text = f'type: "SetLoss2" bottom: "x" bottom: "l" top: "y" set_loss2_param {{ alpha: {alpha + 1e-3} }}'
    loss += 1e-3 * 2  # two of three pairs are too near: the median itself by 1e-3
    y, (gradient,) = run(text, [x, labels], 1, 2.0)
    assert y == pytest.approx(2 * loss / 3 / 2, rel=1e-5)
    far = max(range(3), key=lambda k: ((means[(k + 1) % 3] - means[(k + 2) % 3]) ** 2).sum())
    of_means[:] = 0
    for i in range(3):
        for j in range(3):
            if i != j and far in (i, j):
                of_means[i] += means[i] - means[j]
    np.testing.assert_allclose(gradient.reshape(6, 4), np.repeat(-2 * of_means / 3 / 2 / 2, 2, 0), rtol=1e-9)


@pytest.mark.parametrize("kind", ["VarLoss", "SetLoss2"])
def test_classes_lie_side_by_side(kind: str) -> None:
    text = f'type: "{kind}" bottom: "x" bottom: "l" top: "y"'
    layer, _ = build(text, (5, 2), (5,))
    with pytest.raises(LayerError, match="the first class has 2 samples, and 5 are no multiple of that"):
        layer.forward(run_at(), [torch.zeros(5, 2), torch.tensor([1.0, 1, 2, 2, 3])], [])
    with pytest.raises(LayerError, match="needs one label per sample: 5, got 10 labels"):
        build(text, (5, 2), (5, 2))


def test_set_loss2_needs_two_classes() -> None:
    layer, _ = build('type: "SetLoss2" bottom: "x" bottom: "l" top: "y"', (2, 2), (2,))
    with pytest.raises(LayerError, match="there is only one class in the batch"):
        layer.forward(run_at(), [torch.zeros(2, 2), torch.ones(2)], [])


def test_normalization_l2() -> None:
    """The gradient as the fork's backward writes it: (g − y·(y·g))/|x|."""
    chance = np.random.default_rng(8)
    x, above = chance.standard_normal((3, 2, 2)), 2.0
    y, (gradient,) = run('type: "NormalizationL2" bottom: "x" top: "y"', [x], 1, above)
    for n in range(3):
        length = np.sqrt((x[n] ** 2).sum())
        np.testing.assert_allclose(y[n], x[n] / length, rtol=1e-9)
        g = np.full((2, 2), above)
        unit = x[n] / length
        np.testing.assert_allclose(gradient[n], (g - unit * (unit * g).sum()) / length, rtol=1e-7)


@pytest.mark.parametrize("shares", [False, True])
def test_mixup(shares: bool) -> None:
    """Every row is one share of its own sample and the rest of another; the same for labels."""
    x = np.eye(5, dtype=np.float32)
    labels = np.eye(5, dtype=np.float32) if shares else np.arange(5, dtype=np.float32)
    text = 'name: "m" type: "Mixup" bottom: "x" bottom: "l" top: "y" top: "q" mixup_param { alpha: 0.7 cls_num: 5 }'
    layer, tops = build(text, x.shape, labels.shape)
    seen = set()
    for position in range(20):
        y, q = layer.forward(run_at(position), [torch.tensor(x), torch.tensor(labels)], [])
        assert [tuple(y.shape), tuple(q.shape)] == tops == [(5, 5), (5, 5)]
        np.testing.assert_array_equal(y, q)
        chance = run_at(position).numpy_generator("m")
        order, share = chance.permutation(5), chance.beta(np.float32(0.7), np.float32(0.7))
        want = np.zeros((5, 5))
        for n in range(5):
            want[n, n] += share
            want[n, order[n]] += 1 - share
        np.testing.assert_allclose(y, want, atol=1e-6)
        seen.add(round(share, 3))
    assert len(seen) > 15
    assert min(seen) < 0.2 < 0.8 < max(seen)


def test_mixup_refuses() -> None:
    text = 'type: "Mixup" bottom: "x" bottom: "l" top: "y" top: "q" mixup_param {{ {} }}'
    for settings, shapes, told in (
        ("alpha: 0 cls_num: 3", ((2, 3), (2,)), "alpha must be positive"),
        ("", ((2, 3), (2,)), "needs at least 2 classes, got 0"),
        ("cls_num: 3", ((2, 3), (3,)), "needs one label for each of 2 samples"),
        ("", ((2, 3), (3, 4)), "needs shares for each of 2 samples"),
    ):
        with pytest.raises(LayerError, match=told):
            build(text.format(settings), *shapes)
    layer, _ = build(text.format("cls_num: 3"), (2, 3), (2,))
    with pytest.raises(LayerError, match="must be a class from 0 to 2, got 3"):
        layer.forward(run_at(), [torch.zeros(2, 3), torch.tensor([0.0, 3.0])], [])
