"""SegData: images with a label for each of their pixels, one at a time, each as large as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from ..data.image import Colour
from ..data.image_pairs import ImagePairs, Pixels
from ..data.resize import nearest, resize
from ..data.telling import told_by
from ..layerkit import Shape, exactly, layer
from ..layerkit.segmented import Segmented, SegmentedImages, Words

_TRIES = 10
_MOST = 0.8
"""The part of the pixels above which a label is too frequent for `balance`."""


@layer("SegData")
class SegData(SegmentedImages):
    """Reads the images listed in the text file `source`, each line a path, a space, and the path of a gray image with
    the label of each pixel; begins anew at the end, and `shuffle` takes the lines in a new order every epoch.

    Tops: an image, 1×3×H×W float32 in the order B, G, R, and its labels, 1×1×H×W.  transform_param: the image is
    resized by a factor between the two `scale_ratios`, drawn in steps of 1/1000 (labels to the nearest); cut out of it,
    anywhere, is as much as `stride` divides, at most `upper_size` (or `upper_height` and `upper_width`); then mirror,
    and (x − mean) · scale.  All of it in TRAIN and in TEST.  With `balance` this is done again, up to ten times, while
    one label has more than 0.8 of the pixels.

    Sources: `src/caffe/layers/seg_data_layer.cpp`, `src/caffe/data_transformer.cpp` of yjxiong/caffe.

    Raises:
        LayerError: settings that are wrong whatever the data.
        DataError: the list or an image is missing or damaged (its line is named), or does not fit the settings.
    """

    fork: ClassVar[str] = "yjxiong/caffe"
    example = """
    layer {
      name: "images" type: "SegData" top: "data" top: "label"
      transform_param { scale_ratios: 0.8 scale_ratios: 1.2 stride: 8 mirror: true mean_value: 104 }
      seg_data_param { source: "pairs.txt" shuffle: true }
    }
    """

    tops = exactly(2)
    source = "seg_data_param.source"
    reads = frozenset(
        {"scale", "mean_value", "mirror", "scale_ratios", "stride", "upper_size", "upper_height", "upper_width"}
    )
    varies = True  # type: ignore[assignment]
    batch_size = 1  # type: ignore[assignment]
    most_skipped = 0  # type: ignore[assignment]

    @property
    def root(self) -> str:
        return str(self.param.seg_data_param.root_dir)

    @property
    def colour(self) -> Colour:
        return "colour"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.param.transform_param
        self.check_source()
        self.check_segments()
        self.require(settings.stride > 0, "transform_param.stride", "must be positive")
        for name in ("upper_size", "upper_height", "upper_width"):
            fine = getattr(settings, name) > 0 or not settings.HasField(name)
            self.require(fine, f"transform_param.{name}", "must be positive")
        self.check_both("transform_param", "upper_height", "upper_width")
        ratios = list(settings.scale_ratios)
        two = len(ratios) in (0, 2) and all(0 < ratio < np.inf for ratio in ratios) and ratios == sorted(ratios)
        self.require(two, "transform_param.scale_ratios", "must be two positive numbers, the smaller first")

    def shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        pairs = self.pairs
        with told_by(self, self.source):
            height, width = pairs.image(0, "colour").shape[1:]
        size = self._cut(height, width)
        self.expect(min(size) > 0, f"nothing is left of an image of {height}×{width}", "transform_param.stride")
        return [(1, 3, *size), (1, 1, *size)]

    def _cut(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of what is cut out of an image."""
        settings = self.param.transform_param
        rows, columns = (size // settings.stride * settings.stride for size in (height, width))
        if settings.HasField("upper_size"):
            return min(rows, settings.upper_size), min(columns, settings.upper_size)
        if settings.HasField("upper_height"):
            return min(rows, settings.upper_height), min(columns, settings.upper_width)
        return rows, columns

    def segmented(self, pairs: ImagePairs, row: int, words: Words) -> Segmented:
        image = pairs.image(row, "colour")
        height, width = image.shape[1:]
        label, chance = pairs.label(row, (height, width)), np.random.default_rng(list(words))
        for _ in range(_TRIES + 1):
            item = self._drawn(image, label, chance)
            counts = np.bincount(item.label.astype(np.int64).ravel(), minlength=1)
            if not self.param.seg_data_param.balance or counts.max() <= _MOST * item.label.size:
                break
        return item

    def _drawn(self, image: Pixels, label: Pixels, chance: np.random.Generator) -> Segmented:
        settings = self.param.transform_param
        low, high = settings.scale_ratios or (1.0, 1.0)
        ratio = chance.integers(int((high - low) * 1000) + 1) / 1000 + low
        height, width = (int(size * ratio + 0.5) for size in image.shape[1:])
        rows, columns = self._cut(height, width)
        image, label = resize(image, height, width), nearest(label, height, width)
        top, left = int(chance.integers(height - rows + 1)), int(chance.integers(width - columns + 1))
        window = np.s_[:, top : top + rows, left : left + columns]
        image, label = image[window], label[window]
        if settings.mirror and chance.integers(2):
            image, label = image[:, :, ::-1], label[:, :, ::-1]
        values = (image - self.mean_values()) * np.float32(settings.scale)
        return Segmented(values, label.astype(np.float32), (rows, columns))
