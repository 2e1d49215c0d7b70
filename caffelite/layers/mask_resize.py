"""MaskResize: masks brought to one size by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.regions import expect_images

if TYPE_CHECKING:
    from torch import Tensor


@layer("MaskResize")
class MaskResize(Layer):
    """Brings planes to one size by bilinear interpolation: N×C×H×W → N×C×output_height×output_width.

    Row i of the top lies at i·H/output_height of the bottom, columns alike: the first rows are the same, the last are
    not.  Beyond the last row that one counts; more than half a row beyond it, which there is when a plane is made more
    than twice as large, the value is 0.  The gradient is exact; the fork leaves some of it out.

    Source: Dai et al., "Instance-aware semantic segmentation via multi-task network cascades", CVPR 2016;
    `mask_resize_layer.cu` there.
    """

    fork = "daijifeng001/caffe-mnc"
    example = """
    layer { name: "in" type: "Input" top: "mask" input_param { shape { dim: 20 dim: 1 dim: 21 dim: 21 } } }
    layer {
      name: "resized" type: "MaskResize" bottom: "mask" top: "resized"
      mask_resize_param { output_height: 14 output_width: 14 }
    }
    """

    bottoms, tops = exactly(1), exactly(1)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("mask_resize_param")
        for name in ("output_height", "output_width"):
            self.require(getattr(settings, name) > 0, f"mask_resize_param.{name}", "must be positive")
        self.size = int(settings.output_height), int(settings.output_width)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        expect_images(self, bottoms[0])
        return [(*bottoms[0][:2], *self.size)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.rois.resized(bottoms[0], self.size),)
