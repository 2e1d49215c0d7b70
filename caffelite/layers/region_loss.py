"""RegionLoss: the loss of YOLO nets of the second version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..data.image_files import read_lines
from ..data.telling import folder_of, told_by
from ..errors import DataError
from ..layerkit import Run, Shape, layer
from ..layerkit import yolo as kit
from ..layerkit.losses import LossLayer

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "region_loss_param"


@layer("RegionLoss")
class RegionLoss(LossLayer):
    """The sum of squares of what predictions are told to change, 0-d, of predictions N×(num·(5 + num_class))×S×S.

    A prediction is x, y, w, h, object and classes; sigmoid and softmax are part of the loss.  Every prediction learns
    that there is no object, but where it overlaps a true box by more than `thresh`; and in the cell that holds the
    centre of a true box the prediction whose box in `biases` fits its size best learns its place, size, object and
    class.  The gradient is those changes over N, and no derivative of what is displayed.

    Two forks have it, and the labels tell which is meant.  N×1×300×5, rows of (class, x, y, w, h) from 0 to 1, the
    first with x or w of 0 being the end: eric612/MobileNet-YOLO, whose loss is divided by N.  1×1×M×8, rows of (image,
    class from 1 on, instance, xmin, ymin, xmax, ymax, difficult): intel/caffe, whose loss is not, and which cuts
    changes of place and size off at 1 and weighs "object" by 2(1 − p)³.  `softmax_tree` is not built.

    Source: `src/caffe/layers/region_loss_layer.cpp` of eric612/MobileNet-YOLO and of intel/caffe; Redmon and Farhadi,
    2017.

    Raises:
        LayerError: in `forward`, where a label is no class or no box.
        DataError: in `forward`, where `class_map` cannot be read.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 14 dim: 3 dim: 3 } } }
    layer { name: "labels" type: "DummyData" top: "boxes" dummy_data_param {
        shape { dim: 2 dim: 1 dim: 300 dim: 5 } data_filler { value: 0.5 } } }  # a file's would differ
    layer {
      name: "loss" type: "RegionLoss" bottom: "x" bottom: "boxes" top: "loss"
      region_loss_param { num_class: 2 num: 2 biases: 1.3 biases: 1.7 biases: 2 biases: 2.5 thresh: 0.6 }
    }
    """

    fork: ClassVar[str] = "eric612/MobileNet-YOLO, intel/caffe"
    _named: list[int] | None = None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        given = self.param.region_loss_param
        self.require(given.num_class > 0, f"{_FIELD}.num_class", "must be positive")
        self.require(given.num > 0, f"{_FIELD}.num", "must be positive")
        self.require(given.coords == 4, f"{_FIELD}.coords", "must be 4: x, y, width, height")
        kit.expect_biases(self, _FIELD, given.biases, given.num)
        tree = "classes in a tree are not built; the setting is intel/caffe's"
        self.expect(not given.softmax_tree, tree, f"{_FIELD}.softmax_tree", "leave it out: all classes compete, then")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        given, labels = self.param.region_loss_param, bottoms[1]
        kit.expect_predictions(self, bottoms[0], given.num, given.num_class, square=True)
        self.annotated = kit.are_annotations(labels)
        rows = kit.are_rows(labels) and labels[0] == bottoms[0][0]
        known = f"needs labels {bottoms[0][0]}×1×300×5 (eric612/MobileNet-YOLO) or 1×1×M×8 (intel/caffe), got {labels}"
        self.expect(self.annotated or rows, known, "bottom[1]")
        if self.annotated:
            side = f"side is {given.side}, and the bottom has {bottoms[0][2]} cells across"
            self.expect(given.side == bottoms[0][2], side, f"{_FIELD}.side")
        return [()]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        given, x = self.param.region_loss_param, kit.predictions(bottoms[0], self.param.region_loss_param.num)
        images, cells = len(x), kit.square_cells(given.biases, x)
        if self.annotated:
            named = self._classes() if given.class_map else None
            truths = kit.truths_of_annotations(self, bottoms[1], images, given.num_class, x, named)
        else:
            truths = kit.truths_of_rows(self, bottoms[1], given.num_class, x)
        settings = ops.yolo.Region(
            given.object_scale,
            given.noobject_scale,
            given.class_scale,
            given.coord_scale,
            given.thresh,
            bool(given.bias_match),
            bool(given.rescore),
            self.annotated,
        )
        delta = ops.yolo.region_delta(x, cells, truths, settings)
        loss = (delta * delta).sum() / (1 if self.annotated else images)
        return (ops.yolo.with_gradient(bottoms[0], loss, (delta / images).reshape(bottoms[0].shape)),)

    def _classes(self) -> list[int]:
        """The classes that `class_map` names, line by line."""
        if self._named is None:
            field = f"{_FIELD}.class_map"
            with told_by(self, field):
                _, lines = read_lines(str(self.param.region_loss_param.class_map), folder_of(self, field), "classes")
                numbers = [line.split()[0] for line in lines if line.split()]
                if not all(number.lstrip("-").isdecimal() for number in numbers):
                    raise DataError("class_map must hold a whole number on each line")
            self._named = [int(number) for number in numbers]
        return self._named
