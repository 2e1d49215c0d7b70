"""SoftmaxWithLoss: the loss of classification."""

from __future__ import annotations

from collections.abc import Sequence

from ..layerkit import Shape, layer
from ..layerkit.softmax_loss import SoftmaxLoss


@layer("SoftmaxWithLoss")
class SoftmaxWithLoss(SoftmaxLoss):
    """Multinomial logistic loss of the softmax: −Σ log p[label] / normaliser, 0-d.

    Bottoms: scores, N×C×… with the C classes on `softmax_param { axis }` (1 unless set), and labels, N×…, one per
    prediction, an integer from 0 to C − 1.  p is never taken smaller than FLT_MIN, so that one prediction costs at most
    87.3.

    `loss_param { normalization }`: VALID (default) divides by the number of labels that are not `ignore_label`, FULL by
    that of all labels, BATCH_SIZE by the samples, PRE_FIXED by `pre_fixed_normalizer`, NONE by 1; never by less than 1.
    The older `normalize` counts where `normalization` is not set: true is VALID, false BATCH_SIZE.  With
    `weight_by_label_freqs: true` a term counts `class_weighting`[label] times; where that is left out, the weights come
    from how often each label occurs in the training data.  Neither changes the normaliser.

    A second top holds the probabilities; no gradient comes back through it, and where `loss_weight` is given it is
    given twice.  (The original names this second top, but its setup refuses every net that has it.)  A third one, of
    daijifeng001/caffe-rfcn, holds what each label adds to the sum, in the labels' shape; no gradient comes back there.

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

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        kind, field = self.settings("softmax_param").normalize_type, "softmax_param.normalize_type"
        help = "L2 and L1 are of happynear/caffe-windows, and are not built"
        self.require(kind == "Softmax", field, 'must be "Softmax"', help)
