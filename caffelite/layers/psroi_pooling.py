"""PSROIPooling: position-sensitive means of regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.regions import expect_images, expect_regions, regions

if TYPE_CHECKING:
    from torch import Tensor


@layer("PSROIPooling")
class PSROIPooling(Layer):
    """Pools regions, each cell from channels of its own: N×(D·G²)×H×W and R×5 → R×D×G×G, with D `output_dim` and G
    `group_size`.

    A region is (image, x1, y1, x2, y2), in pixels of the net's input image.  On the map it reaches from
    y1·`spatial_scale` to (y2 + 1)·`spatial_scale`, y1 and y2 rounded (halves away from 0), and is at least 0.1 high; it
    is cut into G×G cells, whose edges are moved outwards to whole places, as far as the map goes.  Top (d, i, j) is the
    mean of the bottom's channel (d·G + i)·G + j over cell (i, j), and 0 for a cell that is off the map.  The regions
    get no gradient.

    Source: Dai et al., "R-FCN", NIPS 2016, `psroi_pooling_layer.cu` there.  Sums are made in double precision.

    Raises:
        LayerError: a region is of no image of the batch.
    """

    fork = "daijifeng001/caffe-rfcn"
    example = """
    layer {
      name: "in" type: "Input" top: "maps" top: "rois"
      input_param { shape { dim: 2 dim: 27 dim: 14 dim: 14 } shape { dim: 20 dim: 5 } }
    }
    layer {
      name: "pool" type: "PSROIPooling" bottom: "maps" bottom: "rois" top: "cells"
      psroi_pooling_param { spatial_scale: 0.0625 output_dim: 3 group_size: 3 }  # 27 = 3·3²
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = passed_over = frozenset({1})

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("psroi_pooling_param")
        for name in ("spatial_scale", "output_dim", "group_size"):
            self.require(getattr(settings, name) > 0, f"psroi_pooling_param.{name}", "must be positive")
        self.outputs, self.group = int(settings.output_dim), int(settings.group_size)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, rois = bottoms
        expect_regions(self, rois)
        expect_images(self, x)
        wanted = self.outputs * self.group**2
        told = f"needs output_dim·group_size² = {wanted} channels, got {x[1]}"
        self.expect(x[1] == wanted, told, "bottom[0]")
        return [(rois[0], self.outputs, self.group, self.group)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x, rois = bottoms
        scale = self.settings("psroi_pooling_param").spatial_scale
        return (ops.rois.mean_pool(x, regions(self, rois, len(x)), scale, self.outputs, self.group),)
