"""EvalDetection: which detections of a YOLO net of the second version are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Layer, Run, Shape, at_least, exactly, layer
from ..layerkit import yolo as kit
from ..layerkit.base import torch
from ..proto import EvalDetectionParameter

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "eval_detection_param"
_LEAST = 0.005
"""Detections with a lower score are left out, as in darknet."""


@layer("EvalDetection")
class EvalDetection(Layer):
    """For each image how many true boxes of each class there are, then rows of (class, score, right, wrong) of its
    detections, N×(num_class + side²·num_object·4), the rest being 0; a mean average precision can be made of it.

    Bottoms: predictions, N×(num_object·(5 + num_class))×side×side (x, y, w, h, object and classes of each box of a
    cell), labels, 1×1×M×8 (image, class from 1 on, instance, xmin, ymin, xmax, ymax, difficult), and others that are
    not looked at.  A detection is each box, with its best class and the score that `score_type` says; of boxes that
    overlap by `nms` or more the best stays, whatever its class, and what scores below 0.005 is left out.  With `nms`
    below 0 there are no detections.  Right is the first one that overlaps a true box of its class by `threshold` or
    more, wrong are others of that box and those of a class that the image has not; one that overlaps too little is
    neither.

    Source: `src/caffe/layers/eval_detection_layer.cpp` of intel/caffe (which looks at 5 boxes of a cell, whatever
    `num_object` says; here all are looked at).

    Raises:
        LayerError: in `forward`, where a label is no class.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 14 dim: 3 dim: 3 } } }
    layer { name: "labels" type: "DummyData" top: "boxes" dummy_data_param {
        shape { dim: 1 dim: 1 dim: 1 dim: 8 } data_filler { value: -1 } } }  # no box
    layer {
      name: "eval" type: "EvalDetection" bottom: "x" bottom: "boxes" top: "judged"  # 1×74
      eval_detection_param { side: 3 num_class: 2 nms: 0.45 biases: 1.3 biases: 1.7 biases: 2 biases: 2.5 }
    }
    """

    fork: ClassVar[str] = "intel/caffe"
    bottoms, tops = at_least(2), exactly(1)

    @property
    def ungraded(self) -> frozenset[int]:  # type: ignore[override]
        """All."""
        return frozenset(range(len(self.param.bottom)))

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.param.eval_detection_param
        for field in ("side", "num_class", "num_object"):
            self.require(getattr(given, field) > 0, f"{_FIELD}.{field}", "must be positive")
        kit.expect_biases(self, _FIELD, given.biases, given.num_object)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        given = self.param.eval_detection_param
        kit.expect_predictions(self, bottoms[0], given.num_object, given.num_class, square=True)
        side = f"side is {given.side}, and the bottom has {bottoms[0][2]} cells across"
        self.expect(given.side == bottoms[0][2], side, f"{_FIELD}.side")
        self.expect(kit.are_annotations(bottoms[1]), f"needs labels 1×1×M×8, got {bottoms[1]}", "bottom[1]")
        return [(bottoms[0][0], given.num_class + given.side**2 * given.num_object * 4)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        given = self.param.eval_detection_param
        x = kit.predictions(bottoms[0], given.num_object)
        boxes = kit.square_cells(given.biases, x).boxes_of(x)
        chances, labels = x[:, :, 5:].softmax(2).max(2)
        scores = {
            EvalDetectionParameter.OBJ: x[:, :, 4].sigmoid(),
            EvalDetectionParameter.PROB: chances,
            EvalDetectionParameter.MULTIPLY: x[:, :, 4].sigmoid() * chances,
        }[given.score_type]
        labels, scores = (part.movedim(1, 3) for part in (labels, scores))  # N×H×W×A
        truths = kit.truths_of_annotations(self, bottoms[1], len(x), given.num_class, x, any_box=True)
        top = x.new_zeros(self.shapes([tuple(bottom.shape) for bottom in bottoms])[0])
        for image, truth in enumerate(truths):
            for label in truth.classes:
                top[image, label] += 1
            found = self._found(boxes[image].reshape(-1, 4), labels[image].flatten(), scores[image].flatten())
            rows = ops.yolo.judged(*found, truth, given.threshold)
            flat = torch.tensor(rows, dtype=x.dtype).flatten()
            top[image, given.num_class : given.num_class + len(flat)] = flat
        return (top.to(run.device, bottoms[0].dtype),)

    def _found(self, boxes: Tensor, labels: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The detections of an image, the best first."""
        given = self.param.eval_detection_param
        order = scores.sort(descending=True, stable=True).indices
        if given.nms < 0:
            order = order[:0]
        order = order[ops.yolo.thinned(boxes[order], given.nms)]
        order = order[scores[order] >= _LEAST]
        return boxes[order], labels[order], scores[order]
