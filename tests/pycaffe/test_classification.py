"""`caffelite.classify`: from files to the names of classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caffelite.data.resize import resize
from caffelite.errors import CaffeliteError, DataError, GraphError, SnapshotError, UsageError
from caffelite.pycaffe.classification import FileClassifier, classify
from caffelite.pycaffe.io import UnreadableImage, load_image, oversample

from .mean_nets import SOFTMAX, write_image, write_net

RGB = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
BGR = RGB[..., ::-1].transpose(2, 0, 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return write_net(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_image(tmp_path_factory.mktemp("image") / "a.png", RGB)


def test_the_whole_image_goes_in_as_blue_green_red_of_0_to_255(files: tuple[str, str], photo: str) -> None:
    (found,) = classify(photo, *files)
    wanted = resize(BGR, 4, 4).mean((1, 2))
    assert found.image == photo
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-5)
    order = np.argsort(-wanted)
    assert [guess.index for guess in found.guesses] == order.tolist()
    np.testing.assert_allclose([guess.score for guess in found.guesses], wanted[order], rtol=1e-5)
    assert [guess.label for guess in found.guesses] == [None] * 3
    assert not found.probabilities


def test_the_mean_is_that_of_each_channel_unless_wanted_by_pixel(
    files: tuple[str, str], photo: str, tmp_path: Path
) -> None:
    mean = np.random.default_rng(1).random((3, 4, 4)).astype(np.float32) * 100
    np.save(tmp_path / "mean.npy", mean)
    plain = resize(BGR, 4, 4).astype(np.float32)
    (found,) = classify(photo, *files, mean=tmp_path / "mean.npy")
    np.testing.assert_allclose(found.scores, plain.mean((1, 2)) - mean.mean((1, 2)), rtol=1e-3)
    (found,) = classify(photo, *files, mean="1,2,3", input_scale=0.5)
    np.testing.assert_allclose(found.scores, (plain.mean((1, 2)) - [1, 2, 3]) / 2, rtol=1e-4)
    net = FileClassifier(*files, mean=tmp_path / "mean.npy", mean_by_pixel=True)
    list(net.classified(photo))
    np.testing.assert_allclose(net.blobs["data"].data[0], plain - mean, atol=1e-4)


def test_the_order_of_channels_and_white_can_be_said(files: tuple[str, str], photo: str) -> None:
    (found,) = classify(photo, *files, channel_swap=(0, 1, 2), raw_scale=1)
    np.testing.assert_allclose(found.scores, resize(BGR, 4, 4).mean((1, 2))[::-1] / 255, rtol=1e-5)


def test_crops_of_a_larger_image(files: tuple[str, str], photo: str) -> None:
    larger = resize(BGR, 6, 8).astype(np.float32)
    (found,) = classify(photo, *files, image_dims=(6, 8))
    np.testing.assert_allclose(found.scores, larger[:, 1:5, 2:6].mean((1, 2)), rtol=1e-5)
    (found,) = classify(photo, *files, image_dims=(6, 8), oversample=True)
    wanted = oversample([larger.transpose(1, 2, 0)], (4, 4)).mean((0, 1, 2))
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-5)


def test_ten_crops_are_of_256_pixels_where_that_is_usual(tmp_path: Path, photo: str) -> None:
    assert FileClassifier(*write_net(tmp_path, height=227, width=224), oversample=True).image_dims.tolist() == [
        256,
        256,
    ]
    with pytest.raises(UsageError, match=r"crops of 4×4 out of a larger image: say how large\n.*--images-dim"):
        FileClassifier(*write_net(tmp_path), oversample=True)


def test_gray_nets_see_gray(tmp_path: Path, photo: str) -> None:
    model = write_net(tmp_path / "net", channels=1, height=9, width=7)
    (found,) = classify(photo, *model, input_scale=0.00390625)
    gray = (RGB @ [0.299, 0.587, 0.114]).mean()
    np.testing.assert_allclose(found.scores, [gray / 256], atol=1 / 256)
    (found,) = classify(write_image(tmp_path / "g.png", RGB[..., 0]), *model)
    np.testing.assert_allclose(found.scores, [RGB[..., 0].mean()], rtol=1e-5)


def test_gray_and_see_through_images_for_nets_of_colour(files: tuple[str, str], tmp_path: Path) -> None:
    gray, clear = RGB[..., 0], np.dstack([RGB, RGB[..., 0]])
    first, second = classify([write_image(tmp_path / "g.png", gray), write_image(tmp_path / "a.png", clear)], *files)
    np.testing.assert_allclose(first.scores, [resize(gray[np.newaxis], 4, 4).mean()] * 3, rtol=1e-5)
    np.testing.assert_allclose(second.scores, resize(BGR, 4, 4).mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("oversampled", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 7, 64])
def test_batches_change_nothing(tmp_path: Path, batch: int, oversampled: bool) -> None:
    images = [np.random.default_rng(seed).random((6, 6, 3), np.float32) for seed in range(5)]
    classifier = FileClassifier(*write_net(tmp_path, batch=batch), image_dims=(6, 6), oversample=oversampled)
    for given in (images, images[:1], images):
        found = list(classifier.classified(given))
        assert [one.image for one in found] == [f"image {number}" for number in range(len(given))]
        for one, image in zip(found, given, strict=True):
            crops = oversample([image], (4, 4)) if oversampled else image[np.newaxis, 1:5, 1:5]
            np.testing.assert_allclose(one.scores, crops.mean((0, 1, 2))[::-1] * 255, rtol=1e-4)


def test_a_batch_is_no_larger_than_needed_unless_the_net_says_so(tmp_path: Path, photo: str) -> None:
    classifier = FileClassifier(*write_net(tmp_path / "a", batch=64))
    list(classifier.classified(photo))
    assert classifier.blobs["data"].shape == (1, 3, 4, 4)
    fixed = 'layer { name: "r" type: "Reshape" bottom: "fc" top: "r" reshape_param { shape { dim: 8 dim: 3 } } }'
    classifier = FileClassifier(*write_net(tmp_path / "b", batch=8, more=fixed))
    (found,) = classifier.classified(photo)
    assert classifier.blobs["data"].shape == (8, 3, 4, 4)
    np.testing.assert_allclose(found.scores, resize(BGR, 4, 4).mean((1, 2)), rtol=1e-5)


def test_labels_name_the_guesses(tmp_path: Path, photo: str) -> None:
    model = write_net(tmp_path, more=SOFTMAX)
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    for labels in (tmp_path / "labels.txt", ["blue", "green", "red"]):
        (found,) = classify(photo, *model, labels=labels, top=2, input_scale=0.01)
        assert [guess.label for guess in found.guesses] == [("blue", "green", "red")[g.index] for g in found.guesses]
        assert found.probabilities
        assert len(found.guesses) == 2
    assert classify(photo, *model, top=0)[0].guesses == []
    (tmp_path / "labels.txt").write_text("blue\ngreen\n")
    with pytest.raises(DataError, match=r'labels\.txt": 2 lines, but the net tells 3 classes apart'):
        classify(photo, *model, labels=tmp_path / "labels.txt")
    with pytest.raises(DataError, match="there are 4 labels, but the net tells 3 classes apart"):
        classify(photo, *model, labels=list("abcd"))


def test_folders_and_arrays_in_files(files: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.PNG", "a.jpg", ".hidden.png"):
        write_image(folder / name, RGB)
    (folder / "notes.txt").write_text("no image")
    assert [Path(one.image).name for one in classify(folder, *files)] == ["a.jpg", "b.PNG"]
    stack = np.stack([load_image(folder / "b.PNG")] * 2)
    np.save(tmp_path / "stack.npy", stack)
    np.save(tmp_path / "bytes.npy", RGB)
    found = classify([tmp_path / "stack.npy", tmp_path / "bytes.npy", stack[0]], *files)
    assert [one.image for one in found] == [
        f"{tmp_path}/stack.npy[0]", f"{tmp_path}/stack.npy[1]", f"{tmp_path}/bytes.npy[0]", "image 2"
    ]  # fmt: skip
    for one in found:
        np.testing.assert_allclose(one.scores, found[0].scores, rtol=1e-5)
    assert len(classify(stack, *files)) == 2
    assert len(classify(stack[0], *files)) == 1
    assert classify([], *files) == []


def test_images_that_cannot_be_used(files: tuple[str, str], photo: str, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty").mkdir()
    np.save(tmp_path / "plane.npy", np.ones((4, 4)))
    with pytest.raises(DataError) as caught:
        classify([photo, "one.jpg", "two.npy"], *files)
    assert [str(fault.place) for fault in caught.value.faults] == ["one.jpg", "two.npy"]
    for name, message in (
        ("text.png", "text.png: the image cannot be read: .*no format"),
        ("empty", 'the folder ".*empty" holds no images'),
        ("plane.npy", "plane.npy: the image cannot be read: images are H×W×K, or N×H×W×K, got 4×4 of float64"),
    ):
        with pytest.raises(DataError, match=message):
            classify(tmp_path / name, *files)
    assert issubclass(UnreadableImage, DataError)


INPUT = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'layer { name: "m" type: "Data" top: "d" top: "l" data_param { source: "none" batch_size: 1 } }',
            'its layer "m" \\(Data\\) reads data itself\n.*Input in place',
        ),
        (
            'layer { name: "m" type: "MemoryData" top: "d" top: "l" '
            "memory_data_param { batch_size: 1 channels: 3 height: 4 width: 4 } }",
            'its layer "m" \\(MemoryData\\) reads data itself',
        ),
        (INPUT + INPUT.replace('"d"', '"e"'), "it needs one input, and has d, e"),
        (INPUT + 'layer { name: "s" type: "Silence" bottom: "d" }', "it needs one output, and has none"),
        (INPUT.replace("dim: 3", "dim: 4"), 'its input "d" must be N×1×H×W or N×3×H×W, and is 1×4×4×4'),
        (INPUT.replace("dim: 3 dim: 4", ""), 'its input "d" must be N×1×H×W or N×3×H×W, and is 1×4'),
        (INPUT, 'its output "d" must be a score for each class, N×C, and is 1×3×4×4'),
        (
            INPUT + 'layer { name: "a" type: "ArgMax" bottom: "d" top: "a" }',
            "it ends in ArgMax",
        ),
        (
            INPUT + 'layer { name: "r" type: "Reduction" bottom: "d" top: "r" }',
            'its output "r" must be a score for each class',
        ),
    ],
)
def test_nets_that_are_not_for_it(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    with pytest.raises(GraphError, match=f"net.prototxt: images cannot be classified with this net: {message}"):
        classify("a.png", path, "none.caffemodel")


def test_python_layers_can_be_forbidden(tmp_path: Path) -> None:
    python = 'layer { name: "p" type: "Python" bottom: "d" top: "p" python_param { module: "none" layer: "None" } }'
    (tmp_path / "net.prototxt").write_text(INPUT + python)
    with pytest.raises(GraphError, match="would run Python code"):
        classify("a.png", tmp_path / "net.prototxt", "none.caffemodel", allow_python=False)


def test_weights_that_are_not_for_this_net(
    files: tuple[str, str], photo: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, weights = files
    text = Path(model).read_text()
    other = tmp_path / "other.prototxt"
    other.write_text(text.replace('name: "fc"', 'name: "ip"'))
    with pytest.raises(SnapshotError, match=r"no layer of the net got weights from .*\n.*called ip"):
        classify(photo, other, weights)
    more = 'layer { name: "ip" type: "InnerProduct" bottom: "fc" top: "ip" inner_product_param { num_output: 2 } }'
    other.write_text(text + more)
    classify(photo, other, weights)
    assert "means.caffemodel, so untrained: ip" in caplog.text
    caplog.clear()
    other.write_text(text + more.replace('name: "ip"', 'name: "fc2"'))
    both = write_net(tmp_path / "second", more="")[1]
    classify(photo, model, [weights, both])
    assert not caplog.text


def test_scores_that_are_no_numbers(files: tuple[str, str], photo: str) -> None:
    with pytest.raises(CaffeliteError, match=r"the scores of .*a\.png are not finite"):
        classify(photo, *files, input_scale=np.inf)


def test_settings_are_known_by_name(files: tuple[str, str], photo: str) -> None:
    wrong: dict[str, Any] = {"lables": ["a", "b", "c"]}
    with pytest.raises(TypeError, match="lables"):
        classify(photo, *files, **wrong)
