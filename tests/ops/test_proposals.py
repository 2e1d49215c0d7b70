"""Anchors against the published table, boxes against loops, and non-maximum suppression by hand."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.ops import proposals
from caffelite.ops.rois import rounded

PUBLISHED = [
    [-83, -39, 100, 56],
    [-175, -87, 192, 104],
    [-359, -183, 376, 200],
    [-55, -55, 72, 72],
    [-119, -119, 136, 136],
    [-247, -247, 264, 264],
    [-35, -79, 52, 96],
    [-79, -167, 96, 184],
    [-167, -343, 184, 360],
]
"""The anchors of the released Faster R-CNN models, as `lib/rpn/generate_anchors.py` lists them: in MATLAB, which counts
pixels from 1."""


def test_the_published_anchors() -> None:
    assert proposals.anchors(16, [0.5, 1, 2], [8, 16, 32]).tolist() == (np.array(PUBLISHED) - 1).tolist()


def test_anchors_of_other_ratios_keep_about_their_area_and_their_centre() -> None:
    found = proposals.anchors(16, [0.333, 0.5, 0.667, 1, 1.5, 2, 3], [2, 3, 5, 9, 16, 32])  # PVANET's
    assert found.shape == (42, 4)
    np.testing.assert_array_equal(found[:, :2] + found[:, 2:], 15)
    sides = found[:, 2:] - found[:, :2] + 1
    np.testing.assert_allclose(sides.prod(1) / np.tile(np.square([2, 3, 5, 9, 16, 32]), 7), 256, rtol=0.1)


def test_anchors_of_all_places_in_the_order_of_maps() -> None:
    found = proposals.shifted(np.array([[0, 0, 3, 1], [0, 0, 1, 3]]), 16, 2, 3)
    assert found.shape == (12, 4)
    assert found[2:4].tolist() == [[16, 0, 19, 1], [16, 0, 17, 3]]
    assert found[6].tolist() == [0, 16, 3, 17]
    maps = np.arange(2 * 4 * 2 * 3).reshape(1, 8, 2, 3)
    places = proposals.by_place(maps, 4)
    assert places[7].tolist() == maps[0, 4:, 1, 0].tolist()


def test_halves_are_rounded_to_even_or_away_from_0() -> None:
    even, away = (proposals.anchors(13, [0.25], [1], each) for each in (np.round, rounded))
    assert [(each[0, 3] - each[0, 1] + 1) for each in (even, away)] == [6, 7]  # 26/4 = 6.5


def random_boxes(count: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    corner = chance.uniform(0, 60, (count, 2))
    return np.concatenate([corner, corner + chance.uniform(0, 30, (count, 2))], 1)


def test_targets_by_hand_and_back() -> None:
    boxes, truth = np.array([[0.0, 0, 9, 19]]), np.array([[5.0, 10, 24, 29]])
    dx, dy, dw, dh = proposals.targets(boxes, truth)[0]
    assert (dx, dy) == (1, 0.5)  # from centre (5, 10) to (15, 20), box 10 wide and 20 high
    assert (np.exp(dw), np.exp(dh)) == pytest.approx((2, 1))
    boxes, truth = random_boxes(20, 1), random_boxes(20, 2)
    back = proposals.moved(boxes, proposals.targets(boxes, truth))
    np.testing.assert_allclose(back, truth + np.array([0, 0, 1, 1]))


def test_clipping() -> None:
    boxes = np.array([[-3.0, 5, 120, 47], [60, -2, 99, 30]], np.float32)
    assert proposals.clipped(boxes, 40, 100).tolist() == [[0, 5, 99, 39], [60, 0, 99, 30]]
    assert proposals.large_enough(proposals.clipped(boxes, 40, 100), 40.5).tolist() == [False, False]
    assert proposals.large_enough(proposals.clipped(boxes, 40, 100), 35).tolist() == [True, False]


def overlap_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + 1
    high = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if wide <= 0 or high <= 0:
        return 0.0
    area = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (a, b)]
    return wide * high / (area[0] + area[1] - wide * high)


def test_overlaps_by_loops() -> None:
    a, b = random_boxes(15, 3), random_boxes(9, 4)
    want = [[overlap_by_hand(one, other) for other in b] for one in a]
    np.testing.assert_allclose(proposals.overlaps(a, b), want, rtol=1e-12)


@pytest.mark.parametrize("threshold", [0, 0.1, 0.3, 0.7])
def test_suppression_by_loops(threshold: float) -> None:
    boxes = random_boxes(60, 5)
    kept: list[int] = []
    for number, box in enumerate(boxes):
        if all(overlap_by_hand(box, boxes[other]) <= threshold for other in kept):
            kept.append(number)
    assert list(proposals.suppressed(boxes, threshold)) == kept
    assert 1 < len(kept) < 60


def test_a_box_that_overlaps_by_just_the_threshold_stays() -> None:
    boxes = np.array([[0.0, 0, 9, 9], [0, 0, 9, 4]])
    assert list(proposals.suppressed(boxes, 0.5)) == [0, 1]
    assert list(proposals.suppressed(boxes, 0.49)) == [0]


def test_equal_scores() -> None:
    assert proposals.descending(np.array([1.0, 3, 1, 3, 2])).tolist() == [3, 1, 4, 2, 0]
