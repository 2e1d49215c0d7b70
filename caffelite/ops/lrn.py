"""Local response normalisation (src/caffe/layers/lrn_layer.cpp; Krizhevsky, Sutskever and Hinton, 2012)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable


def _window_sum(x: torch.Tensor, size: int) -> torch.Tensor:
    """Sums of x over windows of `size` (odd) channels around each channel, cut at the first and last channel."""
    channels = x.shape[1]
    total = x.clone()
    for distance in range(1, min(size // 2 + 1, channels)):
        kept = channels - distance
        total.narrow(1, 0, kept).add_(x.narrow(1, distance, kept))
        total.narrow(1, distance, kept).add_(x.narrow(1, 0, kept))
    return total


def _power(scale: torch.Tensor, beta: float) -> torch.Tensor:
    """scale to the −beta, in new memory; beta 0.75, the default, without the slow general power."""
    if beta == 0.75:
        root = scale.rsqrt()
        return root.mul_(root.sqrt())
    return scale.pow(-beta)


class AcrossChannels(torch.autograd.Function):
    """y = x · s^−β with s = k + (α / size) · Σ x² over `size` channels around; `apply(x, size, alpha, beta, k)`.

    dx = dy · s^−β − (2αβ / size) · x · Σ dy·y/s, the sum over the same channels.  One pass each way over whatever
    memory format x has, where autograd would keep four tensors.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
        scale = _window_sum(x.square(), size).mul_(alpha / size).add_(k)
        ctx.save_for_backward(x, scale)
        ctx.settings = size, alpha, beta
        return _power(scale, beta).mul_(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scale = ctx.saved_tensors
        size, alpha, beta = ctx.settings
        dx = _power(scale, beta).mul_(dy)
        ratio = (dx * x).div_(scale)
        dx.addcmul_(_window_sum(ratio, size), x, value=-2 * alpha * beta / size)
        return dx, None, None, None, None


def across_channels(x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
    """`AcrossChannels` of x: N×C×H×W."""
    y: torch.Tensor = AcrossChannels.apply(x, size, alpha, beta, k)
    return y


def within_channel(x: torch.Tensor, size: int, alpha: float, beta: float) -> torch.Tensor:
    """y = x · (1 + α · m)^−β, m the mean of x² over size × size positions around, those beyond the image zeros."""
    mean = F.avg_pool2d(x.square(), size, 1, size // 2)
    return x * mean.mul(alpha).add(1).pow(-beta)
