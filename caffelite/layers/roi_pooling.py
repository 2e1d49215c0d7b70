"""ROIPooling: the maxima of regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.regions import PooledRegions, regions

if TYPE_CHECKING:
    from torch import Tensor


@layer("ROIPooling")
class ROIPooling(PooledRegions):
    """Cuts each region out of a feature map and pools it to one size: N×C×H×W and R×5 → R×C×pooled_h×pooled_w.

    A region is (image, x1, y1, x2, y2), in pixels of the net's input image; its corners times `spatial_scale`, rounded
    (halves away from 0), are the first and the last place of the region on the map, h rows and w columns of at least 1.
    Cell (i, j) covers the rows from ⌊i·h/pooled_h⌋ up to ⌈(i + 1)·h/pooled_h⌉ of the region, columns alike, as far as
    the map goes; cells may overlap.  The top is the maximum of each cell, and 0 for one that is off the map.

    The gradient goes to the first of equal maxima; the regions get none.  A NaN is the maximum of its cell.  (The fork
    gives no gradient for a region that ends before it begins, which counts as one row or column.)

    Source: Girshick, "Fast R-CNN", ICCV 2015, `roi_pooling_layer.cpp` there.

    Raises:
        LayerError: a region is of no image of the batch.
    """

    fork = "rbgirshick/caffe-fast-rcnn, branch faster-rcnn"
    example = """
    layer {
      name: "in" type: "Input" top: "conv5" top: "rois"
      input_param { shape { dim: 2 dim: 8 dim: 14 dim: 14 } shape { dim: 20 dim: 5 } }
    }
    layer {
      name: "pool5" type: "ROIPooling" bottom: "conv5" bottom: "rois" top: "pool5"
      roi_pooling_param { pooled_h: 7 pooled_w: 7 spatial_scale: 0.0625 }  # conv5 has a stride of 16
    }
    """

    field = "roi_pooling_param"
    ungraded = passed_over = frozenset({1})

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, rois = bottoms
        return (ops.rois.max_pool(x, regions(self, rois, len(x)), self.scale, self.size),)
