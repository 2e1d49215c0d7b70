"""SmoothL1Loss: the loss of predicted bounding boxes."""

from __future__ import annotations

from collections.abc import Sequence

from ..layerkit import Shape, between, layer
from ..layerkit.losses import BATCH_SIZE
from ..layerkit.smooth_l1 import SmoothL1


@layer("SmoothL1Loss")
class SmoothL1Loss(SmoothL1):
    """Σ w′·s(w·(a − b)) / N of predictions a and targets b, 0-d; s(d) is σ²·d²/2 where |d| < 1/σ², with the `sigma` of
    `smooth_l1_loss_param`, and |d| − 1/(2σ²) elsewhere.

    Bottoms: a and b, and if wanted the weights w (0 where a target does not count) and w′; all N×C×H×W, or N×C.  a and
    b get a gradient, the weights none.  A second top holds the sum over the channels of each place, N×1×H×W, without a
    gradient.

    The divisor is N, the samples, whatever H and W are, unless `loss_param { normalization }` says otherwise: FULL and
    VALID divide by N·H·W, BATCH_SIZE by N, PRE_FIXED by `pre_fixed_normalizer`, NONE by 1; never by less than 1.

    Source: Girshick, "Fast R-CNN", ICCV 2015, and Ren et al., "Faster R-CNN", NIPS 2015; `smooth_L1_loss_layer.cu`
    there.  What `loss_param` says, and the second top: the file of that name in daijifeng001/caffe-rfcn.
    """

    fork = "rbgirshick/caffe-fast-rcnn, branch faster-rcnn"
    example = """
    layer {
      name: "in" type: "Input" top: "boxes" top: "targets" top: "weights"
      input_param { shape { dim: 16 dim: 84 } }
    }
    layer {
      name: "loss" type: "SmoothL1Loss" bottom: "boxes" bottom: "targets" bottom: "weights" bottom: "weights"
      top: "loss" smooth_l1_loss_param { sigma: 3 }
    }
    """

    bottoms = between(2, 4)
    unless_told = BATCH_SIZE

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.sigma = float(self.settings("smooth_l1_loss_param").sigma)
        self.require(self.sigma != 0, "smooth_l1_loss_param.sigma", "must not be 0")
