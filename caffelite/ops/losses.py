"""The losses of Caffe whose values or gradients differ from torch's: clipped logarithms, divisors of at least 1."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

SMALLEST = float(torch.finfo(torch.float32).tiny)
"""FLT_MIN: SoftmaxWithLoss takes no logarithm of anything smaller."""
LOG_THRESHOLD = 1e-20
"""The same for InfogainLoss (`include/caffe/layers/loss_layer.hpp`)."""


def divisor_of(weights: Tensor | None, divisor: float | Tensor | None) -> float | Tensor:
    """`divisor`, or where it is None the sum of the weights, at least 1."""
    if divisor is None and weights is not None:
        return weights.sum().clamp(min=1)
    return 1.0 if divisor is None else divisor


class SoftmaxLoss(Function):
    """`softmax_loss` of scores and its `softmax_terms`."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, indices: Tensor, weights: Tensor | None, axis: int, divisor: float | Tensor
    ) -> Tensor:
        prob = torch.softmax(scores, axis)
        logarithms = prob.gather(axis, indices).clamp_(min=SMALLEST).log_()
        if weights is not None:
            logarithms.mul_(weights)
        ctx.axis, ctx.divisor = axis, divisor
        ctx.save_for_backward(prob, indices, weights)
        return logarithms.sum() / -divisor

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        prob, indices, weights = ctx.saved_tensors
        gradient = prob.clone()
        less_one = prob.new_full((), -1.0).expand(indices.shape)
        gradient.scatter_add_(ctx.axis, indices, less_one).mul_(slope / ctx.divisor)
        if weights is not None:
            gradient.mul_(weights)
        return gradient, None, None, None, None


def softmax_loss(
    scores: Tensor, indices: Tensor, weights: Tensor | None, axis: int, divisor: float | Tensor | None
) -> Tensor:
    """Multinomial logistic loss of the softmax along `axis`: −Σ w·log max(p[label], FLT_MIN) / divisor, 0-d.

    The gradient is w·(p − onehot)/divisor, also where the logarithm was clipped.
    Source: `src/caffe/layers/softmax_loss_layer.cpp`.

    Args:
        indices: int64 labels, shaped as `scores` without `axis`.
        weights: per label, or None for all ones.
        divisor: None divides by the sum of `weights`, but at least by 1.
    """
    return SoftmaxLoss.apply(scores, *softmax_terms(indices, weights, axis, divisor))


def softmax_terms(
    indices: Tensor, weights: Tensor | None, axis: int, divisor: float | Tensor | None
) -> tuple[Tensor, Tensor | None, int, float | Tensor]:
    """The arguments of :func:`softmax_loss` behind the scores as `SoftmaxLoss` takes them."""
    by = divisor_of(weights, divisor)
    return indices.unsqueeze(axis), None if weights is None else weights.unsqueeze(axis), axis, by


class _InfogainLoss(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, rows: Tensor, axis: int, divisor: float | Tensor) -> Tensor:
        prob = torch.softmax(scores, axis)
        ctx.axis, ctx.divisor = axis, divisor
        ctx.save_for_backward(prob, rows)
        return (rows * prob.clamp(min=LOG_THRESHOLD).log_()).sum() / -divisor

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        prob, rows = ctx.saved_tensors
        gradient = (prob * rows.sum(ctx.axis, keepdim=True)).sub_(rows).mul_(slope / ctx.divisor)
        return gradient, None, None, None


def infogain_loss(
    scores: Tensor, matrix: Tensor, indices: Tensor, weights: Tensor | None, axis: int, divisor: float | Tensor | None
) -> Tensor:
    """Loss −Σ w·Σ_k H[label, k]·log max(p_k, 1e-20) / divisor, 0-d, p being the softmax along `axis`.

    The gradient, w·(p·ΣH[label] − H[label])/divisor, ignores the clipping and reaches only the scores.
    Source: `src/caffe/layers/infogain_loss_layer.cpp`.

    Args:
        matrix: H, classes × classes.
        indices, weights, divisor: as in :func:`softmax_loss`.
    """
    rows = matrix.detach()[indices].movedim(-1, axis)
    if weights is not None:
        rows = rows * weights.unsqueeze(axis)
    return _InfogainLoss.apply(scores, rows, axis, divisor_of(weights, divisor))


class _HalfSquaredDistance(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        difference = a - b
        ctx.save_for_backward(difference)
        return difference.square().sum().div_(2 * len(a))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        (difference,) = ctx.saved_tensors
        gradient = difference * (slope / len(difference))
        return gradient, -gradient if ctx.needs_input_grad[1] else None


def euclidean_loss(a: Tensor, b: Tensor) -> Tensor:
    """Σ (a − b)² / 2N over N samples (the first axis); `b` may have other axes behind the first."""
    return _HalfSquaredDistance.apply(a, b.reshape(a.shape))


class _MultinomialLogisticLoss(Function):
    @staticmethod
    def forward(ctx: Any, prob: Tensor, indices: Tensor, weights: Tensor | None) -> Tensor:
        taken = prob.gather(1, indices).clamp_(min=LOG_THRESHOLD)
        ctx.save_for_backward(taken, indices, weights)
        ctx.shape = prob.shape
        logarithms = taken.log()
        return (logarithms if weights is None else logarithms * weights).sum() / -len(prob)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        taken, indices, weights = ctx.saved_tensors
        slopes = slope / -ctx.shape[0] / taken
        if weights is not None:
            slopes = slopes * weights
        return slopes.new_zeros(ctx.shape).scatter_(1, indices, slopes), None, None


def multinomial_logistic_loss(prob: Tensor, indices: Tensor, weights: Tensor | None) -> Tensor:
    """Loss −Σ w·log max(p[label], 1e-20) / N, 0-d, of probabilities N×C.

    The gradient is −w/(N·max(p[label], 1e-20)) at the label, also where the probability was clipped, and 0 elsewhere.
    Source: `src/caffe/layers/multinomial_logistic_loss_layer.cpp`.

    Args:
        indices: int64 labels, N.
        weights: per label, or None for all ones.
    """
    weights = None if weights is None else weights.unsqueeze(1)
    return _MultinomialLogisticLoss.apply(prob, indices.unsqueeze(1), weights)


class _ContrastiveLoss(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, similar: Tensor, margin: float, legacy: bool) -> Tensor:
        difference = a - b
        squared = difference.square().sum(1)
        if legacy:
            missing = margin - squared
            cost, push = missing.clamp(min=0), torch.ones_like(missing)
        else:
            distance = squared.sqrt()
            missing = margin - distance
            cost, push = missing.clamp(min=0).square(), missing / (distance + 1e-4)
        apart = torch.where(missing > 0, -push, 0)
        ctx.save_for_backward(difference, torch.where(similar, 1, apart))
        return torch.where(similar, squared, cost).sum() / (2 * len(a))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        difference, pull = ctx.saved_tensors
        gradient = difference * (pull * (slope / len(pull))).unsqueeze(1)
        return gradient, -gradient, None, None, None


def contrastive_loss(a: Tensor, b: Tensor, similar: Tensor, margin: float, legacy: bool) -> Tensor:
    """Σ (d² of similar pairs, max(margin − d, 0)² of others) / 2N over N pairs, d = |a − b|; a and b: N×C.

    With `legacy`, max(margin − d², 0) of others.  The gradient of the others, (margin − d)/d·(b − a)/N, has 1e-4 added
    to the divisor d.  Source: `src/caffe/layers/contrastive_loss_layer.cpp`.

    Args:
        similar: bool, N.
    """
    return _ContrastiveLoss.apply(a, b, similar, margin, legacy)


class _JensenShannon(Function):
    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor) -> Tensor:
        no_p, no_q = p <= NEARLY_NOTHING, q <= NEARLY_NOTHING
        ctx.save_for_backward(p, q, no_q)
        both = (2 * p / (p + q)).log_().mul_(p) + (2 * q / (p + q)).log_().mul_(q)
        terms = torch.where(no_p, q * math.log(2), torch.where(no_q, p * math.log(2), both))
        return terms.sum() / (2 * len(p))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        p, q, no_q = ctx.saved_tensors
        gradient = torch.where(no_q, math.log(2), (2 * p / (p + q)).log_())
        return gradient * (slope / (2 * len(p))), None


NEARLY_NOTHING = 1e-5
"""The probability up to which :func:`jensen_shannon` takes one for 0."""


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Σ (p·log 2p/(p + q) + q·log 2q/(p + q)) / 2N, 0-d, over N samples; p and q of one shape.

    Where p is nearly 0 the term is q·log 2, and else where q is, p·log 2.  Only p gets a gradient: log(2p/(p + q))/2N,
    or log(2)/2N where q is nearly 0.  Source: `jsd_loss_layer.cpp` of BestiVictory/CJS-CNN.
    """
    return _JensenShannon.apply(p, q)


class _SoftTargetLoss(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, targets: Tensor, axis: int, divisor: float) -> tuple[Tensor, Tensor]:
        prob = torch.softmax(scores, axis)
        ctx.divisor = divisor
        ctx.save_for_backward(prob, targets)
        ctx.mark_non_differentiable(prob)
        return (targets * prob.clamp(min=SMALLEST).log_()).sum() / -divisor, prob

    @staticmethod
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> Any:
        prob, targets = ctx.saved_tensors
        return (prob - targets) * (slope / ctx.divisor), None, None, None


def soft_target_loss(scores: Tensor, targets: Tensor, axis: int, divisor: float) -> tuple[Tensor, Tensor]:
    """−Σ q·log max(p, FLT_MIN) / divisor, 0-d, and p, the softmax of the scores along `axis`; q are the targets.

    The gradient is (p − q)/divisor, also where the q of a prediction do not add up to 1, and p passes none on.
    """
    return _SoftTargetLoss.apply(scores, targets, axis, divisor)


class _FocalLoss(Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, indices: Tensor, axis: int, alpha: float, gamma: float) -> Tensor:
        prob = torch.softmax(scores, axis)
        ctx.axis, ctx.alpha, ctx.gamma = axis, alpha, gamma
        ctx.save_for_backward(prob, indices)
        own = prob.gather(axis, indices)
        return ((1 - own).pow(gamma) * own.clamp(min=SMALLEST).log_()).sum() * -alpha

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        prob, indices = ctx.saved_tensors
        own = prob.gather(ctx.axis, indices)
        rest = 1 - own
        steep = ctx.gamma * own.clamp(min=SMALLEST).log() * own * rest.pow(ctx.gamma - 1)
        steep = torch.where(rest > 0, steep, 0)
        gradient = prob * (rest.pow(ctx.gamma) - steep)
        gradient.scatter_(ctx.axis, indices, rest * (steep - rest.pow(ctx.gamma)))
        return gradient * (slope * ctx.alpha), None, None, None, None


def focal_loss(scores: Tensor, indices: Tensor, axis: int, alpha: float, gamma: float) -> Tensor:
    """Σ alpha·(1 − p)^gamma·−log max(p, FLT_MIN), 0-d, p being the softmax along `axis` at the label.

    Source: `focal_loss_layer.cpp` of jiachen0212/ssd-focal_loss_caffe (where a p of 1 with gamma below 1 makes NaN;
    here it has no gradient).

    Args:
        indices: int64 labels, shaped as `scores` without `axis`.
    """
    return _FocalLoss.apply(scores, indices.unsqueeze(axis), axis, alpha, gamma)
