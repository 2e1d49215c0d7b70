"""The arithmetic of YOLO nets: reorg, boxes of cells, detections, and the gradients that the losses are made of.

A prediction is 5 + C numbers for one of A boxes of a cell: x, y, w, h, object, classes.  Boxes are (centre x, centre y,
width, height) in fractions of the image.  Sources: `reorg_layer.hpp`, `region_loss_layer.cpp`, `yolov3_layer.cpp`,
`yolo_detection_output_layer.cpp` and `util/bbox_util.cpp` of eric612/MobileNet-YOLO; `region_loss_layer.cpp` and
`eval_detection_layer.cpp` of intel/caffe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .by_hand import differentiable

IOU, GIOU, MSE, DIOU, CIOU = range(5)
"""Yolov3Parameter.IOU_LOSS."""

_TINY = 0.000001


def reorg(x: Tensor, stride: int, reverse: bool) -> Tensor:
    """N×C×H×W → N×C·s²×H/s×W/s as darknet numbers it; `reverse`: N×C×H×W → N×C/s²×H·s×W·s.

    The array with the large planes, N×C/s²×H·s×W·s, gives row q // s and column q % s of each of its s×s blocks in
    channel c to channel q·(C/s²) + c of the array with the small planes, N×C×H×W.  `reverse` goes the other way;
    without it, both are read in these shapes as they lie in memory, which are not those of bottom and top.
    """
    count, channels, height, width = x.shape
    planes = channels // stride**2
    if reverse:
        blocks = x.reshape(count, stride, stride, planes, height, width)
        return blocks.permute(0, 3, 4, 1, 5, 2).reshape(count, planes, height * stride, width * stride)
    blocks = x.reshape(count, planes, height, stride, width, stride)
    y = blocks.permute(0, 3, 5, 1, 2, 4)
    return y.reshape(count, channels * stride**2, height // stride, width // stride)


# -- boxes ----------------------------------------------------------------------------------------------------------


def _edges(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, right, bottom."""
    x, y, w, h = boxes.unbind(-1)
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    (left, top, right, bottom), (left_b, top_b, right_b, bottom_b) = _edges(a), _edges(b)
    w = torch.minimum(right, right_b) - torch.maximum(left, left_b)
    h = torch.minimum(bottom, bottom_b) - torch.maximum(top, top_b)
    return torch.where((w < 0) | (h < 0), 0.0, w * h)


def _around(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height of the smallest box around two."""
    (left, top, right, bottom), (left_b, top_b, right_b, bottom_b) = _edges(a), _edges(b)
    w = torch.maximum(right, right_b) - torch.minimum(left, left_b)
    return w, torch.maximum(bottom, bottom_b) - torch.minimum(top, top_b)


def overlap(a: Tensor, b: Tensor, kind: int = IOU) -> Tensor:
    """How much boxes overlap: intersection over union, or what GIOU, DIOU and CIOU make of it; shapes broadcast."""
    shared = _intersection(a, b)
    union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - shared
    iou = shared / union
    if kind in (IOU, MSE):
        return iou
    w, h = _around(a, b)
    if kind == GIOU:
        area = w * h
        return torch.where(area == 0, iou, iou - (area - union) / area)
    diagonal = w * w + h * h
    away = ((a[..., :2] - b[..., :2]) ** 2).sum(-1) / diagonal
    if kind == DIOU:
        return torch.where(diagonal == 0, iou, iou - away**0.6)
    shape = 4 / math.pi**2 * (torch.atan(b[..., 2] / b[..., 3]) - torch.atan(a[..., 2] / a[..., 3])) ** 2
    return torch.where(diagonal == 0, iou, iou - (away + shape / (1 - iou + shape + _TINY) * shape))


class Cells(NamedTuple):
    """How predictions become boxes.

    Attributes:
        height, width: cells down and across. anchors: A×2, width and height of the box each of A predictions of a cell
        begins with, in fractions of the image.
    """

    height: int
    width: int
    anchors: Tensor

    def boxes(self, raw: Tensor) -> Tensor:
        """N×A×4×H×W numbers, of which the first two are from 0 to 1, as boxes, N×A×H×W×4."""
        x = (raw[:, :, 0] + torch.arange(self.width, dtype=raw.dtype)) / self.width
        y = (raw[:, :, 1] + torch.arange(self.height, dtype=raw.dtype)[:, None]) / self.height
        w, h = (raw[:, :, 2 + k].exp() * self.anchors[:, k, None, None] for k in range(2))
        return torch.stack([x, y, w, h], -1)

    def boxes_of(self, x: Tensor) -> Tensor:
        """The boxes of predictions, N×A×(5+C)×H×W, as N×H×W×A×4."""
        return self.boxes(torch.cat([x[:, :, :2].sigmoid(), x[:, :, 2:4]], 2)).movedim(1, 3)

    def cell(self, truth: Tensor) -> tuple[int, int]:
        """Row and column of the cell in which the centre of a box lies."""
        return min(int(truth[1] * self.height), self.height - 1), min(int(truth[0] * self.width), self.width - 1)


def thinned(boxes: Tensor, threshold: float) -> list[int]:
    """Which boxes, K×4 and the best first, overlap no better one that is kept by `threshold` or more."""
    kept: list[int] = []
    left = torch.ones(len(boxes), dtype=torch.bool)
    for index in range(len(boxes)):
        if left[index]:
            kept.append(index)
            left[index + 1 :] &= ~(overlap(boxes[index], boxes[index + 1 :]) >= threshold)
    return kept


# -- losses ---------------------------------------------------------------------------------------------------------


class Truths(NamedTuple):
    """The true boxes of an image: their classes, T, and the boxes, T×4."""

    classes: list[int]
    boxes: Tensor


def with_gradient(x: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
    """`loss`, 0-d, whose gradient for x is `gradient`."""

    def forward(x: Tensor) -> Sequence[Tensor]:
        return (loss.to(x.device, x.dtype),)

    def backward(loss: Tensor, gradients: Sequence[Tensor], needed: Sequence[bool]) -> Sequence[Tensor | None]:
        return (gradient.to(gradients[0].device, gradients[0].dtype) * gradients[0],)

    return differentiable(forward, backward, [x])[0]


class Region(NamedTuple):
    """Settings of RegionLoss.  `clipped`: as intel/caffe does it."""

    object_scale: float
    noobject_scale: float
    class_scale: float
    coord_scale: float
    thresh: float
    match_by_anchor: bool
    rescore: bool
    clipped: bool


def region_delta(x: Tensor, cells: Cells, truths: Sequence[Truths], settings: Region) -> Tensor:
    """What RegionLoss squares and sums, and sends down: N×A×(5+C)×H×W, of predictions of this shape."""
    positions = torch.cat([x[:, :, :2].sigmoid(), x[:, :, 2:4]], 2)
    sure, chances = x[:, :, 4].sigmoid(), x[:, :, 5:].softmax(2)
    slope = sure * (1 - sure)
    boxes, delta = cells.boxes(positions), torch.zeros_like(x)
    delta[:, :, 4] = settings.noobject_scale * sure * slope
    for image, truth in enumerate(truths):
        here = delta[image]
        if len(truth.boxes):
            best = overlap(boxes[image][..., None, :], truth.boxes).nan_to_num(-1.0).amax(-1)
            here[:, 4][best > settings.thresh] = 0
        for label, box in zip(truth.classes, truth.boxes, strict=True):
            row, column = cells.cell(box)
            sizes = cells.anchors if settings.match_by_anchor else boxes[image, :, row, column, 2:]
            anchor = _best_size(sizes, box, IOU)
            at = anchor, slice(None), row, column
            place, chance = positions[(image, *at)], chances[(image, *at)]
            small = 1 if settings.rescore or settings.clipped else 2 - box[2] * box[3]
            off = _wanted(box, cells, anchor, row, column) - place
            if settings.clipped:
                off = off.clamp(-1, 1)
            off[:2] *= place[:2] * (1 - place[:2])
            here[anchor, :4, row, column] = -settings.coord_scale * small * off
            o, s = sure[image, anchor, row, column], slope[image, anchor, row, column]
            if settings.clipped:
                missing = 2 * (1 - o) ** 3
            elif settings.rescore:
                missing = overlap(boxes[image, anchor, row, column], box) - o
            else:
                missing = 1 - o
            here[anchor, 4, row, column] = -settings.object_scale * missing * s
            here[anchor, 5:, row, column] = settings.class_scale * chance
            here[anchor, 5 + label, row, column] -= settings.class_scale
    return delta


def _best_size(sizes: Tensor, box: Tensor, kind: int) -> int:
    """Which of widths and heights, A×2, overlaps most with a box of the same centre; the first of equal ones, 0 if none
    does at all."""
    found = _by_size(sizes, box, kind)
    return int(found.argmax()) if float(found.max()) > 0 else 0


def _by_size(sizes: Tensor, box: Tensor, kind: int) -> Tensor:
    zeros = torch.zeros_like(sizes)
    return overlap(torch.cat([zeros, sizes], -1), torch.cat([torch.zeros_like(box[:2]), box[2:]]), kind)


def _wanted(box: Tensor, cells: Cells, anchor: int, row: int, column: int) -> Tensor:
    """What the four numbers of a prediction should be for a box."""
    x, y = box[0] * cells.width - column, box[1] * cells.height - row
    return torch.cat([torch.stack([x, y]), (box[2:] / cells.anchors[anchor]).log()])


class ThirdVersion(NamedTuple):
    """Settings of Yolov3.

    Attributes:
        sizes: K×2, the sizes of all boxes of the net, in fractions of the image; mask: which of them are this layer's.
    """

    sizes: Tensor
    mask: Sequence[int]
    object_scale: float
    class_scale: float
    coord_scale: float
    thresh: float
    logic: bool
    focal: bool
    kind: int
    normalizer: float
    iou_thresh: float
    max_delta: float
    accumulate: bool
    smooth: float


def yolov3(x: Tensor, cells: Cells, truths: Sequence[Truths], settings: ThirdVersion) -> tuple[Tensor, Tensor]:
    """The loss of predictions, N×A×(5+C)×H×W, and their gradient, both before they are divided by N."""
    active = torch.cat([x[:, :, :2].sigmoid(), x[:, :, 2:4], x[:, :, 4:].sigmoid()], 2)
    boxes, delta = cells.boxes(active[:, :, :4]), torch.zeros_like(x)
    delta[:, :, 4] = active[:, :, 4]
    overlaps: list[Tensor] = []
    for image, truth in enumerate(truths):
        here = delta[image]
        if len(truth.boxes):
            best = overlap(boxes[image][..., None, :], truth.boxes, settings.kind).nan_to_num(-1.0).amax(-1)
            here[:, 4][best > settings.thresh] = 0
        for label, box in zip(truth.classes, truth.boxes, strict=True):
            row, column = cells.cell(box)
            for anchor in _answering(box, settings):
                at = (slice(None), row, column)
                prediction = here[(anchor, *at)], active[(image, anchor, *at)], boxes[(image, anchor, *at[1:])]
                overlaps.append(_answer(*prediction, label, box, _wanted(box, cells, anchor, row, column), settings))
    squares = delta if settings.kind == MSE else delta[:, :, 4:]
    loss = (squares * squares).sum()
    if overlaps and settings.kind != MSE:
        loss = loss + settings.normalizer * (1 - torch.stack(overlaps)).sum() / len(overlaps)
    if settings.logic:
        # The source has put the raw numbers of the first two in the place of those from 0 to 1 by then, but for MSE.
        slope = active * (1 - active)
        if settings.kind != MSE:
            slope[:, :, :2] = x[:, :, :2] * (1 - x[:, :, :2])
        slope[:, :, 2:4] = 1
        delta = delta * slope
    return loss, delta


def _answering(box: Tensor, settings: ThirdVersion) -> list[int]:
    """Which of a cell's predictions answer for a true box, in the order in which they do.

    The size that fits best, if it is this layer's; then every other that fits better than iou_thresh.  The source tells
    "other" by comparing a number in `sizes` with one in `mask`, so where these differ the best one answers twice.
    """
    fits = _by_size(settings.sizes, box, settings.kind)
    best = int(fits.argmax()) if float(fits.max()) > 0 else -1
    found = [settings.mask.index(best)] if best in settings.mask else []
    if settings.iou_thresh < 1:
        first = found[0] if found else best
        others = [n for n in range(len(settings.sizes)) if n in settings.mask and n != first]
        found += [settings.mask.index(n) for n in others if float(fits[n]) > settings.iou_thresh]
    return found


def _answer(
    delta: Tensor, active: Tensor, predicted: Tensor, label: int, box: Tensor, wanted: Tensor, settings: ThirdVersion
) -> Tensor:
    """Put into `delta`, 5 + C numbers, what a prediction that answers for a true box gets; gives its overlap."""
    if settings.kind == MSE:
        delta[:4] = -settings.coord_scale * (2 - box[2] * box[3]) * (wanted - active[:4])
        found = overlap(predicted, box)
    else:
        change = overlap_gradient(predicted, box, settings.kind)
        change[2:] *= active[2:4].exp()
        change = (change * settings.normalizer).nan_to_num(0, 0, 0).clamp(-settings.max_delta, settings.max_delta)
        delta[:4] = (delta[:4] if settings.accumulate else 0) - change
        found = overlap(predicted, box, settings.kind if settings.kind in (GIOU, CIOU) else DIOU)
    delta[4] = -(1 - active[4]) * (settings.object_scale if settings.logic else 1)
    _class_delta(delta[5:], active[5:], label, settings)
    return found


def _class_delta(delta: Tensor, chances: Tensor, label: int, settings: ThirdVersion) -> None:
    """The classes of a prediction that answers; one that answered before learns this class besides the others."""
    right, wrong = 1 - 0.5 * settings.smooth, 0.5 * settings.smooth
    if delta[label] != 0:
        delta[label] = -settings.class_scale * (right - chances[label])
        return
    target = torch.zeros_like(chances)
    target[label] = 1
    if not settings.focal:
        delta.copy_(-settings.class_scale * (target * right + (1 - target) * wrong - chances))
        return
    p = chances[label] + 1e-15
    slope = -(1 - p) * (2 * p * p.log() + p - 1)
    delta.copy_(-settings.class_scale * (target - chances) * 0.5 * slope)


def overlap_gradient(a: Tensor, b: Tensor, kind: int) -> Tensor:
    """The gradient of the overlap for the box a, as the source has it, term by term: for centre and size, 4 numbers.

    It is no derivative of :func:`overlap`: sizes are not halved, what DIOU and CIOU add for sizes has the other sign,
    the power 0.6 is left out, and where the boxes do not meet, only what was added last counts.
    """
    left, top, right, bottom = (float(edge) for edge in _edges(a))
    left_b, top_b, right_b, bottom_b = (float(edge) for edge in _edges(b))
    own = (right - left) * (bottom - top)
    w, h = min(right, right_b) - max(left, left_b), min(bottom, bottom_b) - max(top, top_b)
    shared = w * h
    union = own + (right_b - left_b) * (bottom_b - top_b) - shared
    # For top, bottom, left and right: of its area, of what is shared, of the union, of the area around both.
    of_own = [left - right, right - left, top - bottom, bottom - top]
    of_shared = [-w * (top > top_b), w * (bottom < bottom_b), -h * (left > left_b), h * (right < right_b)]
    of_union = [o - s for o, s in zip(of_own, of_shared, strict=True)]
    wide, high = max(right, right_b) - min(left, left_b), max(bottom, bottom_b) - min(top, top_b)
    of_around = [-wide * (top < top_b), wide * (bottom > bottom_b), -high * (left < left_b), high * (right > right_b)]
    pairs = list(zip(of_shared, of_union, strict=True))
    sides = [(union * s - shared * u) / union**2 if union > 0 else 0.0 for s, u in pairs]
    apart = w <= 0 or h <= 0
    if kind == GIOU:
        around = wide * high
        terms = [(around * u - union * c) / around**2 for u, c in zip(of_union, of_around, strict=True)]
        sides = terms if apart else [s + t for s, t in zip(sides, terms, strict=True)]
    t, bo, le, ri = sides
    change = [le + ri, t + bo, ri - le, bo - t]
    if kind in (DIOU, CIOU):
        outer = (left < left_b, top < top_b, right > right_b, bottom > bottom_b)
        terms = _distance_terms(a.tolist(), b.tolist(), (wide, high), outer)
        if kind == CIOU:
            terms = [x + y for x, y in zip(terms, _shape_terms(a.tolist(), b.tolist(), shared / union), strict=True)]
        change = terms if apart else [c + term for c, term in zip(change, terms, strict=True)]
    return torch.tensor(change, dtype=a.dtype)


def _distance_terms(
    a: Sequence[float], b: Sequence[float], around: tuple[float, float], outer: Sequence[bool]
) -> list[float]:
    """What the distance of the centres adds.  `outer`: at which sides (left, top, right, bottom) a is outside b."""
    wide, high = around
    diagonal, away = wide * wide + high * high, (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    left, top, right, bottom = outer
    moves = [2 * wide * (right - left), 2 * high * (bottom - top)]
    grows = [2 * wide * 0.5 * (right + left), 2 * high * 0.5 * (bottom + top)]
    centres = [(2 * (b[k] - a[k]) * diagonal - moves[k] * away) / diagonal**2 for k in range(2)]
    return centres + [grow * away / diagonal**2 for grow in grows]


def _shape_terms(a: Sequence[float], b: Sequence[float], iou: float) -> list[float]:
    """What the difference of the shapes adds."""
    turn = math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])
    shape = 4 / math.pi**2 * turn**2
    alpha = shape / (1 - iou + shape + _TINY)
    return [0.0, 0.0, alpha * 8 / math.pi**2 * turn * a[3], -alpha * 8 / math.pi**2 * turn * a[2]]


# -- detections -----------------------------------------------------------------------------------------------------


def rows_of(boxes: Tensor, labels: Tensor, scores: Tensor, threshold: float, images: int) -> Tensor:
    """Detections, 1×1×K×7, rows of (0, label from 1 on, score, left, top, right, bottom) by falling score, of boxes K×4
    that are thinned; where there are none, a row (image, −1, −1, …) for each image."""
    order = scores.sort(descending=True, stable=True).indices
    boxes, labels, scores = boxes[order], labels[order], scores[order]
    kept = thinned(boxes, threshold)
    if not kept:
        rows = boxes.new_full((images, 7), -1.0)
        rows[:, 0] = torch.arange(images)
        return rows.reshape(1, 1, -1, 7)
    edges = torch.stack(_edges(boxes[kept]), -1)
    head = torch.stack([torch.zeros(len(kept), dtype=boxes.dtype), labels[kept] + 1, scores[kept]], -1)
    return torch.cat([head, edges], -1).reshape(1, 1, -1, 7)


def judged(
    boxes: Tensor, labels: Tensor, scores: Tensor, truths: Truths, threshold: float
) -> list[tuple[int, float, int, int]]:
    """Detections, the best first, as (label, score, right, wrong), by label.

    Right is the first that overlaps a true box of its class, the one it overlaps most, by `threshold` or more; another
    one of that box is wrong, and so is one of a class that the image does not have.  One that overlaps too little is
    neither, as in the source.
    """
    rows = []
    for label in sorted(set(labels.tolist())):
        own = [at for at, kind in enumerate(truths.classes) if kind == label]
        taken: set[int] = set()
        for index in (labels == label).nonzero().flatten().tolist():
            right, wrong = 0, int(not own)
            if own:
                overlaps = overlap(boxes[index], truths.boxes[own])
                best = int(overlaps.argmax())
                if float(overlaps[best]) >= threshold:
                    right, wrong = int(best not in taken), int(best in taken)
                    taken.add(best)
            rows.append((label, float(scores[index]), right, wrong))
    return rows
