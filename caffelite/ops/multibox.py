"""What MultiBoxLoss computes: which prior box predicts which true box, which of the other prior boxes count, and what
wrong locations cost.

Source: `src/caffe/util/bbox_util.cpp` of weiliu89/caffe, branch ssd.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from . import boxes
from .losses import SMALLEST

NO_MATCH, LEFT_OUT = -1, -2
"""In place of the number of a true box: none, or none whatever the loss."""
_LEAST_OVERLAP = 1e-6
"""Boxes that overlap by no more have nothing to do with each other."""


def match(predicted: Tensor, truth: Tensor, threshold: float | None, inside: bool) -> tuple[Tensor, Tensor]:
    """The true box of each predicted box, and how much they overlap.

    First each true box, the one with the greatest overlap first, gets the predicted box that overlaps it most; then
    each predicted box that is left gets the true box that it overlaps most.

    Args:
        predicted: P×4, on the CPU.
        truth: G×4.
        threshold: the least overlap in the second step; None: there is no second step.
        inside: whether predicted boxes that reach out of the image are left out.

    Returns:
        P numbers of true boxes, NO_MATCH or LEFT_OUT; and P overlaps, of unmatched boxes the greatest with any.
    """
    count = len(predicted)
    found = torch.full((count,), NO_MATCH)
    if not len(truth):
        return found, predicted.new_zeros(count)
    shared = boxes.overlap(predicted, truth)
    shared = torch.where(shared > _LEAST_OVERLAP, shared, 0)
    if inside:
        outside = ((predicted < 0) | (predicted > 1)).any(1)
        found[outside] = LEFT_OUT
        shared[outside] = 0
    greatest = shared.amax(1)
    free = shared.clone()
    for _ in range(len(truth)):
        best = int(free.numpy().argmax())
        prior, true = divmod(best, len(truth))
        if not free[prior, true] > 0:
            break
        found[prior], greatest[prior] = true, free[prior, true]
        free[prior], free[:, true] = 0, 0
    if threshold is not None:
        nearest, most = torch.from_numpy(shared.numpy().argmax(1)), shared.amax(1)
        more = (found == NO_MATCH) & (most > 0) & (most >= threshold)
        found[more] = nearest[more]
    return found, greatest


def softmax_costs(scores: Tensor, labels: Tensor) -> Tensor:
    """−log max(softmax(scores)[label], FLT_MIN): of scores …×C, …"""
    prob = scores.softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    return prob.clamp(min=SMALLEST).log().neg()


def logistic_costs(scores: Tensor, targets: Tensor) -> Tensor:
    """Σ over classes of the cross entropy of a sigmoid, targets being 0 or 1: of scores …×C, …"""
    costs = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
    return costs.sum(-1)


def location_costs(difference: Tensor, squared: bool) -> Tensor:
    """½d², or up to |d| = 1 only, and |d| − ½ beyond."""
    half = difference.square() / 2
    return half if squared else torch.where(difference.abs() < 1, half, difference.abs() - 0.5)


class _LocationLoss(Function):
    @staticmethod
    def forward(ctx: Any, predicted: Tensor, wanted: Tensor, variances: Tensor | None, squared: bool) -> Tensor:
        if variances is not None:
            predicted, wanted = predicted / variances, wanted / variances
        difference = predicted - wanted
        ctx.save_for_backward(difference if squared else difference.clamp(-1, 1))
        return location_costs(difference, squared).sum()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * slope, None, None, None


def location_loss(predicted: Tensor, wanted: Tensor, variances: Tensor | None, squared: bool) -> Tensor:
    """Σ of what the differences cost, 0-d; see :func:`location_costs`.

    With variances, both are divided by them first; the gradient is not, as in the source.
    """
    loss: Tensor = _LocationLoss.apply(predicted, wanted, variances, squared)
    return loss
