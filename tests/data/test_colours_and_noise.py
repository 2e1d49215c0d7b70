"""Colours and noise against what OpenCV 4.5.5 makes of the same image (recorded with `cv2.cvtColor` and others)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffelite.data import colours, noise
from caffelite.proto import TransformationParameter

Y, X = np.mgrid[:6, :8]
FIRST = ((37 * Y * Y + 11 * X**3 + 53 * X * Y) % 256).astype(np.uint8)
IMAGE = np.stack([FIRST, (FIRST.astype(int) * 3 % 256).astype(np.uint8), 255 - FIRST])
"""B, G, R."""

# The upper left 3 x 4 pixels, channels last.
# fmt: off
GRAY = [
    [76, 94, 65, 141],
    [135, 85, 140, 149],
    [159, 90, 78, 171],
]
TO_HSV = [
    [[0, 255, 255], [3, 244, 244], [165, 243, 167], [14, 206, 214]],
    [[12, 212, 218], [165, 177, 154], [97, 229, 231], [95, 236, 237]],
    [[75, 110, 188], [2, 246, 246], [120, 171, 192], [91, 251, 251]],
]
EQUALIZED = [
    [[0, 0, 216], [9, 32, 242], [39, 0, 118], [47, 128, 219]],
    [[32, 107, 213], [87, 33, 140], [226, 178, 20], [252, 212, 33]],
    [[168, 207, 127], [5, 24, 243], [167, 40, 39], [255, 255, 39]],
]
BLUR = [
    [[97, 89, 158], [110, 95, 145], [136, 110, 119], [155, 119, 100]],
    [[103, 101, 152], [115, 106, 140], [141, 120, 114], [158, 127, 97]],
    [[116, 127, 139], [126, 130, 129], [146, 139, 109], [159, 142, 96]],
]
ERODE = [
    [[0, 0, 218], [0, 0, 154], [11, 8, 24], [41, 8, 18]],
    [[0, 0, 107], [9, 27, 24], [88, 8, 18], [41, 43, 4]],
    [[9, 27, 107], [9, 27, 8], [9, 27, 4], [83, 64, 3]],
]
# fmt: on


def corner(image: np.ndarray) -> np.ndarray:
    part = image[:, :3, :4].transpose(1, 2, 0)
    return part[..., 0] if len(image) == 1 else part


def settings(text: str) -> Any:
    return text_format.Parse(f"noise_param {{ {text} }}", TransformationParameter()).noise_param


def noised(text: str, image: np.ndarray = IMAGE) -> np.ndarray:
    return noise.noised(image, settings(text), np.random.default_rng(0))


def test_as_opencv() -> None:
    np.testing.assert_array_equal(corner(colours.gray(IMAGE)), GRAY)
    np.testing.assert_array_equal(corner(colours.to_hsv(IMAGE)), TO_HSV)
    np.testing.assert_array_equal(corner(colours.equalized(IMAGE)), EQUALIZED)
    np.testing.assert_array_equal(corner(noised("erode: true")), ERODE)
    np.testing.assert_array_equal(corner(noised("hist_eq: true")), EQUALIZED)
    np.testing.assert_allclose(corner(noised("gauss_blur: true")).astype(int), BLUR, rtol=0, atol=1)


def test_from_hsv_is_the_definition() -> None:
    """Closed form: the value is the largest channel, the saturation how much smaller the smallest is."""
    hsv = np.array([[[0, 60, 120, 30, 90, 150, 200, 10]], [[255] * 8], [[200] * 8]], np.uint8)
    wanted = [
        (0, 0, 200),
        (0, 200, 0),
        (200, 0, 0),
        (0, 200, 200),
        (200, 200, 0),
        (200, 0, 200),
        (0, 133, 200),
        (0, 67, 200),
    ]
    np.testing.assert_array_equal(colours.from_hsv(hsv)[:, 0].T, wanted)
    gray = np.array([[[7]], [[0]], [[123]]], np.uint8)
    np.testing.assert_array_equal(colours.from_hsv(gray), np.full((3, 1, 1), 123))


def test_to_hsv_and_back() -> None:
    back = colours.from_hsv(colours.to_hsv(IMAGE)).astype(int)
    assert np.abs(back - IMAGE).max() <= 6


def test_noise_by_hand() -> None:
    np.testing.assert_array_equal(noised("inverse: true"), 255 - IMAGE)
    assert set(np.unique(noised("posterize: true"))) == {32, 96, 160, 224}
    np.testing.assert_array_equal(noised("decolorize: true"), np.repeat(colours.gray(IMAGE), 3, axis=0))
    np.testing.assert_array_equal(noised("inverse: true posterize: true"), 255 - noised("posterize: true"))
    np.testing.assert_array_equal(noised("convert_to_hsv: true"), colours.to_hsv(IMAGE))
    np.testing.assert_array_equal(noised("inverse: true prob: 0"), noised("inverse: true prob: 1"))
    np.testing.assert_array_equal(noised("prob: 1"), IMAGE)
    equal = noised("hist_eq: true", np.full((1, 4, 4), 9, np.uint8))
    np.testing.assert_array_equal(equal, np.full((1, 4, 4), 9))


def test_salt_and_pepper() -> None:
    text = "saltpepper: true saltpepper_param { fraction: 0.25 value: 1 value: 2 value: 3 }"
    image = np.full((3, 16, 16), 99, np.uint8)
    got = noised(text, image)
    changed = (got != image).any(0)
    assert 0 < changed.sum() <= 64
    np.testing.assert_array_equal(got[:, changed], np.repeat([[1], [2], [3]], changed.sum(), axis=1))
    assert (image == 99).all()


def test_jpeg_of_gray_comes_back_in_colour() -> None:
    flat = noised("jpeg: 90", np.full((1, 16, 16), 77, np.uint8))
    assert flat.shape == (3, 16, 16) and np.abs(flat.astype(int) - 77).max() <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clahe: true", "clahe of weiliu89/caffe"),
        ("convert_to_lab: true", "convert_to_lab of weiliu89/caffe"),
        ("jpeg: 101", "quality of at most 100, got 101"),
        ("saltpepper: true", "saltpepper needs"),
        ("saltpepper_param { fraction: 2 }", "fraction must be from 0 to 1, got 2"),
    ],
)
def test_faults(text: str, message: str) -> None:
    (found,) = noise.faults(settings(text))
    assert message in found[0]
