"""Bias: a learned blob, or a second bottom, added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit.broadcast import aligned, covered
from ..layerkit.weights import filled

if TYPE_CHECKING:
    from torch import Tensor


@layer("Bias")
class Bias(Layer):
    """y = x + b, b lined up with axis `axis` of x and repeated along the others.

    b is the second bottom, of any number of axes, or a weight over `num_axes` axes (-1: all; 0: a single number) that
    starts as 0.  A scalar b fits everywhere, whatever `axis` says.  May work in place.

    Source: `src/caffe/layers/bias_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "bias" type: "Bias" bottom: "x" top: "y"  # a number for each of the 8 channels
      bias_param { filler { type: "constant" value: 0.1 } }
    }
    """

    bottoms, tops = between(1, 2), exactly(1)
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        if len(bottoms) == 1:
            spec = filled(self, covered(self, bottoms[0], "bias_param"), "bias_param.filler")
            self.weights = [replace(spec, name="bias")]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.aligned = aligned(self, bottoms, "bias_param")
        return [bottoms[0]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        (offset,) = (*bottoms[1:], *weights)
        return (bottoms[0] + offset.reshape(self.aligned),)
