"""WindowData: windows cut out of images, objects and background."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.errors import DataError, LayerError

from ..conftest import find_golden
from ..data.by_hand import TEST, batch, first_layer_of, layer_from, opened


@pytest.mark.parametrize("case", ["warp", "context_pad_mean", "square", "mean_file"])
def test_recorded_case(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prototxt = find_golden(f"layers/WindowData/{case}.prototxt")
    monkeypatch.chdir(prototxt.parent)
    with opened(first_layer_of(prototxt, TEST)) as layer, np.load(prototxt.with_suffix(".npz")) as recorded:
        shapes = layer.shapes([])
        for name, shape, top in zip(layer.param.top, shapes, batch(layer), strict=True):
            assert shape == top.shape
            np.testing.assert_allclose(top, recorded["out/" + name], rtol=1e-5, atol=1e-4)


SIZE = 16


@pytest.fixture
def windows(tmp_path: Path) -> Path:
    """Two images, whose pixels grow from left to right, with ten object windows (class = column of x1) and ten of
    background; windows of the second image are 100 brighter."""
    text = ""
    for number in range(2):
        row = np.arange(SIZE, dtype=np.uint8) + 100 * number
        Image.fromarray(np.repeat(row[None, :, None], 3, axis=2).repeat(SIZE, axis=0)).save(tmp_path / f"{number}.png")
        text += f"# {number}\n{number}.png\n3\n{SIZE}\n{SIZE}\n10\n"
        for x in range(1, 6):
            text += f"{x} 0.8 {x} 2 {x + 3} 5\n0 0.1 {x + 5} 2 {x + 8} 5\n"
    path = tmp_path / "windows.txt"
    path.write_text(text)
    return path


def window_layer(path: Path, settings: str = "", transform: str = "", batch_size: int = 8) -> str:
    return (
        f'name: "windows" type: "WindowData" top: "data" top: "label" transform_param {{ crop_size: 4 {transform} }} '
        f'window_data_param {{ source: "{path}" batch_size: {batch_size} root_folder: "{path.parent}/" {settings} }}'
    )


def test_background_comes_first_and_every_window_is_what_its_label_says(windows: Path) -> None:
    with opened(layer_from(window_layer(windows, "fg_fraction: 0.3"))) as layer:
        assert layer.shapes([]) == [(8, 3, 4, 4), (8,)]
        for _ in range(10):
            images, labels = batch(layer)
            assert (labels[:6] == 0).all()
            assert (labels[6:] > 0).all()  # 8 · 0.3 = 2.4, cut off
            first = images[:, 0, 0, 0] % 100
            np.testing.assert_array_equal(first[6:], labels[6:])
            assert ((first[:6] >= 6) & (first[:6] <= 10)).all()
            np.testing.assert_array_equal(images - images[..., :1], np.broadcast_to(np.arange(4), images.shape))


def test_every_window_is_drawn_and_half_are_mirrored(windows: Path) -> None:
    with opened(layer_from(window_layer(windows, "fg_fraction: 1 cache_images: true", "mirror: true", 400))) as layer:
        images, labels = batch(layer)
    seen = np.unique(np.stack([labels, images.min(axis=(1, 2, 3)) // 100], axis=1), axis=0)
    assert len(seen) == 10
    mirrored = images[:, 0, 0, 0] > images[:, 0, 0, 3]
    assert 150 < mirrored.sum() < 250
    np.testing.assert_array_equal(images[mirrored][:, 0, 0, 3] % 100, labels[mirrored])


def test_padding_is_zero_and_the_mean_is_taken_off_the_rest(tmp_path: Path) -> None:
    Image.fromarray(np.full((10, 10, 3), 50, np.uint8)).save(tmp_path / "0.png")
    (tmp_path / "windows.txt").write_text("# 0\n0.png\n3\n10\n10\n2\n1 1 0 0 3 3\n0 0 0 0 3 3\n")
    text = window_layer(tmp_path / "windows.txt", "context_pad: 1 scale: 2", "mean_value: 20")
    with opened(layer_from(text)) as layer:
        images = batch(layer)[0]
    assert set(np.unique(images)) == {0, 60}
    assert (images[:, :, 0, :] == 0).all()
    assert (images[:, :, :, 0] == 0).all()
    assert (images[:, :, 1:, 1:] == 60).all()


def test_draws_depend_on_seed_and_position_alone(windows: Path) -> None:
    text = window_layer(windows, "", "mirror: true")

    def run(starts: list[int], seed: int = 1) -> list[np.ndarray]:
        batches = []
        with opened(layer_from(text)) as layer:
            for start in starts:
                layer.consumed = start
                batches.append(np.concatenate([top.ravel() for top in batch(layer, seed)]))
        return batches

    wanted = run([0, 8, 16, 24])
    np.testing.assert_array_equal(run([24, 8, 0, 16]), [wanted[place] for place in (3, 1, 0, 2)])
    assert not np.array_equal(run([0], seed=2)[0], wanted[0])
    assert not np.array_equal(wanted[0], wanted[1])


@pytest.mark.parametrize(
    ("settings", "transform", "said"),
    [
        ("batch_size: 0", "", "batch_size must be positive"),
        ("fg_fraction: 1.5", "", "fg_fraction must be from 0 to 1, got 1.5"),
        ('crop_mode: "Square"', "", 'crop_mode must be warp or square, got "Square"'),
        ("context_pad: 2", "", r"context_pad must be below half of crop_size \(4\), got 2"),
        ("", "crop_size: 0", "crop_size must be positive"),
        ("", "mean_value: 1 mean_value: 2", "got 2"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_opened(settings: str, transform: str, said: str) -> None:
    text = window_layer(Path("nowhere"), settings, transform)
    for old, own in (("batch_size: 8", settings), ("crop_size: 4", transform)):
        if old.split(":")[0] in own:
            text = text.replace(old, "")
    with pytest.raises(LayerError, match=said):
        layer_from(text)


def test_a_kind_of_window_that_is_wanted_must_be_there(windows: Path) -> None:
    with pytest.raises(DataError, match=r"no window of .* shows an object .*, but 2 of every batch must"):
        layer_from(window_layer(windows, "fg_threshold: 0.9")).shapes([])
    with pytest.raises(DataError, match=r"no window of .* shows background .*, but 6 of every batch must"):
        layer_from(window_layer(windows, "bg_threshold: 0")).shapes([])
    with opened(layer_from(window_layer(windows, "bg_threshold: 0 fg_fraction: 1"))) as layer:
        assert (batch(layer)[1] > 0).all()


def test_a_window_beyond_its_image_is_named(windows: Path) -> None:
    windows.write_text(windows.read_text().replace(" 5\n", " 16\n"))
    with (
        opened(layer_from(window_layer(windows))) as layer,
        pytest.raises(DataError, match=r'windows.txt:\d+: layer "windows" .*: image .* is 16×16 .*its window'),
    ):
        batch(layer)


def test_a_mean_file_that_is_too_small_is_refused(windows: Path) -> None:
    mean = find_golden("layers/WindowData/_src/wmean.binaryproto")
    text = window_layer(windows, "", f'mean_file: "{mean}"').replace("crop_size: 4", "crop_size: 13")
    with pytest.raises(DataError, match="the mean file is 3×12×12, too small for 3×13×13"):
        layer_from(text).shapes([])


def test_settings_without_effect_are_warned_of(windows: Path) -> None:
    (fault,) = layer_from(window_layer(windows, "", "scale: 0.5")).warnings()
    assert fault.message == "scale has no effect: window_data_param { scale } is the one that counts"
