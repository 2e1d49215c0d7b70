"""Yolov3DetectionOutput: objects that a YOLO net of the third version has found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit import yolo as kit
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "yolov3_detection_output_param"


@layer("Yolov3DetectionOutput")
class Yolov3DetectionOutput(Layer):
    """Detections, 1×1×K×7, rows of (0, label, confidence, xmin, ymin, xmax, ymax), of predictions
    N×(num_box·(5 + num_classes))×H×W, a bottom for each size of cells: x, y, w, h, object and classes of each box.

    A box counts once for each class whose confidence σ(object)·σ(class) is above `confidence_threshold`; of boxes that
    overlap by `nms_threshold` or more the best stays, whatever its class.  Labels count from 1; rows come by falling
    confidence, and boxes may reach beyond the image, 0 to 1.  As there, all images of a batch are taken for one.  K is
    known in each pass only; the most there can be is declared.  Where nothing is found, there are N rows (image, −1,
    …).

    `mask` says which of the `biases` each bottom's boxes begin with, `anchors_scale` how many pixels its cells span.
    `gaussian_box` is not built: the source reads memory there that nobody writes.

    Source: `src/caffe/layers/yolov3_detection_output_layer.cpp` of eric612/MobileNet-YOLO.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 14 dim: 3 dim: 4 } } }
    layer {
      name: "detect" type: "Yolov3DetectionOutput" bottom: "x" top: "found"
      yolov3_detection_output_param {
        num_classes: 2 num_box: 2 mask_group_num: 1 mask: 0 mask: 1 anchors_scale: 32
        biases: 20 biases: 30 biases: 50 biases: 60
      }
    }
    """

    fork: ClassVar[str] = "eric612/MobileNet-YOLO"
    bottoms, tops = at_least(1), exactly(1)
    varies = True

    @property
    def ungraded(self) -> frozenset[int]:  # type: ignore[override]
        """All."""
        return frozenset(range(len(self.param.bottom)))

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given, count = self.param.yolov3_detection_output_param, len(bottoms)
        missing = "num_classes is missing: how many classes there are"
        self.expect(given.HasField("num_classes") and given.num_classes > 0, missing, f"{_FIELD}.num_classes")
        self.require(given.num_box > 0, f"{_FIELD}.num_box", "must be positive")
        self.require(
            given.mask_group_num == count, f"{_FIELD}.mask_group_num", f"must be the number of bottoms, {count}"
        )
        gaussian = "boxes with what the net is sure of are not built"
        self.expect(not given.gaussian_box, gaussian, f"{_FIELD}.gaussian_box")
        scales = f"needs an anchors_scale for each of {count} bottoms, got {len(given.anchors_scale)}"
        self.expect(len(given.anchors_scale) >= count, scales, f"{_FIELD}.anchors_scale")
        self.expect(all(given.anchors_scale), "anchors_scale must be positive", f"{_FIELD}.anchors_scale")
        boxes, each = len(given.biases) // 2, len(given.mask) // count
        kit.expect_biases(self, _FIELD, given.biases, max(1, boxes))
        few = f"needs {given.num_box} (num_box) numbers in mask for each of {count} bottoms, got {len(given.mask)}"
        self.expect(each * (count - 1) + given.num_box <= len(given.mask), few, f"{_FIELD}.mask")
        known = f"mask must be below {boxes}, the number of boxes in biases"
        self.expect(all(number < boxes for number in given.mask), known, f"{_FIELD}.mask")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        given = self.param.yolov3_detection_output_param
        for at, shape in enumerate(bottoms):
            kit.expect_predictions(self, shape, given.num_box, given.num_classes, square=False, at=at)
        most = sum(shape[0] * math.prod(shape[2:]) for shape in bottoms) * given.num_box * given.num_classes
        return [(1, 1, most, 7)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        given = self.param.yolov3_detection_output_param
        boxes, labels, scores = zip(*(self._found(at, bottom) for at, bottom in enumerate(bottoms)), strict=True)
        rows = ops.yolo.rows_of(
            torch.cat(boxes), torch.cat(labels), torch.cat(scores), given.nms_threshold, len(bottoms[0])
        )
        return (rows.to(run.device, bottoms[0].dtype),)

    def _found(self, at: int, bottom: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, labels and confidences of a bottom: of each cell in turn all its boxes, and of these all classes."""
        given = self.param.yolov3_detection_output_param
        x = kit.predictions(bottom, given.num_box)
        height, width, scale = *x.shape[3:], given.anchors_scale[at]
        first = len(given.mask) // len(self.param.bottom) * at
        mask = list(given.mask)[first : first + given.num_box]
        sizes = kit.anchors(given.biases[: len(given.biases) // 2 * 2], width * scale, height * scale, x.dtype)
        cells = ops.yolo.Cells(height, width, sizes[mask])
        boxes = cells.boxes_of(x)
        scores = (x[:, :, 5:].sigmoid() * x[:, :, 4:5].sigmoid()).permute(0, 3, 4, 1, 2)  # N×H×W×A×C
        there = scores > given.confidence_threshold
        *box, label = there.nonzero(as_tuple=True)
        return boxes[tuple(box)], label, scores[there]
