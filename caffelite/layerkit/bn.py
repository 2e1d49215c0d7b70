"""What the BN layers of forks share: weights of 1×C×1×1, a factor and an offset for each channel behind the
normalization, and mean and variance that are collected."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from .. import ops
from ..proto import FillerParameter
from .base import Layer, Shape, WeightSpec

if TYPE_CHECKING:
    from torch import Tensor


class ForkedBatchNorm(Layer):
    """Base of these types.  The channels are axis 1; the filler fields are those of bn_param."""

    collects = True

    def declare(self, shape: Shape, factor: str, offset: str, collected: float | None) -> None:
        """Declare the factor and the offset, filled as these fields of bn_param say, and, unless `collected` is None,
        mean and variance, which begin as 0 and as `collected`.

        Raises:
            LayerError: the bottom has no channels, or more than 4 axes.
        """
        axes = f"needs a bottom of 2 to 4 axes (num, channels, height, width), got {shape}"
        if not self.expect(2 <= len(shape) <= 4, axes, "bottom"):
            self.raise_faults()
        each, settings = (1, shape[1], 1, 1), self.settings("bn_param")
        self.weights = [
            WeightSpec(each, getattr(settings, factor), "weight"),
            WeightSpec(each, getattr(settings, offset), "bias"),
        ]
        if collected is not None:
            first = WeightSpec(each, name="mean", learned=False)
            start = FillerParameter(type="constant", value=collected)
            self.weights += [first, WeightSpec(each, start, "variance", learned=False)]
            self.keep_from_learning(2, 3)

    def keep_from_learning(self, *slots: int) -> None:
        """Give these weights lr_mult: 0 and decay_mult: 0, whatever the prototxt says, as the forks do."""
        specs = self.param.param
        while len(specs) < len(self.weights):
            specs.add()
        for slot in slots:
            specs[slot].lr_mult = specs[slot].decay_mult = 0

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, channels = bottoms[0], self.weights[0].shape[1]
        other = f"has weights for {channels} channels, and its bottom of shape {shape} has other channels"
        self.expect(shape[1:2] == (channels,), other, "bottom")
        self.expect(prod(shape) > 0, f"needs at least one value per channel, got {shape}", "bottom")
        return [shape, *[(1, channels, 1, 1)] * (len(self.param.top) - 1)]

    def by_batch(self, x: Tensor, weights: Sequence[Tensor], eps: float) -> tuple[Tensor, Tensor, Tensor]:
        """x normalized by its own mean and variance, times the factor plus the offset; the mean, and the (biased)
        variance, 1×C×1×1."""
        factor, offset = (weight.flatten() for weight in weights[:2])
        y, mean, unbiased = ops.normalization.by_batch(x, eps, factor, offset)
        count = x.numel() // len(mean)
        variance = unbiased * ((count - 1) / count)
        return y, mean.reshape(weights[0].shape), variance.reshape(weights[0].shape)

    def by_collected(self, x: Tensor, weights: Sequence[Tensor], eps: float) -> Tensor:
        """x normalized by the collected mean and variance, times the factor plus the offset."""
        factor, offset, mean, variance = (weight.flatten() for weight in weights)
        y: Tensor = ops.normalization.by_statistics(x, mean.detach(), variance.detach(), eps, factor, offset)
        return y

    def collect(self, weights: Sequence[Tensor], statistics: Sequence[Tensor], stays: float) -> None:
        """Replace all but the part `stays` of the collected mean and variance by that of a batch's."""
        for weight, new in zip(weights[2:], statistics, strict=True):
            weight.detach().mul_(stays).add_(new, alpha=1 - stays)
