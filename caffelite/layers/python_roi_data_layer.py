"""Python's RoIDataLayer: images and boxes for the training of Fast and Faster R-CNN, which lie outside the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..errors import DataError
from ..layerkit import Run, Shape, SourceLayer, between, exactly, layer
from ..layerkit.param_str import Settings
from ..layerkit.stand_in import StandIn

if TYPE_CHECKING:
    from torch import Tensor


@layer("Python", dialect="RoIDataLayer")
class RoIDataLayer(StandIn, SourceLayer):
    """`roi_data_layer.layer.RoIDataLayer`: images and boxes of a data set that only the project's scripts know.  It
    takes that class's place where its code may not run or is not there, so that a net can be looked at; it cannot go
    forward.

    Its tops have shapes as in training.  With a region proposal network there are three: images, 1×3×608×1024, which is
    what the project declares, 600×1000, with sides that are multiples of 32, as some nets need; (height, width, scale),
    1×3; and boxes of the ground truth, 1×5×1×1, each (x1, y1, x2, y2, class).
    Without, if a top is called "rois" or "labels": two images; regions, 1×5×1×1; their labels, 1×1×1×1; and if there
    are more tops, targets of their boxes, inside weights (in Fast R-CNN all there are, with five tops), and outside
    weights.  These three are 1×4K×1×1 for K classes, or 1×8×1×1 if all classes share the boxes, as in R-FCN; where
    AGNOSTIC does not say that, their shapes are not known.  There are more boxes in training, and images differ in
    size; shapes that are given by `--input data=1x3x640x1056` come first.

    Keys of `param_str`: num_classes, K, the background among them; and, of the project's configuration, SCALES (600)
    and MAX_SIZE (1000), the shorter and the longer side of images, IMS_PER_BATCH (1 with a region proposal network,
    else 2), and AGNOSTIC (of py-R-FCN).

    Source: `lib/roi_data_layer/layer.py` there.

    Raises:
        DataError: it is asked for data.
    """

    fork: ClassVar[str] = "rbgirshick/py-faster-rcnn"
    unlike = ": it has the shapes, and no data"
    example = """
    layer {
      name: "data" type: "Python" top: "data" top: "im_info" top: "gt_boxes"
      python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 21" }
    }
    """

    bottoms, tops = exactly(0), between(3, 6)
    varies = assumes = True

    def read(self, keys: Settings) -> None:
        tops = len(self.param.top)
        self.expect(tops != 4, f"has 3, 5 or 6 tops, got {tops}", "top")
        self.proposing = tops == 3 and not {"rois", "labels"} & set(self.param.top)
        self.classes, self.images = keys.whole("num_classes", None, 2), keys.whole("IMS_PER_BATCH", 2 - self.proposing)
        told = "AGNOSTIC" in keys.values or tops == 5  # which is older than R-FCN
        self.columns = 4 * (2 if keys.flag("AGNOSTIC", False) else self.classes) if told else None
        self.size = tuple(-(-side // 32) * 32 for side in (keys.whole("SCALES", 600), keys.whole("MAX_SIZE", 1000)))

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape | None]:  # type: ignore[override]
        images = (self.images, 3, *self.size)
        if self.proposing:
            return [images, (1, 3), (1, 5, 1, 1)]
        boxes = (1, self.columns, 1, 1) if self.columns else None
        return [images, (1, 5, 1, 1), (1, 1, 1, 1), *[boxes] * 3][: len(self.param.top)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        python = self.settings("python_param")
        told = f"its data cannot be read: {python.module}.{python.layer} takes what scripts of the project hand to it"
        help = "run the project's own class (--allow-python), or read data by another layer with these tops"
        raise DataError(self.fault(told, "python_param", help))
