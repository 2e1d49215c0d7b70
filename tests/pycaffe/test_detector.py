"""`caffe.Detector`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffelite.errors import UsageError
from caffelite.pycaffe import io
from caffelite.pycaffe.detector import Detector

from .mean_nets import write_image, write_net

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3)).astype(np.uint8)
SIDE = 8
MEAN = np.array([10.0, 20.0, 30.0])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return write_net(tmp_path_factory.mktemp("net"), height=SIDE, width=SIDE)


@pytest.fixture(scope="module")
def with_context(files: tuple[str, str]) -> Detector:
    return Detector(*files, mean=MEAN, raw_scale=255, channel_swap=(2, 1, 0), context_pad=2)


def test_windows_are_warped_and_scored(files: tuple[str, str], tmp_path: Path) -> None:
    names = [write_image(tmp_path / name, pixels) for name, pixels in (("a.png", PIXELS), ("b.png", PIXELS[::-1]))]
    windows = [np.array([2, 3, 12, 9]), (0, 0, 20, 30), [1.9, 0, 3.2, 30]]
    detections = Detector(*files, raw_scale=255, channel_swap=(2, 1, 0)).detect_windows(
        [(names[0], windows[:1]), (names[1], windows[1:])]
    )
    assert [detection["filename"] for detection in detections] == [names[0], names[1], names[1]]
    assert all(detection["window"] is window for detection, window in zip(detections, windows, strict=True))
    crops = [PIXELS[2:12, 3:9], PIXELS[::-1], PIXELS[::-1][1:3]]
    for detection, crop in zip(detections, crops, strict=True):
        wanted = io.resize_image(crop / 255, (SIDE, SIDE)).mean((0, 1))[::-1] * 255
        np.testing.assert_allclose(detection["prediction"], wanted, rtol=1e-4)


def test_nothing_to_detect_is_nothing_detected(files: tuple[str, str], tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.png", PIXELS)
    assert Detector(*files).detect_windows([]) == []
    assert Detector(*files).detect_windows([(image, [])]) == []


def test_nets_of_one_channel_see_gray(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.png", PIXELS)
    detector = Detector(*write_net(tmp_path / "net", channels=1, height=SIDE, width=SIDE))
    (detection,) = detector.detect_windows([(image, [(0, 0, SIDE, SIDE)])])
    wanted = io.load_image(image, color=False)[:SIDE, :SIDE].mean()
    np.testing.assert_allclose(detection["prediction"], [wanted], rtol=1e-5)


def by_hand(im: np.ndarray, window: tuple[int, ...], pad: int) -> np.ndarray:
    """The crop of R-CNN, in Python's numbers: every line from the definition of what context_pad means."""
    scale = SIDE / (SIDE - 2 * pad)
    box, step, before = [], [], []
    for low, high in ((window[0], window[2]), (window[1], window[3])):
        half = (high - low + 1) / 2
        start, end = round(low + half - scale * half), round(low + half + scale * half)
        box.append([start, end])
        step.append(SIDE / (end - start + 1))
        before.append(round(max(0, -start) * step[-1]))
    sizes = []
    for axis, extent in enumerate(im.shape[:2]):
        box[axis] = [min(max(edge, 0), extent) for edge in box[axis]]
        sizes.append(min(round((box[axis][1] - box[axis][0] + 1) * step[axis]), SIDE - before[axis]))
    result = np.empty((SIDE, SIDE, 3))
    result[...] = [30 / 255, 20 / 255, 10 / 255]
    part = im[box[0][0] : box[0][1], box[1][0] : box[1][1]]
    result[before[0] : before[0] + sizes[0], before[1] : before[1] + sizes[1]] = io.resize_image(part, sizes)
    return result


@given(st.integers(0, 17), st.integers(0, 27), st.integers(1, 19), st.integers(1, 29))
def test_context_lies_around_the_window_and_the_mean_beyond_the_image(
    with_context: Detector, top: int, left: int, height: int, width: int
) -> None:
    im = (PIXELS / 255).astype(np.float32)
    window = (top, left, min(top + height, 20), min(left + width, 30))
    crop = with_context.crop(im, np.array(window))
    assert crop.shape == (SIDE, SIDE, 3)
    np.testing.assert_allclose(crop, by_hand(im, window, 2), atol=1e-6)


def test_a_window_in_the_corner_in_full(files: tuple[str, str]) -> None:
    """Of 4 × 4 pixels, twice as large with context: 2 rows and columns of it lie beyond the image, 8 / 9 · 2 ≈ 2."""
    detector = Detector(*files, mean=MEAN, context_pad=2)
    crop = detector.crop(np.ones((20, 30, 3), np.float32), [0, 0, 3, 3])
    assert np.array_equal(crop[:2], np.tile(MEAN, (2, SIDE, 1)))
    assert np.array_equal(crop[:, :2], np.tile(MEAN, (SIDE, 2, 1)))
    assert (crop[2:, 2:] == 1).all()


def test_without_a_mean_nought_lies_beyond_the_image(files: tuple[str, str]) -> None:
    crop = Detector(*files, context_pad=2).crop(np.ones((20, 30, 3), np.float32), [0, 0, 3, 3])
    assert (crop[:2] == 0).all()


def test_a_mean_image_lies_where_it_belongs(files: tuple[str, str]) -> None:
    mean = RNG.random((3, SIDE, SIDE))
    detector = Detector(*files, mean=mean, channel_swap=(2, 0, 1), raw_scale=2, context_pad=2)
    crop = detector.crop(np.ones((20, 30, 3), np.float32), [0, 0, 3, 3])
    np.testing.assert_allclose(crop[0], mean[[1, 2, 0], 0].T / 2, rtol=1e-6)
    # What lies there is nothing to the net.
    np.testing.assert_allclose(detector.transformer.preprocess("data", crop)[:, 0], 0, atol=1e-6)


def test_context_can_be_set_later(files: tuple[str, str]) -> None:
    detector = Detector(*files)
    assert detector.crop(PIXELS, [2, 3, 12, 9]).shape == (10, 6, 3)
    detector.configure_crop(2)
    assert detector.crop(PIXELS / 255, [2, 3, 12, 9]).shape == (SIDE, SIDE, 3)
    detector.configure_crop(None)
    assert detector.crop(PIXELS, [-5, -5, 6, 9]).shape == (6, 9, 3)


@pytest.mark.parametrize(
    ("window", "context_pad"),
    [
        ((3, 3, 3, 9), 0),
        ((8, 3, 2, 9), 0),
        ((20, 3, 30, 9), 0),
        ((-9, -9, -3, -3), 0),
        ((8, 3, 2, 9), 2),
        ((60, 3, 70, 9), 2),
        ((-49, -49, -43, -43), 2),
    ],
)
def test_windows_that_show_nothing(files: tuple[str, str], window: Any, context_pad: int) -> None:
    detector = Detector(*files, context_pad=context_pad)
    with pytest.raises(UsageError, match=r"the window .* shows nothing of an image of 20×30\n.*ymin, xmin, ymax, xmax"):
        detector.crop(PIXELS, window)


@pytest.mark.parametrize("context_pad", [4, -1])
def test_context_that_leaves_no_room(files: tuple[str, str], context_pad: int) -> None:
    with pytest.raises(UsageError, match=f"context_pad must be less than half .* got {context_pad}"):
        Detector(*files, context_pad=context_pad)


def test_context_needs_a_square(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a square; got 1 with an input of 8×6"):
        Detector(*write_net(tmp_path, height=8, width=6), context_pad=1)


def test_selective_search_that_is_not_there(files: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", None)
    with pytest.raises(UsageError, match=r"needs the Python package selective_search_ijcv_with_python.*\n.*MATLAB"):
        Detector(*files).detect_selective_search(["a.png"])


def test_selective_search_that_is_there(
    files: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", PIXELS)
    monkeypatch.chdir(tmp_path)

    def get_windows(names: list[str], cmd: str) -> list[np.ndarray]:
        assert cmd == "selective_search_rcnn"
        assert all(os.path.isabs(name) for name in names)
        return [np.array([[0, 0, 8, 8], [1, 1, 9, 9]])] * len(names)

    proposer = SimpleNamespace(get_windows=get_windows)
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", proposer)
    detections = Detector(*files).detect_selective_search(["a.png"])
    assert [detection["window"].tolist() for detection in detections] == [[0, 0, 8, 8], [1, 1, 9, 9]]
    assert detections[0]["filename"] == str(tmp_path / "a.png")
