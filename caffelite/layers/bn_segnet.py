"""BN as SegNet means it: batch normalization by the batch alone, or only a learned scale and shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, between, layer
from ..layerkit.bn import ForkedBatchNorm
from ..proto import BNParameter

if TYPE_CHECKING:
    from torch import Tensor

EPS = 1e-9


@layer("BN", dialect="SegNet")
class BN(ForkedBatchNorm):
    """y = scale · (x − mean) / √(variance + 1e-9) + shift for each channel, axis 1: N×C×H×W → the same.

    Mean and variance are those of the batch, in TRAIN and in TEST; a second and a third top, each 1×C×1×1, hold them.
    With `bn_mode: INFERENCE` it is y = scale · x + shift: the weights have been worked out to have statistics of the
    training data in them.  Weights: scale, shift, each 1×C×1×1.  May work in place.

    The fork works the variance out as E(x²) − E(x)² and loses digits where the mean is large; here none are lost.

    Sources: `src/caffe/layers/bn_layer.cpp` of alexgkendall/caffe-segnet, and of HyeonwooNoh/caffe; Ioffe and Szegedy,
    2015.
    """

    fork: ClassVar[str] = "alexgkendall/caffe-segnet, HyeonwooNoh/caffe"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "bn" type: "BN" bottom: "x" top: "y"
      bn_param { scale_filler { type: "constant" value: 1 } shift_filler { type: "constant" value: 0.001 } }
    }
    """

    tops = between(1, 3)
    collects = False

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.normalizes = self.settings("bn_param").bn_mode == BNParameter.LEARN
        if not self.normalizes and len(self.param.top) > 1:
            nothing = f'its second top, "{self.param.top[1]}", is the mean of a batch, and bn_mode: INFERENCE has none'
            self.expect(False, nothing, "top[1]", "leave the top out")
        self.declare(bottoms[0], "scale_filler", "shift_filler", None)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        if self.normalizes:
            return self.by_batch(bottoms[0], weights, EPS)[: len(self.param.top)]
        scale, shift = (weight.reshape(1, -1, *[1] * (bottoms[0].dim() - 2)) for weight in weights)
        return (bottoms[0] * scale + shift,)
