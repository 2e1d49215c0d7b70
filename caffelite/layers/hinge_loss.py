"""HingeLoss: the loss of support vector machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.losses import SampleLoss
from ..proto import HingeLossParameter

if TYPE_CHECKING:
    from torch import Tensor


@layer("HingeLoss")
class HingeLoss(SampleLoss):
    """One-versus-all hinge loss: Σ max(0, 1 + s·x) / N, s being −1 for the true class and 1 for all others; 0-d.

    With `hinge_loss_param { norm: L2 }` the maxima are squared.  Bottoms: scores, N×C (all axes but the first count as
    one axis of classes), and labels, N.  Class weights (`loss_param { weight_by_label_freqs class_weighting }`)
    are those of SoftmaxWithLoss: a sample counts by that of its label.

    Source: `src/caffe/layers/hinge_loss_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 64 dim: 10 } shape { dim: 64 } }
    }
    layer {
      name: "loss" type: "HingeLoss" bottom: "score" bottom: "label" top: "loss"
      hinge_loss_param { norm: L2 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.squared = self.settings("hinge_loss_param").norm == HingeLossParameter.L2

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores = bottoms[0].flatten(1) if bottoms[0].dim() > 1 else bottoms[0].unsqueeze(1)
        indices, counted, _ = self.weighed_labels(bottoms[1], (self.samples,), self.samples)
        sign = torch.ones_like(scores).scatter_(1, indices.unsqueeze(1), -1.0)
        margins = torch.relu(1 + sign * scores)
        if self.squared:
            margins = margins.square()
        if counted is not None:
            margins = margins * counted.unsqueeze(1)
        return (margins.sum() / self.samples,)
