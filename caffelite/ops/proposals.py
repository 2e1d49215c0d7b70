"""Boxes of the R-CNN family: anchors, and what a region proposal network predicts relative to them.

A box is (x1, y1, x2, y2) in pixels, its corners being part of it: it is x2 − x1 + 1 wide.  Everything is NumPy, in the
precision of what comes in.  Sources: `lib/rpn/generate_anchors.py`, `lib/fast_rcnn/bbox_transform.py`, `lib/nms` and
`lib/utils/bbox.pyx` of rbgirshick/py-faster-rcnn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
"""What targets are divided by in training, where a project's configuration says so."""


def anchors(
    base: int, ratios: Sequence[float], scales: Sequence[float], rounding: Callable[[Array], Array] = np.round
) -> Array:
    """The boxes that predictions at a place start from, A×4, relative to the place: those of the first ratio (height by
    width) at every scale, then those of the next.

    A square of side `base` at the origin is given the ratio at equal area, sides rounded, and then scaled about its
    centre.
    """
    ratio = np.repeat(np.asarray(ratios, float), len(scales))
    width = rounding(np.sqrt(base * base / ratio))
    sides = np.stack([width, rounding(width * ratio)], 1) * np.tile(np.asarray(scales, float), len(ratios))[:, None]
    centre = 0.5 * (base - 1)
    return np.concatenate([centre - 0.5 * (sides - 1), centre + 0.5 * (sides - 1)], 1)


def shifted(anchors: Array, stride: int, height: int, width: int) -> Array:
    """The anchors at every place of a map, (height·width·A)×4: place by place in rows, at each place all anchors."""
    y, x = np.mgrid[:height, :width] * stride
    return (np.stack([x, y, x, y], -1)[:, :, None] + anchors).reshape(-1, 4)


def by_place(values: Array, each: int) -> Array:
    """What a map 1×(A·each)×H×W holds for each anchor, (H·W·A)×each, in the order of `shifted`."""
    return values[0].transpose(1, 2, 0).reshape(-1, each)


def _sides_and_centres(boxes: Array) -> tuple[Array, Array]:
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return sides, boxes[:, :2] + 0.5 * sides


def targets(boxes: Array, truth: Array) -> Array:
    """What a net should predict for boxes that stand for these of the ground truth, K×4: (dx, dy) between centres in
    units of the box's sides, and ln of the ratios of the sides; `moved` undoes it."""
    (sides, centres), (wanted, aims) = _sides_and_centres(boxes), _sides_and_centres(truth)
    return np.concatenate([(aims - centres) / sides, np.log(wanted / sides)], 1)


def moved(boxes: Array, deltas: Array) -> Array:
    """The boxes that predictions (dx, dy, ln of the ratios of sides) mean, K×4.

    They come out 1 wider and higher than `targets` would have them, as x2 is taken for the edge.
    """
    sides, centres = _sides_and_centres(boxes.astype(deltas.dtype, copy=False))
    with np.errstate(over="ignore"):  # of an untrained net: `clipped` takes infinity for the edge
        centres, half = deltas[:, :2] * sides + centres, 0.5 * (np.exp(deltas[:, 2:]) * sides)
    return np.concatenate([centres - half, centres + half], 1)


def clipped(boxes: Array, height: float, width: float) -> Array:
    """The boxes with their corners moved into an image."""
    edge = np.array([width, height] * 2, boxes.dtype) - boxes.dtype.type(1)
    return np.maximum(np.minimum(boxes, edge), boxes.dtype.type(0))


def large_enough(boxes: Array, least: float) -> Array:
    """Which boxes are at least so wide and so high."""
    large: Array = (boxes[:, 2:] - boxes[:, :2] + 1) >= least
    return large[:, 0] & large[:, 1]


def _areas(boxes: Array) -> Array:
    wide, high = (boxes[..., 2:] - boxes[..., :2] + 1).T
    areas: Array = wide * high
    return areas


def _shares(box: Array, area: Array, others: Array, areas: Array) -> Array:
    """Intersection over union of a box, or K×1 of them, with each of the others, M."""
    corner = np.maximum(box[..., :2], others[:, :2])
    sides = (np.minimum(box[..., 2:], others[:, 2:]) - corner + 1).clip(0)
    common = sides[..., 0] * sides[..., 1]
    return np.divide(common, area + areas - common, out=np.zeros_like(common), where=common > 0)


def overlaps(boxes: Array, others: Array) -> Array:
    """Intersection over union of each box with each of the others, K×M."""
    return _shares(boxes[:, None], _areas(boxes)[:, None], others, _areas(others))


def suppressed(boxes: Array, threshold: float) -> Iterator[int]:
    """The numbers of those boxes, in their order, that overlap none of the ones given before by more than
    `threshold`."""
    areas, left = _areas(boxes), np.arange(len(boxes))
    while len(left):
        best, left = left[0], left[1:]
        yield int(best)
        left = left[_shares(boxes[best], areas[best], boxes[left], areas[left]) <= threshold]


def descending(scores: Array) -> Array:
    """The order of scores from the largest on; of equal ones the last comes first, as where NumPy's ascending order is
    turned round."""
    return np.argsort(scores, kind="stable")[::-1]
