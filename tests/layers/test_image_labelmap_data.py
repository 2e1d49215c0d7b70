"""ImageLabelmapData, and ImageData without labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffelite.data.resize import resize
from caffelite.errors import DataError, LayerError
from caffelite.layerkit import Layer
from caffelite.proto import TEST, TRAIN

from .alone import build, run_at

HEIGHT, WIDTH = 12, 16


def picture() -> np.ndarray:
    """Blue is the row, green the column, red is 7: H×W×3 in the order R, G, B."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([np.full_like(rows, 7), columns, rows], -1).astype(np.uint8)


def map_of() -> np.ndarray:
    """Darker and brighter from row to row: 0 to 242; it is 128 or more from row 6 on."""
    rows, _ = np.mgrid[:HEIGHT, :WIDTH]
    return (rows * 22).astype(np.uint8)


@pytest.fixture(autouse=True)
def _files(tmp_path: Path) -> Iterator[None]:
    Image.fromarray(picture()).save(tmp_path / "0.png")
    Image.fromarray(map_of()).save(tmp_path / "map.png")
    Image.fromarray(map_of()[:5]).save(tmp_path / "small.png")
    (tmp_path / "maps.txt").write_text("0.png map.png\n0.png map.png\n")
    with chdir(tmp_path):
        yield


def layer_of(settings: str = "", transform: str = "", phase: int = TRAIN, source: str = "maps.txt") -> Layer:
    text = f'name: "d" type: "ImageLabelmapData" top: "x" top: "l" transform_param {{ {transform} }}'
    return build(f'{text} image_data_param {{ source: "{source}" {settings} }}', phase=phase)[0]


def batch(layer: Layer, position: int = 0) -> list[np.ndarray]:
    layer.shapes(())
    loaded = layer.forward(run_at(position), [], [])
    layer.close()
    return [top.numpy() for top in loaded]


def test_bright_is_one() -> None:
    x, labels = batch(layer_of("batch_size: 2", "mean_value: 1 mean_value: 2 mean_value: 3 scale: 0.5"))
    want = (picture()[:, :, ::-1].transpose(2, 0, 1) - np.array([1.0, 2, 3]).reshape(3, 1, 1)) * 0.5
    assert x.shape == (2, 3, HEIGHT, WIDTH)
    np.testing.assert_allclose(x, np.stack([want] * 2))
    np.testing.assert_array_equal(labels, np.broadcast_to(np.arange(12).reshape(1, 1, 12, 1) >= 6, labels.shape))


def test_normalize() -> None:
    """false leaves labels as they are; true is the same as nothing."""
    assert np.array_equal(batch(layer_of("normalize: true"))[1], batch(layer_of())[1])
    np.testing.assert_array_equal(batch(layer_of("normalize: false"))[1][0, 0], map_of())


def test_both_are_resized_between_their_pixels() -> None:
    x, labels = batch(layer_of("new_height: 6 new_width: 9"))
    np.testing.assert_array_equal(x[0], resize(picture()[:, :, ::-1].transpose(2, 0, 1), 6, 9))
    np.testing.assert_array_equal(labels[0], resize(map_of()[None], 6, 9) >= 128)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_cut_and_turned_alike(phase: int) -> None:
    """In TEST, too, by chance."""
    layer, seen = layer_of("batch_size: 2", "crop_size: 7 mirror: true", phase), set()
    layer.shapes(())
    for position in range(12):
        images, labels = (top.numpy() for top in layer.forward(run_at(position), [], []))
        for x, label in zip(images, labels, strict=True):
            rows, columns = x[0, :, 0].astype(int), x[1, 0].astype(int)
            turned = columns[0] > columns[-1]
            assert (np.diff(rows) == 1).all()
            assert (np.diff(columns) == (-1 if turned else 1)).all()
            np.testing.assert_array_equal(label[0], np.broadcast_to((rows >= 6)[:, None], (7, 7)))
            seen.add((rows[0], min(columns), bool(turned)))
    layer.close()
    assert len(seen) > 12
    assert {turned for _, _, turned in seen} == {True, False}


def test_faults() -> None:
    with pytest.raises(LayerError, match="scale_factors is not for ImageLabelmapData"):
        layer_of("", "scale_factors: 2")
    with pytest.raises(DataError, match="is 12×16, smaller than crop_size, 14×14"):
        layer_of("", "crop_size: 14").shapes(())
    Path("odd.txt").write_text("0.png small.png\n")
    with pytest.raises(DataError, match="is 5×16, but the image whose labels it holds is 12×16"):
        layer_of(source="odd.txt").shapes(())


def images(label: str, tops: str = 'top: "x"') -> Layer:
    return build(f'name: "d" type: "ImageData" {tops} image_data_param {{ source: "list.txt" batch_size: 3 {label} }}')[
        0
    ]


def test_images_without_labels() -> None:
    """A line is a path, and a number behind it is passed over."""
    Path("list.txt").write_text("0.png\n0.png 3\n\n0.png\n")
    layer = images("label: false")
    assert layer.shapes(()) == [(3, 3, HEIGHT, WIDTH)]
    (x,) = batch(layer)
    np.testing.assert_array_equal(x, np.stack([picture()[:, :, ::-1].transpose(2, 0, 1)] * 3))
    with pytest.raises(DataError, match="expected an image and its label"):
        images("", 'top: "x" top: "l"').shapes(())


def test_as_many_tops_as_it_has() -> None:
    Path("list.txt").write_text("0.png 3\n")
    with pytest.raises(LayerError, match=r"takes 2 tops \(images and labels\), got 1"):
        images("")
    with pytest.raises(LayerError, match=r"takes 1 top \(images, with label: false\), got 2"):
        images("label: false", 'top: "x" top: "l"')
