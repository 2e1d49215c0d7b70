"""Proposal: regions that a region proposal network predicts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from .. import ops
from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit.base import torch
from ..layerkit.regions import as_array, expect_predictions

if TYPE_CHECKING:
    from torch import Tensor


@layer("Proposal")
class Proposal(Layer):
    """The regions of one image that a region proposal network predicts, best first: R×5, each (0, x1, y1, x2, y2).

    Bottoms: scores, 1×2A×H×W (the last A channels count, those of the A anchors' being objects); the boxes relative to
    the anchors, 1×4A×H×W; and (height, width, scale) of the input image, 1×3.  A second top holds the scores, R.

    A is the number of `ratio`s times that of `scale`s.  An anchor is a square of `base_size` given one ratio (height by
    width) at equal area, sides rounded, then scaled; at place (i, j) it is moved by (j, i)·`feat_stride`.  Predictions
    (dx, dy, dw, dh) move its centre by dx and dy of its sides and multiply these by exp(dw) and exp(dh).  The boxes are
    cut at the image; those narrower or lower than `min_size`·scale get a score of 0.  Of the `pre_nms_topn` best, each
    is left out that overlaps a better one by more than `nms_thresh` (intersection over union, corners counted as part
    of a box), and the first `post_nms_topn` come out.  R is known in each pass only.  Of equal scores, the place in the
    upper row counts as better.  Has no gradient.

    Source: Ren et al., "Faster R-CNN", NIPS 2015; `src/layers/proposal_layer.cpp` there.
    """

    fork = "sanghoon/caffe (PVANET); luoyetx/mini-caffe"
    example = """
    layer {
      name: "rpn" type: "DummyData" top: "prob" top: "deltas" top: "im_info"
      dummy_data_param {
        data_filler { type: "uniform" } data_filler { type: "gaussian" std: 0.1 } data_filler { value: 224 }
        shape { dim: 1 dim: 12 dim: 14 dim: 14 } shape { dim: 1 dim: 24 dim: 14 dim: 14 } shape { dim: 1 dim: 3 }
      }
    }
    layer {
      name: "proposal" type: "Proposal" bottom: "prob" bottom: "deltas" bottom: "im_info" top: "rois" top: "score"
      proposal_param { ratio: 0.5 ratio: 1 ratio: 2 scale: 2 scale: 4 min_size: 0 post_nms_topn: 50 }
    }
    """

    bottoms, tops = exactly(3), between(1, 2)
    ungraded = passed_over = frozenset(range(3))
    varies = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("proposal_param")
        for name in ("feat_stride", "base_size", "pre_nms_topn", "post_nms_topn"):
            self.require(getattr(settings, name) > 0, f"proposal_param.{name}", "must be positive")
        for name in ("ratio", "scale"):
            values = getattr(settings, name)
            self.expect(len(values) > 0, f"needs at least one {name}", "proposal_param", f"write {name}: 1")
            self.require(all(value > 0 for value in values), f"proposal_param.{name}", "must be positive")
        self.raise_faults()
        self.anchors = len(settings.ratio) * len(settings.scale)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        settings = self.settings("proposal_param")
        expect_predictions(self, bottoms, self.anchors)
        most = min(settings.post_nms_topn, settings.pre_nms_topn, self.anchors * bottoms[0][2] * bottoms[0][3])
        return [(most, 5), (most,)][: len(self.param.top)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        settings, boxes = self.settings("proposal_param"), ops.proposals
        scores, deltas, info = map(as_array, bottoms)
        height, width, scale = info.reshape(-1)[:3]
        anchors = boxes.anchors(settings.base_size, settings.ratio, settings.scale, ops.rois.rounded)
        found = boxes.moved(boxes.shifted(anchors, settings.feat_stride, *scores.shape[2:]), boxes.by_place(deltas, 4))
        found = boxes.clipped(found, height, width)
        best = boxes.by_place(scores[:, self.anchors :], 1)[:, 0] * boxes.large_enough(found, settings.min_size * scale)
        order = np.argsort(-best, kind="stable")[: settings.pre_nms_topn]
        kept = list(islice(boxes.suppressed(found[order], settings.nms_thresh), settings.post_nms_topn))
        order = order[kept]
        rois = np.concatenate([np.zeros((len(order), 1), found.dtype), found[order]], 1)
        tops = (torch.from_numpy(top).to(bottoms[0]) for top in (rois, best[order]))
        return tuple(tops)[: len(self.param.top)]
