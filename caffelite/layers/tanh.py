"""TanH: the hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("TanH")
class TanH(Neuron):
    """y = tanh(x), element by element.  `tanh_param { engine }` has no effect.  May work in place.

    Source: `src/caffe/layers/tanh_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "tanh" type: "TanH" bottom: "x" top: "y" }
    """

    rereads = "top"
    capturable = True

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].tanh(),)
