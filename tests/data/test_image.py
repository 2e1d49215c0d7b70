from __future__ import annotations

import struct
from io import BytesIO
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from caffelite.data.image import decode_image
from caffelite.errors import DataError

RED_GREEN = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)


def encoded(image: Image.Image, form: str = "PNG") -> bytes:
    stream = BytesIO()
    image.save(stream, form)
    return stream.getvalue()


def test_colours_come_in_the_order_blue_green_red() -> None:
    pixels = decode_image(encoded(Image.fromarray(RED_GREEN)))
    np.testing.assert_array_equal(pixels, [[[0, 0]], [[0, 255]], [[255, 0]]])


def test_gray_stays_one_channel_unless_colour_is_forced() -> None:
    data = encoded(Image.fromarray(np.array([[7, 200]], np.uint8)))
    np.testing.assert_array_equal(decode_image(data), [[[7, 200]]])
    np.testing.assert_array_equal(decode_image(data, "colour"), [[[7, 200]]] * 3)


def test_forced_gray_is_the_luma_of_the_colours() -> None:
    gray = decode_image(encoded(Image.fromarray(RED_GREEN)), "gray")
    assert gray.shape == (1, 1, 2)
    np.testing.assert_allclose(gray[0, 0], [0.299 * 255, 0.587 * 255], atol=1)


def test_gray_of_a_png_is_cut_off_as_libpng_does_it() -> None:
    """255 · 0.587 = 149.685; Pillow rounds it to 150."""
    assert decode_image(encoded(Image.fromarray(RED_GREEN)), "gray").ravel().tolist() == [76, 149]
    same = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(same)), "gray")[0, 0], np.arange(256))


def test_of_16_bits_the_upper_8_are_taken_where_a_colour_is_asked_for() -> None:
    data = encoded(Image.fromarray(np.array([[0x12FF, 0xFE00]], np.uint16)))
    assert decode_image(data, "gray").tolist() == [[[0x12, 0xFE]]]
    assert decode_image(data, "colour").tolist() == [[[0x12, 0xFE]]] * 3


def test_transparency_is_a_fourth_channel_and_dropped_where_colour_is_forced() -> None:
    data = encoded(Image.fromarray(np.array([[[10, 20, 30, 40]]], np.uint8)))
    np.testing.assert_array_equal(decode_image(data).ravel(), [30, 20, 10, 40])
    np.testing.assert_array_equal(decode_image(data, "colour").ravel(), [30, 20, 10])


def test_a_palette_is_resolved() -> None:
    data = encoded(Image.fromarray(RED_GREEN).convert("P", palette=Image.Palette.ADAPTIVE))
    np.testing.assert_array_equal(decode_image(data), decode_image(encoded(Image.fromarray(RED_GREEN))))


def test_jpeg_is_decoded() -> None:
    pixels = decode_image(encoded(Image.fromarray(np.full((16, 16, 3), [200, 100, 50], np.uint8)), "JPEG"))
    np.testing.assert_allclose(pixels.mean(axis=(1, 2)), [50, 100, 200], atol=4)


def test_what_cannot_be_decoded_is_an_error() -> None:
    whole = encoded(Image.fromarray(np.zeros((64, 64, 3), np.uint8)))
    with pytest.raises(DataError, match="damaged"):
        decode_image(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="no format"):
        decode_image(b"hello")
    enormous = encoded(Image.fromarray(np.zeros((2, 2), np.uint8)), "BMP")
    with pytest.raises(DataError, match=r"damaged.*pixels"):
        decode_image(enormous[:18] + (1 << 30).to_bytes(4, "little") + enormous[22:])
    with pytest.raises(DataError, match="8 bits"):
        decode_image(encoded(Image.fromarray(np.zeros((2, 2), np.uint16))))


FORMS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000")


@pytest.mark.filterwarnings("ignore")
@given(st.sampled_from(FORMS), st.randoms(use_true_random=False), st.integers(1, 9))
def test_whatever_the_damage_it_is_told_as_such(form: str, chance: Random, times: int) -> None:
    data = bytearray(encoded(Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)), form))
    for _ in range(times):
        data[chance.randrange(min(len(data), 300))] = chance.randrange(256)
    try:
        pixels = decode_image(bytes(data))
    except DataError as error:
        assert error.faults
    else:
        assert pixels.ndim == 3 and pixels.dtype == np.uint8


def test_an_image_of_absurd_size_is_damaged() -> None:
    small = bytearray(encoded(Image.fromarray(RED_GREEN), "BMP"))
    small[18:26] = struct.pack("<ii", 100_000, 100_000)
    with pytest.raises(DataError, match="damaged"):
        decode_image(bytes(small))


def test_formats_that_start_other_programs_are_not_decoded() -> None:
    with pytest.raises(DataError, match="no format"):
        decode_image(encoded(Image.fromarray(RED_GREEN), "EPS"))
