"""MultiBoxLoss: the loss of SSD."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import layer
from ..layerkit.multibox import MultiBox

if TYPE_CHECKING:
    from torch import Tensor


@layer("MultiBoxLoss")
class MultiBoxLoss(MultiBox):
    """(loc_weight · Σ of matched locations + Σ of confidences) / normaliser, 0-d: SSD's loss.

    Bottoms: locations, N×4P (with `share_location: false` N×4PC: C of each prior box, side by side), confidences,
    N×PC, prior boxes, 1×2×4P (their variances are the second channel), and true boxes, 1×1×G×8: a row each of image,
    class, number in its class, xmin, ymin, xmax, ymax, difficult.  Image −1 is a row that says nothing.

    Each prior box predicts one true box of its image, or none (`match_type`).  Locations of matched boxes are compared
    with the true ones as `code_type` writes them; `loc_loss_type`: ½d² up to |d| = 1 and |d| − ½ beyond, or ½d².
    Confidences of matched boxes should be the true class, those of others the background: SOFTMAX, −log p, or
    LOGISTIC, a cross entropy for each class.  Of the others only the hardest count: MAX_NEGATIVE takes `neg_pos_ratio`
    for each match, none of an image without matches; HARD_EXAMPLE `sample_size` of matches and others together; NONE
    takes all of them.  `loss_param { normalization }`: VALID (default) divides by the matches, FULL by N·P, BATCH_SIZE
    by N, NONE by 1; never by less than 1.  `propagate_down: false` leaves out a summand, too.

    With `encode_variance_in_target` both locations are divided by the variances before they are compared, the gradient
    is not.  LOGISTIC without mining: the background is no class of its own.

    Unlike in the fork, LOGISTIC takes several images without mining (there the labels of all but the first go astray),
    and a `background_label_id` other than 0 (there that number is what all classes should be); `map_object_to_agnostic`
    takes labels of any size (there not with mining; without `share_location` only boxes of class 1 find a location);
    and of equal costs the first box counts as the harder (the fork leaves this open).

    Source: `src/caffe/layers/multibox_loss_layer.cpp`, `src/caffe/util/bbox_util.cpp` of the fork; Liu et al., 2016.

    Raises:
        LayerError: settings or shapes do not fit together, a true box is of no class or of the background, or
            variances are not positive.
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    example = """
    layer {
      name: "in" type: "Input" top: "loc" top: "conf" top: "prior" top: "label"
      input_param { shape { dim: 2 dim: 32 } shape { dim: 2 dim: 168 }
        shape { dim: 1 dim: 2 dim: 32 } shape { dim: 1 dim: 1 dim: 3 dim: 8 } }
    }
    layer {
      name: "mbox_loss" type: "MultiBoxLoss"
      bottom: "loc" bottom: "conf" bottom: "prior" bottom: "label" top: "mbox_loss"
      multibox_loss_param { num_classes: 21 code_type: CENTER_SIZE neg_pos_ratio: 3 }
    }
    """

    def cost(self, scores: Tensor, labels: Tensor) -> Tensor:
        return ops.losses.softmax_loss(scores, labels, None, 1, 1.0)
