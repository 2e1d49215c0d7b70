"""`caffe.Classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import caffelite
from caffelite.errors import CaffeliteError, UsageError
from caffelite.pycaffe import io
from caffelite.pycaffe.classifier import Classifier

from .mean_nets import SOFTMAX, write_net

RNG = np.random.default_rng(0)
IMAGES = [RNG.random((height, width, 3), np.float32) for height, width in ((6, 8), (5, 5), (9, 6))]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return write_net(tmp_path_factory.mktemp("net"))


def test_the_centre_is_scored(files: tuple[str, str]) -> None:
    scores = Classifier(*files, image_dims=[7, 8]).predict(IMAGES, oversample=False)
    assert (scores.shape, scores.dtype) == ((3, 3), np.float32)
    for image, row in zip(IMAGES, scores, strict=True):
        # (7 − 4) / 2 = 1.5 is cut off to 1.
        centre = io.resize_image(image, (7, 8))[1:5, 2:6]
        np.testing.assert_allclose(row, centre.mean((0, 1)), rtol=1e-5)


def test_ten_crops_are_scored_and_averaged(files: tuple[str, str]) -> None:
    model, weights = files
    rows = []
    for image in IMAGES:
        resized = io.resize_image(image, (7, 8))
        parts = [resized[:4, :4], resized[:4, 4:], resized[3:, :4], resized[3:, 4:], resized[1:5, 2:6]]
        rows.append(np.mean([part.mean((0, 1)) for part in parts], axis=0))
    np.testing.assert_allclose(Classifier(model, weights, (7, 8)).predict(IMAGES), rows, rtol=1e-5)


def test_crops_are_averaged_after_the_net_and_not_before(tmp_path: Path) -> None:
    classifier = Classifier(*write_net(tmp_path, more=SOFTMAX), image_dims=(7, 8), raw_scale=9)
    images = io.oversample([io.resize_image(IMAGES[0], (7, 8))], (4, 4)).mean((1, 2)) * 9
    exponents = np.exp(images)
    wanted = (exponents / exponents.sum(1, keepdims=True)).mean(0)
    np.testing.assert_allclose(classifier.predict(IMAGES[:1])[0], wanted, rtol=1e-5)


def test_the_whole_image_is_scored_where_nothing_is_said(files: tuple[str, str]) -> None:
    classifier = Classifier(*files)
    assert classifier.image_dims.tolist() == classifier.crop_dims.tolist() == [4, 4]
    whole = io.resize_image(IMAGES[0], (4, 4)).mean((0, 1))
    np.testing.assert_allclose(classifier.predict(IMAGES[:1], False)[0], whole, rtol=1e-5)
    np.testing.assert_allclose(classifier.predict(IMAGES[:1])[0], whole, rtol=1e-5)
    assert Classifier(*files, image_dims=[]).image_dims.tolist() == [4, 4]


def test_what_is_to_be_done_to_images_is_done(files: tuple[str, str]) -> None:
    classifier = Classifier(
        *files, mean=np.array([10.0, 20.0, 30.0]), input_scale=0.5, raw_scale=255, channel_swap=(2, 1, 0)
    )
    wanted = (io.resize_image(IMAGES[0], (4, 4)).mean((0, 1))[::-1] * 255 - [10, 20, 30]) * 0.5
    np.testing.assert_allclose(classifier.predict(IMAGES[:1], False)[0], wanted, rtol=1e-4)
    by_pixel = Classifier(*files, mean=np.full((3, 4, 4), 0.5)).predict(IMAGES[:1], False)[0]
    np.testing.assert_allclose(by_pixel, io.resize_image(IMAGES[0], (4, 4)).mean((0, 1)) - 0.5, atol=1e-6)


def test_images_are_left_as_they_are(files: tuple[str, str]) -> None:
    image = IMAGES[0][:4, :4].copy()
    kept = image.copy()
    Classifier(*files, raw_scale=255).predict([image])
    assert np.array_equal(image, kept)


def test_an_array_of_images_and_one_channel_for_all(files: tuple[str, str]) -> None:
    classifier = Classifier(*files)
    stack = RNG.random((5, 4, 4, 3), np.float32)
    np.testing.assert_allclose(classifier.predict(stack, False), stack.mean((1, 2)), rtol=1e-5)
    gray = classifier.predict(stack[..., :1], False)
    np.testing.assert_allclose(gray, np.repeat(stack[..., 0].mean((1, 2))[:, np.newaxis], 3, 1), rtol=1e-5)
    mixed = classifier.predict([stack[0], stack[1, ..., :1]], False)
    np.testing.assert_allclose(mixed[1], gray[1], rtol=1e-6)


def test_gray_nets(tmp_path: Path) -> None:
    classifier = Classifier(*write_net(tmp_path, channels=1), image_dims=(6, 6), raw_scale=255)
    image = RNG.random((6, 6, 1), np.float32)
    np.testing.assert_allclose(classifier.predict([image], False), [[255 * image[1:5, 1:5].mean()]], rtol=1e-5)
    assert classifier.predict([image]).shape == (1, 1)


def test_it_is_a_net(files: tuple[str, str]) -> None:
    classifier = Classifier(*files)
    assert isinstance(classifier, caffelite.Net)
    assert (classifier.inputs, classifier.outputs) == (["data"], ["fc"])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "predict needs at least one image"),
        ([np.ones((4, 4))], r"image 0 has shape \(4, 4\), the net takes H×W×3"),
        ([np.ones((4, 4, 4))], r"image 0 has shape \(4, 4, 4\)"),
        ([np.ones((4, 4, 3)), np.ones((4, 4, 2))], r"image 1 has shape \(4, 4, 2\)"),
        ([np.ones((4, 4, 1)), np.ones((4, 4, 3))], r"image 1 has shape \(4, 4, 3\)"),
    ],
)
def test_images_that_the_net_cannot_take(files: tuple[str, str], images: Any, message: str) -> None:
    with pytest.raises(CaffeliteError, match=message):
        Classifier(*files).predict(images)


def test_nets_and_sizes_that_do_not_fit(files: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"image_dims must be a height and a width of at least 4×4, got \(3, 8\)"):
        Classifier(*files, image_dims=(3, 8))
    net = tmp_path / "net.prototxt"
    net.write_text('name: "n" layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 1 } } }')
    with pytest.raises(UsageError, match="net 'n' has no input to put images into"):
        Classifier(net, None)
    net.write_text('name: "n" layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 } } }')
    with pytest.raises(UsageError, match=r"the input 'd' of net 'n' is not N×K×H×W but of shape \(1, 3\)"):
        Classifier(net, None)
