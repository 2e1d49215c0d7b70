"""MultiBoxFocalLoss: the loss of SSD, in which what is nearly right already counts less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import Fault
from ..layerkit import Shape, layer
from ..layerkit.multibox import MultiBox
from ..proto import MultiBoxLossParameter

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "focal_loss_param"


@layer("MultiBoxFocalLoss")
class MultiBoxFocalLoss(MultiBox):
    """MultiBoxLoss in which the softmax of confidences costs alpha·(1 − p)^gamma·−log p for the p of the true class.

    Bottoms, matching and normalisation are MultiBoxLoss's.  Usually there is no mining (`mining_type: NONE`): gamma
    takes its place.  With `conf_loss_type: LOGISTIC` it is MultiBoxLoss.

    Source: `multibox_focal_loss_layer.cpp`, `focal_loss_layer.cpp` of jiachen0212/ssd-focal_loss_caffe; Lin, Goyal,
    Girshick, He and Dollár, 2017.
    """

    fork: ClassVar[str] = "jiachen0212/ssd-focal_loss_caffe"
    example = """
    layer {
      name: "in" type: "Input" top: "loc" top: "conf" top: "prior" top: "label" input_param {
        shape { dim: 2 dim: 32 } shape { dim: 2 dim: 168 } shape { dim: 1 dim: 2 dim: 32 }
        shape { dim: 1 dim: 1 dim: 3 dim: 8 } }
    }
    layer {
      name: "mbox_loss" type: "MultiBoxFocalLoss"
      bottom: "loc" bottom: "conf" bottom: "prior" bottom: "label" top: "mbox_loss"
      focal_loss_param { alpha: 0.25 gamma: 2 }
      multibox_loss_param { num_classes: 21 code_type: CENTER_SIZE mining_type: NONE }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        super().setup(bottoms)
        self.require(self.settings(_FIELD).gamma >= 0, f"{_FIELD}.gamma", "must not be negative")

    def warnings(self) -> list[Fault]:
        found = super().warnings()
        if self.settings("multibox_loss_param").conf_loss_type == MultiBoxLossParameter.LOGISTIC:
            for name in ("alpha", "gamma"):
                found += self.without_effect(f"{_FIELD}.{name}", "conf_loss_type: LOGISTIC has no softmax")
        return found

    def cost(self, scores: Tensor, labels: Tensor) -> Tensor:
        settings = self.settings(_FIELD)
        return ops.losses.focal_loss(scores, labels, 1, settings.alpha, settings.gamma)
