"""CenterLoss of hsmyy: features pulled towards the centre of their class, which moves by a rule of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.losses import LossLayer, class_labels, expect_label_each

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "center_loss_param"


@layer("CenterLoss", dialect="hsmyy")
class CenterLossHsmyy(LossLayer):
    """w·Σ |x − c|² / 2N over N samples, 0-d, c being the centre of the class of x, and w the `loss_weight` among these
    settings.

    Bottoms: features, N×K (or N×K×1×1), and N labels.  No weights: the `cluster_num` centres begin as zeros, belong to
    the layer, and are in no weight file.  Each forward, in TRAIN and in TEST, moves a centre by alpha·w·Σ (x − c)/(1 +
    n) over the n samples of its class, after the loss was taken.  The features get w·(x − c), which is not divided by
    N, times the layer's own loss_weight (there, without that).

    Source: `center_loss_layer.cpp` of hsmyy/CenterLoss_Caffe_Mnist.

    Raises:
        LayerError: settings or shapes do not fit together; in `forward`, where a label is no class.
    """

    fork: ClassVar[str] = "hsmyy/CenterLoss_Caffe_Mnist"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "label"
      input_param { shape { dim: 64 dim: 2 } shape { dim: 64 } }
    }
    layer {
      name: "loss" type: "CenterLoss" bottom: "x" bottom: "label" top: "loss"
      center_loss_param { loss_weight: 0.003 alpha: 0.5 cluster_num: 10 }
    }
    """

    remembers = ("centers",)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.centers: Tensor | None = None
        self.require(self.settings(_FIELD).cluster_num > 0, f"{_FIELD}.cluster_num", "must be positive")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, labels = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        flat = len(x) >= 2 and math.prod(x[2:]) == 1
        self.expect(flat, f"needs features of N×K, got {x}", "bottom[0]")
        expect_label_each(self, labels, x[0])
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        settings, x = self.settings(_FIELD), bottoms[0].flatten(1)
        classes, weight = int(settings.cluster_num), float(settings.loss_weight)
        indices, sound = class_labels(self, bottoms[1], (len(x),), classes, None)
        if sound is not None:
            x = x * sound.unsqueeze(1)
        centers = x.new_zeros(classes, x.shape[1]) if self.centers is None else self.centers.to(x)
        apart = x - centers[indices]
        pull = torch.zeros_like(centers).index_add_(0, indices, apart.detach())
        counts = torch.bincount(indices, minlength=classes).to(x) + 1
        self.centers = centers + pull * (settings.alpha * weight) / counts.unsqueeze(1)
        loss = apart.square().sum() * weight / (2 * len(x))
        return (ops.elementwise.scaled_gradient(loss, len(x)),)
