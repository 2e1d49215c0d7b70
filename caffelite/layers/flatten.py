"""Flatten: several axes as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("Flatten")
class Flatten(Layer):
    """Axes `axis` to `end_axis`, both included, become one: N×C×H×W → N×(C·H·W) unless told otherwise.

    Both may be negative.  An `end_axis` just before `axis` puts an axis of size 1 there.  Cannot work in place.

    Source: `src/caffe/layers/flatten_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 50 dim: 4 dim: 4 } } }
    layer { name: "flat" type: "Flatten" bottom: "x" top: "y" }  # 64×800
    """

    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, settings = bottoms[0], self.settings("flatten_param")
        first = self.axis(settings.axis, len(shape), "flatten_param.axis")
        last = self.axis(settings.end_axis, len(shape), "flatten_param.end_axis")
        self.require(first <= last + 1, "flatten_param.end_axis", f"must not lie before axis {first}")
        self.top = (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
        return [self.top]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].reshape(self.top),)
