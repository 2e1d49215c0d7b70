"""Clip: values kept between two bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("Clip")
class Clip(Neuron):
    """y = max(min, min(x, max)); the gradient passes where min ≤ x ≤ max.

    May work in place, where the original looks for x and finds y, so that the gradient passes everywhere; so it does
    here.
    NaN stays NaN (the original makes it `min` on the CPU, `max` on a GPU).

    Source: `src/caffe/layers/clip_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "clip" type: "Clip" bottom: "x" top: "y" clip_param { min: 0 max: 6 } }
    """

    rereads = "bottom"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("clip_param")
        self.low, self.high = float(settings.min), float(settings.max)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.clip(bottoms[0], self.low, self.high, self.in_place),)
