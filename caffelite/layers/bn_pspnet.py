"""BN as PSPNet means it: batch normalization with a learned slope and bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, layer
from ..layerkit.bn import ForkedBatchNorm
from ..proto import TEST

if TYPE_CHECKING:
    from torch import Tensor


@layer("BN", dialect="PSPNet")
class BN(ForkedBatchNorm):
    """y = slope · (x − mean) / √(variance + eps) + bias for each channel, axis 1: N×C×H×W → the same.

    In TRAIN mean and variance are those of the batch, and of the collected ones the part `momentum` stays, the rest
    being the batch's (its biased variance).  In TEST, and with `frozen: true`, they are the collected ones.  Weights:
    slope, bias, mean, variance, each 1×C×1×1 (yjxiong/caffe: 1×C); mean and variance are not learned, and with
    `frozen` nothing is.  May work in place.

    In TEST the fork's backward is that of TRAIN with the collected values in it; here it is the gradient.

    Sources: `src/caffe/layers/bn_layer.cpp` of hszhao/PSPNet, and of yjxiong/caffe; Ioffe and Szegedy, 2015.
    """

    fork: ClassVar[str] = "hszhao/PSPNet, yjxiong/caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "bn" type: "BN" bottom: "x" top: "y"
      bn_param { slope_filler { type: "constant" value: 1 } bias_filler { type: "constant" value: 0 } }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("bn_param")
        self.frozen, self.stays, self.eps = bool(settings.frozen), float(settings.momentum), float(settings.eps)
        self.require(0 <= settings.momentum <= 1, "bn_param.momentum", "must be from 0 to 1")
        self.require(settings.eps >= 0, "bn_param.eps", "must not be negative")
        without = "has a meaning in early versions of the fork only, which then have two weights"
        collects = settings.moving_average or not settings.HasField("moving_average")
        self.require(collects, "bn_param.moving_average", without, "leave it out, and the layer collects")
        self.declare(bottoms[0], "slope_filler", "bias_filler", 1.0 if self.frozen else 0.0)
        if self.frozen:
            self.keep_from_learning(0, 1)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        if self.frozen or self.phase == TEST:
            return (self.by_collected(bottoms[0], weights, self.eps),)
        y, *statistics = self.by_batch(bottoms[0], weights, self.eps)
        self.collect(weights, statistics, self.stays)
        return (y,)
