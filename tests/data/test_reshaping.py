"""Sizes that forks give to images before they are cropped, against the words and code of their
`src/caffe/data_transformer.cpp`: weiliu89/caffe (branch ssd), intel/caffe, NVIDIA/caffe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffelite.data.interpolation import interpolated
from caffelite.data.transform import Transform
from caffelite.data.transform_param import faults
from caffelite.errors import DataError
from caffelite.proto import TEST, TRAIN, LayerParameter

IMAGES = np.random.default_rng(5).integers(0, 256, (4, 3, 40, 60)).astype(np.uint8)


def settings(text: str) -> Any:
    return text_format.Parse(f"transform_param {{ {text} }}", LayerParameter()).transform_param


def transform(text: str, phase: int = TEST, mean: np.ndarray | None = None) -> Transform:
    param = settings(text)
    assert [message for message, *_ in faults(param)] == []
    return Transform(param, phase, mean)


def result(
    text: str, phase: int = TEST, images: Any = IMAGES, mean: np.ndarray | None = None, position: int = 0
) -> Any:
    made = transform(text, phase, mean)
    got = made(images, 1, "data", position)
    assert got.shape[1:] == made.shape(images[0].shape)
    return got


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ("resize_param { height: 20 width: 33 }", "linear"),
        ("resize_param { resize_mode: WARP height: 20 width: 33 interp_mode: LINEAR }", "linear"),
        ("resize_param { resize_mode: WARP height: 20 width: 33 interp_mode: AREA }", "area"),
        ("resize_param { resize_mode: WARP height: 20 width: 33 interp_mode: NEAREST }", "nearest"),
        ("resize_param { resize_mode: WARP height: 20 width: 33 interp_mode: CUBIC }", "cubic"),
        ("resize_param { resize_mode: WARP height: 20 width: 33 interp_mode: LANCZOS4 }", "lanczos4"),
    ],
)
def test_warp(settings: str, how: Any) -> None:
    got = result(f"{settings} scale: 2")
    for image, found in zip(IMAGES, got, strict=True):
        np.testing.assert_array_equal(found, interpolated(image, 20, 33, how) * np.float32(2))


def test_each_image_draws_its_interpolation() -> None:
    text = "resize_param { height: 20 width: 30 interp_mode: NEAREST interp_mode: AREA }"
    images = np.repeat(IMAGES[:1], 20, axis=0)
    got = result(text, images=images)
    either = [interpolated(IMAGES[0], 20, 30, how).astype(np.float32) for how in ("nearest", "area")]  # type: ignore[arg-type]
    which = [next(i for i, wanted in enumerate(either) if (found == wanted).all()) for found in got]
    assert 3 < sum(which) < 17
    np.testing.assert_array_equal(result(text, images=images[:5], position=7), got[7:12])


def test_fit_large_size_and_pad() -> None:
    """By hand: 40×60 fits into 48×48 as 32×48, and 8 rows are left above and below."""
    text = "resize_param {{ resize_mode: FIT_LARGE_SIZE_AND_PAD height: 48 width: 48 {} }}"
    inner = interpolated(IMAGES[0], 32, 48, "linear")
    got = result(text.format("pad_mode: CONSTANT pad_value: 7 pad_value: 8 pad_value: 9"))[0]
    np.testing.assert_array_equal(got[:, 8:40], inner)
    for channel, value in zip(got, (7, 8, 9), strict=True):
        assert (channel[:8] == value).all() and (channel[40:] == value).all()
    np.testing.assert_array_equal(result(text.format("pad_mode: MIRRORED"))[0][:, 7], inner[:, 1])
    np.testing.assert_array_equal(result(text.format("pad_mode: REPEAT_NEAREST"))[0][:, 0], inner[:, 0])
    upright = result(text.format(""), images=IMAGES.transpose(0, 1, 3, 2))[0]
    assert (upright[:, :, :8] == 0).all() and (upright[:, :, 40:] == 0).all()


def test_fit_small_size() -> None:
    """By hand: 40×60 covers 20×20 as 20×30, and is cut to that in the middle."""
    text = "resize_param { resize_mode: FIT_SMALL_SIZE height: 20 width: 20 }"
    assert transform(text).shape((3, 40, 60)) == (3, 20, 30)
    whole = result(text)
    np.testing.assert_array_equal(result(text + " crop_size: 20"), whole[:, :, :, 5:25])


def test_crop_of_other_shape() -> None:
    np.testing.assert_array_equal(result("crop_h: 30 crop_w: 20"), IMAGES[:, :, 5:35, 20:40])
    mean = IMAGES.mean(0).astype(np.float32)
    got = result("crop_h: 30 crop_w: 20", mean=mean)
    np.testing.assert_array_equal(got, (IMAGES - mean)[:, :, 5:35, 20:40])


def test_noise_follows_the_resize() -> None:
    got = result("resize_param { height: 20 width: 30 } noise_param { inverse: true }")
    np.testing.assert_array_equal(got[0], 255 - interpolated(IMAGES[0], 20, 30, "linear"))


def test_intel_shorter_side() -> None:
    """By hand: a shorter side of 24 of 40×60 is 24×36, whose middle is cut out in TEST."""
    text = "random_resize_param { min_size: 24 max_size: 24 resize_param { interp_mode: CUBIC } } crop_size: 20"
    middle = interpolated(IMAGES[0], 24, 36, "cubic")[:, 2:22, 8:28]
    np.testing.assert_array_equal(result(text)[0], middle)
    mirrored = IMAGES.transpose(0, 1, 3, 2)
    upright = interpolated(mirrored[0], 36, 24, "cubic")[:, 8:28, 2:22]
    np.testing.assert_array_equal(result(text, images=mirrored)[0], upright)
    ranged = result(
        "random_resize_param { min_size: 20 max_size: 40 } crop_size: 20", images=np.repeat(IMAGES[:1], 30, 0)
    )
    assert len({found.tobytes() for found in ranged}) > 8


def test_intel_windows() -> None:
    text = "random_aspect_ratio_param { min_area_ratio: 0.08 aspect_ratio_change: 0.75 } crop_size: 16"
    y, x = np.mgrid[:40, :60]
    image = np.stack([y * 4, x * 4, y * 0]).astype(np.uint8)[np.newaxis]
    got = result(text, TRAIN, np.repeat(image, 200, 0))
    height = (got[:, 0].max((1, 2)) - got[:, 0].min((1, 2))) / 4 * 16 / 15
    width = (got[:, 1].max((1, 2)) - got[:, 1].min((1, 2))) / 4 * 16 / 15
    ratio, area = width / height, width * height / 2400
    assert ratio.min() > 0.75**2 * 0.85 and ratio.max() < 0.75**-2 * 1.2  # height·c by width/c: the ratio is c²
    assert area.min() > 0.06 and area.max() < 1.1 and area.std() > 0.15
    never = "random_aspect_ratio_param { max_attempt: 0 } crop_size: 16"
    middle = interpolated(IMAGES[0], 16, 24, "linear")[:, :, 4:20]
    np.testing.assert_array_equal(result(never)[0], middle)


def test_the_area_and_the_interpolation_of_intels_windows() -> None:
    """By hand: a quarter of 40×60 is 600 pixels, the square of 24.5: a window of 24×24 somewhere."""
    text = """
      random_aspect_ratio_param { min_area_ratio: 0.25 max_area_ratio: 0.25 resize_param { interp_mode: NEAREST } }
      crop_size: 16
    """
    windows = {
        interpolated(IMAGES[0][:, y : y + 24, x : x + 24], 16, 16, "nearest").astype(np.float32).tobytes()
        for y in range(17)
        for x in range(37)
    }
    seen = {found.tobytes() for found in result(text, TRAIN, np.repeat(IMAGES[:1], 40, 0))}
    assert seen <= windows and len(seen) > 20


ALGORITHMS = [
    ("interpolation_algo_down: INTER_NEAREST interpolation_algo_up: INTER_LINEAR", "nearest", "linear"),
    ("interpolation_algo_down: INTER_LINEAR interpolation_algo_up: INTER_CUBIC", "linear", "cubic"),
    ("interpolation_algo_down: INTER_CUBIC interpolation_algo_up: INTER_AREA", "cubic", "area"),
    ("interpolation_algo_down: INTER_AREA interpolation_algo_up: INTER_NEAREST", "area", "nearest"),
    ("", "nearest", "cubic"),
]


@pytest.mark.parametrize(("algorithms", "down", "up"), ALGORITHMS)
def test_nvidia_interpolates(algorithms: str, down: Any, up: Any) -> None:
    smaller = "img_rand_resize_lower: 30 img_rand_resize_upper: 30 crop_size: 24"
    want = interpolated(IMAGES[0], 30, 45, down)[:, 3:27, 10:34]
    np.testing.assert_array_equal(result(f"{smaller} {algorithms}")[0], want)
    larger = "img_rand_resize_lower: 50 img_rand_resize_upper: 50 crop_size: 24 allow_upscale: true"
    want = interpolated(IMAGES[0], 50, 75, up)[:, 13:37, 25:49]
    np.testing.assert_array_equal(result(f"{larger} {algorithms}")[0], want)


def test_nvidia_stretches_the_width() -> None:
    """By hand: 30×45, half as wide: 22.5, and halves are rounded up."""
    text = """
      img_rand_resize_lower: 30 img_rand_resize_upper: 30 crop_size: 20 interpolation_algo_down: INTER_LINEAR
      horizontal_stretch_lower: 0.5 horizontal_stretch_upper: 0.5
    """
    np.testing.assert_array_equal(result(text)[0], interpolated(IMAGES[0], 30, 23, "linear")[:, 5:25, 1:21])


def test_nvidia_sizes() -> None:
    """By hand: a shorter side of 30 of 40×60 is 30×45; stretched by 1.5 down it is 45 rows, cut to 40 of the image."""
    text = "img_rand_resize_lower: 30 img_rand_resize_upper: 30 interpolation_algo_down: INTER_LINEAR crop_size: 24 "
    small = interpolated(IMAGES[0], 30, 45, "linear")
    np.testing.assert_array_equal(result(text)[0], small[:, 3:27, 10:34])
    nearest = interpolated(IMAGES[0], 30, 45, "nearest")[:, 3:27, 10:34]
    np.testing.assert_array_equal(result(text.replace("interpolation_algo_down: INTER_LINEAR", ""))[0], nearest)
    stretched = text + "vertical_stretch_lower: 1.5 vertical_stretch_upper: 1.5 "
    np.testing.assert_array_equal(result(stretched)[0], interpolated(IMAGES[0], 40, 45, "linear")[:, 8:32, 10:34])
    up = interpolated(IMAGES[0], 45, 45, "cubic")[:, 10:34, 10:34]
    np.testing.assert_array_equal(result(stretched + "allow_upscale: true")[0], up)
    square = text + "rand_resize_ratio_lower: 1 rand_resize_ratio_upper: 1.0000001 horizontal_stretch_lower: 1"
    np.testing.assert_array_equal(result(square)[0], interpolated(IMAGES[0], 30, 30, "linear")[:, 3:27, 3:27])


def test_nvidia_reads_a_mean_file_at_its_centre() -> None:
    mean = np.arange(3 * 40 * 60, dtype=np.float32).reshape(3, 40, 60) / 100
    text = "img_rand_resize_lower: 30 img_rand_resize_upper: 40 crop_size: 24 "
    for phase in (TRAIN, TEST):
        difference = result(text, phase) - result(text, phase, mean=mean)
        np.testing.assert_allclose(difference, np.repeat(mean[np.newaxis, :, 8:32, 18:42], 4, 0), atol=1e-4)
    got, plain = (result(text + "mirror: true", mean=part) for part in (mean, None))
    for difference in plain - got:
        centre = mean[:, 8:32, 18:42]
        assert np.abs(difference - centre).max() < 1e-4 or np.abs(difference - centre[:, :, ::-1]).max() < 1e-4


def test_flow_turns_round_with_its_image() -> None:
    images = np.repeat(IMAGES[:1], 16, axis=0)
    plain, flow = result("mirror: true", images=images), result("mirror: true flow: true", images=images)
    turned = (plain[:, 0] != IMAGES[0, 0]).any((1, 2))
    assert 0 < turned.sum() < 16
    np.testing.assert_array_equal(flow[:, :2], plain[:, :2])
    np.testing.assert_array_equal(flow[~turned, 2], plain[~turned, 2])
    np.testing.assert_array_equal(flow[turned, 2], 255 - plain[turned, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resize_param { height: 2 }", "resize_param { width } must be positive"),
        ("random_resize_param { min_size: 256 }", "random_resize_param needs a crop_size"),
        ("random_aspect_ratio_param { }", "random_aspect_ratio_param needs a crop_size"),
        ("crop_size: 2 random_aspect_ratio_param { min_area_ratio: 0 }", "min_area_ratio must be above 0"),
        ("crop_size: 2 random_aspect_ratio_param { aspect_ratio_change: 2 }", "aspect_ratio_change must be above 0"),
        ("crop_size: 2 random_resize_param { min_size: 5 max_size: 4 }", "min_size must not exceed max_size"),
        ("img_rand_resize_lower: 5 img_rand_resize_upper: 6", "random sizes need a crop_size"),
        ("crop_size: 2 img_rand_resize_lower: 7 img_rand_resize_upper: 6", "must not exceed img_rand_resize_upper"),
        ("crop_h: 5", "crop_h and crop_w must both be positive"),
        ("crop_size: 5 crop_h: 4 crop_w: 5", "crop_size contradicts crop_h and crop_w"),
        ("noise_param { clahe: true }", "clahe of weiliu89/caffe, branch ssd, is not built here"),
    ],
)
def test_faults(text: str, message: str) -> None:
    found = list(faults(settings(text)))
    assert [message in told for told, *_ in found] == [True]


@pytest.mark.parametrize(
    ("text", "mean", "message"),
    [
        ("resize_param { height: 9 width: 9 } crop_size: 10", None, "crop_size 10 is larger than the 9×9 image"),
        ("crop_h: 41 crop_w: 5", None, "a crop of 41×5 is larger than the 40×60 image"),
        ("resize_param { height: 9 width: 9 }", (3, 40, 60), "the mean file is 3×40×60, the image 3×9×9"),
        ("random_resize_param { } crop_size: 9", (3, 40, 60), "a mean file does not fit images of random sizes"),
        ("img_rand_resize_lower: 9 crop_size: 9", (3, 8, 8), "the mean file is 3×8×8, the crop 3×9×9"),
        ("resize_param { height: 9 width: 9 pad_value: 1 pad_value: 2 }", None, "expected one pad_value"),
    ],
)
def test_misfits(text: str, mean: tuple[int, ...] | None, message: str) -> None:
    made = transform(text, mean=None if mean is None else np.zeros(mean, np.float32))
    with pytest.raises(DataError, match=message):
        made.shape((3, 40, 60))


def test_an_image_that_becomes_too_small() -> None:
    made = transform("random_resize_param { min_size: 10 max_size: 10 } crop_size: 20")
    with pytest.raises(DataError, match="crop_size 20 is larger than the 10×15 image"):
        made(IMAGES, 1, "data", 0)
    made = transform("img_rand_resize_lower: 30 img_rand_resize_upper: 30 crop_size: 41")
    with pytest.raises(DataError, match="crop_size 41 is larger than the 40×45 image"):
        made(IMAGES, 1, "data", 0)
    with pytest.raises(DataError, match="only images of bytes can be resized"):
        transform("resize_param { height: 9 width: 9 }")(IMAGES.astype(np.float32), 1, "data", 0)
