"""VoxelSoftmaxLoss: the loss of classification for every voxel of a clip."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import LayerError
from ..layerkit import Run, Shape, layer
from ..layerkit.losses import LossLayer

if TYPE_CHECKING:
    from torch import Tensor


@layer("VoxelSoftmaxLoss")
class VoxelSoftmaxLoss(LossLayer):
    """−Σ log p[label] over the number of voxels, 0-d; p is the softmax of the scores over axis 1.

    Bottoms: scores, N×C×L×H×W, and labels, N×1×L×H×W, whole numbers from 0 on.  A label of C or more adds nothing to
    the loss; but the voxel is counted, and its scores get the gradient p / voxels, as if all classes were wrong.  p is
    never taken smaller than FLT_MIN.

    In C3D v1.0, the only version that has it, it is `type: VOXEL_SOFTMAX_LOSS`.  (VOXEL_SOFTMAX is Softmax.)

    Source: `src/caffe/layers/voxel_wise_softmax_loss_layer.cpp` of facebook/C3D.
    """

    example = """
    layer {
      name: "in" type: "Input" top: "score" top: "label"
      input_param { shape { dim: 1 dim: 3 dim: 4 dim: 5 dim: 5 } shape { dim: 1 dim: 1 dim: 4 dim: 5 dim: 5 } }
    }
    layer { name: "loss" type: "VoxelSoftmaxLoss" bottom: "score" bottom: "label" top: "loss" }
    """

    fork: ClassVar[str] = "facebook/C3D"

    activation = "Softmax"

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, labels = bottoms
        tops = self.top_shapes(bottoms)
        several = f"needs scores of at least 2 axes, got {scores}"
        if not self.expect(len(scores) > 1, several, "bottom[0]"):
            self.raise_faults()
        voxels = scores[0] * math.prod(scores[2:])
        self.expect(
            math.prod(labels) == voxels,
            f"needs one label per voxel: {voxels}, got {math.prod(labels)} labels of shape {labels}",
            "bottom[1]",
        )
        return tops

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        scores, labels = bottoms[0], bottoms[1].detach().long()
        if labels.device.type == "cpu" and labels.numel() and int(labels.min()) < 0:
            raise LayerError(self.fault(f"a label must not be negative, got {int(labels.min())}", "bottom[1]"))
        return (ops.volumes.voxel_softmax_loss(scores, labels.reshape(scores.shape[0], *scores.shape[2:])),)
