"""AbsVal: the absolute value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron, refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("AbsVal")
class AbsVal(Neuron):
    """y = |x|, element by element; the gradient at 0 is 0.  Cannot work in place.

    Source: `src/caffe/layers/absval_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "abs" type: "AbsVal" bottom: "x" top: "y" }
    """

    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].abs(),)
