from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from caffelite.data.transform import Transform
from caffelite.data.transform_param import faults, read_mean
from caffelite.errors import DataError
from caffelite.proto import BlobProto, TransformationParameter

TRAIN, TEST = 0, 1


def settings(text: str) -> Any:
    return text_format.Parse(text, TransformationParameter())


def image_by_loop(
    image: np.ndarray, row: int, column: int, size: int, mean: np.ndarray, scale: float, turned: bool
) -> np.ndarray:
    """The definition in the original's DataTransformer::Transform, element by element."""
    channels = image.shape[0]
    result = np.empty((channels, size, size), np.float32)
    for c in range(channels):
        for h in range(size):
            for w in range(size):
                value = np.float32(image[c, row + h, column + w]) - np.float32(mean[c, row + h, column + w])
                result[c, h, size - 1 - w if turned else w] = value * np.float32(scale)
    return result


@given(st.data())
def test_every_record_is_a_crop_of_the_formula(data: st.DataObject) -> None:
    channels, height, width = (data.draw(st.integers(1, most)) for most in (3, 6, 6))
    crop = data.draw(st.integers(1, min(height, width)))
    phase, mirror, scale = data.draw(st.sampled_from([TRAIN, TEST])), data.draw(st.booleans()), 0.3
    chance = np.random.default_rng(data.draw(st.integers(0, 99)))
    images = chance.integers(0, 256, (3, channels, height, width), dtype=np.uint8)
    kind = data.draw(st.sampled_from(["file", "values", "value", "none"]))
    mean_file = chance.random((channels, height, width), np.float32) * 255
    means = {"file": mean_file, "value": np.full(mean_file.shape, 9.5), "none": np.zeros(mean_file.shape)}
    means["values"] = np.arange(channels)[:, None, None] + np.zeros(mean_file.shape)
    param = settings(f"crop_size: {crop} scale: {scale} mirror: {str(mirror).lower()}")
    param.mean_value.extend({"value": [9.5], "values": range(channels)}.get(kind, []))
    results = Transform(param, phase, mean_file if kind == "file" else None)(images, 5, "data", 10)
    rows = range(height - crop + 1) if phase == TRAIN else [(height - crop) // 2]
    columns = range(width - crop + 1) if phase == TRAIN else [(width - crop) // 2]
    for image, result in zip(images, results, strict=True):
        possible = (
            image_by_loop(image, row, column, crop, means[kind], scale, turned)
            for row in rows
            for column in columns
            for turned in ([False, True] if mirror else [False])
        )
        assert any(np.array_equal(result, wanted) for wanted in possible)


@pytest.mark.parametrize("text", ["mirror: true", "crop_size: 3", "crop_size: 3 mirror: true mean_value: 4"])
def test_draws_depend_on_seed_layer_and_position_alone(text: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    transform = Transform(settings(text), TRAIN)
    together = transform(images, 1, "data", 100)
    singly = [transform(images[i : i + 1], 1, "data", 100 + i)[0] for i in reversed(range(40))]
    np.testing.assert_array_equal(together, singly[::-1])
    for other in ((2, "data", 100), (1, "other", 100), (1, "data", 140)):
        assert not np.array_equal(together, transform(images, *other))


def test_crops_and_turns_are_spread_evenly() -> None:
    column_of = np.tile(np.arange(5, dtype=np.uint8), (4000, 1, 5, 1))
    results = Transform(settings("crop_size: 2 mirror: true"), TRAIN)(column_of, 1, "data", 0)
    turned = results[:, 0, 0, 0] > results[:, 0, 0, 1]
    assert abs(turned.mean() - 0.5) < 0.05
    starts = np.bincount(results[:, 0, 0].min(axis=1).astype(int), minlength=4)
    np.testing.assert_allclose(starts, [1000] * 4, rtol=0.15)


def test_mirror_also_turns_in_the_test_phase() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(1, 1, 1, 4).repeat(50, axis=0)
    results = Transform(settings("mirror: true"), TEST)(image, 1, "data", 0)
    assert {tuple(row) for row in results[:, 0, 0]} == {(0, 1, 2, 3), (3, 2, 1, 0)}


def test_crop_makes_images_of_different_sizes_equal() -> None:
    images = [np.arange(size * size, dtype=np.uint8).reshape(1, size, size) for size in (3, 5)]
    result = Transform(settings("crop_size: 1 mean_value: 1"), TEST)(images, 1, "data", 0)
    np.testing.assert_array_equal(result.ravel(), [4 - 1, 12 - 1])


def test_the_input_is_left_alone() -> None:
    images = np.full((2, 1, 2, 2), 7, np.uint8)
    images.setflags(write=False)
    for text in ("", "scale: 2", "mean_value: 3 scale: 2", "mirror: true", "crop_size: 1"):
        result = Transform(settings(text), TRAIN)(images, 1, "data", 0)
        assert result.dtype == np.float32 and result.flags.writeable and not np.shares_memory(result, images)


def test_settings_that_contradict_each_other_are_found() -> None:
    def found(text: str) -> list[tuple[str, str | None]]:
        return [(field, help) for _, field, help in faults(settings(text))]

    keep = "keep one of the two"
    assert found('mean_file: "m" mean_value: 1') == [("mean_value", keep)]
    assert found("force_color: true force_gray: true") == [("force_gray", keep)]
    assert found("scale: nan mean_value: inf") == [("scale", None), ("mean_value", None)]
    assert found("augmentation { shear: 90 hue: -1 }") == [("augmentation.hue", None), ("augmentation.shear", None)]
    assert not found('mean_file: "m" force_color: true augmentation { shift: 3 }')


def test_everything_that_does_not_fit_the_image_is_reported_at_once() -> None:
    param = settings("crop_size: 9 mean_value: 1 mean_value: 2")
    with pytest.raises(DataError) as caught:
        Transform(param, TRAIN).shape((3, 8, 20))
    assert [fault.message for fault in caught.value.faults] == [
        "crop_size 9 is larger than the 8×20 image",
        "expected one mean_value, or as many as channels (3), got 2 mean_value",
    ]
    with pytest.raises(DataError, match="the mean file is 1×4×4, the image 1×4×5"):
        Transform(settings(""), TRAIN, np.zeros((1, 4, 4), np.float32)).shape((1, 4, 5))
    assert Transform(settings("crop_size: 8"), TRAIN).shape((3, 8, 20)) == (3, 8, 8)


@pytest.mark.parametrize("legacy", [True, False])
def test_mean_files_of_either_form_are_read(tmp_path: Path, legacy: bool) -> None:
    blob = BlobProto(data=range(6))
    if legacy:
        blob.num, blob.channels, blob.height, blob.width = 1, 1, 2, 3
    else:
        blob.shape.dim.extend([1, 1, 2, 3])
    (tmp_path / "mean").write_bytes(blob.SerializeToString())
    np.testing.assert_array_equal(read_mean(tmp_path / "mean"), np.arange(6).reshape(1, 2, 3))


def test_mean_files_that_are_none_are_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_mean(tmp_path / "gone")
    (tmp_path / "text").write_text("\xff\xff no blob")
    with pytest.raises(DataError, match="not a BlobProto"):
        read_mean(tmp_path / "text")
    (tmp_path / "short").write_bytes(BlobProto(num=1, channels=3, height=2, width=2, data=[1]).SerializeToString())
    with pytest.raises(DataError, match="says shape 1×3×2×2, but holds 1 values"):
        read_mean(tmp_path / "short")
    (tmp_path / "odd").write_bytes(BlobProto(num=-1, channels=-1, height=1, width=1, data=[1]).SerializeToString())
    with pytest.raises(DataError, match="says shape -1×-1×1×1"):
        read_mean(tmp_path / "odd")
    for name in ("a\0b", "x" * 5000):
        with pytest.raises(DataError, match="cannot be read"):
            read_mean(Path(name))
