"""Sigmoid: the logistic function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Sigmoid")
class Sigmoid(Neuron):
    """y = 1/(1 + e⁻ˣ), computed as ½·tanh(½x) + ½.  `sigmoid_param { engine }` has no effect.

    Source: `src/caffe/layers/sigmoid_layer.cpp`.
    """

    rereads = True

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.sigmoid(bottoms[0]),)
