"""Mean files of any form, and files of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffelite.errors import DataError
from caffelite.proto import BlobProto
from caffelite.pycaffe.io import array_to_blobproto
from caffelite.pycaffe.mean_and_labels import mean_of, read_labels

IMAGE = np.random.default_rng(0).random((3, 5, 4)).astype(np.float32) * 255


def write(path: Path, form: str, array: np.ndarray) -> Path:
    with path.open("wb") as file:
        if form == "npy":
            np.save(file, array)
        elif form == "npz":
            np.savez(file, mean=array)
        elif form == "blob":
            file.write(array_to_blobproto(array).SerializeToString())
        else:
            sizes = dict(zip(("num", "channels", "height", "width"), (1, *array.shape), strict=True))
            file.write(BlobProto(data=array.ravel().tolist(), **sizes).SerializeToString())
    return path


@pytest.mark.parametrize("form", ["npy", "npz", "legacy"])
def test_a_file_is_known_by_its_content(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "ilsvrc.mean", form, IMAGE)
    channels = mean_of(str(path), 3)
    assert channels.dtype == np.float32
    np.testing.assert_allclose(channels, IMAGE.mean((1, 2)), rtol=1e-5)
    assert np.array_equal(mean_of(path, 3, by_pixel=True), IMAGE)


def test_a_blob_of_four_axes_is_an_image(tmp_path: Path) -> None:
    path = write(tmp_path / "mean", "blob", IMAGE[np.newaxis])
    assert np.array_equal(mean_of(path, 3, by_pixel=True), IMAGE)


@pytest.mark.parametrize("given", ["104,117,123", " 104 , 1.17e2,+123.", [104, 117, 123], np.array([104, 117, 123.0])])
def test_numbers_are_for_the_channels(given: Any) -> None:
    assert mean_of(given, 3).tolist() == [104, 117, 123]
    assert mean_of(given, 3, by_pixel=True).tolist() == [104, 117, 123]


@pytest.mark.parametrize("given", ["33.3", [33.3], 33.3, np.float32(33.3)])
def test_one_number_is_for_every_channel(given: Any) -> None:
    np.testing.assert_allclose(mean_of(given, 3), [33.3] * 3)
    np.testing.assert_allclose(mean_of(given, 1), [33.3])


def test_a_plane_is_the_image_of_a_gray_net() -> None:
    assert mean_of(IMAGE[0], 1, by_pixel=True).shape == (1, 5, 4)
    assert mean_of(IMAGE[:1], 1).shape == (1,)


@pytest.mark.parametrize(
    ("given", "channels", "message"),
    [
        ("1,2", 3, "the mean is 2 numbers, and the net's input has 3 channels"),
        ("1,2,3", 1, "the mean is 3 numbers, and the net's input has 1 channel\n"),
        (IMAGE, 1, "the mean is 3×5×4, and the net's input has 1 channel"),
        (IMAGE.transpose(1, 2, 0), 3, r"is 5×4×3, .*\n.*mean\.transpose\(2, 0, 1\) makes K×H×W"),
        (np.array(["a", "b", "c"]), 3, "the mean is 3 numbers"),
        (np.zeros((3, 0, 0)), 3, "the mean is 3×0×0"),
        ([1, np.nan, 2], 3, "values that are not finite"),
    ],
)
def test_means_that_do_not_fit(given: Any, channels: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        mean_of(given, channels)


def test_files_that_hold_no_mean(tmp_path: Path) -> None:
    def refused(content: bytes) -> str:
        path = tmp_path / "mean"
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            mean_of(path, 3)
        return str(caught.value)

    assert f'"{tmp_path / "mean"}" is no mean file: it is a prototxt' in refused(b"layer { }")
    assert "it is empty" in refused(b"")
    assert "cannot be read" in refused(b"\x93NUMPY\x01\x00")
    assert "cannot be read" in refused(b"PK\x03\x04 no archive")
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    assert "cannot be read: Object arrays" in refused((tmp_path / "a.npy").read_bytes())
    np.savez(tmp_path / "a.npz", a=IMAGE, b=IMAGE)
    assert "must hold one array, got a, b" in refused((tmp_path / "a.npz").read_bytes())
    with pytest.raises(DataError, match=r"none\.npy.* cannot be read: No such file"):
        mean_of("none.npy", 3)


def test_labels_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffn01440764 tench, Tinca tinca\r\n\nk\u00fc\x1b[31m\n\n\n".encode())
    assert read_labels(path) == ["n01440764 tench, Tinca tinca", "", "k\u00fc\ufffd[31m"]


@pytest.mark.parametrize(
    ("content", "message"), [(b" \n\n", "is empty"), (b"a\0b", "is no text file"), (None, "cannot be read: No such")]
)
def test_labels_that_are_none(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(DataError, match=f'labels .*labels.txt" {message}'):
        read_labels(tmp_path / "labels.txt")
