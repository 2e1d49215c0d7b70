"""YoloDetectionOutput: objects that a YOLO net of the second version has found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import Fault
from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit import yolo as kit
from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "yolo_detection_output_param"


@layer("YoloDetectionOutput")
class YoloDetectionOutput(Layer):
    """Detections, 1×1×K×7, rows of (0, label, confidence, xmin, ymin, xmax, ymax), of predictions
    N×(num_box·(5 + num_classes))×S×S: x, y, w, h, object and classes of each box of a cell.

    The confidence is σ(object) times the largest probability of a class, and is to be at least `confidence_threshold`;
    of boxes that overlap by `nms_threshold` or more the best stays, whatever its class.  Labels count from 1; rows come
    by falling confidence, and boxes may reach beyond the image, 0 to 1.  A second bottom holds predictions of another
    size of cells.  As there, all images of a batch are taken for one.  K is known in each pass only; the most there can
    be is declared.  Where nothing is found, there are N rows (image, −1, −1, …).

    Source: `src/caffe/layers/yolo_detection_output_layer.cpp` of eric612/MobileNet-YOLO.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 14 dim: 3 dim: 3 } } }
    layer {
      name: "detect" type: "YoloDetectionOutput" bottom: "x" top: "found"
      yolo_detection_output_param { num_classes: 2 num_box: 2 biases: 1.3 biases: 1.7 biases: 2 biases: 2.5 }
    }
    """

    fork: ClassVar[str] = "eric612/MobileNet-YOLO"
    bottoms, tops = between(1, 2), exactly(1)
    ungraded = frozenset({0, 1})
    varies = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.param.yolo_detection_output_param
        missing = "num_classes is missing: how many classes there are"
        self.expect(given.HasField("num_classes") and given.num_classes > 0, missing, f"{_FIELD}.num_classes")
        self.require(given.num_box > 0, f"{_FIELD}.num_box", "must be positive")
        self.require(given.coords == 4, f"{_FIELD}.coords", "must be 4: x, y, width, height")
        kit.expect_biases(self, _FIELD, given.biases, given.num_box)

    def warnings(self) -> Sequence[Fault]:
        return self.without_effect(f"{_FIELD}.label_map_file", "it would only name classes in messages")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        given = self.param.yolo_detection_output_param
        for at, shape in enumerate(bottoms):
            kit.expect_predictions(self, shape, given.num_box, given.num_classes, square=True, at=at)
        self.raise_faults()
        return [(1, 1, sum(shape[0] * math.prod(shape[2:]) * given.num_box for shape in bottoms), 7)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        given = self.param.yolo_detection_output_param
        boxes, labels, scores = zip(*(self._found(bottom) for bottom in bottoms), strict=True)
        rows = ops.yolo.rows_of(
            torch.cat(boxes), torch.cat(labels), torch.cat(scores), given.nms_threshold, len(bottoms[0])
        )
        return (rows.to(run.device, bottoms[0].dtype),)

    def _found(self, bottom: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, labels and confidences of a bottom: of each cell in turn, all its boxes."""
        given = self.param.yolo_detection_output_param
        x = kit.predictions(bottom, given.num_box)
        boxes = kit.square_cells(given.biases, x).boxes_of(x)
        chances, labels = x[:, :, 5:].softmax(2).max(2)
        scores = chances * x[:, :, 4].sigmoid()
        labels, scores = (part.movedim(1, 3) for part in (labels, scores))  # N×H×W×A
        there = scores >= given.confidence_threshold
        return boxes[there], labels[there], scores[there]
