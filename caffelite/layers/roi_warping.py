"""ROIWarping: regions brought to one size by interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Run, layer
from ..layerkit.regions import PooledRegions, regions

if TYPE_CHECKING:
    from torch import Tensor


@layer("ROIWarping")
class ROIWarping(PooledRegions):
    """Brings each region of a feature map to one size: N×C×H×W and R×5 → R×C×pooled_h×pooled_w.

    A region is (image, x1, y1, x2, y2), in pixels of the net's input image; its corners times `spatial_scale` are
    rounded (halves away from 0).  Row i of the top lies at y1 + i·(y2 − y1)/pooled_h on the map, columns alike, and is
    interpolated there between the four places around it; up to half a place outside the map the nearest place counts,
    and farther out the value is 0.

    The gradient reaches the map and, as if they were not rounded, the corners of the regions.  It is exact; the fork
    leaves out some of what reaches the map, and takes the region for one place larger in that of the corners.

    Source: Dai et al., "Instance-aware semantic segmentation via multi-task network cascades", CVPR 2016;
    `roi_warping_layer.cu` there.

    Raises:
        LayerError: a region is of no image of the batch.
    """

    fork = "daijifeng001/caffe-mnc"
    example = """
    layer {
      name: "in" type: "Input" top: "conv5" top: "rois"
      input_param { shape { dim: 1 dim: 8 dim: 14 dim: 14 } shape { dim: 20 dim: 5 } }
    }
    layer {
      name: "warp" type: "ROIWarping" bottom: "conv5" bottom: "rois" top: "warped"
      roi_warping_param { pooled_h: 7 pooled_w: 7 spatial_scale: 14 }  # corners from 0 to 1 of the image
    }
    """

    field = "roi_warping_param"

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, rois = bottoms
        regions(self, rois, len(x))
        return (ops.rois.warp(x, rois.reshape(-1, 5), self.scale, self.size),)
