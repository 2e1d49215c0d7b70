"""The losses of Caffe whose values or gradients differ from torch's: clipped logarithms, divisors of at least 1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

SMALLEST = float(torch.finfo(torch.float32).tiny)
"""FLT_MIN: SoftmaxWithLoss takes no logarithm of anything smaller."""
LOG_THRESHOLD = 1e-20
"""The same for InfogainLoss (`include/caffe/layers/loss_layer.hpp`)."""


def divisor_of(weights: Tensor | None, divisor: float | None) -> float | Tensor:
    """`divisor`, or where it is None the sum of the weights, at least 1."""
    if divisor is None and weights is not None:
        return weights.sum().clamp(min=1)
    return 1.0 if divisor is None else divisor


class _SoftmaxLoss(Function):
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
        slope = slope / ctx.divisor
        gradient = prob * slope
        gradient.scatter_add_(ctx.axis, indices, slope.neg().expand(indices.shape))
        if weights is not None:
            gradient.mul_(weights)
        return gradient, None, None, None, None


def softmax_loss(scores: Tensor, indices: Tensor, weights: Tensor | None, axis: int, divisor: float | None) -> Tensor:
    """Multinomial logistic loss of the softmax along `axis`: −Σ w·log max(p[label], FLT_MIN) / divisor, 0-d.

    The gradient is w·(p − onehot)/divisor, also where the logarithm was clipped.
    Source: `src/caffe/layers/softmax_loss_layer.cpp`.

    Args:
        indices: int64 labels, shaped as `scores` without `axis`.
        weights: per label, or None for all ones.
        divisor: None divides by the sum of `weights`, but at least by 1.
    """
    by = divisor_of(weights, divisor)
    weights = None if weights is None else weights.unsqueeze(axis)
    return _SoftmaxLoss.apply(scores, indices.unsqueeze(axis), weights, axis, by)


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
    scores: Tensor, matrix: Tensor, indices: Tensor, weights: Tensor | None, axis: int, divisor: float | None
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
