"""SmoothL1LossOHEM: the loss of predicted bounding boxes where the hardest regions are picked."""

from __future__ import annotations

from ..layerkit import between, layer
from ..layerkit.losses import VALID
from ..layerkit.smooth_l1 import SmoothL1


@layer("SmoothL1LossOHEM")
class SmoothL1LossOHEM(SmoothL1):
    """Σ s(w·(a − b)) / normaliser of predictions a and targets b, 0-d; s(d) is d²/2 where |d| < 1, and |d| − 1/2
    elsewhere.

    Bottoms: a and b, and if wanted the weights w (0 where a target does not count); all N×C×H×W, or N×C.  a and b get a
    gradient, w none.  A second top holds the loss of each region, the sum over its channels, N×1×H×W, without a
    gradient: what BoxAnnotatorOHEM picks the hardest regions by.

    `loss_param { normalization }`: VALID (default) and FULL divide by N·H·W, BATCH_SIZE by N, PRE_FIXED by
    `pre_fixed_normalizer`, NONE by 1; never by less than 1.

    The fork's gradient leaves out the factor w, which makes no difference where w is 0 or 1; here it is in.

    Source: Shrivastava et al., "Training region-based object detectors with online hard example mining", CVPR 2016;
    `smooth_L1_loss_ohem_layer.cpp` there.
    """

    fork = "YuwenXiong/py-R-FCN (its Caffe; also intel/caffe)"
    example = """
    layer {
      name: "in" type: "Input" top: "boxes" top: "targets" top: "weights"
      input_param { shape { dim: 16 dim: 8 } }
    }
    layer {
      name: "loss" type: "SmoothL1LossOHEM" bottom: "boxes" bottom: "targets" bottom: "weights" top: "loss"
      loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 128 }
    }
    """

    bottoms = between(2, 3)
    unless_told = VALID
