from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from google.protobuf import text_format

from caffelite.data.augment import Augmentation, faults
from caffelite.data.transform import Transform
from caffelite.errors import DataError
from caffelite.proto import AugmentationParameter, TransformationParameter

TRAIN, TEST = 0, 1
EVERYTHING = (
    "shift: 2 rotation: 20 scaling: 0.2 shear: 10 elastic_alpha: 12 elastic_sigma: 3 "
    "brightness: 0.3 contrast: 0.3 saturation: 0.4 hue: 30 cutout: 5"
)


def transform(augmentation: str, rest: str = "", phase: int = TRAIN, mean: np.ndarray | None = None) -> Transform:
    text = f"{rest} augmentation {{ {augmentation} }}"
    return Transform(text_format.Parse(text, TransformationParameter()), phase, mean)


def pictures(count: int = 40, channels: int = 3, size: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


@pytest.mark.parametrize("rest", ["", "crop_size: 7 mirror: true", "crop_size: 7 mean_value: 10 scale: 0.5"])
@pytest.mark.parametrize("text", [EVERYTHING, *(f"{part}" for part in ("shift: 3", "rotation: 9", "hue: 40"))])
def test_an_image_comes_out_the_same_whatever_batch_it_is_in(text: str, rest: str) -> None:
    images, one = pictures(), transform(text, rest)
    together = one(images, 1, "data", 100)
    singly = [one(images[i : i + 1], 1, "data", 100 + i)[0] for i in reversed(range(40))]
    np.testing.assert_array_equal(together, singly[::-1])
    for other in ((2, "data", 100), (1, "other", 100), (1, "data", 140)):
        assert not np.array_equal(together, one(images, *other))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit(threads: int) -> None:
    images, one = pictures(64, 3, 32), transform(EVERYTHING, "crop_size: 28 mirror: true")
    usual, wanted = torch.get_num_threads(), one(images, 1, "data", 0)
    try:
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(one(images, 1, "data", 0), wanted)
    finally:
        torch.set_num_threads(usual)


def test_nothing_happens_in_the_test_phase_or_with_amounts_of_zero() -> None:
    images = pictures()
    plain = images.astype(np.float32)
    np.testing.assert_array_equal(transform(EVERYTHING, phase=TEST)(images, 1, "data", 0), plain)
    np.testing.assert_array_equal(transform("elastic_sigma: 2 border: ZERO")(images, 1, "data", 0), plain)


def test_augmentation_leaves_crops_and_mirrors_as_they_were() -> None:
    images, rest = pictures(), "crop_size: 7 mirror: true"
    plain, dark = transform("", rest), transform("brightness: 1", rest)
    light, changed = plain(images, 1, "data", 0), dark(images, 1, "data", 0)
    factors = changed.max(axis=(1, 2, 3)) / light.max(axis=(1, 2, 3))
    expected = np.clip(light * factors[:, None, None, None], 0, 255)
    inside = (expected < 254).all(axis=(1, 2, 3))
    assert inside.sum() > 10
    np.testing.assert_allclose(changed[inside], expected[inside], rtol=1e-5)


@pytest.mark.parametrize(("border", "mode"), [("EDGE", "edge"), ("ZERO", "constant"), ("REFLECT", "symmetric")])
def test_shifts_are_whole_pixels_and_every_one_occurs(border: str, mode: Any) -> None:
    image = pictures(1)
    results = transform(f"shift: 1 border: {border}")(image.repeat(300, axis=0), 3, "data", 0)
    around = np.pad(image[0], [(0, 0), (1, 1), (1, 1)], mode)
    possible = [around[:, 1 - down : 13 - down, 1 - right : 13 - right] for down in (-1, 0, 1) for right in (-1, 0, 1)]
    found = [next(i for i, wanted in enumerate(possible) if np.array_equal(result, wanted)) for result in results]
    assert set(found) == set(range(9))


def test_a_warp_that_moves_by_whole_pixels_is_the_shift() -> None:
    """The same draws, once through the looked-up windows and once through the warp."""
    images = pictures(60)
    shifted = transform("shift: 2")(images, 1, "data", 0)
    warped = transform("shift: 2 rotation: 1e-9")(images, 1, "data", 0)
    np.testing.assert_allclose(warped, shifted, atol=1e-3)
    cropped = transform("shift: 2", "crop_size: 7")(images, 1, "data", 0)
    np.testing.assert_allclose(
        transform("shift: 2 rotation: 1e-9", "crop_size: 7")(images, 1, "data", 0), cropped, atol=1e-3
    )


class Fixed(Augmentation):
    """An augmentation whose every draw is the same number from [0, 1)."""

    number = 1 - 1e-9

    def _drawn(self, count: int, seed: int, layer: str, position: int) -> Any:
        drawn = super()._drawn(count, seed, layer, position)
        return {name: np.full(count, self.number) for name in drawn}


def extreme(text: str, images: np.ndarray, number: float = 1 - 1e-9) -> np.ndarray:
    one = transform(text)
    one.augmentation = Fixed(one.augmentation.param)
    one.augmentation.number = number  # type: ignore[attr-defined]
    return one(images, 1, "data", 0)


def test_a_quarter_turn_is_a_quarter_turn() -> None:
    images = pictures(2)
    turned = extreme("rotation: 90", images)
    np.testing.assert_allclose(turned, np.rot90(images, 1, (2, 3)), atol=1e-3)
    np.testing.assert_allclose(extreme("rotation: 90", images, 0.0), np.rot90(images, -1, (2, 3)), atol=1e-3)


def test_scaling_enlarges_around_the_centre() -> None:
    """Twice as large: pixel i shows what was at (i − c) / 2 + c, between two pixels a quarter and three quarters."""
    ramp = np.arange(12, dtype=np.uint8) * 20
    result = extreme("scaling: 0.999999", np.broadcast_to(ramp, (1, 1, 12, 12)).copy())[0, 0]
    np.testing.assert_allclose(result, np.broadcast_to((np.arange(12) - 5.5) / 2 * 20 + 110, (12, 12)), atol=1e-2)


def test_shear_moves_rows_in_proportion_to_their_height() -> None:
    ramp = np.broadcast_to(np.arange(13, dtype=np.uint8) * 10, (1, 1, 13, 13)).copy()
    result = extreme("shear: 45", ramp)[0, 0]
    for row in range(13):
        away = row - 6
        inside = [column for column in range(13) if 0 <= column - away <= 12]
        np.testing.assert_allclose(result[row, inside], [(column - away) * 10 for column in inside], atol=1e-2)


def test_brightness_and_contrast_are_their_formulas() -> None:
    images = (pictures(3) // 4 + 64).astype(np.uint8)
    np.testing.assert_allclose(extreme("brightness: 0.5", images), images * 1.5, rtol=1e-6)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(extreme("contrast: 0.5", images), (images - mean) * 1.5 + mean, rtol=1e-5)
    np.testing.assert_allclose(extreme("contrast: 1", images, 0.0), np.broadcast_to(mean, images.shape), rtol=1e-5)
    assert extreme("brightness: 1", np.full((1, 1, 2, 2), 200, np.uint8)).max() == 255
    assert extreme("brightness: 1", np.full((1, 1, 2, 2), 200, np.float32)).max() == 400, "floats have no end"


def test_without_saturation_colours_are_their_luma() -> None:
    images = pictures(2)
    gray = extreme("saturation: 1", images, 0.0)
    luma = np.tensordot([0.114, 0.587, 0.299], images.astype(float), (0, 1))
    for channel in range(3):
        np.testing.assert_allclose(gray[:, channel], luma, atol=0.2)


def test_a_full_turn_of_the_colour_wheel_changes_nothing_and_half_a_turn_makes_the_opposite() -> None:
    images = pictures(2) // 4 + np.uint8(96)
    np.testing.assert_allclose(extreme("hue: 360", images), images, atol=1e-2)
    luma = np.tensordot([0.114, 0.587, 0.299], images.astype(float), (0, 1))[:, None]
    np.testing.assert_allclose(extreme("hue: 180", images), 2 * luma - images, atol=0.5)


def test_cutout_sets_one_square_of_the_finished_image_to_zero() -> None:
    images = np.full((200, 2, 10, 10), 9, np.uint8)
    result = transform("cutout: 4", "mean_value: 1")(images, 1, "data", 0)
    for image in result:
        rows, columns = (np.flatnonzero((image == 0).all(axis=0).any(axis=axis)) for axis in (1, 0))
        assert 2 <= len(rows) <= 4 and 2 <= len(columns) <= 4
        assert (image[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 0).all()
        assert (image == 0).sum() == 2 * len(rows) * len(columns)
    assert {int((image == 0).sum()) for image in result} >= {2 * 4 * 4, 2 * 2 * 2}


def test_distorted_digits_stay_near_what_they_were() -> None:
    image = np.zeros((1, 1, 28, 28), np.uint8)
    image[..., 6:22, 12:16] = 255
    many = transform("elastic_alpha: 34 elastic_sigma: 4")(image.repeat(50, axis=0), 1, "data", 0)
    apart = np.abs(many - image).mean(axis=(1, 2, 3))
    assert (apart > 1).all() and (apart < 40).all()
    assert many.mean() == pytest.approx(image.mean(), rel=0.1)


def test_images_of_different_sizes_may_be_augmented_where_they_are_cropped() -> None:
    images = [pictures(1, 3, size)[0] for size in (8, 12, 9)]
    for text in (EVERYTHING, "shift: 2", "brightness: 0.4"):
        one = transform(text, "crop_size: 6 mirror: true")
        together = one(images, 1, "data", 5)
        assert together.shape == (3, 3, 6, 6)
        for index, image in enumerate(images):
            np.testing.assert_array_equal(one(image[np.newaxis], 1, "data", 5 + index)[0], together[index])


def test_the_mean_file_is_read_where_the_crop_is() -> None:
    images, mean = pictures(30), np.random.default_rng(4).random((3, 12, 12), np.float32)
    with_mean, without = (transform("brightness: 0.2 shift: 1", "crop_size: 7", mean=m) for m in (mean, None))
    difference = without(images, 1, "data", 0) - with_mean(images, 1, "data", 0)
    windows = [mean[:, r : r + 7, c : c + 7] for r in range(6) for c in range(6)]
    for one in difference:
        assert any(np.allclose(one, window, atol=1e-4) for window in windows)


def test_what_is_wrong_is_found() -> None:
    text = "rotation: -1 scaling: 1 shear: 90 brightness: 1.5 elastic_sigma: 0 hue: nan"
    found = faults(text_format.Parse(text, AugmentationParameter()))
    assert {field for _, field in found} == {"rotation", "scaling", "shear", "brightness", "elastic_sigma", "hue"}
    assert not faults(text_format.Parse(EVERYTHING, AugmentationParameter()))
    with pytest.raises(DataError, match=r"saturation and hue need 3 channels \(B, G, R\), the image has 1"):
        transform("hue: 3").shape((1, 4, 4))
    assert transform("hue: 3", phase=TEST).shape((1, 4, 4)) == (1, 4, 4)
    with pytest.raises(DataError, match="shift 4 moves all of a 4×9 image away"):
        transform("shift: 4").shape((1, 4, 9))
    with pytest.raises(DataError, match="cutout 12 takes all of what is seen, 6×6"):
        transform("cutout: 12", "crop_size: 6").shape((1, 8, 9))
    assert ("must be a number", "hue") in found


@pytest.mark.parametrize("rest", ["", "crop_size: 7 mirror: true mean_value: 3 scale: 0.5"])
@pytest.mark.parametrize("text", ["", "shift: 2 brightness: 0.2", EVERYTHING])
def test_what_is_staged_for_a_gpu_ends_as_on_the_host(text: str, rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways of the same values; on the CPU, where there is no memory to pin."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    one, mean = transform(text, rest), np.random.default_rng(4).random((3, 12, 12), np.float32)
    with_file = transform(text, rest.replace("mean_value: 3", ""), mean=mean)
    many = [pictures(1, 3, size)[0] for size in (9, 12, 8)] if "crop" in rest else []
    for way, images in ((one, pictures()), (with_file, pictures()), (one, many)):
        if len(images):
            chosen = way.choose(images, 1, "data", 5)
            np.testing.assert_array_equal(way.finish_on(torch.device("cpu"), way.stage(chosen)), way.finish(chosen))
