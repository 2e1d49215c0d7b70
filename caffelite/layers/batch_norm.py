"""BatchNorm: every channel brought to mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Layer, Run, Shape, WeightSpec, layer
from ..layerkit.base import torch
from ..proto import TEST

if TYPE_CHECKING:
    from torch import Tensor


@layer("BatchNorm")
class BatchNorm(Layer):
    """y = (x − mean) / √(variance + eps) for each channel, axis 1: N×C×… → the same.  A Scale layer behind it brings
    back a learned scale and shift.

    In TRAIN, or with `use_global_stats: false`, mean and variance are those of the batch, which a forward also adds to
    what the three weights collect: mean (C), unbiased variance (C), and how much was collected (1), each first
    multiplied by moving_average_fraction.  In TEST, or with `use_global_stats: true`, they are the first two weights
    divided by the third (0 if that is 0).  The weights have no gradient and no rate.  May work in place.

    Source: `src/caffe/layers/batch_norm_layer.cpp`; Ioffe and Szegedy, 2015.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 8 dim: 12 dim: 12 } } }
    layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" }
    layer { name: "scale" type: "Scale" bottom: "y" top: "y" scale_param { bias_term: true } }
    """

    collects = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings("batch_norm_param"), bottoms[0]
        self.fraction, self.eps = float(settings.moving_average_fraction), float(settings.eps)
        self.given = bool(settings.use_global_stats) if settings.HasField("use_global_stats") else None
        self.expect(
            len(shape) >= 2, f"needs a bottom with at least 2 axes (channels are axis 1), got {shape}", "bottom"
        )
        self.raise_faults()
        sizes = {"mean": shape[1:2], "variance": shape[1:2], "amount": (1,)}
        self.weights = [WeightSpec(size, name=name, learned=False) for name, size in sizes.items()]
        self._keep_from_learning()

    @property
    def collected(self) -> bool:
        """Whether mean and variance are those that were collected, not the batch's."""
        return self.phase == TEST if self.given is None else self.given

    def _keep_from_learning(self) -> None:
        """Give all three weights lr_mult: 0."""
        specs = self.param.param
        for slot in range(len(specs)):
            learned = f"lr_mult must be 0: its weights are statistics, and are not learned; got {specs[slot].lr_mult:g}"
            self.expect(specs[slot].lr_mult == 0, learned, f"param[{slot}]", help="leave param out")
        while len(specs) < len(self.weights):
            specs.add(lr_mult=0)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, channels = bottoms[0], self.weights[0].shape[0]
        self.expect(
            shape[1:2] == (channels,),
            f"has statistics of {channels} channels, and its bottom of shape {shape} has other channels",
            "bottom",
        )
        self.expect(self.collected or prod(shape) > 0, f"needs at least one value per channel, got {shape}", "bottom")
        return [shape]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        mean, variance, amount = (weight.detach() for weight in weights)
        if self.collected:
            part = torch.where(amount == 0, 0, 1 / amount)
            return (ops.normalization.by_statistics(bottoms[0], mean * part, variance * part, self.eps),)
        y, *statistics = ops.normalization.by_batch(bottoms[0], self.eps)
        for weight, new in zip((mean, variance, amount), (*statistics, 1), strict=True):
            weight.mul_(self.fraction).add_(new)
        return (y,)
