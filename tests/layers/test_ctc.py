"""ContinuationIndicator, CtcLoss and LabelsequenceAccuracy: all ways to spell a sequence, counted one by one."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

CTC = 'type: "CtcLoss" bottom: "x" bottom: "l" top: "y" ctc_loss_param {{ {} }}'
ACCURACY = (
    'type: "LabelsequenceAccuracy" bottom: "x" bottom: "l" top: "y" labelsequence_accuracy_param { blank_label: 0 }'
)


def spelt(path: tuple[int, ...], blank: int) -> list[int]:
    """What a class per step spells."""
    labels, before = [], blank
    for now in path:
        if now not in (before, blank):
            labels.append(now)
        before = now
    return labels


def cost(scores: np.ndarray, wanted: list[int], blank: int) -> float:
    """−log of the sum over all paths that spell the labels; 0 if there is none."""
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    steps, classes = scores.shape
    paths = [path for path in product(range(classes), repeat=steps) if spelt(path, blank) == wanted]
    return -float(np.log(sum(np.prod([p[t, c] for t, c in enumerate(path)]) for path in paths))) if paths else 0.0


def ctc(scores: np.ndarray, labels: Any, blank: int, steps: int) -> torch.Tensor:
    labels = np.array(labels, float)
    classes = scores.shape[2]
    given = f"ctc_loss_param {{ alphabet_size: {classes} time_step: {steps} blank_label: {blank} }}"
    text = f'type: "CtcLoss" bottom: "x" bottom: "l" top: "y" {given}'
    layer, tops = build(text, scores.shape, labels.shape)
    (y,) = layer.forward(run_at(), [torch.tensor(scores, requires_grad=True), torch.tensor(labels)], [])
    assert tops == [tuple(y.shape)] == [()]
    return y.detach()


@pytest.mark.parametrize("blank", [0, 3])
def test_ctc_loss(blank: int) -> None:
    """A short sequence, one with equal neighbours, one without labels, and one too long for its steps (it counts 0)."""
    scores = np.random.default_rng(blank).standard_normal((4, 4, 4))
    a, b = [label for label in range(4) if label != blank][:2]
    labels = [[a, b, blank], [a, a, blank], [blank] * 3, [a, a, a]]
    wanted = sum(cost(scores[:, n], [at for at in row if at != blank], blank) for n, row in enumerate(labels)) / 4
    assert float(ctc(scores, labels, blank, 4)) == pytest.approx(wanted, rel=1e-9)


def test_ctc_reads_its_first_steps_and_its_gradient_is_the_slope() -> None:
    chance = np.random.default_rng(5)
    scores, labels = chance.standard_normal((5, 2, 3)), [[1, 0], [2, 1]]
    assert float(ctc(scores, labels, 0, 3)) == pytest.approx(float(ctc(scores[:3], labels, 0, 3)))
    layer, _ = build(CTC.format("alphabet_size: 3 time_step: 3"), (5, 2, 3), (2, 2))
    given = torch.tensor(scores, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x, torch.tensor(labels)], [])[0], [given])
    (gradient,) = torch.autograd.grad(layer.forward(run_at(), [given, torch.tensor(labels)], [])[0], given)
    assert not gradient[3:].any()


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([[1.0, 3.0]], "label 1 of sequence 0 must be a class from 0 to 2, got 3"),
        ([[-1.0, 0.0]], "label 0 of sequence 0 must be a class from 0 to 2, got -1"),
        ([[0.0, 0.0]], "all labels of the batch are blank_label, 0"),
    ],
)
def test_labels_that_ctc_refuses(labels: list[list[float]], told: str) -> None:
    with pytest.raises(LayerError, match=told):
        ctc(np.zeros((4, 1, 3)), labels, 0, 4)


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        ("time_step: 4", ((4, 1, 3), (1, 2)), "alphabet_size must be positive, got 0"),
        ("alphabet_size: 3", ((4, 1, 3), (1, 2)), "time_step must be positive, got 0"),
        ("alphabet_size: 3 time_step: 5", ((4, 1, 3), (1, 2)), "time_step is 5, the scores are of 4 steps"),
        ("alphabet_size: 4 time_step: 4", ((4, 1, 3), (1, 2)), "alphabet_size is 4, the scores are of 3 classes"),
        (
            "alphabet_size: 3 time_step: 4 blank_label: 3",
            ((4, 1, 3), (1, 2)),
            "blank_label must be a class from 0 to 2",
        ),
        ("alphabet_size: 3 time_step: 4", ((4, 2, 3), (1, 2)), "the scores are of 2 sequences, the labels of 1"),
        ("alphabet_size: 3 time_step: 4", ((4, 3), (4, 2)), "needs scores of T×N×C"),
    ],
)
def test_settings_of_ctc(settings: str, shapes: tuple, told: str) -> None:
    with pytest.raises(LayerError, match=told):
        build(CTC.format(settings), *shapes)


def test_labelsequence_accuracy() -> None:
    """Read: 1 2 from 1 1 0 2; 1 1 from 1 0 1 0; nothing; 2 of equal scores is the first class, blank."""
    paths = [[1, 1, 0, 2], [1, 0, 1, 0], [0, 0, 0, 0], [2, 2, 2, 2]]
    labels = np.array([[1, 2, 0], [1, 1, 0], [0, 0, 0], [2, 2, 0]], np.float32)
    scores = np.eye(3, dtype=np.float32)[paths]
    assert [spelt(tuple(path), 0) for path in paths] == [[1, 2], [1, 1], [], [2]]
    layer, tops = build(ACCURACY, scores.shape, labels.shape)
    (y,) = layer.forward(run_at(), [torch.tensor(scores), torch.tensor(labels)], [])
    assert tops == [()]
    assert float(y) == 0.75
    with pytest.raises(LayerError, match="the scores are of 4 sequences, the labels of 3"):
        build(ACCURACY, (4, 5, 3), (3, 2))


def test_continuation_indicator() -> None:
    text = 'type: "ContinuationIndicator" top: "y" '
    layer, tops = build(text + "continuation_indicator_param { time_step: 3 batch_size: 2 }")
    (y,) = layer.forward(run_at(), [], [])
    assert tops == [tuple(y.shape)]
    assert y.tolist() == [[0, 0], [1, 1], [1, 1]]
    with pytest.raises(LayerError, match="time_step must be positive, got 0"):
        build(text + "continuation_indicator_param { batch_size: 2 }")
