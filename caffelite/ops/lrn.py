"""Local response normalisation (src/caffe/layers/lrn_layer.cpp; Krizhevsky, Sutskever and Hinton, 2012)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

PIECE = 2**18
"""Values a CPU works on at a time: so many stay in its cache from one pass over them to the next."""


def _pieces(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Tensors of one shape, a few samples at a time."""
    count, size = len(tensors[0]), tensors[0].numel()
    few = count if tensors[0].is_cuda else PIECE * count // max(1, size)
    return zip(*(tensor.split(max(1, few)) for tensor in tensors), strict=True)


def _window_sum(x: torch.Tensor, size: int, out: torch.Tensor) -> torch.Tensor:
    """Sums of x over windows of `size` (odd) channels around each channel, cut at the first and last channel."""
    channels = x.shape[1]
    out.copy_(x)
    for distance in range(1, min(size // 2 + 1, channels)):
        kept = channels - distance
        out.narrow(1, 0, kept).add_(x.narrow(1, distance, kept))
        out.narrow(1, distance, kept).add_(x.narrow(1, 0, kept))
    return out


def _scale(x: torch.Tensor, size: int, alpha: float, k: float) -> torch.Tensor:
    """k + (α / size) · Σ x² over `size` channels around."""
    squares = x.square()
    return _window_sum(squares, size, out=torch.empty_like(squares)).mul_(alpha / size).add_(k)


def _power(scale: torch.Tensor, beta: float, out: torch.Tensor) -> torch.Tensor:
    """scale to the −beta; beta 0.75, the default, without the slow general power."""
    if beta == 0.75:
        torch.rsqrt(scale, out=out)
        return out.mul_(out.sqrt())
    return torch.pow(scale, -beta, out=out)


class AcrossChannels(torch.autograd.Function):
    """y = x · s^−β with s = k + (α / size) · Σ x² over `size` channels around; `apply(x, size, alpha, beta, k)`.

    dx = dy · s^−β − (2αβ / size) · x · Σ dy·y/s, the sum over the same channels.  It keeps x, where autograd
    would keep four tensors, and computes s again; it computes over whatever memory order x has.  Where the context says
    that dy is `owned`, dx may lie in its memory.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
        y = torch.empty_like(x)
        for part, result in _pieces(x, y):
            _power(_scale(part, size, alpha, k), beta, out=result).mul_(part)
        ctx.save_for_backward(x)
        ctx.settings = size, alpha, beta, k
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        size, alpha, beta, k = ctx.settings
        dx = dy if getattr(ctx, "owned", False) and dy.stride() == x.stride() else torch.empty_like(x)
        for part, above, result in _pieces(x, dy, dx):
            s = _scale(part, size, alpha, k)
            torch.mul(above, _power(s, beta, out=torch.empty_like(s)), out=result)
            ratio = (result * part).div_(s)
            around = _window_sum(ratio, size, out=torch.empty_like(ratio))
            result.addcmul_(around, part, value=-2 * alpha * beta / size)
        return dx, None, None, None, None


def across_channels(x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
    """`AcrossChannels` of x: N×C×H×W."""
    y: torch.Tensor = AcrossChannels.apply(x, size, alpha, beta, k)
    return y


def within_channel(x: torch.Tensor, size: int, alpha: float, beta: float) -> torch.Tensor:
    """y = x · (1 + α · m)^−β, m the mean of x² over size × size positions around, those beyond the image zeros."""
    mean = F.avg_pool2d(x.square(), size, 1, size // 2)
    return x * mean.mul(alpha).add(1).pow(-beta)
