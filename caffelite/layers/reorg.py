"""Reorg: blocks of pixels become channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.neuron import refuse_in_place
from ..layerkit.pooling import image_of

if TYPE_CHECKING:
    from torch import Tensor


@layer("Reorg")
class Reorg(Layer):
    """Half as high and wide, four times as many channels (stride 2): N×C×H×W → N×C·stride²×H/stride×W/stride.

    It is darknet's, which goes by places in memory: the bottom is read as N×C/stride²×H·stride×W·stride, each
    stride×stride block of which gives a pixel to stride² channels, N×C×H×W, and that is the top in its other shape.
    With `reverse` the channels of N×C×H×W become blocks: N×C/stride²×H·stride×W·stride.  C must be a multiple of
    stride², and without `reverse` H and W of stride.  Cannot work in place.

    Source: `reorg_layer.hpp`, `reorg_layer.cpp` of eric612/MobileNet-YOLO and of intel/caffe.  (Their backward reads
    memory that nobody writes; here the gradient goes back where the values came from.)
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 8 dim: 6 dim: 6 } } }
    layer { name: "reorg" type: "Reorg" bottom: "x" top: "y" reorg_param { stride: 2 } }  # 1×32×3×3
    """

    fork: ClassVar[str] = "eric612/MobileNet-YOLO"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)
        self.stride, self.reverse = int(self.param.reorg_param.stride), bool(self.param.reorg_param.reverse)
        self.expect(self.stride > 0, "stride is missing, or 0", "reorg_param.stride")
        self.raise_faults()

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, s = bottoms[0], self.stride
        height, width = image_of(self, shape)
        count, channels = shape[:2]
        self.expect(channels % s**2 == 0, f"channels must be a multiple of stride² ({s**2}), got {channels}")
        if self.reverse:
            return [(count, channels // s**2, height * s, width * s)]
        self.expect(height % s == 0 == width % s, f"height and width must be multiples of stride ({s}), got {shape}")
        return [(count, channels * s**2, height // s, width // s)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.yolo.reorg(bottoms[0], self.stride, self.reverse),)
