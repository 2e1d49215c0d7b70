"""Average precision: how well a ranked list of detections finds what is there.

Source: `ComputeAP`, `src/caffe/util/bbox_util.cpp` of weiliu89/caffe, branch ssd; in single precision, as there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float32]
_LEAST_STEP = 1e-6
"""Smaller steps of recall count as none."""


def average_precision(right: NDArray[np.bool_], scores: Curve, positives: int, version: str) -> float:
    """The average precision of a class.

    Args:
        right: which of its detections are right; the others are wrong.
        scores: theirs; of equal ones the first counts as the higher.
        positives: how many objects there are.
        version: one of VERSIONS.

    Returns:
        From 0 to 1; 0 where there is nothing to find, or nothing is found.
    """
    if not len(right) or not positives:
        return 0.0
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")]).astype(np.float32)
    precision: Curve = (hits / np.arange(1, len(hits) + 1, dtype=np.float32)).astype(np.float32)
    recall: Curve = (hits / np.float32(positives)).astype(np.float32)
    return VERSIONS[version](precision, recall)


def _area(heights: Curve, steps: Curve) -> Curve:
    """Sums up to each step, one after the other in single precision."""
    return np.cumsum(np.where(steps > _LEAST_STEP, heights * steps, np.float32(0)), dtype=np.float32)


def _eleven_points(precision: Curve, recall: Curve) -> float:
    """The mean of the highest precisions at recalls of 0, 0.1, … 1 or more.

    Where the first detection reaches several of these recalls, the lower ones see only what comes before the first that
    another one reached, as in the source.
    """
    best, end = np.zeros(11, np.float32), len(recall)
    for level in range(10, -1, -1):
        first = int(np.searchsorted(recall[:end].astype(np.float64), level / 10))
        best[level] = max(best[level], precision[first:end].max(initial=0))
        if first and level:
            best[level - 1], end = best[level], first
    return float(_area(best[::-1], np.full(11, 1 / 11, np.float32))[-1])


def _under_the_highest(precision: Curve, recall: Curve) -> float:
    """The area under the highest precision at each recall or beyond it."""
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=np.float32(0))
    heights = np.concatenate([highest[:1], highest[:-1]])  # the source takes a step at the height where it begins
    return float(_area(heights[::-1], steps[::-1])[-1])


def _under_the_curve(precision: Curve, recall: Curve) -> float:
    """The area under the curve as it is."""
    return float(_area(precision, np.diff(recall, prepend=np.float32(0)))[-1])


VERSIONS: dict[str, Callable[[Curve, Curve], float]] = {
    "11point": _eleven_points,
    "MaxIntegral": _under_the_highest,
    "Integral": _under_the_curve,
}
"""What ap_version names."""
