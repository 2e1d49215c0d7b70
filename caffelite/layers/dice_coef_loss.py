"""DiceCoefLoss: how little two maps overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.losses import PairLoss

if TYPE_CHECKING:
    from torch import Tensor


@layer("DiceCoefLoss")
class DiceCoefLoss(PairLoss):
    """1 − the mean over N samples of 2·Σ ab / (Σ a² + Σ b²), 0-d; 0/0 is NaN, as there.

    Bottoms: a and b, N×…, with the same number of elements per sample, in any shape.  Both get a gradient, N times
    that of the mean: there, it is not divided by N.

    Source: `dice_coef_loss_layer.cpp` of HolmesShuan/A-Variation-of-Dice-coefficient-Loss-Caffe-Layer; Milletari, Navab
    and Ahmadi, "V-Net", 2016.
    """

    fork: ClassVar[str] = "HolmesShuan/A-Variation-of-Dice-coefficient-Loss-Caffe-Layer"
    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 2 dim: 1 dim: 32 dim: 32 } }
    }
    layer { name: "loss" type: "DiceCoefLoss" bottom: "score" bottom: "label" top: "loss" }
    """

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        a, b = (bottom.reshape(len(bottom), -1) for bottom in bottoms)
        loss = 1 - (2 * (a * b).sum(1) / (a.square().sum(1) + b.square().sum(1))).mean()
        return (ops.elementwise.scaled_gradient(loss, len(a)),)
