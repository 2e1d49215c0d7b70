"""Softmax: scores to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Softmax")
class Softmax(Neuron):
    """y_k = e^{x_k} / Σ_j e^{x_j} along `axis` (1 unless set; may be negative), computed without overflow.

    The top has the shape of the bottom.  May work in place.  `softmax_param { engine }` has no effect.

    Source: `src/caffe/layers/softmax_layer.cpp`.
    """

    example = """
    layer { name: "score" type: "Input" top: "score" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
    """

    rereads = "top"
    capturable = True

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.index = self.axis(self.settings("softmax_param").axis, len(bottoms[0]), "softmax_param.axis")
        return [bottoms[0]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].softmax(self.index),)
