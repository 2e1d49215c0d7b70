"""Reduction: all axes from one on as a single number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, layer
from ..proto import ReductionParameter

if TYPE_CHECKING:
    from torch import Tensor


@layer("Reduction")
class Reduction(Layer):
    """SUM: coeff·Σx; ASUM: coeff·Σ|x|; SUMSQ: coeff·Σx²; MEAN: coeff·Σx/count, over the axes from `axis` to the last.

    The top keeps the axes before `axis`: with 0, the default, it is a scalar.  The gradient of ASUM at 0 is 0.  Not a
    loss of itself: give it a `loss_weight` to make it one.

    Source: `src/caffe/layers/reduction_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer {
      name: "decay" type: "Reduction" bottom: "x" top: "decay" loss_weight: 0.001
      reduction_param { operation: SUMSQ coeff: 0.5 }
    }
    """

    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("reduction_param")
        self.operation, self.coefficient = settings.operation, float(settings.coeff)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        first = self.axis(self.settings("reduction_param").axis, len(bottoms[0]), "reduction_param.axis")
        self.axes = tuple(range(first, len(bottoms[0])))
        return [bottoms[0][:first]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        reduced = self._reduced(bottoms[0])
        return (reduced if self.coefficient == 1 else reduced * self.coefficient,)

    def _reduced(self, x: Tensor) -> Tensor:
        if self.operation == ReductionParameter.MEAN:
            return x.mean(self.axes)
        if self.operation == ReductionParameter.ASUM:
            x = x.abs()
        elif self.operation == ReductionParameter.SUMSQ:
            x = x.square()
        return x.sum(self.axes)
