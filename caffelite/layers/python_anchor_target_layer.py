"""Python's AnchorTargetLayer: what a region proposal network should predict, as py-faster-rcnn computes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..layerkit import Run, Shape, between, exactly, layer
from ..layerkit.base import torch
from ..layerkit.param_str import Settings
from ..layerkit.regions import as_array, expect_info, expect_truth, ground_truth
from ..layerkit.stand_in import StandIn

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


@layer("Python", dialect="AnchorTargetLayer")
class AnchorTargetLayer(StandIn):
    """`rpn.anchor_target_layer.AnchorTargetLayer`: labels of anchors and targets of their boxes, for the losses of a
    region proposal network.  It takes that class's place where its code may not run or is not there.

    Bottoms: a map whose height and width count, 1×…×H×W; the boxes of the ground truth, G×5, each (x1, y1, x2, y2,
    class); (height, width, scale) of the input image, 1×3; a fourth is not read.  Tops, for A anchors: labels,
    1×1×(A·H)×W: 1 an object, 0 none, −1 not counted; targets of the boxes, 1×4A×H×W; their inside weights, which are
    RPN_BBOX_INSIDE_WEIGHTS (1, 1, 1, 1) for objects, else 0; and their outside weights, 1 by the number of labels that
    count.  The last two are what SmoothL1Loss calls w and w′.

    Keys of `param_str`: feat_stride, scales (8, 16, 32), ratios (0.5, 1, 2) as in ProposalLayer; allowed_border (0),
    pixels by which anchors may stick out of the image: others do not count.  An anchor is an object if it overlaps a
    box of the ground truth by RPN_POSITIVE_OVERLAP (0.7) or more, or if none overlaps that box by more; none if all
    overlaps are below RPN_NEGATIVE_OVERLAP (0.3), which is told of both sorts with RPN_CLOBBER_POSITIVES (False).  Of
    objects no more than RPN_FG_FRACTION (0.5) of RPN_BATCHSIZE (256) are kept, by chance, and the rest of that number
    of others.  RPN_POSITIVE_WEIGHT (−1) from 0 to 1 is what objects count for together, in the outside weights.
    RPN_NORMALIZE_TARGETS (False; of py-R-FCN) divides targets by (0.1, 0.1, 0.2, 0.2).  Names in capitals are of the
    project's configuration; in `param_str` only caffelite reads them.  The draws depend on (seed, layer, position).
    Has no gradient.

    Source: Ren et al., "Faster R-CNN", NIPS 2015; `lib/rpn/anchor_target_layer.py` there.
    """

    fork: ClassVar[str] = "rbgirshick/py-faster-rcnn"
    example = """
    layer {
      name: "in" type: "DummyData" top: "score" top: "gt_boxes" top: "im_info" dummy_data_param {
        data_filler { value: 0 } data_filler { value: 20 } data_filler { value: 224 }
        shape { dim: 1 dim: 12 dim: 14 dim: 14 } shape { dim: 1 dim: 5 } shape { dim: 1 dim: 3 } }
    }
    layer {
      name: "targets" type: "Python" bottom: "score" bottom: "gt_boxes" bottom: "im_info"
      top: "labels" top: "targets" top: "inside" top: "outside"
      python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
        param_str: "{'feat_stride': 16, 'scales': [1, 2]}" }
    }
    """

    bottoms, tops = between(3, 4), exactly(4)
    ungraded = passed_over = frozenset(range(4))

    def read(self, keys: Settings) -> None:
        self.stride = keys.whole("feat_stride")
        self.scales, self.ratios = keys.numbers("scales", (8, 16, 32)), keys.numbers("ratios", (0.5, 1, 2))
        self.border = keys.number("allowed_border", 0)
        self.positive, self.negative = keys.share("RPN_POSITIVE_OVERLAP", 0.7), keys.share("RPN_NEGATIVE_OVERLAP", 0.3)
        self.clobber = keys.flag("RPN_CLOBBER_POSITIVES", False)
        self.batch, self.fraction = keys.whole("RPN_BATCHSIZE", 256), keys.share("RPN_FG_FRACTION", 0.5)
        self.inside = keys.numbers("RPN_BBOX_INSIDE_WEIGHTS", (1, 1, 1, 1), 4)
        rule = "must be above 0 and below 1, or -1"
        self.weight = keys.number("RPN_POSITIVE_WEIGHT", -1, rule, lambda value: value == -1 or 0 < value < 1)
        self.scaled = keys.flag("RPN_NORMALIZE_TARGETS", False)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, truth, info = bottoms[:3]
        told = f"needs a map of one image, 1×C×H×W, got shape {scores}"
        self.expect(len(scores) == 4 and scores[0] == 1 and 0 not in scores, told, "bottom[0]")
        expect_truth(self, truth, 1)
        expect_info(self, info, 2)
        self.raise_faults()
        anchors, place = len(self.scales) * len(self.ratios), scores[2:]
        return [(1, 1, anchors * place[0], place[1]), *[(1, 4 * anchors, *place)] * 3]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        height, width = bottoms[0].shape[2:]
        truth, (high, wide) = ground_truth(self, bottoms[1], 1), as_array(bottoms[2]).reshape(-1)[:2]
        each = ops.proposals.anchors(16, self.ratios, self.scales)
        anchors = ops.proposals.shifted(each, self.stride, height, width)
        on_image = (anchors[:, :2] >= -self.border).all(1) & (
            anchors[:, 2:] < np.array([wide, high]) + self.border
        ).all(1)
        anchors, labels = anchors[on_image], np.full(len(anchors), -1.0)
        overlaps = ops.proposals.overlaps(anchors, truth[:, :4].astype(float))
        labels[on_image] = self.thinned(self.labelled(overlaps), run)
        targets, inside, outside = (np.zeros((len(labels), 4)) for _ in range(3))
        targets[on_image] = ops.proposals.targets(anchors, truth[overlaps.argmax(1), :4])
        if self.scaled:
            targets /= ops.proposals.DEVIATIONS
        inside[labels == 1] = self.inside
        for label, weight in zip((1, 0), self.weighted(labels), strict=True):
            outside[labels == label] = weight
        first, *maps = (
            array.reshape(1, height, width, -1).transpose(0, 3, 1, 2) for array in (labels, targets, inside, outside)
        )
        tops = (first.reshape(1, 1, -1, width), *maps)
        return [torch.from_numpy(np.ascontiguousarray(top)).to(bottoms[0]) for top in tops]

    def labelled(self, overlaps: Array) -> Array:
        """The labels of anchors with these overlaps, anchors×boxes of the ground truth."""
        labels = np.full(len(overlaps), -1.0)
        if not len(overlaps):
            return labels
        most, none = overlaps.max(1), 0
        if not self.clobber:
            labels[most < self.negative] = none
        labels[(overlaps == overlaps.max(0)).any(1)] = 1
        labels[most >= self.positive] = 1
        if self.clobber:
            labels[most < self.negative] = none
        return labels

    def thinned(self, labels: Array, run: Run) -> Array:
        """The labels, of which some no longer count: no more are left than wanted."""
        left = int(self.fraction * self.batch)
        for label in (1, 0):
            having = np.flatnonzero(labels == label)
            chance = run.numpy_generator(self.name, f"label {label}")
            labels[chance.choice(having, max(0, len(having) - left), replace=False)] = -1
            left = self.batch - int((labels == 1).sum())
        return labels

    def weighted(self, labels: Array) -> tuple[float, float]:
        """The outside weights of objects and of others."""
        objects, others = int((labels == 1).sum()), int((labels == 0).sum())
        if self.weight < 0:
            each = 1 / max(1, objects + others)
            return each, each
        return self.weight / max(1, objects), (1 - self.weight) / max(1, others)
