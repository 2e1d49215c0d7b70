"""Boxes against the values of the source's own tests, and suppression against plain loops, one box after the other.

The tests are `src/caffe/test/test_bbox_util.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite.ops import boxes
from caffelite.proto import PriorBoxParameter

PRIOR = torch.tensor([[0.1, 0.1, 0.3, 0.3]])
BOX = torch.tensor([[0.0, 0.2, 0.4, 0.5]])


def test_the_codes_are_those_of_the_schema() -> None:
    for name in ("CORNER", "CENTER_SIZE", "CORNER_SIZE"):
        assert getattr(boxes, name) == PriorBoxParameter.CodeType.Value(name)


@pytest.mark.parametrize(
    ("code_type", "variances", "code"),
    [
        (boxes.CORNER, None, [-0.1, 0.1, 0.1, 0.2]),
        (boxes.CORNER, [0.1] * 4, [-1, 1, 1, 2]),
        (boxes.CENTER_SIZE, None, [0, 0.75, math.log(2), math.log(1.5)]),
        (boxes.CENTER_SIZE, [0.1, 0.1, 0.2, 0.2], [0, 7.5, math.log(2) * 5, math.log(1.5) * 5]),
        (boxes.CORNER_SIZE, None, [-0.5, 0.5, 0.5, 1]),
        (boxes.CORNER_SIZE, [0.1, 0.1, 0.2, 0.2], [-5, 5, 2.5, 5]),
    ],
)
def test_codes(code_type: int, variances: list[float] | None, code: list[float]) -> None:
    """CORNER and CENTER_SIZE: TestEncodeBBox… and TestDecodeBBox… there; CORNER_SIZE: the same boxes, by hand."""
    given = None if variances is None else torch.tensor([variances])
    want = torch.tensor([code], dtype=torch.float32)
    torch.testing.assert_close(boxes.encode(PRIOR, given, BOX, code_type), want, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(boxes.decode(PRIOR, given, want, code_type), BOX, rtol=1e-5, atol=1e-6)


def test_overlaps() -> None:
    """TestJaccardOverlap there: in part, wholly, and not at all; boxes that touch share nothing."""
    others = torch.tensor([[0.1, 0.1, 0.3, 0.4], [0.1, 0.1, 0.4, 0.6], [0, 0, 0.1, 0.1], [0.3, 0.3, 0.6, 0.5]])
    found = boxes.overlap(torch.tensor([[0.2, 0.3, 0.3, 0.5]]), others)
    np.testing.assert_allclose(found, [[1 / 7, 2 / 15, 0, 0]], atol=1e-6)


def test_overlaps_in_pixels_hold_both_edges() -> None:
    box, other = torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[5.0, 5, 14, 14], [20, 20, 29, 29]])
    np.testing.assert_allclose(boxes.overlap(box, other, pixels=True), [[25 / 175, 1 / 199]], rtol=1e-6)


def test_areas() -> None:
    """TestBBoxSize there."""
    some = torch.tensor([[0.2, 0.3, 0.3, 0.5], [0.3, 0.3, 0.2, 0.5]])
    np.testing.assert_allclose(boxes.area(some), [0.02, 0], rtol=1e-5)
    assert boxes.area(torch.tensor([[0.0, 0, 9, 4], [3, 0, 2, 4]]), pixels=True).tolist() == [50, 0]


FOUR = torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.2, 0.1, 0.4, 0.3], [0.2, 0, 0.4, 0.2], [0.1, 0.2, 0.4, 0.4]])
SCORES = torch.tensor([0.8, 0.7, 0.4, 0.5])


@pytest.mark.parametrize(
    ("threshold", "top_k", "above", "kept"),
    [(0.3, -1, 0.0, [0, 3, 2]), (0.3, 2, 0.0, [0]), (0.2, 3, 0.0, [0]), (0.2, -1, 0.5, [0])],
)
def test_suppression(threshold: float, top_k: int, above: float, kept: list[int]) -> None:
    """TestApplyNMSFast there."""
    assert boxes.nms(FOUR, SCORES, threshold, top_k, above=above).tolist() == kept


def _by_loops(given: np.ndarray, scores: np.ndarray, threshold: float, top_k: int, eta: float) -> list[int]:
    kept: list[int] = []
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    for index in order if top_k < 0 else order[:top_k]:
        worst = 0.0
        for other in kept:
            a, b = given[index], given[other]
            w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            if w > 0 and h > 0:
                whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
                worst = max(worst, w * h / (whole - w * h))
        if worst <= threshold:
            kept.append(index)
            if eta < 1 and threshold > 0.5:
                threshold *= eta
    return kept


@pytest.mark.parametrize(
    ("threshold", "top_k", "eta"), [(0.3, -1, 1), (0.45, 400, 1), (0.9, -1, 0.97), (0.6, 100, 0.9)]
)
def test_suppression_goes_from_the_highest_score_down(threshold: float, top_k: int, eta: float) -> None:
    """More boxes than are compared with one another at once; some scores are equal."""
    draw = np.random.default_rng(3)
    corner = draw.uniform(0, 0.7, (700, 2))
    given = np.concatenate([corner, corner + draw.uniform(0.05, 0.3, (700, 2))], 1)
    scores = draw.integers(0, 300, 700) / 300
    found = boxes.nms(torch.from_numpy(given), torch.from_numpy(scores), threshold, top_k, eta)
    assert found.tolist() == _by_loops(given, scores, threshold, top_k, eta)
    assert len(found) > 20


def test_suppression_of_nothing_and_of_small_boxes() -> None:
    assert boxes.nms(FOUR[:0], SCORES[:0], 0.3).tolist() == []
    assert boxes.nms(FOUR, SCORES, 0.3, above=0.9).tolist() == []
    small = torch.cat([FOUR, torch.tensor([[0.5, 0.5, 0.501, 0.501]])])
    assert boxes.nms(small, torch.cat([SCORES, torch.tensor([0.9])]), 0.3, smallest=1e-5).tolist() == [0, 3, 2]
