"""SegAccuracy: how well an image's pixels are classified, by three measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..errors import Fault
from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch
from ..layerkit.losses import class_labels
from ..layerkit.pooling import image_of

if TYPE_CHECKING:
    from torch import Tensor


_LEFT_OUT = -(2**40)
"""What no label is."""


@layer("SegAccuracy")
class SegAccuracy(Layer):
    """Compares the class with the highest score at each pixel with the label: 1×1×1×3, without a gradient.

    The top holds the share of pixels that are right; the mean over the classes that occur of the share of their pixels
    that are right; and the mean over all classes of right pixels / (pixels that are or are said to be of the class), 1
    for a class that is neither.  Without pixels the first two are 0.

    Bottoms: scores, N×C×H×W for C classes, and labels, N×1×H×W.  Of equal scores the class with the larger number is
    the higher.  Pixels of any `ignore_label` are left out.  With `reset: false` all pixels since the net was made
    count.

    Source: `src/caffe/layers/seg_accuracy_layer.cpp`, `src/caffe/util/confusion_matrix.cpp` of hszhao/PSPNet.
    """

    fork: ClassVar[str] = "hszhao/PSPNet"
    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 2 dim: 21 dim: 8 dim: 8 } shape { dim: 2 dim: 1 dim: 8 dim: 8 } }
    }
    layer {
      name: "accuracy" type: "SegAccuracy" bottom: "score" bottom: "label" top: "accuracy"  # 1×1×1×3
      seg_accuracy_param { ignore_label: 255 }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = frozenset({0, 1})
    remembers = ("counted",)

    counted: Tensor | None = None
    """The pixels so far, by label (rows) and class (columns)."""

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("seg_accuracy_param")
        self.ignored, self.begins_anew = sorted(set(settings.ignore_label)), bool(settings.reset)

    def warnings(self) -> Sequence[Fault]:
        return self.without_effect("seg_accuracy_param.metric", "all three measures are given out")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        image = image_of(self, bottoms[0])
        self.classes, wanted = bottoms[0][1], (bottoms[0][0], 1, *image)
        self.expect(self.classes > 0, f"needs scores of one class at least, got shape {bottoms[0]}", "bottom[0]")
        self.expect(bottoms[1] == wanted, f"its labels must have shape {wanted}, got {bottoms[1]}", "bottom[1]")
        return [(1, 1, 1, 3)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores, shape = bottoms[0].detach(), (len(bottoms[0]), *bottoms[0].shape[2:])
        said = self.classes - 1 - scores.flip(1).argmax(1)
        given = bottoms[1].detach().long().reshape(shape)
        left_out = torch.isin(given, torch.tensor(self.ignored, device=given.device))
        labels = class_labels(self, torch.where(left_out, _LEFT_OUT, given), shape, self.classes, _LEFT_OUT)
        pairs = labels.indices * self.classes + said
        counts = torch.zeros(self.classes**2, dtype=torch.float64, device=scores.device)
        counts = counts.scatter_add(0, pairs.flatten(), (~left_out).flatten().to(torch.float64))
        if self.counted is not None and not self.begins_anew:
            counts = counts + self.counted.to(counts.device)
        self.counted = counts
        return (measures(counts.reshape(self.classes, self.classes)).to(scores.dtype).reshape(1, 1, 1, 3),)


def measures(counts: Tensor) -> Tensor:
    """The three measures of pixels counted by label (rows) and class."""
    right, labelled, said = counts.diagonal(), counts.sum(1), counts.sum(0)
    pixels, occur = counts.sum(), labelled > 0
    recalls = torch.where(occur, right / labelled.clamp(min=1), 0)
    unions = labelled + said - right
    overlaps = torch.where(unions > 0, right / unions.clamp(min=1), 1)
    return torch.stack([right.sum() / pixels.clamp(min=1), recalls.sum() / occur.sum().clamp(min=1), overlaps.mean()])
