"""ELU: the exponential linear unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("ELU")
class ELU(Neuron):
    """y = x where x > 0, else alpha·(eˣ − 1); the gradient at 0 is alpha.  May work in place.

    Source: `src/caffe/layers/elu_layer.cpp`; Clevert, Unterthiner and Hochreiter, 2016.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "elu" type: "ELU" bottom: "x" top: "y" elu_param { alpha: 1 } }
    """

    rereads = "top"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.alpha = float(self.settings("elu_param").alpha)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.elu(bottoms[0], self.alpha, self.in_place),)
