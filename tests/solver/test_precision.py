"""Average precision against TestComputeAP of the source's `src/caffe/test/test_bbox_util.cpp` (weiliu89/caffe, branch
ssd), and against its loops."""

from __future__ import annotations

import numpy as np
import pytest

from caffelite.solver.precision import average_precision

SCORES = np.array([1, 1, 0.9, 0.9, 0.8, 0.7, 0.7, 0.6, 0.5, 0.4, 0.4], np.float32)
RIGHT = np.array([0, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1], bool)


@pytest.mark.parametrize(
    ("version", "whole", "last"),
    [("Integral", 0.558528, 0.2), ("MaxIntegral", 0.591861, 0.2), ("11point", 0.598662, 2 / 11)],
)
def test_average_precisions_of_the_sources_test(version: str, whole: float, last: float) -> None:
    """Of five objects all are found, or with the first seven detections four: what the last one adds is left out."""
    assert average_precision(RIGHT, SCORES, 5, version) == pytest.approx(whole, abs=1e-5)
    part = average_precision(RIGHT[:7], SCORES[:7], 5, version)
    assert part == pytest.approx(whole - 5 / 11 * last, abs=1e-5)


def _by_loops(right: list[bool], positives: int, version: str) -> float:
    """The source's loops, over detections in the order of their scores."""
    found, precision, recall = 0, [], []
    for number, one in enumerate(right, 1):
        found += one
        precision.append(found / number)
        recall.append(float(np.float32(found / positives)))
    area, last = 0.0, len(right) - 1
    if version == "Integral":
        before = 0.0
        for height, at in zip(precision, recall, strict=True):
            area, before = area + height * (at - before), at
    elif version == "MaxIntegral":
        height, at = precision[last], recall[last]
        for index in range(last - 1, -1, -1):
            height = max(height, precision[index])
            area, at = area + height * (at - recall[index]), recall[index]
        area += height * at
    else:
        best, start = [0.0] * 11, last
        for level in range(10, -1, -1):
            for index in range(start, -1, -1):
                if recall[index] < level / 10:
                    start = index
                    if level:
                        best[level - 1] = best[level]
                    break
                best[level] = max(best[level], precision[index])
        area = sum(best) / 11
    return area


@pytest.mark.parametrize("version", ["Integral", "MaxIntegral", "11point"])
def test_average_precisions_by_loops(version: str) -> None:
    draw = np.random.default_rng(5)
    for _ in range(200):
        right = draw.random(draw.integers(1, 40)) < draw.random()
        positives = max(1, int(right.sum()) + int(draw.integers(0, 6)))
        scores = np.sort(draw.random(len(right)).astype(np.float32))[::-1]
        mixed = draw.permutation(len(right))
        found = average_precision(right[mixed], scores[mixed], positives, version)
        assert found == pytest.approx(_by_loops(right.tolist(), positives, version), abs=1e-5)


def test_nothing_there_and_nothing_found() -> None:
    assert average_precision(RIGHT, SCORES, 0, "Integral") == 0
    assert average_precision(RIGHT[:0], SCORES[:0], 5, "11point") == 0
