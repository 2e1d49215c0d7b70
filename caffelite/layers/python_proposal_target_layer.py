"""Python's ProposalTargetLayer: what a detector should say of regions, as py-faster-rcnn computes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..errors import LayerError
from ..layerkit import Run, Shape, exactly, layer
from ..layerkit.base import torch
from ..layerkit.param_str import Settings
from ..layerkit.regions import expect_regions, expect_truth, ground_truth, regions
from ..layerkit.stand_in import StandIn

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


@layer("Python", dialect="ProposalTargetLayer")
class ProposalTargetLayer(StandIn):
    """`rpn.proposal_target_layer.ProposalTargetLayer`: picks regions of one image to learn from, with their classes and
    the targets of their boxes.  It takes that class's place where its code may not run or is not there.

    Bottoms: regions, R×5, each (0, x1, y1, x2, y2), and the boxes of the ground truth, G×5, each (x1, y1, x2, y2,
    class).  Tops: S of the R + G boxes, S×5; their classes, S; targets of their boxes, S×4K for K classes, in the 4
    columns of the class; inside weights, BBOX_INSIDE_WEIGHTS (1, 1, 1, 1) there and 0 elsewhere; outside weights, 1
    there and 0 elsewhere.  All are S×…×1×1, as of py-R-FCN, whose other layers need that; of py-faster-rcnn they lack
    these axes.  S is known in each pass only.

    Keys of `param_str`: num_classes, K, the background (class 0) among them; with 2, all objects share the columns of
    class 1, as with AGNOSTIC in py-R-FCN.  BATCH_SIZE (128; −1: all) boxes are picked by chance: of those that overlap
    the ground truth by FG_THRESH (0.5) or more at most FG_FRACTION (0.25) of them, with the class of the box that they
    overlap most; and as background others that overlap it by BG_THRESH_LO (0) or more and less than BG_THRESH_HI (0.5).
    With BBOX_NORMALIZE_TARGETS_PRECOMPUTED (True) targets are divided by BBOX_NORMALIZE_STDS (0.1, 0.1, 0.2, 0.2).
    These are the values of the project's `experiments/cfgs/faster_rcnn_end2end.yml`; in `param_str` only caffelite
    reads them.  The draws depend on (seed, layer, position).  Has no gradient.

    Source: Ren et al., "Faster R-CNN", NIPS 2015; `lib/rpn/proposal_target_layer.py` there.

    Raises:
        LayerError: a box has a class that is none of the K.
    """

    fork: ClassVar[str] = "rbgirshick/py-faster-rcnn"
    example = """
    layer {
      name: "in" type: "DummyData" top: "proposals" top: "gt_boxes" dummy_data_param {
        data_filler { value: 0 } data_filler { value: 1 } shape { dim: 3 dim: 5 } shape { dim: 1 dim: 5 } }
    }
    layer {
      name: "picked" type: "Python" bottom: "proposals" bottom: "gt_boxes"
      top: "rois" top: "labels" top: "targets" top: "inside" top: "outside"
      python_param { module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer"
        param_str: "{'num_classes': 21, 'BATCH_SIZE': 16, 'FG_THRESH': 0}" }
    }
    """

    bottoms, tops = exactly(2), exactly(5)
    ungraded = passed_over = frozenset(range(2))
    varies = True

    def read(self, keys: Settings) -> None:
        self.classes = keys.whole("num_classes", None, 2)
        self.batch, self.fraction = keys.whole("BATCH_SIZE", 128, -1), keys.share("FG_FRACTION", 0.25)
        self.object = keys.share("FG_THRESH", 0.5)
        self.background = keys.share("BG_THRESH_LO", 0), keys.share("BG_THRESH_HI", 0.5)
        self.inside = keys.numbers("BBOX_INSIDE_WEIGHTS", (1, 1, 1, 1), 4)
        deviations = keys.numbers("BBOX_NORMALIZE_STDS", (0.1, 0.1, 0.2, 0.2), 4)
        self.deviations = deviations if keys.flag("BBOX_NORMALIZE_TARGETS_PRECOMPUTED", True) else [1.0] * 4

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        rois, truth = bottoms
        expect_regions(self, rois, 0)
        expect_truth(self, truth, 1)
        self.raise_faults()
        most = rois[0] + truth[0] if self.batch < 0 else min(self.batch, rois[0] + truth[0])
        return [(most, columns, 1, 1) for columns in (5, 1, *[4 * self.classes] * 3)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        rois, truth = regions(self, bottoms[0], 1, 0), ground_truth(self, bottoms[1], 1)
        self.check_classes(truth)
        rois = np.concatenate([rois, np.pad(truth[:, :4], ((0, 0), (1, 0)))])
        overlaps = ops.proposals.overlaps(rois[:, 1:].astype(float), truth[:, :4].astype(float))
        nearest, most = overlaps.argmax(1), overlaps.max(1)
        objects, others = self.picked(most, run)
        chosen = np.concatenate([objects, others])
        labels = truth[nearest[chosen], 4]
        labels[len(objects) :] = 0
        wanted = ops.proposals.targets(rois[chosen, 1:], truth[nearest[chosen], :4]) / self.deviations
        targets, inside = self.expanded(labels, wanted)
        tops = (rois[chosen], labels[:, None], targets, inside, inside > 0)
        return [torch.from_numpy(np.ascontiguousarray(top)[..., None, None]).to(bottoms[0]) for top in tops]

    def check_classes(self, truth: Array) -> None:
        """Raise unless every box of the ground truth is of one of the classes."""
        strange = truth[:, 4][(truth[:, 4] < 0) | (truth[:, 4] >= self.classes)]
        if strange.size and not (self.classes == 2 and strange.min() >= 0):
            told = f"a box of the ground truth must have a class from 0 to {self.classes - 1}, got {strange[0]:g}"
            raise LayerError(self.fault(told, "bottom[1]"))

    def picked(self, most: Array, run: Run) -> tuple[Array, Array]:
        """The numbers of the boxes to learn from, objects and others, of all those with these largest overlaps."""
        objects = np.flatnonzero(most >= self.object)
        others = np.flatnonzero((most < self.background[1]) & (most >= self.background[0]))
        batch = math.inf if self.batch < 0 else self.batch
        wanted = batch if math.isinf(batch) else float(np.round(self.fraction * batch))
        count = int(min(wanted, len(objects)))
        objects = run.numpy_generator(self.name, "objects").choice(objects, count, replace=False)
        rest = int(min(batch - count, len(others)))
        return objects, run.numpy_generator(self.name, "others").choice(others, rest, replace=False)

    def expanded(self, labels: Array, wanted: Array) -> tuple[Array, Array]:
        """Targets and inside weights of boxes of these classes, in the columns of the class."""
        targets, inside = (np.zeros((len(labels), self.classes, 4)) for _ in range(2))
        objects = np.flatnonzero(labels > 0)
        columns = np.minimum(labels[objects].astype(int), self.classes - 1)
        targets[objects, columns], inside[objects, columns] = wanted[objects], self.inside
        return targets.reshape(len(labels), -1), inside.reshape(len(labels), -1)
