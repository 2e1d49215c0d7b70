"""AnnotatedData: batches of images with boxes around objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..data import sampling
from ..data.annotated_table import AnnotatedTable
from ..data.boxes import Boxes, Floats
from ..data.image import pixels_of
from ..data.sources import acquire, resolve
from ..data.telling import find, folder_of, told_by, where_it_looked
from ..data.transform_param import colour_of
from ..errors import DataError, Fault
from ..layerkit import Shape, between, layer
from ..layerkit.fed import Batch
from ..layerkit.labelled_images import LabelledImages
from ..proto import ResizeParameter
from ..runtime import seeds

_COLUMNS = 8
_YOLO = (300, 5)
"""Boxes of an image, and numbers of a box, with yolo_data_type 1."""
_LARGE = ResizeParameter.FIT_LARGE_SIZE_AND_PAD
_NOTHING = np.full((1, _COLUMNS), -1, np.float32)
"""The row that says that a batch has no box."""


@layer("AnnotatedData")
class AnnotatedData(LabelledImages):
    """Reads an LMDB or LevelDB of AnnotatedDatum records, batch after batch in the order of the keys, and begins anew
    at its end; with `shuffle` (not in the fork), in a new order every epoch.

    Tops: images, N×C×H×W float32, and, if there are two, boxes, 1×1×G×8: a row for each of the G boxes of the batch, in
    the order of the images: number of the image in the batch, class, number in its class, xmin, ymin, xmax, ymax (parts
    of the image), difficult; one row of −1 if there is none.  G differs from batch to batch.  Where records have no
    type and `anno_type` is not given, the second top is labels, N.

    With `yolo_data_type: 1`, of eric612/MobileNet-YOLO, the boxes are N×1×300×5: class − 1, x and y of the centre,
    width, height, and zeros behind the last one.

    In either phase an image and its boxes go through other colours (distort_param), a larger canvas (expand_param), a
    window (`batch_sampler`), another size (resize_param; of several, one is drawn every ten batches), noise_param, crop
    and mirror.  Boxes of which nothing is left go, and those that emit_constraint does not keep.

    Source: `src/caffe/layers/annotated_data_layer.cpp`, `src/caffe/util/sampler.cpp`, `im_transforms.cpp` of the forks.
    Unlike there, images are not compressed as JPEG between the steps, raw images take part in all of them, and
    records without a type may be read with `anno_type`.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the database or mean file is missing or damaged, or does not fit the settings.
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    example = """
    layer {
      name: "data" type: "AnnotatedData" top: "data" top: "label"
      transform_param { mirror: true resize_param { height: 300 width: 300 } emit_constraint { emit_type: CENTER } }
      data_param { source: "voc_train_lmdb" batch_size: 32 }
      annotated_data_param {
        batch_sampler {
          sampler { min_scale: 0.3 } sample_constraint { min_jaccard_overlap: 0.5 } max_sample: 1 max_trials: 50
        }
      }
    }
    """

    tops = between(1, 2)
    varies = True
    source = "data_param.source"
    makes_equal = "give resize_param or a crop_size"

    @property
    def samplers(self) -> Sequence[Any]:
        """Its ways of choosing windows."""
        return self.param.annotated_data_param.batch_sampler  # type: ignore[no-any-return]

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.require(self.param.data_param.batch_size > 0, "data_param.batch_size", "must be positive")
        self.require(bool(self.param.data_param.source), self.source, "must name a database")
        for index, resize in enumerate(self.param.transform_param.resize_param):
            small = resize.resize_mode == ResizeParameter.FIT_SMALL_SIZE and not self._crops
            message = "FIT_SMALL_SIZE makes images of several sizes: it needs a batch_size of 1, or a crop"
            field = f"transform_param.resize_param[{index}].resize_mode"
            self.expect(not small or self.batch_size == 1, message, field)
        own, transform = self.param.annotated_data_param, self.param.transform_param
        self.require(own.yolo_data_type in (0, 1), "annotated_data_param.yolo_data_type", "must be 0 or 1")
        self.require(0 <= self.jitter < 1, "annotated_data_param.yolo_data_jitter", "must be from 0 to below 1")
        moving = [name for name in ("augmentation", "random_aspect_ratio_param") if transform.HasField(name)]
        for name in moving + ["multi_scale"] * transform.multi_scale:
            self.expect(False, f"{name} would move images, but not their boxes", f"transform_param.{name}")
        self.check_feed()
        self.check_transform()
        for message, field in sampling.faults(self.param.transform_param, self.samplers):
            self.expect(False, message, field)

    @property
    def _yolo(self) -> bool:
        return bool(self.param.annotated_data_param.yolo_data_type == 1)

    @property
    def jitter(self) -> float:
        """By how much windows are smaller than images at most; 0: images are not cut so."""
        param = self.param.annotated_data_param
        if param.batch_sampler or not (self._yolo or param.HasField("yolo_data_jitter")):
            return 0.0
        return float(param.yolo_data_jitter)

    @property
    def _crops(self) -> bool:
        param = self.param.transform_param
        return bool(param.crop_size or (param.crop_h and param.crop_w))

    def warnings(self) -> list[Fault]:
        faults = []
        for index, sampler in enumerate(self.samplers):
            used, *unused = sampling.limits(sampler.sample_constraint) or [""]
            for kind in unused:
                field = f"annotated_data_param.batch_sampler[{index}].sample_constraint"
                message = f"limits of {kind} have no effect beside those of {used}"
                faults.append(self.fault(message, field, "give a sampler limits of one kind", "warning"))
        return faults

    def open_table(self) -> AnnotatedTable:
        param = self.param.data_param
        path, beside = find(param.source, folder_of(self, self.source)), folder_of(self, self.source)
        backend = param.DB.Name(param.backend) if param.HasField("backend") else None
        found = resolve(path, backend, where_it_looked(str(param.source), beside))
        return AnnotatedTable(acquire(path, found), colour_of(self.param.transform_param), self.cache_budget)

    @property
    def annotations(self) -> AnnotatedTable:
        """The table, open."""
        table = self.table
        assert isinstance(table, AnnotatedTable)
        return table

    @property
    def _has_boxes(self) -> bool:
        """Whether the second top is boxes, as the first record says."""
        if self.annotations.objects[0] is None:
            self.annotations.first()
        return bool(self.annotations.typed[0]) or self.param.annotated_data_param.HasField("anno_type")

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        with told_by(self, self.source):
            first = self.table.first()
        misfits = sampling.misfits(self.param.transform_param, first.shape[0])
        if misfits:
            raise DataError(self.fault(message, field) for message, field in misfits)
        images, labels = super().shapes(bottoms)[0], (self.batch_size,)
        if self._has_boxes:
            rows = max(1, len(self.annotations.boxes(0)))
            labels = (self.batch_size, 1, *_YOLO) if self._yolo else (1, 1, rows, _COLUMNS)  # type: ignore[assignment]
        return [images, labels][: len(self.param.top)]

    # -- batches --------------------------------------------------------------------------------------------------

    def load(self, seed: int, position: int) -> Batch:
        rows, transform = self.rows_at(seed, position), self.transform
        records = self.table.records(rows)
        policy = transform.reshaping.policy(seed, self.name, position, self.batch_size)
        first = records.images[0].shape
        wanted = transform.shape(first, policy)
        images, objects = [], []
        for index, row in enumerate(rows.tolist()):
            generator = seeds.generator(seed, self.name, "annotated", position + index)
            image, boxes = self._changed(records.images[index], self.annotations.boxes(row), generator, policy)
            self._refuse_misfit(wanted, first, image, row, policy)
            images.append(image)
            objects.append(boxes)
        chosen = transform.choose(images, seed, self.name, position)
        if not self._has_boxes:
            return Batch((records.labels,), chosen, transform)
        untyped = rows[~self.annotations.typed[rows]]
        if len(untyped) and not self.param.annotated_data_param.HasField("anno_type"):
            help = "annotated_data_param { anno_type: BBOX } says it for all records"
            raise DataError(self.annotations.fault(int(untyped[0]), "does not say how it is annotated", help))
        sizes = [image.shape[1:] for image in chosen.images]
        found = self._seen(images, objects, transform.windows(chosen), sizes, policy)
        return Batch((self._labels(found, rows.tolist()),), chosen, transform)

    def _changed(self, image: Any, boxes: Boxes, generator: np.random.Generator, policy: int) -> tuple[Any, Boxes]:
        """The image and its boxes in other colours, on a larger canvas, and cut."""
        param = self.param.transform_param
        distorts, expands = param.HasField("distort_param"), param.HasField("expand_param")
        if not (distorts or expands or self.samplers or self.jitter):
            return image, boxes
        pixels = pixels_of(image)
        if pixels.dtype != np.uint8:
            raise DataError("only images of bytes can be changed by chance, these are of floats", code="CL406")
        if distorts:
            pixels = sampling.distorted(pixels, param.distort_param, generator)
        if expands:
            pixels, boxes = sampling.expanded(pixels, boxes, param, generator)
        if self.jitter:
            keeps = param.resize_param and param.resize_param[policy].resize_mode == _LARGE
            return sampling.jittered(pixels, boxes, param, self.jitter, bool(keeps), generator)
        return sampling.sampled(pixels, boxes, param, self.samplers, generator)

    def _seen(
        self,
        images: Sequence[Any],
        objects: Sequence[Boxes],
        windows: Sequence[tuple[int, int, bool]],
        sizes: Sequence[Sequence[int]],
        policy: int,
    ) -> list[Boxes]:
        """The boxes of the images as the net sees them.

        Args:
            images: before they are resized, with their boxes.
            windows, sizes: where resized images are cut and whether they are mirrored, and how large they are.
            policy: by which resize_param they were resized, if by any.
        """
        param = self.param.transform_param
        emit = param.emit_constraint if param.HasField("emit_constraint") else None
        resize = param.resize_param[policy] if param.resize_param else None
        found = []
        for image, boxes, (row, column, turned), (height, width) in zip(images, objects, windows, sizes, strict=True):
            tall, wide = self.transform.crop or (height, width)
            scale = np.array([width, height, width, height], np.float32)
            window = np.array([column, row, column + wide, row + tall], np.float32) / scale
            if resize is not None:
                boxes = boxes.resized(resize, image.shape[1:])
            boxes = boxes.seen_in(window, emit)
            boxes = boxes.mirrored() if turned else boxes
            if resize is not None:
                boxes = boxes.extrapolated(resize, image.shape[1:], window)
            found.append(boxes)
        return found

    def _labels(self, found: Sequence[Boxes], rows: Sequence[int]) -> Floats:
        """The second top: 1×1×G×8, or N×1×300×5 for YOLO."""
        if not self._yolo:
            of_all = np.concatenate([boxes.rows(item) for item, boxes in enumerate(found)])
            return (of_all if len(of_all) else _NOTHING)[np.newaxis, np.newaxis]
        labels = np.zeros((len(found), 1, *_YOLO), np.float32)
        for boxes, row, label in zip(found, rows, labels, strict=True):
            kept = boxes if self.param.annotated_data_param.train_diffcult else boxes.those(boxes.labels[:, 2] == 0)
            if len(kept) > _YOLO[0]:
                raise DataError(self.annotations.fault(row, f"has {len(kept)} boxes, and YOLO takes {_YOLO[0]}"))
            label[0, : len(kept)] = kept.centred()
        return labels

    def label_counts(self, top: int) -> Any:
        with told_by(self, self.source):
            has_boxes = self._has_boxes
        if top == 1 and has_boxes:
            raise self.cannot_count(top, "it holds boxes")
        return super().label_counts(top)
