"""SoftmaxWithLoss: the loss of classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, Shape, between, exactly, layer
from ..layerkit.losses import VALID, ClassLoss, divisor, ignored, normalization, split_at

if TYPE_CHECKING:
    from torch import Tensor


@layer("SoftmaxWithLoss")
class SoftmaxWithLoss(ClassLoss):
    """Multinomial logistic loss of the softmax: −Σ log p[label] / normaliser, 0-d.

    Bottoms: scores, N×C×… with the C classes on `softmax_param { axis }` (1 unless set), and labels, N×…, one per
    prediction, an integer from 0 to C − 1.  p is never taken smaller than FLT_MIN, so that one prediction costs at most
    87.3.

    `loss_param { normalization }`: VALID (default) divides by the number of labels that are not `ignore_label`, FULL by
    that of all labels, BATCH_SIZE by the samples, NONE by 1; never by less than 1.  The older `normalize` counts where
    `normalization` is not set: true is VALID, false BATCH_SIZE.  With `weight_by_label_freqs: true` a term counts
    `class_weighting`[label] times; where that is left out, the weights come from how often each label occurs in the
    training data.  Neither changes the normaliser.

    A second top holds the probabilities; no gradient comes back through it, and where `loss_weight` is given it is
    given twice.  (The original names this second top, but its setup refuses every net that has it.)

    Source: `src/caffe/layers/softmax_loss_layer.cpp`; class weights: the file of that name in SegNet's fork.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 64 dim: 10 } shape { dim: 64 } }
    }
    layer {
      name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
      loss_param { ignore_label: 255 }
    }
    """

    bottoms, tops = exactly(2), between(1, 2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.ignore, self.mode = ignored(self.settings("loss_param")), normalization(self, VALID)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        tops, scores = self.top_shapes(bottoms), bottoms[0]
        self.index = self.axis(self.settings("softmax_param").axis, len(scores), "softmax_param.axis")
        outer, inner = split_at(self, scores, bottoms[1], self.index)
        self.label_shape = scores[: self.index] + scores[self.index + 1 :]
        self.expect_classes(scores[self.index])
        self.divisor = divisor(self.mode, outer, inner, self.ignore)
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores = bottoms[0]
        indices, counted, by = self.weighed_labels(bottoms[1], self.label_shape, self.divisor)
        loss = ops.losses.softmax_loss(scores, indices, counted, self.index, by)
        return (loss,) if len(self.param.top) < 2 else (loss, scores.detach().softmax(self.index))
