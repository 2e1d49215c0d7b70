"""EuclideanLoss: the loss of regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.losses import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


@layer("EuclideanLoss")
class EuclideanLoss(PairLoss):
    """Σ (a − b)² / 2N over N samples, 0-d; both bottoms get a gradient.

    Bottoms: a and b, N×…, with the same number of elements behind the first axis, in any shape.

    Source: `src/caffe/layers/euclidean_loss_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "predicted" top: "target"
      input_param { shape { dim: 64 dim: 4 } }
    }
    layer { name: "loss" type: "EuclideanLoss" bottom: "predicted" bottom: "target" top: "loss" }
    """

    capturable = True

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.losses.euclidean_loss(bottoms[0], bottoms[1]),)
