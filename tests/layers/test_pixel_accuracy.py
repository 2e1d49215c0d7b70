"""SegAccuracy and EltwiseAccuracy against loops over pixels, written from `seg_accuracy_layer.cpp` and
`confusion_matrix.cpp` of hszhao/PSPNet, and `eltwise_accuracy_layer.cpp` of HyeonwooNoh/caffe."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import Layer

from .alone import build, run_at

Shape = tuple[int, ...]
SCORES: Shape = (3, 5, 4, 6)


def accuracy(kind: str, settings: str = "", scores: Shape = SCORES, labels: Shape | None = None) -> Layer:
    labels = (scores[0], 1, *scores[2:]) if labels is None else labels
    layer, _ = build(f'name: "a" type: "{kind}" bottom: "s" bottom: "l" top: "y" {settings}', scores, labels)
    return layer


def pixels(seed: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and labels of all but the last class."""
    chance = np.random.default_rng(seed)
    scores = chance.integers(0, 4, SCORES).astype(np.float32)
    return scores, chance.integers(0, classes - 1, (3, 1, 4, 6)).astype(np.float32)


def run(layer: Layer, scores: np.ndarray, labels: np.ndarray) -> list[float]:
    (y,) = layer.forward(run_at(), [torch.from_numpy(scores), torch.from_numpy(labels)], [])
    return list(y.flatten().tolist())


def ranked(scores: np.ndarray) -> list[int]:
    """Classes, the best first: by score, then by number, as std::greater orders pairs."""
    return sorted(range(len(scores)), key=lambda k: (scores[k], k), reverse=True)


class Confusion:
    """Pixels by label and class."""

    def __init__(self, classes: int) -> None:
        self.counts = [[0] * classes for _ in range(classes)]

    def add(self, scores: np.ndarray, labels: np.ndarray, ignored: set[int]) -> None:
        for n, h, w in np.ndindex(len(scores), *scores.shape[2:]):
            label = int(labels[n, 0, h, w])
            if label not in ignored:
                self.counts[label][ranked(scores[n, :, h, w])[0]] += 1

    def measures(self) -> list[float]:
        classes = range(len(self.counts))
        rows = [sum(self.counts[i]) for i in classes]
        columns = [sum(self.counts[i][j] for i in classes) for j in classes]
        right = [self.counts[i][i] for i in classes]
        recalls = [right[i] / rows[i] for i in classes if rows[i]]
        overlaps = []
        for i in classes:
            union = rows[i] + columns[i] - right[i]
            overlaps.append(1.0 if union == right[i] else right[i] / union)
        total = sum(rows)
        return [
            sum(right) / total if total else 0,
            sum(recalls) / len(recalls) if recalls else 0,
            sum(overlaps) / len(overlaps),
        ]


@pytest.mark.parametrize(
    ("settings", "ignored"),
    [("", set()), ("ignore_label: 255", {255}), ("ignore_label: 0 ignore_label: 2", {0, 2})],
)
def test_three_measures(settings: str, ignored: set[int]) -> None:
    scores, labels = pixels(1)
    if 255 in ignored:
        labels[:, :, :2, :3] = 255
    want = Confusion(5)
    want.add(scores, labels, ignored)
    layer = accuracy("SegAccuracy", f"seg_accuracy_param {{ {settings} }}")
    np.testing.assert_allclose(run(layer, scores, labels), want.measures(), rtol=1e-6)


def test_each_forward_begins_anew_unless_told_otherwise() -> None:
    anew, on = accuracy("SegAccuracy"), accuracy("SegAccuracy", "seg_accuracy_param { reset: false }")
    together = Confusion(5)
    for seed in range(3):
        scores, labels = pixels(seed)
        together.add(scores, labels, set())
        alone = Confusion(5)
        alone.add(scores, labels, set())
        np.testing.assert_allclose(run(anew, scores, labels), alone.measures(), rtol=1e-6)
        np.testing.assert_allclose(run(on, scores, labels), together.measures(), rtol=1e-6)


def test_without_pixels() -> None:
    layer = accuracy("SegAccuracy", "seg_accuracy_param { ignore_label: 7 }")
    scores, labels = pixels(1)
    assert run(layer, scores, np.full_like(labels, 7)) == [0, 0, 1]


@pytest.mark.parametrize("label", [5, -1])
@pytest.mark.parametrize("kind", ["SegAccuracy", "EltwiseAccuracy"])
def test_a_label_that_is_no_class(kind: str, label: int) -> None:
    scores, labels = pixels(1)
    labels[1, 0, 2, 3] = label
    with pytest.raises(LayerError, match=f"got {label}"):
        run(accuracy(kind), scores, labels)


@pytest.mark.parametrize("top_k", [1, 2, 5])
@pytest.mark.parametrize("ignore", [None, 2, 255])
def test_share_of_pixels(top_k: int, ignore: int | None) -> None:
    scores, labels = pixels(2)
    if ignore == 255:
        labels[0] = 255
    right, counted = 0, 0
    for n, h, w in np.ndindex(3, 4, 6):
        label = int(labels[n, 0, h, w])
        if label == ignore:
            continue
        counted += 1
        right += label in ranked(scores[n, :, h, w])[:top_k]
    told = "" if ignore is None else f"ignore_label: {ignore}"
    layer = accuracy("EltwiseAccuracy", f"eltwise_accuracy_param {{ top_k: {top_k} {told} }}")
    assert run(layer, scores, labels) == [pytest.approx(right / counted)]


def test_no_pixel_is_0_by_0() -> None:
    layer = accuracy("EltwiseAccuracy", "eltwise_accuracy_param { ignore_label: 9 }")
    scores, labels = pixels(2)
    assert np.isnan(run(layer, scores, np.full_like(labels, 9)))


@pytest.mark.parametrize(
    ("kind", "settings", "scores", "labels", "told"),
    [
        ("SegAccuracy", "", (2, 3, 4, 4), (2, 1, 4, 5), "its labels must have shape (2, 1, 4, 4), got (2, 1, 4, 5)"),
        ("SegAccuracy", "", (2, 3), (2,), "needs a bottom of 4 axes"),
        ("EltwiseAccuracy", "", (2, 3, 4, 4), (2, 2, 4, 4), "its labels must have shape (2, 1, 4, 4)"),
        (
            "EltwiseAccuracy",
            "top_k: 4",
            (2, 3, 4, 4),
            (2, 1, 4, 4),
            "top_k must not exceed the number of classes, 3, got 4",
        ),
        ("EltwiseAccuracy", "top_k: 0", (2, 3, 4, 4), (2, 1, 4, 4), "top_k must be positive, got 0"),
    ],
)
def test_faults(kind: str, settings: str, scores: Shape, labels: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        accuracy(kind, f"eltwise_accuracy_param {{ {settings} }}" if settings else "", scores, labels)
    assert f'layer "a" ({kind}): {told}' in str(raised.value)


@pytest.mark.parametrize(
    "settings",
    [
        "seg_accuracy_param { metric: PixelAccuracy }",
        "seg_accuracy_param { metric: ClassAccuracy }",
        "seg_accuracy_param { metric: PixelIOU }",
    ],
)
def test_the_metric_has_no_effect(settings: str) -> None:
    scores, labels = pixels(1)
    layer = accuracy("SegAccuracy", settings)
    assert [fault.message for fault in layer.warnings()] == ["metric has no effect: all three measures are given out"]
    assert run(layer, scores, labels) == run(accuracy("SegAccuracy"), scores, labels)
