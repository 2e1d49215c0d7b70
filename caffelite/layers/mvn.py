"""MVN: mean and variance of every image taken out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Layer, Run, Shape, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("MVN")
class MVN(Layer):
    """y = (x − mean) / (standard deviation + eps), over each channel of each image, or with `across_channels` over each
    image; with `normalize_variance: false` only the mean is taken off.

    N×C×H×W → N×C×H×W; a bottom with fewer axes gets ones behind them.  The gradient leaves eps out of account, but as
    a divisor.  Both phases do the same.

    Source: `src/caffe/layers/mvn_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 32 dim: 32 } } }
    layer { name: "mvn" type: "MVN" bottom: "x" top: "y" mvn_param { across_channels: true } }
    """

    rereads = "top"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("mvn_param")
        self.scales, self.eps = bool(settings.normalize_variance), float(settings.eps)
        self.axes = (1, 2, 3) if settings.across_channels else (2, 3)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottoms[0]
        self.expect(len(shape) <= 4, f"needs a bottom with at most 4 axes, got {shape}", "bottom")
        self.top = (*shape, *[1] * (4 - len(shape)))
        return [self.top]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0].reshape(self.top)
        if self.scales:
            return (ops.normalization.mean_variance(x, self.axes, self.eps),)
        return (x - x.mean(self.axes, keepdim=True),)
