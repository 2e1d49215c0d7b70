"""Resizing as OpenCV does it: bilinear, in its fixed-point arithmetic, bit for bit.

`cv::resize` with INTER_LINEAR on 8-bit images takes the two nearest pixels along each axis, whatever the factor (no
antialiasing, unlike Pillow), at half-pixel centres, with weights of 11 bits; a row is interpolated first.  Source:
`modules/imgproc/src/resize.cpp` of OpenCV.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[Any]

ONE = 2048
"""The whole, in weights of 11 bits."""


def places(size: int, wanted: int) -> tuple[Ints, NDArray[np.float32]]:
    """For each of `wanted` places along an axis of `size` pixels the pixel at or before it, and how far beyond it."""
    step = 1.0 / (wanted / size)
    at = ((np.arange(wanted) + 0.5) * step - 0.5).astype(np.float32)
    before = np.floor(at)
    return before.astype(np.int64), at - before


def _weights(beyond: NDArray[np.float32]) -> tuple[Ints, Ints]:
    """The weights of the two pixels; together 2048."""
    return tuple(np.rint(part * np.float32(ONE)).astype(np.int32) for part in (1 - beyond, beyond))  # type: ignore[return-value]


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A C×H×W image as C×height×width."""
    if image.shape[1:] == (height, width):
        return image
    left, beyond = places(image.shape[2], width)
    beyond[(left < 0) | (left >= image.shape[2] - 1)] = 0
    left = left.clip(0, image.shape[2] - 1)
    right = (left + 1).clip(max=image.shape[2] - 1)
    left_weight, right_weight = _weights(beyond)

    above, beyond = places(image.shape[1], height)
    upper_weight, lower_weight = (weight[:, np.newaxis] for weight in _weights(beyond))
    pairs = np.concatenate([above, above + 1]).clip(0, image.shape[1] - 1)
    rows, row_of = np.unique(pairs, return_inverse=True)

    result = np.empty((len(image), height, width), np.uint8)
    for channel, target in zip(image, result, strict=True):  # one at a time stays in the processor's cache
        needed = channel.take(rows, axis=0)
        across = _times(needed, left, left_weight)
        across += _times(needed, right, right_weight)
        across >>= 4
        upper, lower = across.take(row_of[:height], axis=0), across.take(row_of[height:], axis=0)
        upper *= upper_weight
        upper >>= 16
        lower *= lower_weight
        lower >>= 16
        upper += lower
        upper += 2
        upper >>= 2
        target[...] = upper
    return result


def nearest(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A C×H×W image as C×height×width, every pixel one of the old, as `cv::resize` with INTER_NEAREST chooses it."""
    rows, columns = (_nearest(size, wanted) for size, wanted in zip(image.shape[1:], (height, width), strict=True))
    return image[:, rows[:, np.newaxis], columns]


def _nearest(size: int, wanted: int) -> Ints:
    step = 1.0 / (wanted / size)
    return np.floor(np.arange(wanted) * step).astype(np.int64).clip(max=size - 1)


def _times(rows: NDArray[np.uint8], columns: Ints, weights: Ints) -> Ints:
    product: Ints = rows.take(columns, axis=1).astype(np.int32)
    product *= weights
    return product
