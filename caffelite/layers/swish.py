"""Swish: the input times its sigmoid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Swish")
class Swish(Neuron):
    """y = x·σ(beta·x), element by element; beta is a setting and is not learned.  May work in place.

    Source: `src/caffe/layers/swish_layer.cpp`; Ramachandran, Zoph and Le, 2017.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "swish" type: "Swish" bottom: "x" top: "y" swish_param { beta: 1 } }
    """

    rereads = "top"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.beta = float(self.settings("swish_param").beta)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.swish(bottoms[0], self.beta),)
