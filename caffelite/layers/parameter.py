"""Parameter: a learned blob as a top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, WeightSpec, exactly, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("Parameter")
class Parameter(Layer):
    """Its top is its only weight, of the given `shape` (without one a scalar), which starts as 0.

    Gradients add up over iter_size; the original kept only those of the last batch.

    Source: `include/caffe/layers/parameter_layer.hpp`.
    """

    example = """
    layer {
      name: "table" type: "Parameter" top: "table"
      param { lr_mult: 1 }
      parameter_param { shape { dim: 10 dim: 50 } }
    }
    """

    bottoms, tops = exactly(0), exactly(1)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        shape = tuple(self.settings("parameter_param").shape.dim)
        text = f"shape must have no negative dim, got {list(shape)}"
        self.expect(min(shape, default=0) >= 0, text, "parameter_param.shape")
        self.weights = [WeightSpec(shape)]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        return [self.weights[0].shape]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (weights[0],)
