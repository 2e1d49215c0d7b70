"""MultinomialLogisticLoss: the loss of classification, for probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.losses import ClassLoss, class_labels

if TYPE_CHECKING:
    from torch import Tensor


@layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(ClassLoss):
    """−Σ log p[label] / N over N samples, 0-d, p never being taken smaller than 1e-20.

    Bottoms: probabilities, N×C (all axes but the first count as one axis of classes), and labels, N.  SoftmaxWithLoss
    is the more exact way from scores.  Class weights (`loss_param { weight_by_label_freqs class_weighting }`) are those
    of SoftmaxWithLoss: a sample counts by that of its label; the rest of loss_param has no effect.

    Source: `src/caffe/layers/multinomial_logistic_loss_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "prob" top: "label"
      input_param { shape { dim: 64 dim: 10 } shape { dim: 64 } }
    }
    layer { name: "loss" type: "MultinomialLogisticLoss" bottom: "prob" bottom: "label" top: "loss" }
    """

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        prob, labels = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        self.expect(
            math.prod(labels) == prob[0],
            f"needs one label per sample: {prob[0]}, got {math.prod(labels)} labels of shape {labels}",
            "bottom[1]",
        )
        self.samples = prob[0]
        self.expect_classes(math.prod(prob[1:]))
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        prob = bottoms[0].reshape(self.samples, self.classes)
        indices, counted = class_labels(self, bottoms[1], (self.samples,), self.classes, None)
        if self.weighted:
            counted, _ = self.weigh(indices, counted, self.samples)
        return (ops.losses.multinomial_logistic_loss(prob, indices, counted),)
