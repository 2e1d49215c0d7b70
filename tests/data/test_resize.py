from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffelite.data.image import decode_image
from caffelite.data.resize import resize


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The definition, pixel by pixel in float64: two neighbours along each axis, half-pixel centres, edges repeated."""
    result = np.empty((image.shape[0], height, width))
    for row in range(height):
        y = min(max((row + 0.5) * image.shape[1] / height - 0.5, 0), image.shape[1] - 1)
        for column in range(width):
            x = min(max((column + 0.5) * image.shape[2] / width - 0.5, 0), image.shape[2] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, image.shape[1] - 1), min(left + 1, image.shape[2] - 1)
            upper = image[:, top, left] * (1 - x + left) + image[:, top, right] * (x - left)
            lower = image[:, bottom, left] * (1 - x + left) + image[:, bottom, right] * (x - left)
            result[:, row, column] = upper * (1 - y + top) + lower * (y - top)
    return result


@settings(max_examples=60, deadline=None)
@given(*(st.integers(1, 17) for _ in range(4)), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_is_bilinear_within_one_level(height: int, width: int, tall: int, wide: int, channels: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (channels, height, width)).astype(np.uint8)
    resized = resize(image, tall, wide)
    assert resized.dtype == np.uint8
    assert resized.shape == (channels, tall, wide)
    assert np.abs(resized - bilinear(image, tall, wide)).max() <= 1


def test_halving_is_the_rounded_mean_of_four() -> None:
    image = np.random.default_rng(1).integers(0, 256, (3, 10, 14)).astype(np.uint16)
    corners = [image[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    np.testing.assert_array_equal(resize(image.astype(np.uint8), 5, 7), (sum(corners) + 2) >> 2)


@pytest.mark.parametrize("size", [(3, 3), (7, 40), (200, 9)])
def test_one_level_stays_what_it_is(size: tuple[int, int]) -> None:
    for level in (0, 1, 127, 254, 255):
        image = np.full((1, 31, 23), level, np.uint8)
        np.testing.assert_array_equal(resize(image, *size), np.full((1, *size), level))


def test_the_same_size_is_the_same_image() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(resize(image, 3, 4), image)


def test_equals_the_recorded_images_of_opencv_bit_for_bit(golden: Callable[[str], Path]) -> None:
    images = golden("layers/ImageData/_src/img")
    recorded = np.load(golden("layers/ImageData/resize.npz"))["out/data"]
    for number, wanted in enumerate(recorded):
        image = decode_image((images / f"c{number}.png").read_bytes(), "colour")
        np.testing.assert_array_equal(resize(image, *wanted.shape[1:]), wanted)
