"""MaskPooling: feature maps weighed by a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, exactly, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("MaskPooling")
class MaskPooling(Layer):
    """y = x · mask: each of the C maps of x, N×C×H×W, times the mask of its sample, N×1×H×W.

    Both get a gradient.

    Source: Dai, He and Sun, "Convolutional feature masking", CVPR 2015; `mask_pooling_layer.cu` there.
    """

    fork = "daijifeng001/caffe-mnc"
    example = """
    layer {
      name: "in" type: "Input" top: "features" top: "mask"
      input_param { shape { dim: 20 dim: 8 dim: 14 dim: 14 } shape { dim: 20 dim: 1 dim: 14 dim: 14 } }
    }
    layer { name: "masked" type: "MaskPooling" bottom: "features" bottom: "mask" top: "masked" }
    """

    bottoms, tops = exactly(2), exactly(1)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, mask = bottoms
        told = f"needs features N×C×H×W and masks N×1×H×W, got shapes {x} and {mask}"
        self.expect(len(x) == 4 and mask == (x[0], 1, *x[2:]), told, "bottom")
        return [x]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0] * bottoms[1],)
