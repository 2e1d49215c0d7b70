"""SoftmaxWithLossOHEM: the loss of classification where the hardest regions are picked."""

from __future__ import annotations

from ..layerkit import layer
from ..layerkit.softmax_loss import SoftmaxLoss


@layer("SoftmaxWithLossOHEM")
class SoftmaxWithLossOHEM(SoftmaxLoss):
    """Multinomial logistic loss of the softmax, −Σ log p[label] / normaliser, 0-d, and what each label adds to it.

    Bottoms: scores, N×C×… with the C classes on `softmax_param { axis }` (1 unless set), and labels, N×…, one per
    prediction, an integer from 0 to C − 1.  p is never taken smaller than FLT_MIN.  A second top holds the
    probabilities; a third one, of the labels' shape, −log p[label], 0 where the label is ignored: what BoxAnnotatorOHEM
    picks the hardest regions by.  No gradient comes back through these two.

    `loss_param` is that of SoftmaxWithLoss.

    Source: Shrivastava et al., "Training region-based object detectors with online hard example mining", CVPR 2016;
    `softmax_loss_ohem_layer.cpp` there, whose CPU code does not set the third top of ignored labels and
    leaves other terms out of the sum where there are any; its GPU code does as here.
    """

    fork = "YuwenXiong/py-R-FCN (its Caffe; also intel/caffe)"
    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 64 dim: 21 } shape { dim: 64 } }
    }
    layer {
      name: "loss" type: "SoftmaxWithLossOHEM" bottom: "score" bottom: "label" top: "loss" top: "prob" top: "each"
      loss_weight: 1 loss_weight: 0 loss_weight: 0
    }
    layer { name: "unused" type: "Silence" bottom: "prob" bottom: "each" }
    """
