"""Threshold: which values are above one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Threshold")
class Threshold(Neuron):
    """y = 1 where x > threshold, else 0; no gradient.  May work in place.

    Source: `src/caffe/layers/threshold_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "above" type: "Threshold" bottom: "x" top: "y" threshold_param { threshold: 0.5 } }
    """

    ungraded = frozenset({0})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.threshold = float(self.settings("threshold_param").threshold)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0].detach()
        return ((x > self.threshold).to(x.dtype),)
