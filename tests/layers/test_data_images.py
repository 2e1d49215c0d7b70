"""ImageData: images of a list, in order or shuffled, decoded, resized and transformed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.data import feed
from caffelite.errors import DataError, LayerError

from ..conftest import find_golden
from ..data.by_hand import TEST, TRAIN, batch, first_layer_of, layer_from, opened

RECORDED = {
    "plain": (2, 0, 0),
    "gray_from_gray": (1, 0, 0),
    "gray_from_color": (1, 0, 0),
    "root_folder_crop": (1, 1e-6, 1e-4),
    "resize": (1, 0, 0),
    "mean_file": (1, 1e-6, 1e-4),
}
"""Cases of the original: forwards, relative and absolute tolerance.  (The index allows a level where OpenCV rounds.)"""


@pytest.mark.parametrize("case", RECORDED)
def test_recorded_case(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forwards, rtol, atol = RECORDED[case]
    prototxt = find_golden(f"layers/ImageData/{case}.prototxt")
    monkeypatch.chdir(prototxt.parent)
    with opened(first_layer_of(prototxt, TEST)) as layer, np.load(prototxt.with_suffix(".npz")) as recorded:
        shapes = layer.shapes([])
        for step in range(forwards):
            out = "out/" if not step else f"out@{step}/"
            for name, shape, top in zip(layer.param.top, shapes, batch(layer), strict=True):
                assert shape == top.shape
                np.testing.assert_allclose(top, recorded[out + name], rtol=rtol, atol=atol)


def image_list(folder: Path, sizes: list[tuple[int, int]], labels: list[str] | None = None) -> Path:
    """A list of images of these sizes; image i is filled with i."""
    for number, size in enumerate(sizes):
        Image.fromarray(np.full((*size, 3), number, np.uint8)).save(folder / f"{number}.png")
    labels = labels or [str(number) for number in range(len(sizes))]
    path = folder / "list.txt"
    path.write_text("".join(f"{folder}/{number}.png {label}\n" for number, label in enumerate(labels)))
    return path


def image_layer(path: Path, settings: str = "", transform: str = "", batch_size: int = 3, prefetch: int = 4) -> str:
    return (
        f'name: "images" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }} '
        f"data_param {{ prefetch: {prefetch} }} "
        f'image_data_param {{ source: "{path}" batch_size: {batch_size} {settings} }}'
    )


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    return image_list(tmp_path, [(6, 6)] * 10)


def labels_of(text: str, batches: int, seed: int = 1, consumed: int = 0) -> list[int]:
    with opened(layer_from(text)) as layer:
        layer.consumed = consumed
        return [int(label) for _ in range(batches) for label in batch(layer, seed)[1]]


def test_every_shuffled_pass_holds_every_image_once_in_another_order(ten: Path) -> None:
    labels = labels_of(image_layer(ten, "shuffle: true", batch_size=5), 6)
    epochs = [labels[start : start + 10] for start in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_rand_skip_begins_somewhere_below_it(ten: Path) -> None:
    starts = {labels_of(image_layer(ten, "rand_skip: 4", batch_size=1), 1, seed)[0] for seed in range(40)}
    assert starts == {0, 1, 2, 3}
    labels = labels_of(image_layer(ten, "rand_skip: 10", batch_size=4), 5)
    assert labels == [(labels[0] + place) % 10 for place in range(20)]


RANDOM = ("shuffle: true rand_skip: 7", "mirror: true crop_size: 4")


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("prefetch", [0, 1, 4])
def test_batches_depend_neither_on_prefetch_nor_on_stops(
    ten: Path, prefetch: int, threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(prefetch: int, stops: set[int]) -> list[np.ndarray]:
        text = image_layer(ten, *RANDOM, prefetch=prefetch)
        layer, batches = layer_from(text), []
        for step in range(12):
            if step in stops:
                consumed = layer.consumed
                layer.close()
                layer = layer_from(text)
                layer.consumed = consumed
            batches.append(np.concatenate([top.ravel() for top in batch(layer)]))
        layer.close()
        return batches

    monkeypatch.setattr(feed, "WORTH_A_THREAD", -1.0 if threads else 1e9)
    wanted = run(0, set())
    np.testing.assert_array_equal(run(prefetch, set()), wanted)
    np.testing.assert_array_equal(run(prefetch, {1, 5, 6}), wanted)


def test_another_seed_takes_another_order(ten: Path) -> None:
    text = image_layer(ten, "shuffle: true", batch_size=10)
    assert labels_of(text, 1, seed=1) != labels_of(text, 1, seed=2)
    with opened(layer_from(text)) as layer:
        first = batch(layer, seed=1)[1].tolist()
        batch(layer, seed=2)
        layer.consumed = 0
        assert batch(layer, seed=1)[1].tolist() == first


def test_several_labels_are_columns_of_the_top(tmp_path: Path) -> None:
    path = image_list(tmp_path, [(2, 2)] * 2, ["1,0.5", "2,-3"])
    with opened(layer_from(image_layer(path, batch_size=3))) as layer:
        assert layer.shapes([]) == [(3, 3, 2, 2), (3, 2)]
        assert batch(layer)[1].tolist() == [[1, 0.5], [2, -3], [1, 0.5]]


def test_another_name_of_is_color(ten: Path) -> None:
    """`images_in_color`, of Evolving-AI-Lab/fooling."""
    with opened(layer_from(image_layer(ten, "images_in_color: false"))) as gray:
        assert gray.shapes([])[0][1] == 1
    with opened(layer_from(image_layer(ten, "images_in_color: true"))) as colour:
        assert colour.shapes([])[0][1] == 3
    with pytest.raises(LayerError, match="images_in_color and is_color are both given"):
        layer_from(image_layer(ten, "images_in_color: true is_color: false"))


def test_images_of_different_sizes_are_resized_or_cropped_to_one(tmp_path: Path) -> None:
    path = image_list(tmp_path, [(4, 5), (6, 4), (9, 9)])
    for settings, transform in (("new_height: 4 new_width: 4", ""), ("", "crop_size: 4")):
        with opened(layer_from(image_layer(path, settings, transform))) as layer:
            assert layer.shapes([])[0] == (3, 3, 4, 4)
            np.testing.assert_array_equal(batch(layer)[0], np.arange(3)[:, None, None, None] * np.ones((3, 3, 4, 4)))


@pytest.mark.parametrize("threshold", [-1.0, 1e9])
def test_an_image_of_another_size_in_a_batch_is_named(
    tmp_path: Path, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WORTH_A_THREAD", threshold)
    path = image_list(tmp_path, [(4, 4)] * 4 + [(4, 5)])
    with opened(layer_from(image_layer(path))) as layer:
        batch(layer)
        with pytest.raises(DataError, match=r'list.txt:5: layer "images" \(ImageData\): image .*4.png" is 3×4×5, but'):
            batch(layer)
    small = image_list(tmp_path, [(4, 4), (3, 9)])
    with (
        opened(layer_from(image_layer(small, transform="crop_size: 4"))) as layer,
        pytest.raises(DataError, match=r"list.txt:2: .*1.png\" does not fit: crop_size 4 is larger than the 3×9"),
    ):
        batch(layer)


def test_a_batch_of_one_takes_the_shape_of_its_image(tmp_path: Path) -> None:
    path = image_list(tmp_path, [(4, 4), (5, 3)])
    with opened(layer_from(image_layer(path, batch_size=1))) as layer:
        assert [batch(layer)[0].shape for _ in range(3)] == [(1, 3, 4, 4), (1, 3, 5, 3), (1, 3, 4, 4)]


def test_an_image_that_is_gone_stops_the_batch_and_says_which(ten: Path) -> None:
    (ten.parent / "4.png").unlink()
    with opened(layer_from(image_layer(ten))) as layer:
        batch(layer)
        with pytest.raises(DataError, match=r'list.txt:5: layer "images" .*4.png" cannot be read'):
            batch(layer)


@pytest.mark.parametrize(
    ("settings", "transform", "said"),
    [
        ('source: "" batch_size: 1', "", "source must name a text file"),
        ("batch_size: 0", "", "batch_size must be positive, got 0"),
        ("new_height: 4", "", "new_height: 4 and new_width: 0 must both be given"),
        ("", 'mean_file: "m" mean_value: 1', "mean_file and mean_value cannot both"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_opened(settings: str, transform: str, said: str) -> None:
    text = image_layer(Path("nowhere"), "", transform).replace("batch_size: 3", "")
    text = text.replace('source: "nowhere"', settings if "source" in settings else f'source: "nowhere" {settings}')
    with pytest.raises(LayerError, match=said):
        layer_from(text)


def test_rand_skip_beyond_the_list_is_refused(ten: Path) -> None:
    with pytest.raises(LayerError, match=r"rand_skip must not exceed the number of images \(10\), got 11"):
        layer_from(image_layer(ten, "rand_skip: 11")).shapes([])


def test_forced_colours_are_said_to_have_no_effect(ten: Path) -> None:
    (fault,) = layer_from(image_layer(ten, transform="force_gray: true"), TRAIN).warnings()
    assert fault.message == "force_gray has no effect: image_data_param { is_color } says it"
