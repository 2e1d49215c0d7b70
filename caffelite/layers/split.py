"""Split: one blob for several readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("Split")
class Split(Layer):
    """Every top is the bottom; the bottom's gradient is the sum of the tops'.

    Nets get one wherever a blob is read more than once; it is seldom written by hand.  Cannot work in place.

    Source: `src/caffe/layers/split_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "split" type: "Split" bottom: "x" top: "a" top: "b" }
    """

    bottoms, tops = exactly(1), at_least(1)
    sharing_bottoms = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        return [bottoms[0]] * len(self.param.top)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0],) * len(self.param.top)
