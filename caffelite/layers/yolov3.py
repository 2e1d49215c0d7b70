"""Yolov3: the loss of YOLO nets of the third version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit import yolo as kit
from ..layerkit.losses import LossLayer

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "yolov3_param"


@layer("Yolov3")
class Yolov3(LossLayer):
    """What predictions N×(num·(5 + num_class))×H×W are told to change, as one number, 0-d.

    A prediction is x, y, w, h, object and classes; its sigmoids are part of the loss.  Every prediction learns that
    there is no object, but where it overlaps a true box by more than `thresh`.  In the cell that holds the centre of a
    true box the prediction whose box in `biases` fits its size best, if `mask` has it, learns its place, size, object
    and class; so do others that fit by more than `iou_thresh`.  Labels: N×1×300×5, rows of (class, x, y, w, h) from 0
    to 1, the first with x or w of 0 being the end.

    What is displayed is, with MSE, the sum of squares of all changes over N; else that of objects and classes, plus
    `iou_normalizer` times the mean of 1 − overlap, over N.  The gradient is the changes over N (with
    `use_logic_gradient` times the slope of the sigmoids), and no derivative of what is displayed.

    Source: `src/caffe/layers/yolov3_layer.cpp` of eric612/MobileNet-YOLO; Redmon and Farhadi, 2018.  As there, the best
    prediction answers twice where `mask` does not begin with 0, and with an overlap and `use_logic_gradient` the slope
    of x and y is t(1 − t) of the number t before its sigmoid.

    Raises:
        LayerError: in `forward`, where a label is no class or no box.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 14 dim: 3 dim: 4 } } }
    layer { name: "labels" type: "DummyData" top: "boxes" dummy_data_param {
        shape { dim: 2 dim: 1 dim: 300 dim: 5 } data_filler { value: 0.5 } } }  # a file's would differ
    layer {
      name: "loss" type: "Yolov3" bottom: "x" bottom: "boxes" top: "loss"
      yolov3_param { num_class: 2 num: 2 mask: 0 mask: 1 biases: 20 biases: 30 biases: 50 biases: 60 thresh: 0.6 }
    }
    """

    fork: ClassVar[str] = "eric612/MobileNet-YOLO"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.param.yolov3_param
        for field in ("num_class", "num", "anchors_scale"):
            self.require(getattr(given, field) > 0, f"{_FIELD}.{field}", "must be positive")
        boxes, mask = len(given.biases) // 2, list(given.mask)
        self.expect(boxes > 0, "biases are missing: a width and a height for each box", f"{_FIELD}.biases")
        kit.expect_biases(self, _FIELD, given.biases, boxes)
        some = f"needs {given.num} (num) numbers of boxes in mask, got {len(mask)}"
        self.expect(len(mask) >= given.num, some, f"{_FIELD}.mask")
        self.expect(all(number < boxes for number in mask), f"mask must be below {boxes}, got {mask}", f"{_FIELD}.mask")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        given = self.param.yolov3_param
        kit.expect_predictions(self, bottoms[0], given.num, given.num_class, square=False)
        known = f"needs labels {bottoms[0][0]}×1×300×5, got {bottoms[1]}"
        self.expect(kit.are_rows(bottoms[1]) and bottoms[1][0] == bottoms[0][0], known, "bottom[1]")
        return [()]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        given, x = self.param.yolov3_param, kit.predictions(bottoms[0], self.param.yolov3_param.num)
        images, height, width = len(x), *x.shape[3:]
        scale = given.anchors_scale
        count = len(given.biases) // 2
        sizes = kit.anchors(given.biases[: 2 * count], width * scale, height * scale, x.dtype)
        mask = list(given.mask)[: given.num]
        truths = kit.truths_of_rows(self, bottoms[1], given.num_class, x)
        settings = ops.yolo.ThirdVersion(
            sizes,
            mask,
            given.object_scale,
            given.class_scale,
            given.coord_scale,
            given.thresh,
            given.use_logic_gradient,
            given.use_focal_loss,
            given.iou_loss,
            given.iou_normalizer,
            given.iou_thresh,
            given.max_delta,
            given.accumulate,
            given.label_smooth_eps,
        )
        loss, delta = ops.yolo.yolov3(x, ops.yolo.Cells(height, width, sizes[mask]), truths, settings)
        return (ops.yolo.with_gradient(bottoms[0], loss / images, (delta / images).reshape(bottoms[0].shape)),)
