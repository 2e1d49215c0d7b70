"""Silence: read blobs so that they are no outputs of the net."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, at_least, exactly, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("Silence")
class Silence(Layer):
    """Takes any number of blobs and does nothing with them; their gradient is 0.

    Source: `src/caffe/layers/silence_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "data" top: "label"
      input_param { shape { dim: 64 dim: 10 } shape { dim: 64 } }
    }
    layer { name: "unused" type: "Silence" bottom: "label" }
    """

    bottoms, tops = at_least(1), exactly(0)
    capturable = True

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        return []

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return ()
