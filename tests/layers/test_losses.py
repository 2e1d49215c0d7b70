"""Losses and Accuracy against closed forms and plain loops over the definition."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from caffelite.proto import BlobProto

from .alone import build, run_at

NORMALIZATIONS = ("FULL", "VALID", "BATCH_SIZE", "NONE")


def _value(text: str, *bottoms: torch.Tensor) -> float:
    layer, _ = build(text, *(tuple(bottom.shape) for bottom in bottoms))
    return float(layer.forward(run_at(), bottoms, [])[0])


def _divisor(mode: str, outer: int, inner: int, counted: int) -> int:
    return max(1, {"FULL": outer * inner, "VALID": counted, "BATCH_SIZE": outer, "NONE": 1}[mode])


def _scores(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)


def test_equal_scores_cost_the_logarithm_of_the_number_of_classes() -> None:
    got = _value('type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', torch.zeros(5, 10), torch.arange(5.0))
    assert got == pytest.approx(math.log(10))


def test_a_hopeless_score_costs_the_logarithm_of_the_smallest_float() -> None:
    scores = torch.tensor([[1000.0, -1000.0]])
    got = _value('type: "SoftmaxWithLoss" bottom: "x" bottom: "l"', scores, torch.ones(1))
    assert got == pytest.approx(126 * math.log(2))


@given(
    st.sampled_from(NORMALIZATIONS),
    st.one_of(st.none(), st.integers(-1, 3)),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_softmax_loss_is_its_definition(mode: str, ignore: int | None, labels: list[int]) -> None:
    scores = _scores(2, 4, 3)
    total, counted = 0.0, 0
    for n in range(2):
        for i in range(3):
            label = labels[n * 3 + i]
            if label == ignore:
                continue
            exponentials = np.exp(scores[n, :, i].astype(np.float64))
            total -= math.log(exponentials[label] / exponentials.sum())
            counted += 1
    extra = "" if ignore is None else f"ignore_label: {ignore}"
    text = f'type: "SoftmaxWithLoss" bottom: "x" bottom: "l" loss_param {{ normalization: {mode} {extra} }}'
    got = _value(text, torch.from_numpy(scores), torch.tensor(labels, dtype=torch.float32).reshape(2, 3))
    assert got == pytest.approx(total / _divisor(mode, 2, 3, counted), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("older", "mode"), [("true", "VALID"), ("false", "BATCH_SIZE")])
@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "SigmoidCrossEntropyLoss"])
def test_normalize_is_an_older_spelling(kind: str, older: str, mode: str) -> None:
    scores = torch.from_numpy(_scores(2, 4, 3))
    labels = torch.ones(2, 3) if kind == "SoftmaxWithLoss" else torch.ones(2, 4, 3)
    head = f'type: "{kind}" bottom: "x" bottom: "l"'
    old = _value(f"{head} loss_param {{ normalize: {older} }}", scores, labels)
    assert old == _value(f"{head} loss_param {{ normalization: {mode} }}", scores, labels)
    both = _value(f"{head} loss_param {{ normalize: {older} normalization: NONE }}", scores, labels)
    assert both == _value(f"{head} loss_param {{ normalization: NONE }}", scores, labels)


@given(st.sampled_from(NORMALIZATIONS), st.one_of(st.none(), st.integers(0, 1)))
def test_sigmoid_cross_entropy_is_its_definition(mode: str, ignore: int | None) -> None:
    scores, targets = _scores(3, 2, 2), np.random.default_rng(1).uniform(0, 1.5, (3, 2, 2)).astype(np.float32)
    counted = np.ones(scores.shape, bool) if ignore is None else targets.astype(int) != ignore
    probability = 1 / (1 + np.exp(-scores.astype(np.float64)))
    each = -(targets * np.log(probability) + (1 - targets) * np.log(1 - probability))
    extra = "" if ignore is None else f"ignore_label: {ignore}"
    text = f'type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "l" loss_param {{ normalization: {mode} {extra} }}'
    got = _value(text, torch.from_numpy(scores), torch.from_numpy(targets))
    assert got == pytest.approx(each[counted].sum() / _divisor(mode, 3, 4, int(counted.sum())), rel=1e-5)


def test_sigmoid_cross_entropy_survives_large_scores() -> None:
    text = 'type: "SigmoidCrossEntropyLoss" bottom: "x" bottom: "l"'
    got = _value(text, torch.tensor([[1000.0, -1000.0]]), torch.tensor([[0.0, 0.0]]))
    assert got == 1000


@pytest.mark.parametrize(("norm", "power"), [("L1", 1), ("L2", 2)])
def test_hinge_loss_is_its_definition(norm: str, power: int) -> None:
    scores, labels = _scores(4, 5), [0, 4, 2, 2]
    want = sum(
        max(0.0, 1 + (-1 if k == label else 1) * float(row[k])) ** power
        for row, label in zip(scores, labels, strict=True)
        for k in range(5)
    )
    text = f'type: "HingeLoss" bottom: "x" bottom: "l" hinge_loss_param {{ norm: {norm} }}'
    assert _value(text, torch.from_numpy(scores), torch.tensor(labels).float()) == pytest.approx(want / 4, rel=1e-5)


def test_euclidean_loss_by_hand() -> None:
    a, b = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 2.0], [3.0, 1.0]])
    assert _value('type: "EuclideanLoss" bottom: "x" bottom: "l"', a, b) == (1 + 9) / 4


def test_infogain_with_the_identity_is_softmax_loss() -> None:
    scores, labels = torch.from_numpy(_scores(3, 4, 2)), torch.tensor([[0, 1], [3, 2], [1, 1]]).float()
    infogain = 'type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "h" loss_param { ignore_label: 1 }'
    softmax = 'type: "SoftmaxWithLoss" bottom: "x" bottom: "l" loss_param { ignore_label: 1 }'
    assert _value(infogain, scores, labels, torch.eye(4)) == pytest.approx(_value(softmax, scores, labels), rel=1e-6)


def test_infogain_reads_a_blob_of_doubles_with_older_sizes(tmp_path: Path) -> None:
    matrix = np.arange(9.0).reshape(3, 3)
    blob = BlobProto(num=1, channels=1, height=3, width=3, double_data=matrix.reshape(-1))
    (tmp_path / "H").write_bytes(blob.SerializeToString())
    scores, labels = torch.from_numpy(_scores(2, 3)), torch.tensor([2.0, 0.0])
    source = f'type: "InfogainLoss" bottom: "x" bottom: "l" infogain_loss_param {{ source: "{tmp_path / "H"}" }}'
    bottom = 'type: "InfogainLoss" bottom: "x" bottom: "l" bottom: "h"'
    assert _value(source, scores, labels) == _value(bottom, scores, labels, torch.from_numpy(matrix).float())


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "InfogainLoss"])
def test_the_second_top_is_the_softmax(kind: str) -> None:
    scores, labels = torch.from_numpy(_scores(3, 4)), torch.zeros(3)
    bottoms = [scores, labels, *([torch.eye(4)] if kind == "InfogainLoss" else [])]
    names = " ".join(f'bottom: "{i}"' for i in range(len(bottoms)))
    layer, _ = build(f'type: "{kind}" {names} top: "a" top: "p"', *(tuple(b.shape) for b in bottoms))
    _, probabilities = layer.forward(run_at(), bottoms, [])
    exponentials = np.exp(scores.numpy())
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(1, keepdims=True), rtol=1e-5)


def _accuracy(
    scores: np.ndarray, labels: list[int], top_k: int, ignore: int | None
) -> tuple[float, dict[int, list[int]]]:
    right: dict[int, list[int]] = {}
    for row, label in zip(scores, labels, strict=True):
        if label != ignore:
            better = sum(1 for k, score in enumerate(row) if score >= row[label] and k != label)
            right.setdefault(label, []).append(int(better < top_k))
    every = [hit for hits in right.values() for hit in hits]
    return (sum(every) / len(every) if every else 0.0), right


@given(
    st.lists(st.tuples(st.integers(0, 3), *[st.integers(0, 4)] * 4), min_size=1, max_size=9),
    st.integers(1, 4),
    st.one_of(st.none(), st.integers(-1, 3)),
)
def test_accuracy_is_its_definition(rows: list[tuple[int, ...]], top_k: int, ignore: int | None) -> None:
    labels, scores = [row[0] for row in rows], np.array([row[1:] for row in rows], np.float32)
    want, right = _accuracy(scores, labels, top_k, ignore)
    extra = "" if ignore is None else f"ignore_label: {ignore}"
    text = f'type: "Accuracy" bottom: "x" bottom: "l" top: "a" top: "c" accuracy_param {{ top_k: {top_k} {extra} }}'
    layer, _ = build(text, scores.shape, (len(labels),))
    bottoms = [torch.from_numpy(scores).requires_grad_(), torch.tensor(labels).float()]
    accuracy, per_class = layer.forward(run_at(), bottoms, [])
    assert not accuracy.requires_grad and not per_class.requires_grad
    assert float(accuracy) == pytest.approx(want)
    for label in range(4):
        hits = right.get(label, [0])
        assert float(per_class[label]) == pytest.approx(sum(hits) / len(hits))


def test_labels_are_cut_off_not_rounded() -> None:
    scores = torch.tensor([[0.0, 5.0, 0.0]])
    assert _value('type: "Accuracy" bottom: "x" bottom: "l" top: "a"', scores, torch.tensor([1.9])) == 1


def test_ignored_labels_may_be_anything() -> None:
    text = 'type: "SoftmaxWithLoss" bottom: "x" bottom: "l" loss_param { ignore_label: 255 }'
    got = _value(text, torch.zeros(2, 3), torch.tensor([255.0, 1.0]))
    assert got == pytest.approx(math.log(3))
