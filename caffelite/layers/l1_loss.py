"""L1Loss: the sum of absolute differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, layer
from ..layerkit.losses import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


@layer("L1Loss")
class L1Loss(PairLoss):
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

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        a, b = bottoms
        return ((a - b.reshape(a.shape)).abs().sum() / len(a),)
