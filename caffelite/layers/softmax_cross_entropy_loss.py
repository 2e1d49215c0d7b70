"""SoftmaxCrossEntropyLoss: the loss of classification where a sample is partly of several classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, between, layer
from ..layerkit.losses import BATCH_SIZE, FULL, NONE, VALID, LossLayer, normalization

if TYPE_CHECKING:
    from torch import Tensor


@layer("SoftmaxCrossEntropyLoss")
class SoftmaxCrossEntropyLoss(LossLayer):
    """−Σ q·log p / normaliser, 0-d; p is the softmax of the scores along `softmax_param { axis }`, q the target.

    Bottoms: scores and targets of one shape, the shares of a prediction's classes adding up to 1.  The scores get
    (p − q)/normaliser as gradient, whatever these add up to.  `loss_param { normalization }`: VALID (default) and FULL
    divide by the number of predictions, BATCH_SIZE by the samples, NONE by 1.  p is never taken smaller than FLT_MIN.
    A second top holds p; no gradient comes back through it.

    Source: `src/caffe/layers/softmax_cross_entropy_loss_layer.cpp`, which several forks have; the loss of a net with
    Mixup in Wheatly2/Bag-of-Tricks-for-Image-Classification.
    """

    fork: ClassVar[str] = "several forks, Wheatly2/Bag-of-Tricks-for-Image-Classification among them"
    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "shares"
      input_param { shape { dim: 64 dim: 10 } }
    }
    layer { name: "loss" type: "SoftmaxCrossEntropyLoss" bottom: "score" bottom: "shares" top: "loss" }
    """

    activation = "Softmax"
    tops = between(1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.mode = normalization(self, VALID)
        known = self.mode in (VALID, FULL, BATCH_SIZE, NONE)
        self.require(known, "loss_param.normalization", "must be VALID, FULL, BATCH_SIZE or NONE")
        left_out = self.settings("loss_param").HasField("ignore_label")
        why = "ignore_label leaves nothing out: targets are shares of classes, not labels"
        self.expect(not left_out, why, "loss_param.ignore_label", "leave it out")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, targets = bottoms
        self.expect(scores == targets, f"its bottoms must have one shape, got {scores} and {targets}", "bottom[1]")
        self.index = self.axis(self.settings("softmax_param").axis, len(scores), "softmax_param.axis")
        predictions = math.prod(scores[: self.index] + scores[self.index + 1 :])
        samples = predictions if self.mode in (VALID, FULL) else scores[0] if self.index else 1
        self.divisor = float(max(1, 1 if self.mode == NONE else samples))
        return [(), scores][: max(1, len(self.param.top))]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores, targets = bottoms
        loss = ops.losses.soft_target_loss(scores, targets.detach(), self.index, self.divisor)
        return loss if len(self.param.top) > 1 else loss[:1]
