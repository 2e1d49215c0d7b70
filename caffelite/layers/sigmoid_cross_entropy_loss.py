"""SigmoidCrossEntropyLoss: the loss of independent yes/no predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.losses import BATCH_SIZE, LossLayer, divisor, ignored, normalization

if TYPE_CHECKING:
    from torch import Tensor


@layer("SigmoidCrossEntropyLoss")
class SigmoidCrossEntropyLoss(LossLayer):
    """−Σ (t·log σ(x) + (1 − t)·log(1 − σ(x))) / normaliser, 0-d, computed without overflow.

    Bottoms: scores x and targets t from 0 to 1, N×…, of the same count.  `loss_param`: as in SoftmaxWithLoss, but the
    default is BATCH_SIZE, and a target is ignored if it equals `ignore_label` once its fraction is cut off (0.7 is
    ignored by `ignore_label: 0`).

    Source: `src/caffe/layers/sigmoid_cross_entropy_loss_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "target"
      input_param { shape { dim: 64 dim: 10 } }
    }
    layer {
      name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "score" bottom: "target" top: "loss"
      loss_param { normalization: BATCH_SIZE }
    }
    """

    activation = "Sigmoid"
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.ignore, self.mode = ignored(self.settings("loss_param")), normalization(self, BATCH_SIZE)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, targets = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        self.expect(
            math.prod(scores) == math.prod(targets),
            f"needs one target per score, got {math.prod(scores)} scores of shape {scores} and {math.prod(targets)} "
            f"targets of shape {targets}",
            "bottom[1]",
        )
        self.divisor = divisor(self, self.mode, scores[0], math.prod(scores[1:]), self.ignore)
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores, targets = bottoms[0], bottoms[1].detach().reshape(bottoms[0].shape)
        counted = None if self.ignore is None else (targets.trunc() != self.ignore).to(scores.dtype)
        total = torch.nn.functional.binary_cross_entropy_with_logits(scores, targets, counted, reduction="sum")
        return (total / ops.losses.divisor_of(counted, self.divisor),)
