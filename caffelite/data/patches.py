"""`transform_param { fix_crop multi_scale is_flow }` of yjxiong/caffe: where an image is cut, and what is done to flow.

Source: `src/caffe/data_transformer.cpp` of yjxiong/caffe (fillFixOffset, fillCropSize, Transform of a Datum).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..proto import TRAIN
from .cache import Array, Images
from .image import Picture, pixels_of
from .lazily import Lazily
from .resize import resize

_RATIOS = (1.0, 0.875, 0.75, 0.66)
_NEARLY = 3
"""A height or width less than this far from crop_size becomes that."""
_PLACES = ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2))
_MORE_PLACES = ((0, 2), (4, 2), (2, 0), (2, 4), (1, 1), (1, 3), (3, 1), (3, 3))
"""Where a crop may begin, in quarters of the way it can be moved down and right."""

Sizes = list[tuple[int, int]]


def faults(param: Any) -> Iterator[tuple[str, str]]:
    """What is wrong with these settings whatever the data: messages, and the fields they are about."""
    for index, ratio in enumerate(param.scale_ratios):
        if not 0 < ratio <= 1:
            yield f"a scale ratio must be above 0 and at most 1, got {ratio:g}", f"scale_ratios[{index}]"
    if param.max_distort < 0:
        yield f"max_distort must not be negative, got {param.max_distort}", "max_distort"
    for field in ("multi_scale", "is_flow"):
        if getattr(param, field) and param.HasField("augmentation"):
            yield f"{field} and augmentation cannot both be given", field


def places(height: int, width: int, crop: tuple[int, int], more: bool) -> Sizes:
    """The rows and columns at which a crop of this size may begin."""
    down, right = ((whole - part) // 4 for whole, part in zip((height, width), crop, strict=True))
    return [(rows * down, columns * right) for rows, columns in (*_PLACES, *(_MORE_PLACES if more else ()))]


def sizes(height: int, width: int, crop: int, ratios: Sequence[float], distort: int) -> Sizes:
    """The heights and widths that a crop may have: parts of the shorter side, in float32, cut to whole numbers."""
    base = np.float32(min(height, width))
    sides = [int(base * np.float32(ratio)) for ratio in ratios or _RATIOS]
    sides = [crop if abs(side - crop) < _NEARLY else side for side in sides]
    return [(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= distort]


class Patches:
    """These settings of a layer, in a phase.

    Attributes:
        active: whether anything is different at all from images that are cut anywhere.
    """

    def __init__(self, param: Any, phase: int) -> None:
        self._param = param
        cuts = bool(param.crop_size) and phase == TRAIN
        self._fixed, self._scaled = cuts and param.fix_crop, cuts and param.multi_scale
        self._flow = bool(param.is_flow and param.mirror)
        self.active = bool(self._fixed or self._scaled or self._flow)

    def cut(
        self, images: Images, words: NDArray[np.uint64], turned: NDArray[np.bool_]
    ) -> tuple[Images, NDArray[np.uint64] | None]:
        """Images that are left to be cut and mirrored, and random words for the rows and columns of their crops.

        Args:
            words: four random words an image, the first being used already.
            turned: which images will be mirrored.
        """
        corners: NDArray[np.uint64] | None = words[:, 1:3]
        if self._scaled:
            whole, corners = images, None
            images = Lazily(len(whole), lambda index: self._resized(whole[index], words[index].tolist()))
        elif self._fixed:
            found = [self._corner(image.shape, words[index].tolist()) for index, image in enumerate(images)]
            corners = np.array(found, np.uint64)
        return (self._as_mirrored(images, turned) if self._flow and turned.any() else images), corners

    def _corner(self, shape: tuple[int, ...], words: list[int], size: tuple[int, int] | None = None) -> tuple[int, int]:
        """Where the crop of an image of this shape begins."""
        crop = size or (int(self._param.crop_size),) * 2
        if self._fixed:
            possible = places(shape[1], shape[2], crop, self._param.more_fix_crop)
            return possible[words[1] % len(possible)]
        return words[1] % (shape[1] - crop[0] + 1), words[2] % (shape[2] - crop[1] + 1)

    def _resized(self, image: Array | Picture, words: list[int]) -> Array:
        """A crop of chosen size and place, resized to crop_size × crop_size."""
        if image.dtype != np.uint8:
            raise DataError("multi_scale needs images of bytes; these are floats")
        crop, param = int(self._param.crop_size), self._param
        possible = sizes(image.shape[1], image.shape[2], crop, param.scale_ratios, param.max_distort)
        height, width = possible[words[3] % len(possible)]
        row, column = self._corner(image.shape, words, (height, width))
        if isinstance(image, Picture):
            part = image.window(row, column, height, width)
        else:
            part = image[:, row : row + height, column : column + width]
        return resize(part, crop, crop)

    def _as_mirrored(self, images: Images, turned: NDArray[np.bool_]) -> Images:
        """Flow to the left is flow to the right in a mirror: every other channel becomes 255 less it."""

        def image(index: int) -> Array | Picture:
            if not turned[index]:
                return images[index]
            pixels = np.array(pixels_of(images[index]))
            pixels[::2] = 255 - pixels[::2]
            return pixels

        return Lazily(len(images), image)
