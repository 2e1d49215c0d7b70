"""BoxAnnotatorOHEM: pick the regions with the largest loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch
from ..layerkit.regions import legacy

if TYPE_CHECKING:
    from torch import Tensor


@layer("BoxAnnotatorOHEM")
class BoxAnnotatorOHEM(Layer):
    """Labels and weights of the `roi_per_img` regions of each image that have the largest loss; the other regions get
    `ignore_label`, and weights of 0.

    Bottoms: regions, N×5×H×W (R-FCN: N×5×1×1), each (image, x1, y1, x2, y2); the loss of each, N×1×H×W; its label,
    N×1×H×W; the weights of its bounding box, N×C×H×W.  Axes of size 1 at the end may be left out.  Tops: labels,
    N×1×H×W, and weights, N×C×H×W.  Of equal losses the first counts as larger.  Has no gradient.

    Source: Shrivastava et al., "Training region-based object detectors with online hard example mining", CVPR 2016;
    `box_annotator_ohem_layer.cpp` there.
    """

    fork = "daijifeng001/caffe-rfcn"
    example = """
    layer {
      name: "in" type: "Input" top: "rois" top: "loss" top: "label" top: "weight"
      input_param { shape { dim: 64 dim: 5 } shape { dim: 64 } shape { dim: 64 } shape { dim: 64 dim: 8 } }
    }
    layer {
      name: "hardest" type: "BoxAnnotatorOHEM" bottom: "rois" bottom: "loss" bottom: "label" bottom: "weight"
      top: "hard_label" top: "hard_weight" box_annotator_ohem_param { roi_per_img: 16 }
    }
    """

    bottoms, tops = exactly(4), exactly(2)
    ungraded = passed_over = frozenset(range(4))

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(
            self.settings("box_annotator_ohem_param").roi_per_img > 0,
            "box_annotator_ohem_param.roi_per_img",
            "must be positive",
        )

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        for position, (shape, channels) in enumerate(zip(bottoms, (5, 1, 1, None), strict=True)):
            given = legacy(shape)
            wanted = (legacy(bottoms[0])[0], given[1] if channels is None else channels, *legacy(bottoms[0])[2:])
            told = f"needs regions N×5×H×W, losses and labels N×1×H×W, and weights N×C×H×W, got shape {shape}"
            self.expect(0 < len(shape) <= 4 and given == wanted, told, f"bottom[{position}]")
        regions, _, _, weights = map(legacy, bottoms)
        return [(regions[0], 1, *regions[2:]), weights]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        settings = self.settings("box_annotator_ohem_param")
        rois, losses, labels, box_weights = (bottom.detach().reshape(legacy(tuple(bottom.shape))) for bottom in bottoms)
        order = losses.reshape(-1).argsort(descending=True, stable=True)
        images = rois[:, 0].reshape(-1).long()[order]
        by_image = images.argsort(stable=True)  # within an image: by loss
        counted = images[by_image]
        first = torch.searchsorted(counted, counted)
        rank = torch.arange(len(counted), device=counted.device) - first
        chosen = torch.zeros_like(losses.reshape(-1), dtype=torch.bool)
        chosen[order[by_image[rank < settings.roi_per_img]]] = True
        chosen = chosen.reshape(losses.shape)
        ignore = float(settings.ignore_label)
        return labels.masked_fill(~chosen, ignore), box_weights.masked_fill(~chosen, 0)
