"""`transform_param { noise_param }`: fixed changes of 8-bit images.

Source: ApplyNoise in `src/caffe/util/im_transforms.cpp` of weiliu89/caffe, branch ssd.  JPEG is Pillow's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import colours
from .image import decode_image

Bytes = NDArray[np.uint8]

_BLUR = np.exp(-0.5 * (np.arange(-3, 4) / 1.5) ** 2).astype(np.float32)
"""A Gaussian of 7 taps and a standard deviation of 1.5."""
_LEVEL = 64
"""posterize makes one level of so many."""
_NOT_BUILT = ("clahe", "convert_to_lab")


def faults(param: Any) -> Iterator[tuple[str, str, str | None]]:
    """What is wrong with a NoiseParameter whatever the data: messages, the fields they are about, and what to do."""
    for field in _NOT_BUILT:
        if getattr(param, field):
            yield f"{field} of weiliu89/caffe, branch ssd, is not built here", field, f"leave {field} out"
    if param.jpeg > 100:
        yield f"jpeg must be a quality of at most 100, got {param.jpeg:g}", "jpeg", None
    pepper = param.saltpepper_param
    if not 0 <= pepper.fraction <= 1:
        yield f"fraction must be from 0 to 1, got {pepper.fraction:g}", "saltpepper_param.fraction", None
    if param.saltpepper and not pepper.value:
        yield "saltpepper needs saltpepper_param { value }", "saltpepper", None


def misfits(param: Any, channels: int) -> list[tuple[str, str]]:
    """What of it does not fit images of so many channels: messages, and the fields they are about."""
    found = []
    if channels not in (1, 3):
        found.append((f"noise_param needs 1 or 3 channels, the image has {channels}", ""))
    needing = [name for name in ("decolorize", "convert_to_hsv") if getattr(param, name)]
    if channels == 1:
        found += [(f"{name} needs 3 channels (B, G, R), the image has 1", name) for name in needing]
    values = len(param.saltpepper_param.value)
    if param.saltpepper and values not in (1, channels):
        message = f"expected one value, or as many as channels ({channels}), got {values}"
        found.append((message, "saltpepper_param.value"))
    return found


def noised(image: Bytes, param: Any, generator: np.random.Generator) -> Bytes:
    """A C×H×W image with these changes, in their order."""
    if param.decolorize:
        image = np.repeat(colours.gray(image), 3, axis=0)
    if param.gauss_blur:
        image = _blurred(image)
    if param.hist_eq:
        image = colours.equalized(image)
    if param.jpeg > 0:
        image = _compressed(image, round(param.jpeg))
    if param.erode:
        image = _eroded(image)
    if param.posterize:
        image = image // _LEVEL * _LEVEL + _LEVEL // 2
    if param.inverse:
        image = ~image
    if param.saltpepper:
        image = _peppered(image, param.saltpepper_param, generator)
    return colours.to_hsv(image) if param.convert_to_hsv else image


def _blurred(image: Bytes) -> Bytes:
    weights = _BLUR / _BLUR.sum()
    values = np.pad(image.astype(np.float32), [(0, 0), (3, 3), (3, 3)], "reflect")
    height, width = image.shape[1:]
    across = sum(weight * values[:, :, tap : tap + width] for tap, weight in enumerate(weights))
    total = sum(weight * np.asarray(across)[:, tap : tap + height] for tap, weight in enumerate(weights))
    return colours.saturated(np.asarray(total))


def _compressed(image: Bytes, quality: int) -> Bytes:
    """Three channels, as it is decoded to colours."""
    from PIL import Image

    pixels = image[0] if len(image) == 1 else np.ascontiguousarray(image[::-1].transpose(1, 2, 0))
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return decode_image(stream.getvalue(), "colour")


def _eroded(image: Bytes) -> Bytes:
    """The darkest of each pixel and those above, below, left and right of it."""
    height, width = image.shape[1:]
    around = np.pad(image, [(0, 0), (1, 1), (1, 1)], constant_values=255)
    starts = ((1, 0), (1, 2), (0, 1), (2, 1))
    result = image
    for row, column in starts:
        result = np.minimum(result, around[:, row : row + height, column : column + width])
    return result


def _peppered(image: Bytes, param: Any, generator: np.random.Generator) -> Bytes:
    height, width = image.shape[1:]
    count = math.floor(np.float32(param.fraction) * width * height)
    values = np.broadcast_to(np.array(param.value, np.float32).astype(np.int64).astype(np.uint8), len(image))
    result = image.copy()
    columns, rows = generator.integers(0, width, count), generator.integers(0, height, count)
    result[:, rows, columns] = values[:, np.newaxis]
    return result
