"""CenterLoss of ydwen/caffe-face: features pulled towards the centre of their class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.losses import LossLayer, class_labels, expect_label_each
from ..layerkit.weights import filled

if TYPE_CHECKING:
    from torch import Tensor


@layer("CenterLoss", dialect="ydwen")
class CenterLossYdwen(LossLayer):
    """Σ |x − c|² / 2N over N samples, 0-d, c being the centre of the class of x; x is everything from `axis` on.

    Bottoms: features, N×…, and N labels.  Weight: the centres, num_output×K.  The features get the gradient
    (x − c)/N, times the loss weight; a centre gets Σ (c − x)/(1 + n) over the n samples of its class, whatever the loss
    weight: how fast centres move is told by their lr_mult.

    Source: `src/caffe/layers/center_loss_layer.cpp` of ydwen/caffe-face; Wen, Zhang, Li and Qiao, 2016.
    """

    fork: ClassVar[str] = "ydwen/caffe-face"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "label"
      input_param { shape { dim: 64 dim: 2 } shape { dim: 64 } }
    }
    layer {
      name: "loss" type: "CenterLoss" bottom: "x" bottom: "label" top: "loss" loss_weight: 0.008
      center_loss_param { num_output: 10 center_filler { type: "xavier" } }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings("center_loss_param"), bottoms[0]
        self.require(settings.num_output > 0, "center_loss_param.num_output", "must be positive")
        self.require(settings.distance_type == "L2", "center_loss_param.distance_type", 'must be "L2"')
        first = self.axis(settings.axis, len(shape), "center_loss_param.axis")
        self.require(first == 1, "center_loss_param.axis", "must be 1, as axis 0 counts the samples")
        self.raise_faults()
        self.classes = settings.num_output
        spec = filled(self, (self.classes, math.prod(shape[1:])), "center_loss_param.center_filler")
        self.weights = [replace(spec, name="centers")]

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, labels = bottoms
        tops = self.top_shapes(bottoms)
        self.raise_faults()
        values, needed = math.prod(x[1:]), self.weights[0].shape[1]
        self.expect(values == needed, f"the centres have {needed} values, a sample of {x} has {values}", "bottom[0]")
        expect_label_each(self, labels, x[0])
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0].flatten(1)
        indices, sound = class_labels(self, bottoms[1], (len(x),), self.classes, None)
        if sound is not None:
            x = x * sound.unsqueeze(1)
        return (ops.distances.center_loss(x, weights[0], indices),)
