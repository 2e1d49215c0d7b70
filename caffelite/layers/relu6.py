"""ReLU6: the rectified linear unit, not above 6."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("ReLU6")
class ReLU6(Neuron):
    """y = min(max(x, 0) + negative_slope·min(x, 0), 6); the gradient at 0 is negative_slope, and at 6 it is 0.  May
    work in place.

    `relu6_param { engine }` has no effect.

    Sources: `src/caffe/layers/relu6_layer.cpp` of chuanqi305/ssd, and of eric612/MobileNet-YOLO, which has
    `negative_slope`.
    """

    fork: ClassVar[str] = "chuanqi305/ssd, eric612/MobileNet-YOLO"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "relu6" type: "ReLU6" bottom: "x" top: "y" }
    """

    rereads = "bottom"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.slope = float(self.settings("relu6_param").negative_slope)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.capped_relu(bottoms[0], self.slope, 6, self.in_place),)
