"""BN as ChenglongChen's fork means it: batch normalization with a learned scale and shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, layer
from ..layerkit.bn import ForkedBatchNorm
from ..proto import TEST, TRAIN

if TYPE_CHECKING:
    from torch import Tensor


@layer("BN", dialect="ChenglongChen")
class BN(ForkedBatchNorm):
    """y = scale · (x − mean) / √(variance + var_eps) + shift for each channel, axis 1: N×C×H×W → the same.

    Mean and variance are those of the batch; in TEST with `moving_average: true` the collected ones, of which in each
    forward in TRAIN the part `decay` stays, the rest being the batch's (its biased variance).  Weights: scale, shift,
    mean, variance, each 1×C×1×1; mean and variance are not learned.  May work in place.

    There the solver's weight decay makes the collected values smaller, unless their blobs_lr is 0; here it does not.

    Source: `src/caffe/layers/bn_layer.cpp` of ChenglongChen/caffe-windows; Ioffe and Szegedy, 2015.
    """

    fork: ClassVar[str] = "ChenglongChen/caffe-windows"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "bn" type: "BN" bottom: "x" top: "y"
      bn_param { scale_filler { type: "constant" value: 1 } decay: 0.95 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("bn_param")
        self.moving, self.stays, self.eps = settings.moving_average, float(settings.decay), float(settings.var_eps)
        self.require(0 <= settings.decay <= 1, "bn_param.decay", "must be from 0 to 1")
        self.require(settings.var_eps >= 0, "bn_param.var_eps", "must not be negative")
        self.declare(bottoms[0], "scale_filler", "shift_filler", 0.0)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        if self.moving and self.phase == TEST:
            return (self.by_collected(bottoms[0], weights, self.eps),)
        y, *statistics = self.by_batch(bottoms[0], weights, self.eps)
        if self.phase == TRAIN:
            self.collect(weights, statistics, self.stays)
        return (y,)
