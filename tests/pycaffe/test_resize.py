"""`caffe.io.resize_image`: against loops over pixels, numbers of scikit-image, and SciPy."""

from __future__ import annotations

import sys
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import UsageError
from caffelite.pycaffe.io import resize_image


def by_hand(im: np.ndarray, height: int, width: int, order: int) -> np.ndarray:
    """A pixel after the other, in Python's numbers: half-pixel centres and the least value around the image for 1 and 3
    channels, corner pixels on corner pixels for others."""
    rows, columns, channels = im.shape
    faded = channels in (1, 3)

    def place(index: int, size: int, wanted: int) -> float:
        if faded:
            return (index + 0.5) * size / wanted - 0.5
        return index * (size - 1) / (wanted - 1) if wanted > 1 else 0.0

    def pixel(row: int, column: int, channel: int) -> float:
        if 0 <= row < rows and 0 <= column < columns:
            return float(im[row, column, channel])
        return float(im.min())

    result = np.zeros((height, width, channels))
    for i in range(height):
        for j in range(width):
            y, x = place(i, rows, height), place(j, columns, width)
            for k in range(channels):
                if order == 0:
                    result[i, j, k] = pixel(floor(y + 0.5), floor(x + 0.5), k)
                    continue
                top, left = floor(y), floor(x)
                for row, part in ((top, 1 - (y - top)), (top + 1, y - top)):
                    for column, share in ((left, 1 - (x - left)), (left + 1, x - left)):
                        if part * share:
                            result[i, j, k] += part * share * pixel(row, column, k)
    return result


sides = st.integers(1, 9)


@given(st.tuples(sides, sides, st.integers(1, 5)), sides, sides, st.sampled_from([0, 1]), st.integers(0, 2**32))
def test_every_pixel_is_where_the_formula_has_it(
    shape: tuple[int, int, int], height: int, width: int, order: int, seed: int
) -> None:
    im = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    resized = resize_image(im, (height, width), order)
    assert (resized.dtype, resized.shape) == (np.float32, (height, width, shape[2]))
    np.testing.assert_allclose(resized, by_hand(im, height, width, order), rtol=1e-5, atol=1e-6)


IMAGE = np.array([[0, 4, 8], [2, 10, 6]], np.float32)[:, :, np.newaxis]


@pytest.mark.parametrize(
    ("dims", "order", "wanted"),
    [
        (
            (3, 5),
            1,
            [
                [0, 1.333333, 3.333333, 5.333333, 5.333333],
                [0.8, 3.4, 7, 7, 5.6],
                [1.333333, 4.333333, 8.333333, 6.333333, 4],
            ],
        ),
        ((3, 5), 0, [[0, 0, 4, 8, 8], [2, 2, 10, 6, 6], [2, 2, 10, 6, 6]]),
        ((1, 2), 1, [[2.5, 7]]),
    ],
)
def test_numbers_of_scikit_image(dims: tuple[int, int], order: int, wanted: Any) -> None:
    """Recorded from scikit-image 0.26: resize(IMAGE / 10, dims, order, mode="constant", anti_aliasing=False) · 10."""
    np.testing.assert_allclose(resize_image(IMAGE, dims, order)[:, :, 0], wanted, atol=2e-6)
    np.testing.assert_allclose(resize_image(IMAGE - 7, dims, order)[:, :, 0] + 7, wanted, atol=2e-6)


@pytest.mark.parametrize("value", [0.0, 0.3, -4.0])
@pytest.mark.parametrize("order", [0, 1])
def test_one_colour_stays_that_colour(value: float, order: int) -> None:
    assert (resize_image(np.full((3, 4, 3), value), (7, 2), order) == np.float32(value)).all()


def test_an_image_of_the_right_size_is_a_copy() -> None:
    copy = resize_image(IMAGE, IMAGE.shape[:2])
    assert np.array_equal(copy, IMAGE)
    assert not np.shares_memory(copy, IMAGE)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_other_numbers_of_channels_are_as_scipy_zooms_them(order: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, which scikit-learn brings, is not installed")
    rng = np.random.default_rng(order)
    for size in ((5, 9), (12, 3), (7, 7)):
        for dims in ((10, 17), (4, 3), (1, 8)):
            factors = (dims[0] / size[0], dims[1] / size[1], 1)
            floats = rng.random((*size, 4), np.float32)
            wanted = ndimage.zoom(floats, factors, order=order)
            np.testing.assert_allclose(resize_image(floats, dims, order), wanted, rtol=1e-5, atol=1e-6)
            whole = (floats * 255).astype(np.uint8)
            resized = resize_image(whole, dims, order)
            assert np.array_equal(resized, resized.round())
            # What is half way between two numbers to SciPy depends on its rounding errors.
            off = resized - ndimage.zoom(whole, factors, order=order)
            assert abs(off).max() <= 1
            assert (off != 0).mean() < 0.02


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_one_and_three_channels_are_as_scipy_interpolates_them(order: int) -> None:
    """What skimage.transform.resize calls: half-pixel centres are SciPy's grid_mode."""
    ndimage = pytest.importorskip("scipy.ndimage", reason="SciPy, which scikit-learn brings, is not installed")
    rng = np.random.default_rng(order)
    for size in ((5, 9), (12, 3)):
        for dims in ((11, 17), (4, 3), (1, 8)):
            im = rng.random((*size, 3), np.float32) * 9 - 4
            unit = (im - im.min()) / (im.max() - im.min())
            factors = (dims[0] / size[0], dims[1] / size[1], 1)
            zoomed = ndimage.zoom(unit, factors, order=order, mode="grid-constant", grid_mode=True)
            wanted = zoomed.clip(0, 1) * (im.max() - im.min()) + im.min()
            np.testing.assert_allclose(resize_image(im, dims, order), wanted, rtol=1e-5, atol=1e-5)


def test_the_last_pixels_are_there_where_scipy_writes_noughts() -> None:
    """58 / 112 · 112 is a rounding error more than 58."""
    im = np.repeat(np.arange(1, 60, dtype=np.float32), 4).reshape(1, 59, 4)
    assert resize_image(im, (1, 113))[0, -1].tolist() == [59] * 4


def test_without_scipy_splines_say_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    with pytest.raises(UsageError, match="interp_order 3 needs SciPy"):
        resize_image(IMAGE, (4, 4), 3)
    assert resize_image(IMAGE, (4, 4), 1).shape == (4, 4, 1)


@pytest.mark.parametrize(
    ("im", "dims", "order", "message"),
    [
        (np.ones((4, 4)), (2, 2), 1, r"takes an H×W×K image, got an array of shape \(4, 4\)\n.*im\[:, :, np.newaxis\]"),
        (np.ones((0, 4, 3)), (2, 2), 1, "takes an H×W×K image"),
        (IMAGE, (2,), 1, "takes a height and a width"),
        (IMAGE, (2, 0), 1, r"a height and a width to resize to, got \(2, 0\)"),
        (IMAGE, (2, 2), 6, "interp_order is 0, 1 … 5, got 6"),
        (IMAGE, (2, 2), 0.5, "interp_order is 0, 1 … 5, got 0.5"),
    ],
)
def test_what_cannot_be_resized(im: Any, dims: Any, order: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resize_image(im, dims, order)
