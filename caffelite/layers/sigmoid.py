"""Sigmoid: the logistic function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Sigmoid")
class Sigmoid(Neuron):
    """y = 1/(1 + e⁻ˣ), element by element.  `sigmoid_param { engine }` has no effect.

    The original's ½·tanh(½x) + ½ is computed in double precision, so small y are as exact there as here.
    May work in place.

    Source: `src/caffe/layers/sigmoid_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "sigmoid" type: "Sigmoid" bottom: "x" top: "y" }
    """

    rereads = "top"
    capturable = True

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].sigmoid(),)
