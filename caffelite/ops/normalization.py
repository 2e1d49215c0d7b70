"""Values brought to mean 0 and standard deviation 1: over a batch (BatchNorm), or over each image (MVN)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function


class Normalized(NamedTuple):
    """What :func:`by_batch` found: y, and for each channel the mean and the unbiased variance."""

    y: Tensor
    mean: Tensor
    variance: Tensor


def by_batch(x: Tensor, eps: float, factor: Tensor | None = None, offset: Tensor | None = None) -> Normalized:
    """(x − mean) / √(variance + eps), mean and (biased) variance being those of each channel, axis 1, over all other
    axes; times the `factor` plus the `offset` of each channel.

    The variance that is told is the unbiased one, or 0 where a channel has a single value
    (`src/caffe/layers/batch_norm_layer.cpp`).
    """
    mean, variance = x.new_zeros(x.shape[1]), x.new_zeros(x.shape[1])
    # With momentum 1 the running statistics torch keeps are those of this batch.
    y = torch.batch_norm(x, factor, offset, mean, variance, True, 1.0, eps, torch.backends.cudnn.enabled)
    return Normalized(y, mean, variance if x.numel() > len(mean) else torch.zeros_like(variance))


def by_statistics(
    x: Tensor, mean: Tensor, variance: Tensor, eps: float, factor: Tensor | None = None, offset: Tensor | None = None
) -> Tensor:
    """(x − mean) / √(variance + eps) with a given mean and variance of each channel, axis 1; times the `factor` plus
    the `offset` of each channel."""
    return torch.batch_norm(x, factor, offset, mean, variance, False, 0.0, eps, torch.backends.cudnn.enabled)


class Found(NamedTuple):
    """What :func:`normalized` divided by, and what :func:`gradients` needs of that.

    Attributes:
        mean, variance: for each channel; of a batch they are new, and the variance is that of :class:`Normalized`.
        of_batch: they are those of the batch.
        way, kept: which of torch's ways it went, and what that leaves for its backward.
    """

    mean: Tensor
    variance: Tensor
    of_batch: bool
    way: int
    kept: tuple[Tensor, ...]


def normalized(
    x: Tensor, eps: float, factor: Tensor | None, offset: Tensor | None, given: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Found]:
    """:func:`by_statistics` with a mean and a variance that are `given`, or else :func:`by_batch`, without autograd."""
    of_batch = given is None
    mean, variance = given or (x.new_zeros(x.shape[1]), x.new_zeros(x.shape[1]))
    y, *kept, way = torch._batch_norm_impl_index(
        x, factor, offset, mean, variance, of_batch, float(of_batch), eps, torch.backends.cudnn.enabled
    )
    if of_batch and x.numel() == len(mean):
        variance = torch.zeros_like(variance)
    return y, Found(mean, variance, of_batch, way, tuple(kept))


def gradients(
    gradient: Tensor, x: Tensor, eps: float, factor: Tensor | None, found: Found, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, factor and offset of :func:`normalized`, as far as they are `wanted`."""
    first, second, reserve = found.kept
    return torch.ops.aten._batch_norm_impl_index_backward(  # type: ignore[no-any-return]
        found.way, x, gradient, factor, found.mean, found.variance, first, second, found.of_batch, eps, wanted, reserve
    )


class _MeanVariance(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
        y = x - x.mean(axes, keepdim=True)
        ctx.axes, ctx.spread = axes, y.square().mean(axes, keepdim=True).sqrt_().add_(eps)
        y.div_(ctx.spread)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (y,) = ctx.saved_tensors
        dx = gradient - gradient.mean(ctx.axes, keepdim=True)
        dx.addcmul_(y, (gradient * y).mean(ctx.axes, keepdim=True), value=-1)
        return dx.div_(ctx.spread), None, None


def mean_variance(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """y = (x − m) / (s + eps), m and s being mean and standard deviation over `axes`.

    The gradient, (g − mean g − y·mean(g·y)) / (s + eps), is exact for eps = 0 only, as in the original
    (`src/caffe/layers/mvn_layer.cpp`).
    """
    return _MeanVariance.apply(x, axes, eps)
