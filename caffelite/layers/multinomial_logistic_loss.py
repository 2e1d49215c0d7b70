"""MultinomialLogisticLoss: the loss of classification, for probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.losses import SampleLoss

if TYPE_CHECKING:
    from torch import Tensor


@layer("MultinomialLogisticLoss")
class MultinomialLogisticLoss(SampleLoss):
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

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        prob = bottoms[0].reshape(self.samples, self.classes)
        indices, counted, _ = self.weighed_labels(bottoms[1], (self.samples,), self.samples)
        return (ops.losses.multinomial_logistic_loss(prob, indices, counted),)
