"""Python's ProposalLayer: regions that a region proposal network predicts, as py-faster-rcnn computes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from .. import ops
from ..layerkit import Run, Shape, between, layer
from ..layerkit.base import torch
from ..layerkit.param_str import Settings
from ..layerkit.regions import as_array, expect_predictions
from ..layerkit.stand_in import StandIn
from ..proto import TRAIN

if TYPE_CHECKING:
    from torch import Tensor


@layer("Python", dialect="ProposalLayer")
class ProposalLayer(StandIn):
    """`rpn.proposal_layer.ProposalLayer`: the regions of one image that a region proposal network predicts, best first,
    R×5, each (0, x1, y1, x2, y2).  It takes that class's place where its code may not run or is not there.

    Bottoms: scores, 1×2A×H×W (the last A channels count, those of the A anchors' being objects); the boxes relative to
    the anchors, 1×4A×H×W; and (height, width, scale) of the input image, 1×3.  A second top holds the scores, R×1.

    Keys of `param_str`: feat_stride, pixels between places; scales (8, 16, 32) and ratios (0.5, 1, 2: height by width),
    to which a square of 16 is brought about its centre, make the anchors.  As in the type Proposal predictions move
    anchors, and boxes are cut at the image; those narrower or lower than RPN_MIN_SIZE·scale (16) are left out.  Of the
    RPN_PRE_NMS_TOP_N best (12000 in TRAIN, 6000 in TEST; −1: all) each is left out that overlaps a better one by more
    than RPN_NMS_THRESH (0.7), and the first RPN_POST_NMS_TOP_N (2000, 300; −1: all) come out: R is known in each pass
    only.  RPN_NORMALIZE_TARGETS (False; of py-R-FCN) multiplies predictions in TRAIN by (0.1, 0.1, 0.2, 0.2).  Names in
    capitals are of the project's configuration; in `param_str` only caffelite reads them.  Has no gradient.

    Source: Ren et al., "Faster R-CNN", NIPS 2015; `lib/rpn/proposal_layer.py` there.
    """

    fork: ClassVar[str] = "rbgirshick/py-faster-rcnn"
    example = """
    layer {
      name: "rpn" type: "DummyData" top: "prob" top: "deltas" top: "im_info"
      dummy_data_param {
        data_filler { type: "uniform" } data_filler { type: "gaussian" std: 0.1 } data_filler { value: 224 }
        shape { dim: 1 dim: 18 dim: 14 dim: 14 } shape { dim: 1 dim: 36 dim: 14 dim: 14 } shape { dim: 1 dim: 3 }
      }
    }
    layer {
      name: "proposal" type: "Python" bottom: "prob" bottom: "deltas" bottom: "im_info" top: "rois" python_param {
        module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "{'feat_stride': 16, 'RPN_MIN_SIZE': 0}" }
    }
    """

    bottoms, tops = between(3, 4), between(1, 2)
    ungraded = passed_over = frozenset(range(4))
    varies = True

    def read(self, keys: Settings) -> None:
        training = self.phase == TRAIN
        self.stride = keys.whole("feat_stride")
        self.scales, self.ratios = keys.numbers("scales", (8, 16, 32)), keys.numbers("ratios", (0.5, 1, 2))
        self.before = keys.whole("RPN_PRE_NMS_TOP_N", 12000 if training else 6000, -1)
        self.after = keys.whole("RPN_POST_NMS_TOP_N", 2000 if training else 300, -1)
        self.threshold = keys.number("RPN_NMS_THRESH", 0.7, "must be from 0 on", lambda value: value >= 0)
        self.least = keys.number("RPN_MIN_SIZE", 16, "must be from 0 on", lambda value: value >= 0)
        self.scaled = keys.flag("RPN_NORMALIZE_TARGETS", False) and training

    @property
    def anchors(self) -> int:
        """How many there are at each place."""
        return len(self.scales) * len(self.ratios)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        expect_predictions(self, bottoms, self.anchors)
        limits = (self.before, self.after, self.anchors * bottoms[0][2] * bottoms[0][3])
        most = min(limit for limit in limits if limit > 0)
        return [(most, 5), (most, 1)][: len(self.param.top)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        boxes = ops.proposals
        scores, deltas, info = map(as_array, bottoms[:3])
        height, width, scale = info.reshape(-1)[:3]
        deltas = boxes.by_place(deltas, 4)
        if self.scaled:
            deltas = deltas * np.array(boxes.DEVIATIONS, deltas.dtype)
        anchors = boxes.shifted(boxes.anchors(16, self.ratios, self.scales), self.stride, *scores.shape[2:])
        found = boxes.clipped(boxes.moved(anchors, deltas), height, width)
        large = boxes.large_enough(found, self.least * scale)
        found, best = found[large], boxes.by_place(scores[:, self.anchors :], 1)[large, 0]
        order = boxes.descending(best)[: self.before if self.before > 0 else None]
        order = order[boxes.descending(best[order])]  # non-maximum suppression sorts once more, which turns equal ones
        kept = list(islice(boxes.suppressed(found[order], self.threshold), self.after if self.after > 0 else None))
        order = order[kept]
        rois = np.concatenate([np.zeros((len(order), 1), found.dtype), found[order]], 1)
        tops = (torch.from_numpy(top).to(bottoms[0]) for top in (rois, best[order, None]))
        return tuple(tops)[: len(self.param.top)]
