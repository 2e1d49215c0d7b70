"""Source layers that read images and a label for each of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..data.image import Colour
from ..data.image_pairs import ImagePairs, LabelKind, Pixels, read_pairs
from ..data.resize import nearest, resize
from ..data.telling import folder_of, told_by
from ..data.transform_param import Floats, by
from ..errors import DataError, Fault
from ..proto import TRAIN, ImageDataParameter
from .base import Shape, between
from .fed import Batch
from .fed_by_rows import WORDS, FedByRows

Words = Sequence[int]
"""What chance is to an image: random numbers for mirror, row, column and factor."""


class Segmented(NamedTuple):
    """An image, C×H×W, its labels, 1×H′×W′, and height and width it had before it was cropped."""

    image: Floats
    label: Floats
    size: tuple[int, int]


class SegmentedImages(FedByRows):
    """A layer whose tops are images, N×C×H×W, and labels, N×1×H×W.

    A type says which list it reads, and what becomes of an image (`segmented`).

    Attributes:
        boxes: whether each line of the list has a box.
        reads: the fields of transform_param that it reads.
    """

    opened = frozenset({"_feed", "_pairs"})
    boxes = False
    reads: frozenset[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pairs: ImagePairs | None = None

    @property
    def varies(self) -> bool:  # type: ignore[override]
        """Whether one batch may have images of another size than the next."""
        return self.batch_size == 1 and not self.given.new_height and self.crop is None

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of what is cut out."""
        raise NotImplementedError

    @property
    def root(self) -> str:
        """What is put in front of every path."""
        return str(self.given.root_folder)

    @property
    def most_skipped(self) -> int:
        return int(self.given.rand_skip)

    @property
    def colour(self) -> Colour:
        """How images are decoded."""
        return "colour" if self.given.is_color else "gray"

    @property
    def labels_by(self) -> LabelKind:
        """What says the labels."""
        return "pixel"

    @property
    def ignored(self) -> int:
        """The label of pixels that have none."""
        return 255

    def segmented(self, pairs: ImagePairs, row: int, words: Words) -> Segmented:
        """What the net sees of an image; `words` are its own random numbers.

        Raises:
            DataError: the image or its labels cannot be read, or do not fit.
        """
        raise NotImplementedError

    def check_list(self) -> None:
        """Note what is wrong with where images come from, and what new_height and new_width say."""
        settings = self.given
        self.require(settings.batch_size > 0, f"{self.holder}.batch_size", "must be positive")
        self.check_both(self.holder, "new_height", "new_width")
        self.check_source()

    def check_source(self) -> None:
        """Note what is wrong with the list's name, and with how batches are to be loaded."""
        given = bool(self.given.source)
        self.require(given, self.source, "must name a text file that lists images and labels")
        self.check_feed()

    def check_segments(self) -> None:
        """Note what is wrong with transform_param whatever the data.

        What a type does not read is a fault: it would change images, and not their labels.
        """
        settings = self.param.transform_param
        for field, _ in settings.ListFields():
            known = field.name in {*self.reads, "force_color", "force_gray"}
            self.expect(known, f"{field.name} is not for {self.type}", f"transform_param.{field.name}", "leave it out")
        for field, values in (("scale", [settings.scale]), ("mean_value", settings.mean_value)):
            self.expect(bool(np.isfinite(values).all()), f"{field} must be a number", f"transform_param.{field}")
        means, channels = len(settings.mean_value), 3 if self.colour == "colour" else 1
        rule = f"needs one mean_value, or one for each of {channels} channels, got {means}"
        self.expect(means in (0, 1, channels), rule, "transform_param.mean_value")

    def mean_values(self) -> Floats:
        """The mean of each channel, or of all, broadcastable."""
        return np.array(list(self.param.transform_param.mean_value) or [0.0], np.float32).reshape(-1, 1, 1)

    def warnings(self) -> list[Fault]:
        forced = [name for name in ("force_color", "force_gray") if getattr(self.param.transform_param, name)]
        why = f"{self.holder} says how images are read"
        return [fault for name in forced for fault in self.without_effect(f"transform_param.{name}", why)]

    # -- the list -------------------------------------------------------------------------------------------------

    @property
    def pairs(self) -> ImagePairs:
        """The list, read."""
        if self._pairs is None:
            settings = self.given
            with told_by(self, self.source):
                self._pairs = read_pairs(
                    str(settings.source), self.root, folder_of(self, self.source),
                    self.labels_by, self.ignored, self.boxes,
                )  # fmt: skip
            rule = f"must not exceed the number of images ({len(self._pairs)})"
            if self.most_skipped > len(self._pairs):
                self.require(False, f"{self.holder}.rand_skip", rule)
            self.raise_faults()
        return self._pairs

    @property
    def records(self) -> int:
        return len(self.pairs)

    # -- batches --------------------------------------------------------------------------------------------------

    def cut_anywhere(self, image: Any, label: Any, words: Words, row: int, names: str) -> tuple[Any, Any]:
        """The image of this row and its labels, both cut to `crop` at a place that chance chooses; `names`: its
        settings, for messages.

        Raises:
            DataError: the image is smaller.
        """
        if self.crop is None:
            return image, label
        size = image.shape[1:]
        spare = (size[0] - self.crop[0], size[1] - self.crop[1])
        if min(spare) < 0:
            message = f"is {by(size)}, smaller than {names}, {by(self.crop)}"
            raise DataError(self.pairs.images.fault(row, message))
        top, left = (word % (rest + 1) for word, rest in zip(words[1:3], spare, strict=True))
        window = np.s_[:, top : top + self.crop[0], left : left + self.crop[1]]
        return image[window], label[window]

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        pairs = self.pairs
        with told_by(self, self.source):
            first = self.segmented(pairs, 0, (0,) * WORDS)
        count = self.batch_size
        tops: list[Shape] = [(count, *first.image.shape), (count, *first.label.shape), (count, 1, 1, 2)]
        return tops[: len(self.param.top)]

    def load(self, seed: int, position: int) -> Batch:
        pairs, rows = self.pairs, self.rows_at(seed, position).tolist()
        words = self.words_at(seed, position, "transform")
        items = [self.segmented(pairs, row, own) for row, own in zip(rows, words, strict=True)]
        for item, row in zip(items, rows, strict=True):
            if item.image.shape != items[0].image.shape:
                message = f"is {by(item.image.shape)}, but the first of its batch is {by(items[0].image.shape)}"
                raise DataError(pairs.images.fault(row, message, "give new_height and new_width, or a size to cut out"))
        images, labels = (np.stack([item[part] for item in items]) for part in (0, 1))
        sizes = np.array([item.size for item in items], np.float32).reshape(-1, 1, 1, 2)
        return Batch((images, labels, sizes))

    def close(self) -> None:
        super().close()
        self._pairs = None


class CroppedSegments(SegmentedImages):
    """Base of ImageSegData and WindowSegData: settings in image_data_param, and a transformation that treats image and
    labels alike (`src/caffe/data_transformer.cpp` of hszhao/PSPNet): resized by a factor, padded, cropped, mirrored."""

    tops = between(2, 3)
    source = "image_data_param.source"
    reads = frozenset({"scale", "mean_value", "mirror", "crop_size", "crop_height", "crop_width", "scale_factors"})

    @property
    def labels_by(self) -> LabelKind:
        kind = self.param.image_data_param.label_type
        if kind == ImageDataParameter.PIXEL:
            return "pixel"
        return "image" if kind == ImageDataParameter.IMAGE else "none"

    @property
    def ignored(self) -> int:
        return int(self.param.image_data_param.ignore_label)

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of what is cut out."""
        settings = self.param.transform_param
        if settings.crop_height:
            return (int(settings.crop_height), int(settings.crop_width))
        return (int(settings.crop_size),) * 2 if settings.crop_size else None

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.check_list()
        self.check_segments()
        settings = self.param.transform_param
        self.check_both("transform_param", "crop_height", "crop_width")
        both = "crop_size and crop_height are both given"
        once = not (settings.crop_size and settings.crop_height)
        self.expect(once, both, "transform_param.crop_height", "leave one of them out")
        for index, factor in enumerate(settings.scale_factors):
            sound = f"scale_factors must be positive numbers, got {factor:g}"
            self.expect(0 < factor < np.inf, sound, f"transform_param.scale_factors[{index}]")
        cropless = "scale_factors makes images of different sizes, and nothing is cut out of them"
        fine = self.crop is not None or not settings.scale_factors
        self.expect(fine, cropless, "transform_param.scale_factors", "give crop_size")
        self.require(0 <= self.ignored <= 255, "image_data_param.ignore_label", "must be from 0 to 255")

    def transformed(self, image: Pixels, label: Pixels, words: Words, had: tuple[int, int]) -> Segmented:
        """Image and labels resized by a factor, padded at the bottom and on the right with the mean and `ignored`,
        cropped (anywhere in TRAIN, in the middle in TEST), mirrored; (x − mean) · scale.  `had`: height and width that
        the image had, to be told up to those of what the net sees."""
        settings, crop = self.param.transform_param, self.crop
        height, width = image.shape[1:]
        if settings.scale_factors:
            factor = settings.scale_factors[words[3] % len(settings.scale_factors)]
            if factor != 1:
                height, width = (int(np.float32(size) * np.float32(factor)) for size in (height, width))
                image, label = resize(image, height, width), nearest(label, height, width)
        values = image.astype(np.float32) - self.mean_values()
        labels = label.astype(np.float32)
        if crop is not None:
            below, right = (max(0, most - size) for most, size in zip(crop, (height, width), strict=True))
            values = np.pad(values, ((0, 0), (0, below), (0, right)))  # with the mean, which is taken off
            labels = np.pad(labels, ((0, 0), (0, below), (0, right)), constant_values=self.ignored)
            spare = [size - most for size, most in zip(values.shape[1:], crop, strict=True)]
            train = self.phase == TRAIN
            row, column = (
                word % (rest + 1) if train else rest // 2 for word, rest in zip(words[1:3], spare, strict=True)
            )
            window = np.s_[:, row : row + crop[0], column : column + crop[1]]
            values, labels = values[window], labels[window]
        if settings.mirror and words[0] & 1:
            values, labels = values[:, :, ::-1], labels[:, :, ::-1]
        rows, columns = values.shape[1:]
        told = (min(rows, had[0]), min(columns, had[1]))
        return Segmented(values * np.float32(settings.scale), labels, told)
