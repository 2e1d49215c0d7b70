"""L1Loss: the sum of absolute differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, layer
from ..layerkit.losses import LossLayer

if TYPE_CHECKING:
    from torch import Tensor


@layer("L1Loss")
class L1Loss(LossLayer):
    """Σ |a − b| / N over N samples, 0-d; both bottoms get a gradient, sign(a − b)/N and its negative.

    Bottoms: a and b, N×…, with the same number of elements behind the first axis, in any shape.

    Source: `src/caffe/layers/l1_loss_layer.cpp` of NVIDIA/caffe.
    """

    fork: ClassVar[str] = "NVIDIA/caffe"
    example = """
    layer {
      name: "in" type: "Input" top: "predicted" top: "target"
      input_param { shape { dim: 64 dim: 4 } }
    }
    layer { name: "loss" type: "L1Loss" bottom: "predicted" bottom: "target" top: "loss" }
    """

    ungraded = frozenset()

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        a, b = bottoms
        tops = self.top_shapes(bottoms)
        self.expect(
            math.prod(a[1:]) == math.prod(b[1:]),
            f"its bottoms must have as many elements per sample, got shapes {a} and {b}",
            "bottom",
        )
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        a, b = bottoms
        return ((a - b.reshape(a.shape)).abs().sum() / len(a),)
