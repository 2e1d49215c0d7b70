"""BNLL: the binomial normal log likelihood, a smooth ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 50.0


@layer("BNLL")
class BNLL(Neuron):
    """y = log(1 + eˣ), computed without overflow; dy/dx = eᵗ/(eᵗ + 1) with t = min(x, 50).

    May work in place, where the original takes t from y, which stands where x was; so does this.

    Source: `src/caffe/layers/bnll_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "bnll" type: "BNLL" bottom: "x" top: "y" }
    """

    rereads = "bottom"
    capturable = True

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.softplus(bottoms[0], THRESHOLD, self.in_place),)
