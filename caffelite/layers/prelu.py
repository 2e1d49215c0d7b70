"""PReLU: a rectified linear unit that learns its leak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.neuron import Neuron
from ..layerkit.weights import filled
from ..proto import FillerParameter

if TYPE_CHECKING:
    from torch import Tensor


@layer("PReLU")
class PReLU(Neuron):
    """y = max(x, 0) + a·min(x, 0) with a learned a for each channel (axis 1), or with `channel_shared` one for all.

    a starts as 0.25.  The gradient at 0 is a.  May work in place.

    Source: `src/caffe/layers/prelu_layer.cpp`; He, Zhang, Ren and Sun, 2015.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "prelu" type: "PReLU" bottom: "x" top: "y"
      prelu_param { filler { type: "constant" value: 0.1 } }
    }
    """

    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._expect_channels(bottoms[0])
        shape = () if self.settings("prelu_param").channel_shared else bottoms[0][1:2]
        quarter = FillerParameter(type="constant", value=0.25)
        self.weights = [filled(self, shape, "prelu_param.filler", default=quarter)]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self._expect_channels(bottoms[0])
        slopes = self.weights[0].shape
        other = f"has slopes of shape {slopes}, one a channel, and its bottom of shape {bottoms[0]} has other channels"
        self.expect(slopes in ((), bottoms[0][1:2]), other, "bottom")
        return [bottoms[0]]

    def _expect_channels(self, bottom: Shape) -> None:
        few = f"needs a bottom with at least 2 axes (channels are axis 1), got {bottom}"
        self.expect(len(bottom) >= 2, few, "bottom")
        self.raise_faults()

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (torch.prelu(bottoms[0], weights[0]),)
