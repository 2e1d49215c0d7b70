"""Boxes of detection nets, each (xmin, ymin, xmax, ymax) on a last axis of 4.

Source: `src/caffe/util/bbox_util.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

CORNER, CENTER_SIZE, CORNER_SIZE = 1, 2, 3
"""PriorBoxParameter.CodeType: how a box is written relative to a prior box."""

_BLOCK = 512
"""So many candidates `nms` compares with one another at once."""


def encode(priors: Tensor, variances: Tensor | None, boxes: Tensor, code_type: int) -> Tensor:
    """Boxes as locations relative to prior boxes; `decode` undoes it.

    Args:
        priors: …×4, of positive width and height.
        variances: what the differences are divided by, …×4; None if that is left to who reads them.
        boxes: …×4; of positive width and height for CENTER_SIZE.
        code_type: CORNER: differences of the corners.  CORNER_SIZE: these, as parts of the prior's width and height.
            CENTER_SIZE: differences of the centers as parts of them, and ln of the ratios of width and height.
    """
    if code_type == CORNER:
        code = boxes - priors
    elif code_type == CORNER_SIZE:
        code = (boxes - priors) / _twice(sizes(priors))
    else:
        width = sizes(priors)
        code = torch.cat([(centers(boxes) - centers(priors)) / width, (sizes(boxes) / width).log()], -1)
    return code if variances is None else code / variances


def decode(priors: Tensor, variances: Tensor | None, loc: Tensor, code_type: int) -> Tensor:
    """The boxes that locations relative to prior boxes mean: see `encode`."""
    code = loc if variances is None else variances * loc
    if code_type == CORNER:
        return priors + code
    width = sizes(priors)
    if code_type == CORNER_SIZE:
        return priors + code * _twice(width)
    middle = code[..., :2] * width + centers(priors)
    half = code[..., 2:].exp() * width / 2
    return torch.cat([middle - half, middle + half], -1)


def sizes(boxes: Tensor) -> Tensor:
    """Width and height, …×2."""
    return boxes[..., 2:] - boxes[..., :2]


def centers(boxes: Tensor) -> Tensor:
    """x and y of the middle, …×2."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _twice(pair: Tensor) -> Tensor:
    return torch.cat([pair, pair], -1)


def area(boxes: Tensor, *, pixels: bool = False) -> Tensor:
    """Areas; 0 for a box that ends before it begins.  With `pixels`, both edges belong to the box: (w + 1)·(h + 1)."""
    width, height = sizes(boxes).unbind(-1)
    sound = (width >= 0) & (height >= 0)
    return torch.where(sound, (width + 1) * (height + 1) if pixels else width * height, 0)


def overlap(a: Tensor, b: Tensor, *, pixels: bool = False, plain: bool = False) -> Tensor:
    """Jaccard overlap, intersection over union, of each box of `a` (N×4) with each of `b` (M×4): N×M.

    With `pixels`, both edges belong to a box, and two that do not meet are taken to share a pixel, as in the source.
    With `plain` as well, this holds for the intersection only, and the areas of the boxes are w·h.
    """
    left, top, right, bottom = a[:, None].unbind(-1)
    width = torch.minimum(right, b[:, 2]) - torch.maximum(left, b[:, 0])
    height = torch.minimum(bottom, b[:, 3]) - torch.maximum(top, b[:, 1])
    if pixels:
        apart = (left > b[:, 2]) | (right < b[:, 0]) | (top > b[:, 3]) | (bottom < b[:, 1])
        width, height = (torch.where(apart, 0, side) + 1 for side in (width, height))
    shared = width * height
    edges = pixels and not plain
    union = area(a, pixels=edges)[:, None] + area(b, pixels=edges) - shared
    return torch.where((width > 0) & (height > 0), shared / union, 0)


def clip(boxes: Tensor) -> Tensor:
    """What of the boxes lies within the image, [0, 1]²."""
    return boxes.clamp(0, 1)


def nms(
    boxes: Tensor,
    scores: Tensor,
    threshold: float,
    top_k: int = -1,
    eta: float = 1.0,
    *,
    above: float | None = None,
    smallest: float | None = None,
) -> Tensor:
    """Non-maximum suppression: the boxes that stay when, from the highest score down, each goes that overlaps one that
    stays by more than `threshold`.  Of equal scores the first box counts as the higher.

    Args:
        boxes: N×4.
        scores: N.
        threshold: the overlap that is allowed.
        top_k: only this many boxes are looked at, those with the highest scores; -1: all.
        eta: below 1, each box that stays multiplies the threshold by it, while that is above 0.5.
        above: only boxes with a higher score than this are looked at.
        smallest: of those, boxes of a smaller area go.

    Returns:
        Indices of boxes on the CPU, from the highest score down.
    """
    boxes, scores = boxes.detach().cpu(), scores.detach().cpu()
    candidates = torch.arange(len(scores)) if above is None else (scores > above).nonzero().squeeze(1)
    order = candidates[scores[candidates].sort(descending=True, stable=True).indices]
    order = order if top_k < 0 else order[:top_k]
    if smallest is not None:
        order = order[area(boxes[order]) >= smallest]
    allowed, kept = np.float32(threshold), torch.zeros(0, dtype=torch.long)
    for block in order.split(_BLOCK):
        here = boxes[block]
        among = overlap(here, here).numpy()
        worst = overlap(here, boxes[kept]).amax(1).numpy() if len(kept) else np.zeros(len(block), among.dtype)
        stay = []
        for index in range(len(block)):
            if worst[index] <= allowed:
                stay.append(index)
                np.maximum(worst, among[index], out=worst)
                if eta < 1 and allowed > 0.5:
                    allowed *= np.float32(eta)
        kept = torch.cat([kept, block[stay]])
    return kept
