"""Source layers that read images and a label for each of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.image import Colour
from ..data.image_pairs import ImagePairs, LabelKind, Pixels, read_pairs
from ..data.order import Order
from ..data.resize import nearest, resize
from ..data.telling import folder_of, told_by
from ..data.transform_param import Floats
from ..errors import DataError, Fault
from ..proto import TRAIN, ImageDataParameter
from ..runtime import seeds
from .base import Shape, between
from .fed import Batch, FedLayer

_WORDS = 4
"""Random 64-bit words an image has to itself: one step of Philox's counter: mirror, row, column, factor."""

Words = Sequence[int]


class Segmented(NamedTuple):
    """An image, C×H×W, its labels, 1×H′×W′, and height and width it had before it was cropped."""

    image: Floats
    label: Floats
    size: tuple[int, int]


class SegmentedImages(FedLayer):
    """A layer whose tops are images, N×C×H×W, and labels, N×1×H×W.

    A type says which list it reads, and what becomes of an image (`segmented`).

    Attributes:
        holder: the field of the LayerParameter that holds source, root_folder, batch_size, shuffle and rand_skip.
        boxes: whether each line of the list has a box.
        reads: the fields of transform_param that it reads.
    """

    opened = frozenset({"_feed", "_pairs"})
    holder: str
    boxes = False
    reads: frozenset[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pairs: ImagePairs | None = None
        self._order: tuple[int, Order, int] | None = None

    @property
    def batch_size(self) -> int:
        return int(self.settings(self.holder).batch_size)

    @property
    def varies(self) -> bool:  # type: ignore[override]
        """Whether one batch may have images of another size than the next."""
        return self.batch_size == 1 and not self.settings(self.holder).new_height and self.crop is None

    @property
    def crop(self) -> tuple[int, int] | None:
        """Height and width of what is cut out."""
        raise NotImplementedError

    @property
    def root(self) -> str:
        """What is put in front of every path."""
        return str(self.settings(self.holder).root_folder)

    @property
    def most_skipped(self) -> int:
        """How many lines may be left out at the beginning, by chance."""
        return int(self.settings(self.holder).rand_skip)

    @property
    def colour(self) -> Colour:
        """How images are decoded."""
        return "colour" if self.settings(self.holder).is_color else "gray"

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
        settings = self.settings(self.holder)
        self.require(settings.batch_size > 0, f"{self.holder}.batch_size", "must be positive")
        self.check_both(settings, self.holder, "new_height", "new_width")
        self.check_source()

    def check_source(self) -> None:
        """Note what is wrong with the list's name, and with how batches are to be loaded."""
        given = bool(self.settings(self.holder).source)
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

    def check_both(self, settings: Any, holder: str, *names: str) -> None:
        """Note a fault unless both or neither of two sizes are given."""
        values = [int(getattr(settings, name)) for name in names]
        message = f"{names[0]}: {values[0]} and {names[1]}: {values[1]} must both be given, or neither"
        self.expect(bool(values[0]) == bool(values[1]), message, f"{holder}.{names[0]}")

    def warnings(self) -> list[Fault]:
        forced = [name for name in ("force_color", "force_gray") if getattr(self.param.transform_param, name)]
        why = f"{self.holder} says how images are read"
        return [fault for name in forced for fault in self.without_effect(f"transform_param.{name}", why)]

    # -- the list -------------------------------------------------------------------------------------------------

    @property
    def pairs(self) -> ImagePairs:
        """The list, read."""
        if self._pairs is None:
            settings = self.settings(self.holder)
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

    def begins_at(self, seed: int) -> int:
        """The position in the order at which the stream begins."""
        most = self.most_skipped
        return seeds.derive(seed, self.name, "rand_skip") % most if most else 0

    def _rows(self, seed: int, position: int) -> NDArray[np.int64]:
        if self._order is None or self._order[0] != seed:
            order = Order(len(self.pairs), (seed, self.name) if self.settings(self.holder).shuffle else None)
            self._order = (seed, order, self.begins_at(seed))
        _, order, begin = self._order
        return order.rows(position + begin, self.batch_size)

    # -- batches --------------------------------------------------------------------------------------------------

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        pairs = self.pairs
        with told_by(self, self.source):
            first = self.segmented(pairs, 0, (0,) * _WORDS)
        count = self.batch_size
        tops: list[Shape] = [(count, *first.image.shape), (count, *first.label.shape), (count, 1, 1, 2)]
        return tops[: len(self.param.top)]

    def load(self, seed: int, position: int) -> Batch:
        pairs, rows = self.pairs, self._rows(seed, position).tolist()
        generator = np.random.Philox(key=seeds.derive(seed, self.name, "transform"), counter=position)
        words = generator.random_raw(len(rows) * _WORDS).reshape(len(rows), _WORDS).tolist()
        items = [self.segmented(pairs, row, own) for row, own in zip(rows, words, strict=True)]
        for item, row in zip(items, rows, strict=True):
            if item.image.shape != items[0].image.shape:
                here, there = ("×".join(map(str, each.image.shape)) for each in (item, items[0]))
                message = f"is {here}, but the first of its batch is {there}"
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
    holder = "image_data_param"
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
    def size(self) -> tuple[int, int] | None:
        """Height and width images are resized to."""
        settings = self.param.image_data_param
        return (int(settings.new_height), int(settings.new_width)) if settings.new_height else None

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
        self.check_both(settings, "transform_param", "crop_height", "crop_width")
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
