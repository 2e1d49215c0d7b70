"""Upsample as ports of YOLO mean it: every pixel becomes a square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.pooling import image_of

if TYPE_CHECKING:
    from torch import Tensor


@layer("Upsample", dialect="YOLO")
class Upsample(Layer):
    """y[n, c, h, w] = x[n, c, ⌊h/scale⌋, ⌊w/scale⌋]: N×C×H×W → N×C×scale·H×scale·W, `scale` being 1 by default.

    dx is the sum of dy over the square.

    Source: `src/caffe/layers/upsample_layer.cpp` of eric612/MobileNet-YOLO.
    """

    fork: ClassVar[str] = "eric612/MobileNet-YOLO"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 13 dim: 13 } } }
    layer {
      name: "up" type: "Upsample" bottom: "x" top: "y"  # 2×8×26×26
      upsample_param { scale: 2 }
    }
    """

    bottoms, tops = exactly(1), exactly(1)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("upsample_param")
        self.scale = int(settings.scale) if settings.HasField("scale") else 1
        self.require(self.scale > 0, "upsample_param.scale", "must be positive")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        height, width = image_of(self, bottoms[0])
        return [(*bottoms[0][:2], height * self.scale, width * self.scale)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3),)
