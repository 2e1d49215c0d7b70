"""ReLU: the rectified linear unit, also with a leak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.kernels.rectified import ReLUKernel
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor

    from ..layerkit.kernels import Kernel


@layer("ReLU")
class ReLU(Neuron):
    """y = max(x, 0) + negative_slope·min(x, 0); the gradient at 0 is negative_slope.  May work in place.

    `relu_param { engine }` has no effect.

    Source: `src/caffe/layers/relu_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "relu" type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: 0.01 } }
    """

    rereads = "bottom"
    rounding = "as it comes"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.slope = float(self.settings("relu_param").negative_slope)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        if self.slope:
            return (ops.elementwise.leaky_relu(bottoms[0], self.slope, self.in_place),)
        return (bottoms[0].relu(),)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        return None if self.slope else ReLUKernel(wants, learns)
