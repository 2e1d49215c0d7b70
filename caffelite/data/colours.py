"""Colours of 8-bit images, C×H×W in the order B, G, R, as OpenCV computes with them.

Source: `modules/imgproc/src/color_rgb.simd.hpp`, `color_yuv.simd.hpp`, `color_hsv.simd.hpp` and `histogram.cpp` of
OpenCV.  What it computes in whole numbers is computed so here; from HSV it computes in float32, and rounded up to
version 3 (since then it cuts the fraction off).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_GRAY = np.array([3735, 19235, 9798])
"""32768ths of B, G, R."""


def saturated(values: NDArray[np.floating]) -> Bytes:
    """Rounded to whole numbers, halves to even ones, and cut to 0 … 255."""
    return np.rint(values).clip(0, 255).astype(np.uint8)


def gray(image: Bytes) -> Bytes:
    """1×H×W."""
    total = np.tensordot(_GRAY, image.astype(np.int64), 1)
    return ((total + (1 << 14)) >> 15).astype(np.uint8)[np.newaxis]


def equalized(image: Bytes) -> Bytes:
    """The brightness spread evenly over 0 … 255: the luma of colours, or a single channel."""
    if len(image) == 1:
        return _spread(image)
    luma, red, blue = _to_luma(image)
    return _from_luma(_spread(luma), red, blue)


def _spread(values: Bytes) -> Bytes:
    counts = np.bincount(values.reshape(-1), minlength=256)
    first = int(np.flatnonzero(counts)[0])
    if counts[first] == values.size:
        return values
    scale = np.float32(255) / np.float32(values.size - counts[first])
    above = np.cumsum(counts) - counts[: first + 1].sum()
    return saturated(above.clip(0).astype(np.float32) * scale)[values]


def _to_luma(image: Bytes) -> tuple[Bytes, Bytes, Bytes]:
    """Y, Cr, Cb in 16384ths."""
    blue, green, red = image.astype(np.int64)
    luma = (blue * 1868 + green * 9617 + red * 4899 + (1 << 13)) >> 14
    half = (128 << 14) + (1 << 13)
    parts = ((red - luma) * 11682 + half) >> 14, ((blue - luma) * 9241 + half) >> 14
    return tuple(part.clip(0, 255).astype(np.uint8) for part in (luma, *parts))  # type: ignore[return-value]


def _from_luma(luma: Bytes, of_red: Bytes, of_blue: Bytes) -> Bytes:
    base, red, blue = luma.astype(np.int64), of_red.astype(np.int64) - 128, of_blue.astype(np.int64) - 128
    parts = (
        base + ((blue * 29049 + (1 << 13)) >> 14),
        base + ((blue * -5636 + red * -11698 + (1 << 13)) >> 14),
        base + ((red * 22987 + (1 << 13)) >> 14),
    )
    return np.stack(parts).clip(0, 255).astype(np.uint8)


def to_hsv(image: Bytes) -> Bytes:
    """Hue in units of 2 degrees (below 180), saturation and value."""
    blue, green, red = image.astype(np.int64)
    value = image.max(0).astype(np.int64)
    spread = value - image.min(0)
    saturation = (spread * _divided(255 << 12)[value] + (1 << 11)) >> 12
    hue = np.where(
        value == red, green - blue, np.where(value == green, blue - red + 2 * spread, red - green + 4 * spread)
    )
    hue = (hue * _divided(180 << 12, 6)[spread] + (1 << 11)) >> 12
    hue += np.where(hue < 0, 180, 0)
    return np.stack([hue.clip(0, 255), saturation, value]).astype(np.uint8)


def _divided(number: int, by: int = 1) -> NDArray[np.int64]:
    """number / (by · i) for i = 0 … 255, rounded; 0 for i = 0."""
    divisors = by * np.arange(1.0, 256)
    return np.concatenate([[0], np.rint(number / divisors)]).astype(np.int64)


_SECTORS = np.array([[1, 3, 0], [1, 0, 2], [3, 0, 1], [0, 2, 1], [0, 1, 3], [2, 1, 0]])
"""Which of four values is blue, green and red in each sixth of the colour wheel."""


def from_hsv(image: Bytes) -> Bytes:
    """The inverse of :func:`to_hsv`, for hues up to 255, too."""
    hue, saturation, value = image.astype(np.float32)
    saturation, value = saturation * np.float32(1 / 255), value * np.float32(1 / 255)
    turned = hue * np.float32(6 / 180)
    sector = np.floor(turned)
    beyond = turned - sector
    one = np.float32(1)
    table = np.stack(
        [
            value,
            value * (one - saturation),
            value * (one - saturation * beyond),
            value * (one - saturation * (one - beyond)),
        ]
    )
    chosen = _SECTORS[sector.astype(np.int64) % 6]
    parts = np.take_along_axis(table, np.moveaxis(chosen, -1, 0), axis=0)
    return saturated(parts * np.float32(255))
