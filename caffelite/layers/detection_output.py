"""DetectionOutput: objects, made of what a net predicts for prior boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..data.telling import told_by
from ..errors import DataError, Fault
from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit.base import torch
from ..layerkit.detection_files import FORMATS, Detection, DetectionFiles
from ..layerkit.detections import ImageSize, class_names, expect_resize, image_sizes, to_pixels

if TYPE_CHECKING:
    from torch import Tensor

_FIELD = "detection_output_param"
_SAVE = f"{_FIELD}.save_output_param"
_NEEDED = ("output_directory", "label_map_file", "name_size_file")


@layer("DetectionOutput")
class DetectionOutput(Layer):
    """Detections, 1×1×K×7, rows of (image, label, score, xmin, ymin, xmax, ymax), of locations N×(P·4), scores N×(P·C),
    and P prior boxes, 1×2×(P·4), whose second half holds their variances.

    The locations are decoded (`code_type`), and boxes of a class that overlap are thinned out, as nms_param says; then
    the `keep_top_k` with the highest scores of all classes are kept.  Without `share_location` the locations are
    N×(P·C·4).  Rows come by image, label, and falling score.  K is known in each pass only; the most there can be is
    declared.  Where nothing is found, there are N rows (image, −1, −1, …).

    Of equal scores the first box counts as the higher, and where `keep_top_k` cuts them, that of the lower label (the
    fork leaves this open).  Unlike in the fork, `background_label_id` may be −1, no background, with `share_location`.

    A fourth bottom, the images, is not looked at.  With five bottoms the fourth, N×(P·2), says how sure a first stage
    is that a prior box holds an object (the second of two scores; below `objectness_score` all its classes count as 0),
    and the fifth, N×(P·4), how it moved the prior boxes; so does sfzhang15/RefineDet.

    With save_output_param the detections of each `num_test_image` images are written to files, too.

    Source: `src/caffe/layers/detection_output_layer.cpp` of weiliu89/caffe, branch ssd; Liu et al., 2016.

    Raises:
        DataError: in `forward`, where a file of save_output_param cannot be read or written.
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    example = """
    layer {
      name: "in" type: "Input" top: "loc" top: "conf" top: "priors"
      input_param { shape { dim: 2 dim: 40 } shape { dim: 2 dim: 30 } shape { dim: 1 dim: 2 dim: 40 } }
    }
    layer {
      name: "detect" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "priors" top: "found"
      detection_output_param { num_classes: 3 code_type: CENTER_SIZE keep_top_k: 5 nms_param { top_k: 8 } }
    }
    """

    bottoms, tops = between(3, 5), exactly(1)
    ungraded = frozenset(range(5))
    varies = True
    remembers = ("_saved",)

    _files: DetectionFiles | None = None
    _images: Sequence[ImageSize] = ()

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings(_FIELD)
        self.classes, self.background = int(settings.num_classes), int(settings.background_label_id)
        self.expect(self.classes > 0, "num_classes is missing: how many classes there are, with background", _FIELD)
        thinning = settings.nms_param
        self.require(thinning.nms_threshold >= 0, f"{_FIELD}.nms_param.nms_threshold", "must not be negative")
        self.require(0 < thinning.eta <= 1, f"{_FIELD}.nms_param.eta", "must be above 0 and at most 1")
        self.top_k = int(thinning.top_k) if thinning.HasField("top_k") else -1
        given = settings.HasField("confidence_threshold")
        self.lowest = settings.confidence_threshold if given else float(np.finfo(np.float32).min)
        self.objectness = len(bottoms) == 5 or (len(bottoms) == 4 and settings.HasField("objectness_score"))
        self._saved: list[NDArray[np.float32]] = []
        self.resize = self._expect_saving() if self.saves else None

    # -- files --------------------------------------------------------------------------------------------------

    @property
    def saves(self) -> bool:
        """Whether it writes files."""
        saving = self.settings(_FIELD).save_output_param
        return all(getattr(saving, name) for name in _NEEDED)

    def _expect_saving(self) -> Any | None:
        known = f"must be one of {', '.join(FORMATS)}"
        self.require(self.settings(_FIELD).save_output_param.output_format in FORMATS, f"{_SAVE}.output_format", known)
        return expect_resize(self, f"{_SAVE}.resize_param")

    def warnings(self) -> Sequence[Fault]:
        found, settings = [], self.settings(_FIELD)
        if settings.visualize:
            found.append(
                self.fault("visualize has no effect: nothing is shown", f"{_FIELD}.visualize", None, "warning")
            )
        missing = [name for name in _NEEDED if not getattr(settings.save_output_param, name)]
        if settings.HasField("save_output_param") and missing:
            what = f"writes no files: save_output_param lacks {', '.join(missing)}"
            found.append(self.fault(what, _SAVE, "give them, or leave save_output_param out", "warning"))
        return found

    def _save(self, rows: Tensor, images: int) -> None:
        """Take in the detections of a batch; write the files where a round of images is complete."""
        if self._files is None:
            self._open()
        array = rows.numpy()
        for image in range(images):
            self._saved = [*self._saved, array[array[:, 0] == image, 1:]]
            if len(self._saved) >= self._round:
                saved, self._saved = self._saved, []
                self._write(saved)

    def _open(self) -> None:
        saving = self.settings(_FIELD).save_output_param
        names = class_names(self, f"{_SAVE}.label_map_file", saving.label_map_file)
        self._images = image_sizes(self, f"{_SAVE}.name_size_file", saving.name_size_file)
        given = saving.HasField("num_test_image")
        self._round = int(saving.num_test_image) if given else len(self._images)
        if not 0 < self._round <= len(self._images):
            what = f"{saving.name_size_file} has {len(self._images)} images, and num_test_image asks for {self._round}"
            raise DataError(self.fault(what, f"{_SAVE}.num_test_image" if given else f"{_SAVE}.name_size_file"))
        folder, kind = Path(saving.output_directory), saving.output_format
        self._files = DetectionFiles(folder, saving.output_name_prefix, kind, names, self.background)

    def _write(self, saved: Sequence[NDArray[np.float32]]) -> None:
        assert self._files is not None
        found = []
        for image, rows in zip(self._images, saved, strict=False):
            boxes = to_pixels(torch.from_numpy(rows[:, 2:]), image, self.resize).tolist()
            for (label, score), box in zip(rows[:, :2].tolist(), boxes, strict=True):
                found.append(Detection(image.name, int(label), score, *box))
        with told_by(self, f"{_SAVE}.output_directory"):
            self._files.write(found)

    # -- detections ---------------------------------------------------------------------------------------------

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        scores, priors = bottoms[1:3]
        form = f"the prior boxes must be of shape (1, 2, 4 for each), got {priors}"
        self.expect(priors[1:2] == (2,) and len(priors) >= 3 and priors[2] % 4 == 0, form, "bottom[2]")
        self.raise_faults()
        self.priors, images = priors[2] // 4, scores[0] if scores else 0
        self.sets = 1 if self.settings(_FIELD).share_location else self.classes
        wanted = [self.priors * self.sets * 4, self.priors * self.classes, None]
        wanted += [self.priors * 2, self.priors * 4] if self.objectness else []
        for position, (shape, count) in enumerate(zip(bottoms, wanted, strict=False)):
            text = (
                f"needs {images} × {count} values for {self.priors} prior boxes and {self.classes} classes, got {shape}"
            )
            fits = count is None or (shape[:1] == (images,) and math.prod(shape[1:]) == count)
            self.expect(fits, text, f"bottom[{position}]")
        looked_at = self.priors if self.top_k < 0 else min(self.top_k, self.priors)
        most, kept = looked_at * self.classes, self.settings(_FIELD).keep_top_k
        if 0 <= self.background < self.classes:
            most -= looked_at
        return [(1, 1, images * max(1, most if kept < 0 else min(most, kept)), 7)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        locations, scores, priors, *first = (bottom.detach().cpu() for bottom in bottoms)
        images = len(scores)
        scores = scores.reshape(images, self.priors, self.classes)
        boxes = self._decode(
            locations.reshape(images, self.priors, self.sets, 4), priors[0].reshape(2, -1, 4), first[1:]
        )
        if self.objectness:
            likely = first[0].reshape(images, self.priors, 2)[..., 1:] >= self.settings(_FIELD).objectness_score
            nothing = torch.zeros(self.classes).index_fill_(0, torch.tensor(0), 1)
            scores = torch.where(likely, scores, nothing)
        rows = torch.cat([self._rows(image, boxes[image], scores[image]) for image in range(images)])
        if self.saves and not run.repeating:
            self._save(rows, images)
        if not len(rows):
            rows = torch.full((images, 7), -1.0)
            rows[:, 0] = torch.arange(images)
        return (rows.reshape(1, 1, -1, 7).to(run.device, bottoms[0].dtype),)

    def _decode(self, locations: Tensor, priors: Tensor, moved: Sequence[Tensor]) -> Tensor:
        """Boxes of all images, N×P×sets×4."""
        settings = self.settings(_FIELD)
        variances = None if settings.variance_encoded_in_target else priors[1][:, None]
        anchors = priors[0][:, None]
        for first in moved:
            anchors = ops.boxes.decode(anchors, variances, first.reshape(-1, self.priors, 1, 4), settings.code_type)
        return ops.boxes.decode(anchors, variances, locations, settings.code_type)

    def _rows(self, image: int, boxes: Tensor, scores: Tensor) -> Tensor:
        """The rows of an image, of boxes P×sets×4 and scores P×C."""
        thinning, most = self.settings(_FIELD).nms_param, self.settings(_FIELD).keep_top_k
        kept = []
        for label in range(self.classes):
            if label != self.background:
                of_class, own = boxes[:, label % self.sets], scores[:, label]
                threshold, eta = thinning.nms_threshold, thinning.eta
                at = ops.boxes.nms(of_class, own, threshold, self.top_k, eta, above=self.lowest)
                head = torch.stack([torch.full(at.shape, float(image)), torch.full(at.shape, float(label)), own[at]], 1)
                kept.append(torch.cat([head, of_class[at]], 1))
        rows = torch.cat(kept) if kept else scores.new_zeros(0, 7)
        if 0 <= most < len(rows):
            rows = rows[rows[:, 2].sort(descending=True, stable=True).indices[:most]]
            rows = rows[rows[:, 1].sort(stable=True).indices]
        return rows
