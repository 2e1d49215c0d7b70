"""Normalize of SSD: vectors brought to length 1 and scaled by what is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.weights import filled
from ..proto import FillerParameter

if TYPE_CHECKING:
    from torch import Tensor


@layer("Normalize", dialect="SSD")
class NormalizeSSD(Layer):
    """y = s·x/√(Σx² + eps): N×C×H×W → the same, or with fewer axes, two at least.  The sum is over an image, or without
    `across_spatial` over the channels, axis 1, at each position.  s is learned, and starts as 1: a single one, or
    without `channel_shared` one for each channel.

    The gradient of x is that of the source, which takes s for a constant factor of each channel behind the sum.  It is
    exact as long as the channels' s are alike.  That of s is Σ g·x/√(…) even where s is 0; in the fork it is NaN there,
    for y is divided by s.

    Sources: `src/caffe/layers/normalize_layer.cpp` of weiliu89/caffe, branch ssd; Liu, Rabinovich and Berg, 2016.
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 5 dim: 5 } } }
    layer {
      name: "norm" type: "Normalize" bottom: "x" top: "y"
      norm_param {
        across_spatial: false channel_shared: false
        scale_filler { type: "constant" value: 20 }
      }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings("norm_param"), bottoms[0]
        self._expect_axes(shape)
        self.require(settings.eps >= 0, "norm_param.eps", "must not be negative")
        size = () if settings.channel_shared else shape[1:2]
        ones = FillerParameter(type="constant", value=1)
        self.weights = [filled(self, size, "norm_param.scale_filler", default=ones)]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, size = bottoms[0], self.weights[0].shape
        self._expect_axes(shape)
        other = f"has a scale for each of {size} channels, and its bottom of shape {shape} has other channels"
        self.expect(size in ((), shape[1:2]), other, "bottom")
        return [shape]

    def _expect_axes(self, shape: Shape) -> None:
        self.expect(2 <= len(shape) <= 4, f"needs a bottom of 2 to 4 axes (channels are axis 1), got {shape}", "bottom")
        self.raise_faults()

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, settings = bottoms[0], self.settings("norm_param")
        axes = tuple(range(1, x.dim())) if settings.across_spatial else (1,)
        scale = weights[0].reshape(1, -1, *[1] * (x.dim() - 2))
        return (ops.norms.scaled(x, scale, axes, settings.eps),)
