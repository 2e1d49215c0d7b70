"""EltwiseAccuracy: the share of pixels that are classified rightly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch
from ..layerkit.losses import class_labels
from ..layerkit.pooling import image_of

if TYPE_CHECKING:
    from torch import Tensor


@layer("EltwiseAccuracy")
class EltwiseAccuracy(Layer):
    """Share of pixels whose label is among the `top_k` classes with the highest scores (1×1×1×1, without a gradient).

    Bottoms: scores, N×C×H×W for C classes, and labels, N×1×H×W.  Of equal scores the class with the larger number is
    the higher.  Pixels of `ignore_label` are left out; with nothing left the result is 0/0.

    Source: `src/caffe/layers/eltwise_accuracy_layer.cpp` of HyeonwooNoh/caffe.  Unlike there, a label that is no class
    is an error.
    """

    fork: ClassVar[str] = "HyeonwooNoh/caffe"
    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 2 dim: 4 dim: 8 dim: 8 } shape { dim: 2 dim: 1 dim: 8 dim: 8 } }
    }
    layer {
      name: "accuracy" type: "EltwiseAccuracy" bottom: "score" bottom: "label" top: "accuracy"
      eltwise_accuracy_param { top_k: 2 ignore_label: 255 }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = frozenset({0, 1})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("eltwise_accuracy_param")
        self.top_k = int(settings.top_k)
        self.ignore = int(settings.ignore_label) if settings.HasField("ignore_label") else None
        self.require(self.top_k > 0, "eltwise_accuracy_param.top_k", "must be positive")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image = image_of(self, bottoms[0])
        self.classes = bottoms[0][1]
        wanted = (bottoms[0][0], 1, *image)
        self.expect(bottoms[1] == wanted, f"its labels must have shape {wanted}, got {bottoms[1]}", "bottom[1]")
        most = f"must not exceed the number of classes, {self.classes}"
        self.require(self.top_k <= self.classes, "eltwise_accuracy_param.top_k", most)
        return [(1, 1, 1, 1)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores, shape = bottoms[0].detach(), (len(bottoms[0]), *bottoms[0].shape[2:])
        labels = class_labels(self, bottoms[1], shape, self.classes, self.ignore)
        index = labels.indices.unsqueeze(1)
        true, numbers = scores.gather(1, index), torch.arange(self.classes, device=scores.device).reshape(-1, 1, 1)
        before = (scores > true) | ((scores == true) & (numbers > index))
        right = (before.sum(1) < self.top_k).to(torch.float32)
        counted = torch.ones_like(right) if labels.weights is None else labels.weights
        return (((right * counted).sum() / counted.sum()).reshape(1, 1, 1, 1),)
