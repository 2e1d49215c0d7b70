"""Resizing 8-bit images by the interpolations of OpenCV besides bilinear (see :mod:`.resize`).

Source: `modules/imgproc/src/resize.cpp` of OpenCV.  Weights of cubic and Lanczos have 11 bits; a row is interpolated
first, and nothing is rounded before both are done.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .colours import saturated
from .resize import ONE, nearest, places, resize

Interpolation = Literal["linear", "area", "nearest", "cubic", "lanczos4"]
Bytes = NDArray[np.uint8]
Taps = tuple[NDArray[np.int64], NDArray[Any]]
"""For each place the pixels it is made of, and their weights: places × taps each."""

_CUBIC = np.float32(-0.75)


def interpolated(image: Bytes, height: int, width: int, how: Interpolation) -> Bytes:
    """A C×H×W image as C×height×width."""
    if image.shape[1:] == (height, width):
        return image
    return _METHODS[how](image, height, width)


def _summed(image: Bytes, rows: Taps, columns: Taps, kind: Any) -> NDArray[Any]:
    """What the pixels of each place sum up to, in numbers of this kind: along rows first."""
    (down, by_rows), (right, by_columns) = rows, columns
    across = np.zeros((*image.shape[:2], len(right)), kind)
    for tap in range(right.shape[1]):
        across += image[:, :, right[:, tap]] * by_columns[:, tap]
    total = np.zeros((len(image), len(down), len(right)), kind)
    for tap in range(down.shape[1]):
        total += across[:, down[:, tap]] * by_rows[:, tap, np.newaxis]
    return total


# -- weights of 11 bits -----------------------------------------------------------------------------------------------


def _cubic_weights(beyond: NDArray[np.float32]) -> NDArray[np.float32]:
    a, one = _CUBIC, np.float32(1)
    first = ((a * (beyond + one) - 5 * a) * (beyond + one) + 8 * a) * (beyond + one) - 4 * a
    second = ((a + 2) * beyond - (a + 3)) * beyond * beyond + one
    back = one - beyond
    third = ((a + 2) * back - (a + 3)) * back * back + one
    return np.stack([first, second, third, one - first - second - third], axis=1)


def _lanczos_weights(beyond: NDArray[np.float32]) -> NDArray[np.float32]:
    half = math.sqrt(0.5)
    turns = [(1, 0), (-half, -half), (0, 1), (half, -half), (-1, 0), (half, half), (0, -1), (-half, half)]
    x = beyond.astype(np.float64)
    start = -(x + 3) * (math.pi / 4)
    sine, cosine = np.sin(start), np.cos(start)
    weights = np.empty((len(x), 8), np.float32)
    for tap, (by_sine, by_cosine) in enumerate(turns):
        distance = (x + 3 - tap).astype(np.float32)
        angle = -distance.astype(np.float64) * (math.pi / 4)
        with np.errstate(divide="ignore", invalid="ignore"):
            weights[:, tap] = (by_sine * sine + by_cosine * cosine) / (angle * angle)
        weights[np.abs(distance) < 1e-6, tap] = 1e30
    return weights * (np.float32(1) / weights.sum(1, dtype=np.float32, keepdims=True))


def _filtered(image: Bytes, height: int, width: int, weigh: Callable[[Any], Any]) -> Bytes:
    taps: list[Taps] = []
    for size, wanted in zip(image.shape[1:], (height, width), strict=True):
        before, beyond = places(size, wanted)
        weights = np.rint(weigh(beyond) * np.float32(ONE)).clip(-32768, 32767).astype(np.int64)
        count = weights.shape[1]
        pixels = before[:, np.newaxis] + np.arange(count) - (count // 2 - 1)
        taps.append((pixels.clip(0, size - 1), weights))
    total = _summed(image, taps[0], taps[1], np.int64)
    return ((total + (1 << 21)) >> 22).clip(0, 255).astype(np.uint8)


def _cubic(image: Bytes, height: int, width: int) -> Bytes:
    return _filtered(image, height, width, _cubic_weights)


def _lanczos4(image: Bytes, height: int, width: int) -> Bytes:
    return _filtered(image, height, width, _lanczos_weights)


# -- area -------------------------------------------------------------------------------------------------------------


def _area(image: Bytes, height: int, width: int) -> Bytes:
    sizes = list(zip(image.shape[1:], (height, width), strict=True))
    if any(wanted > size for size, wanted in sizes):
        return _filtered_area(image, height, width)
    if all(size % wanted == 0 for size, wanted in sizes):
        return _whole_area(image, height, width)
    rows, columns = (_shares(size, wanted) for size, wanted in sizes)
    return saturated(_summed(image, rows, columns, np.float32))


def _whole_area(image: Bytes, height: int, width: int) -> Bytes:
    """Every pixel is the mean of equally many."""
    down, across = image.shape[1] // height, image.shape[2] // width
    parts = image.reshape(len(image), height, down, width, across).sum((2, 4), dtype=np.int64)
    if down == across == 2:
        return ((parts + 2) >> 2).astype(np.uint8)
    return np.rint(parts.astype(np.float32) * np.float32(1 / (down * across))).astype(np.uint8)


def _shares(size: int, wanted: int) -> Taps:
    """How much of each pixel lies in each place."""
    step = 1 / (wanted / size)
    found: list[list[tuple[int, float]]] = []
    for place in range(wanted):
        start, end = place * step, place * step + step
        cell = min(step, size - start)
        first, last = math.ceil(start), min(math.floor(end), size - 1)
        first = min(first, last)
        here = []
        if first - start > 1e-3:
            here.append((first - 1, (first - start) / cell))
        here += [(pixel, 1 / cell) for pixel in range(first, last)]
        if end - last > 1e-3:
            here.append((last, min(min(end - last, 1.0), cell) / cell))
        found.append(here)
    most = max(map(len, found))
    pixels, weights = np.zeros((wanted, most), np.int64), np.zeros((wanted, most), np.float32)
    for place, here in enumerate(found):
        for tap, (pixel, weight) in enumerate(here):
            pixels[place, tap], weights[place, tap] = pixel, weight
    return pixels, weights


def _filtered_area(image: Bytes, height: int, width: int) -> Bytes:
    """Where an axis grows: between two pixels, but only where a place lies over both."""
    taps: list[Taps] = []
    for size, wanted in zip(image.shape[1:], (height, width), strict=True):
        grown = wanted / size
        place = np.arange(wanted)
        before = np.floor(place * (1 / grown)).astype(np.int64)
        beyond = ((place + 1) - (before + 1) * grown).astype(np.float32)
        beyond = np.where(beyond <= 0, np.float32(0), beyond - np.floor(beyond))
        pair = np.stack([1 - beyond, beyond], axis=1)
        weights = np.rint(pair * np.float32(ONE)).astype(np.int64)
        over = before >= size - 1
        weights[over] = (ONE, 0)
        taps.append((np.stack([before, before + 1], axis=1).clip(0, size - 1), weights))
    (rows, by_rows), (columns, by_columns) = taps
    across = sum(image[:, :, columns[:, tap]].astype(np.int64) * by_columns[:, tap] for tap in range(2))
    across = np.asarray(across) >> 4
    parts = [(across[:, rows[:, tap]] * by_rows[:, tap, np.newaxis]) >> 16 for tap in range(2)]
    return ((parts[0] + parts[1] + 2) >> 2).clip(0, 255).astype(np.uint8)


_METHODS: dict[Interpolation, Callable[[Bytes, int, int], Bytes]] = {
    "linear": resize,
    "area": _area,
    "nearest": nearest,
    "cubic": _cubic,
    "lanczos4": _lanczos4,
}
