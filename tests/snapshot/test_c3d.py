"""Weights as facebook/C3D v1.0 writes them: its BlobProto has a length, third, and all that follow are one further on
(num 1, channels 2, length 3, height 4, width 5, data 6, diff 7), and layers are `layers` of its own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import caffelite
from caffelite.errors import SnapshotError
from caffelite.snapshot.blobs import same_shape
from caffelite.snapshot.caffemodel import read_weights
from caffelite.snapshot.wire import bytes_field, number_field

NET = """
name: "n" input: "x" input_shape { dim: 1 dim: 2 dim: 4 dim: 5 dim: 5 }
layers { name: "conv" type: CONVOLUTION3D bottom: "x" top: "c"
  convolution_param { num_output: 3 kernel_size: 3 kernel_depth: 2 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "c" top: "f" inner_product_param { num_output: 4 } }
"""
SHAPES = {"conv": [(3, 2, 2, 3, 3), (1, 1, 1, 1, 3)], "fc": [(1, 1, 1, 4, 81), (1, 1, 1, 1, 4)]}
TYPES = {"conv": 30, "fc": 14}


def blob(array: np.ndarray, diff: bool) -> bytes:
    axes = b"".join(number_field(number, size) for number, size in enumerate(array.shape, 1))
    numbers = bytes_field(6, [array.tobytes()]) + (bytes_field(7, [(2 * array).tobytes()]) if diff else [])
    return axes + b"".join(numbers)


def caffemodel(weights: dict[str, list[np.ndarray]], diff: bool = False) -> bytes:
    net = bytes_field(1, [b"n"])
    for name, arrays in weights.items():
        layer = [*bytes_field(4, [name.encode()]), number_field(5, TYPES[name])]
        for array in arrays:
            layer += bytes_field(6, [blob(array, diff)])
        net += bytes_field(2, layer)
    return b"".join(net)


@pytest.fixture
def weights() -> dict[str, list[np.ndarray]]:
    chance = np.random.default_rng(3)
    return {
        name: [chance.standard_normal(shape).astype(np.float32) for shape in shapes] for name, shapes in SHAPES.items()
    }


@pytest.mark.parametrize("diff", [False, True])
def test_they_load(tmp_path: Path, weights: dict[str, list[np.ndarray]], diff: bool) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(weights, diff))
    net = caffelite.Net(tmp_path / "net.prototxt", caffelite.TEST, weights=tmp_path / "net.caffemodel")
    for name, arrays in weights.items():
        for loaded, array in zip(net.params[name], arrays, strict=True):
            np.testing.assert_array_equal(loaded.data.ravel(), array.ravel())


def test_gradients_are_read_too(tmp_path: Path, weights: dict[str, list[np.ndarray]]) -> None:
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(weights, diff=True))
    conv = read_weights(tmp_path / "net.caffemodel").layers[0]
    assert conv.blobs[0] is not None
    assert conv.blobs[0].shape == (3, 2, 2, 3, 3)
    np.testing.assert_array_equal(conv.diffs[0], 2 * weights["conv"][0])


def test_a_blob_that_is_cut_off(tmp_path: Path, weights: dict[str, list[np.ndarray]]) -> None:
    weights["fc"][1] = weights["fc"][1][..., :3]
    content = caffemodel(weights).replace(number_field(5, 3) + b"\x32\x0c", number_field(5, 4) + b"\x32\x0c")
    (tmp_path / "net.caffemodel").write_bytes(content)
    with pytest.raises(SnapshotError, match="numbers for the shape 1×1×1×1×4"):
        read_weights(tmp_path / "net.caffemodel")


def test_leading_ones_are_no_difference() -> None:
    assert same_shape((1, 1, 1, 4, 81), (4, 81))
    assert same_shape((1, 1, 1, 1, 4), (4,))
    assert not same_shape((1, 1, 2, 4, 81), (4, 81))
    assert not same_shape((2, 3), (3,))
