"""Accuracy: the share of predictions that are right."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit.base import torch
from ..layerkit.losses import class_labels, ignored, split_at

if TYPE_CHECKING:
    from torch import Tensor


@layer("Accuracy")
class Accuracy(Layer):
    """Share of predictions whose true class is among the `top_k` highest scores (0-d, without a gradient).

    Bottoms: scores, N×C×… with the C classes on `axis` (1 unless set), and labels, N×…, one per prediction.  A score
    that ties with the true class's counts as better.  Labels equal to `ignore_label` are left out; with nothing left
    the result is 0.  A second top holds the accuracy of each class, C, 0 for a class that does not occur.

    Source: `src/caffe/layers/accuracy_layer.cpp`.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 64 dim: 10 } shape { dim: 64 } }
    }
    layer {
      name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy"
      accuracy_param { top_k: 5 }
    }
    """

    bottoms, tops = exactly(2), between(1, 2)
    ungraded = frozenset({0, 1})
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("accuracy_param")
        self.top_k, self.ignore = int(settings.top_k), ignored(settings)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, labels = bottoms
        self.index = self.axis(self.settings("accuracy_param").axis, len(scores), "accuracy_param.axis")
        split_at(self, scores, labels, self.index)
        self.classes = scores[self.index]
        self.require(
            self.top_k <= self.classes, "accuracy_param.top_k", f"must not exceed the number of classes, {self.classes}"
        )
        self.label_shape = scores[: self.index] + scores[self.index + 1 :]
        return [(), (self.classes,)][: len(self.param.top)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores = bottoms[0].detach()
        if self.ignore is None and len(self.param.top) == 1 and scores.device.type == "cpu":
            # Whether labels are classes shows when their scores are taken.
            with contextlib.suppress(RuntimeError):
                right = self._right(scores, bottoms[1].detach().long().reshape(self.label_shape))
                return (right.count_nonzero() / max(1, right.numel()),)
        labels = class_labels(self, bottoms[1], self.label_shape, self.classes, self.ignore)
        right = self._right(scores, labels.indices).to(torch.float32)
        counted = torch.ones_like(right) if labels.weights is None else labels.weights
        right = right * counted
        accuracy = right.sum() / counted.sum().clamp(min=1)
        if len(self.param.top) == 1:
            return (accuracy,)
        index, none = labels.indices.reshape(-1), torch.zeros(self.classes, device=right.device)
        hits = none.scatter_add(0, index, right.reshape(-1))
        return accuracy, hits / none.scatter_add(0, index, counted.reshape(-1)).clamp(min=1)

    def _right(self, scores: Tensor, indices: Tensor) -> Tensor:
        """Whether the true class is among the highest."""
        true = scores.gather(self.index, indices.unsqueeze(self.index))
        return (scores >= true).sum(self.index) <= self.top_k
