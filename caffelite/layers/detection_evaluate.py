"""DetectionEvaluate: which detections are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..errors import DataError
from ..layerkit import Layer, Run, Shape, exactly, layer
from ..layerkit.base import torch
from ..layerkit.detections import ImageSize, expect_resize, image_sizes, overlaps

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "detection_evaluate_param"
_SIZES = f"{_FIELD}.name_size_file"


@layer("DetectionEvaluate")
class DetectionEvaluate(Layer):
    """Rows of 5 about detections, 1×1×K×7 as DetectionOutput makes them, and the ground truth, 1×1×G×8, rows of (image,
    label, number, xmin, ymin, xmax, ymax, difficult): 1×1×(C − 1 + K)×5, less where rows hold no detection.

    First comes a row (−1, label, how many there are in the ground truth, −1, −1) for every class but the background.
    Then one (image, label, score, right, wrong) for every detection, by image, label and falling score: it is right if
    it overlaps one box of its class by `overlap_threshold` or more, and no higher score had that box already; else
    wrong.  Without `evaluate_difficult_gt` it is neither if that box is difficult.  A solver with
    `eval_type: "detection"` makes mean average precision of these rows.

    With `name_size_file` boxes are compared in pixels; its lines are taken for the images that have detections, in
    turn, over all batches.

    Source: `src/caffe/layers/detection_evaluate_layer.cpp` of weiliu89/caffe, branch ssd.

    Raises:
        DataError: in `forward`, where `name_size_file` cannot be read.
        LayerError: in `forward`, where the background is detected or annotated.
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    example = """
    layer {
      name: "in" type: "Input" top: "found" top: "truth"
      input_param { shape { dim: 1 dim: 1 dim: 6 dim: 7 } shape { dim: 1 dim: 1 dim: 4 dim: 8 } }
    }
    layer {
      name: "evaluate" type: "DetectionEvaluate" bottom: "found" bottom: "truth" top: "rows"
      detection_evaluate_param { num_classes: 3 background_label_id: 2 }
    }
    """

    bottoms, tops = exactly(2), exactly(1)
    ungraded = frozenset({0, 1})
    varies = True
    remembers = ("_next",)

    _images: Sequence[ImageSize] | None = None
    _next = 0

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(_FIELD)
        self.expect(settings.num_classes > 0, "num_classes is missing: how many there are, with background", _FIELD)
        self.require(settings.overlap_threshold > 0, f"{_FIELD}.overlap_threshold", "must be positive")
        self.labels = [label for label in range(settings.num_classes) if label != settings.background_label_id]
        self.resize = expect_resize(self, f"{_FIELD}.resize_param")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        for position, (shape, width) in enumerate(zip(bottoms, (7, 8), strict=True)):
            rows = f"needs rows of {width}, 1×1×…×{width}, got {shape}"
            self.expect(len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == width, rows, f"bottom[{position}]")
        self.raise_faults()
        return [(1, 1, len(self.labels) + bottoms[0][2], 5)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        found, truth = (bottom.detach().cpu()[0, 0] for bottom in bottoms)
        end = (truth[:, 0] == -1).nonzero()
        truth = truth[: int(end[0])] if len(end) else truth
        found = found[found[:, 0] != -1]
        self._expect_objects(found, truth)
        counted = truth if self.settings(_FIELD).evaluate_difficult_gt else truth[truth[:, 7] == 0]
        rows = [found.new_tensor([[-1, label, int((counted[:, 1] == label).sum()), -1, -1]]) for label in self.labels]
        for image in found[:, 0].unique():
            here, size = found[found[:, 0] == image], self._size()
            for label in here[:, 1].unique():
                if label != -1:
                    there = truth[(truth[:, 0] == image) & (truth[:, 1] == label)]
                    rows.append(self._judged(here[here[:, 1] == label], there, size))
        return (torch.cat(rows)[None, None].to(run.device, bottoms[0].dtype),)

    def _expect_objects(self, found: Tensor, truth: Tensor) -> None:
        background = self.settings(_FIELD).background_label_id
        for position, (rows, what) in enumerate(((found, "detections"), (truth, "annotations"))):
            count = int((rows[:, 1] == background).sum())
            message = f"{count} {what} are of class {background}, which means background"
            self.expect(not count, message, f"bottom[{position}]", "see background_label_id")
        self.raise_faults()

    def _size(self) -> ImageSize | None:
        """The size of the next image that has detections; None if boxes are compared as they are."""
        name = self.settings(_FIELD).name_size_file
        if not name:
            return None
        if self._images is None:
            self._images = image_sizes(self, _SIZES, name)
            if not self._images:
                raise DataError(self.fault(f"{name} has no lines", _SIZES))
        size, self._next = self._images[self._next], (self._next + 1) % len(self._images)
        return size

    def _judged(self, found: Tensor, truth: Tensor, size: ImageSize | None) -> Tensor:
        """Rows for the detections of one class in one image, whose ground truth is given."""
        settings = self.settings(_FIELD)
        if not len(truth):
            return torch.cat([found[:, :3], found.new_tensor([[0, 1]]).expand(len(found), 2)], 1)
        found = found[found[:, 2].sort(descending=True, stable=True).indices]
        boxes, others = found[:, 3:], truth[:, 3:7]
        shared = ops.boxes.overlap(boxes, others) if size is None else overlaps(boxes, others, size, self.resize)
        most, nearest = shared.max(1)
        judged, taken = found.new_zeros(len(found), 2), set()
        for row, (overlap, at) in enumerate(zip(most.tolist(), nearest.tolist(), strict=True)):
            if overlap < settings.overlap_threshold:
                judged[row, 1] = 1
            elif settings.evaluate_difficult_gt or not truth[at, 7]:
                judged[row, 1 if at in taken else 0] = 1
                taken.add(at)
        return torch.cat([found[:, :3], judged], 1)
