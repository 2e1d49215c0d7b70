"""PriorBox against values of the source's own tests, and against its formula in plain loops.

The tests are `src/caffe/test/test_prior_box_layer.cpp` of weiliu89/caffe, branch ssd: a grid of 10×10 over an image of
100×100, min_size 4, max_size 9.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import layers

from .alone import build, run_at, settings

GRID, IMAGE = (10, 8, 10, 10), (10, 3, 100, 100)


def _layer(param: str, grid: tuple[int, ...] = GRID, image: tuple[int, ...] = IMAGE) -> tuple:
    text = f'name: "p" type: "PriorBox" bottom: "f" bottom: "i" top: "y" prior_box_param {{ {param} }}'
    return build(text, grid, image)


def _boxes(param: str, grid: tuple[int, ...] = GRID, image: tuple[int, ...] = IMAGE) -> np.ndarray:
    layer, (top,) = _layer(param, grid, image)
    (y,) = layer.forward(run_at(), [torch.zeros(grid), torch.zeros(image)], [])
    assert tuple(y.shape) == top
    assert y.dtype == torch.float32
    return y.numpy().reshape(2, *grid[2:], -1, 4)


@pytest.mark.parametrize(
    ("param", "per_cell"),
    [
        ("min_size: 4 max_size: 9", 2),
        ("min_size: 4 min_size: 14 max_size: 9 max_size: 19", 4),
        ("min_size: 4", 1),
        ("min_size: 4 min_size: 14", 2),
        ("min_size: 4 max_size: 9 aspect_ratio: 1 aspect_ratio: 2 flip: false", 3),
        ("min_size: 4 max_size: 9 aspect_ratio: 2 aspect_ratio: 3 flip: false", 4),
        ("min_size: 4 max_size: 9 aspect_ratio: 2 aspect_ratio: 3", 6),
        ("min_size: 4 min_size: 14 max_size: 9 max_size: 19 aspect_ratio: 2 aspect_ratio: 3", 12),
        ("min_size: 4 aspect_ratio: 2 aspect_ratio: 0.5 aspect_ratio: 2", 3),
    ],
)
def test_how_many_boxes_a_cell_has(param: str, per_cell: int) -> None:
    """TestSetup… there, but for the last: a ratio that is there already counts once."""
    _, tops = _layer(param)
    assert tops == [(1, 2, 100 * per_cell * 4)]


def test_boxes_of_the_sources_tests() -> None:
    """TestCPU, TestCPUVarianceMulti, TestCPUAspectRatio and TestCPUFixStep there."""
    places, variances = _boxes("min_size: 4 max_size: 9 variance: 0.1 variance: 0.2 variance: 0.3 variance: 0.4")
    np.testing.assert_allclose(places[0, 0], [[0.03, 0.03, 0.07, 0.07], [0.02, 0.02, 0.08, 0.08]], atol=1e-6)
    np.testing.assert_allclose(places[4, 4, 0], [0.43, 0.43, 0.47, 0.47], atol=1e-6)
    np.testing.assert_allclose(variances, np.broadcast_to([0.1, 0.2, 0.3, 0.4], variances.shape), atol=1e-6)
    places, variances = _boxes("min_size: 4 max_size: 9 aspect_ratio: 2")
    wide, tall = 0.02 * math.sqrt(2), 0.01 * math.sqrt(2)
    np.testing.assert_allclose(
        places[0, 0, 2:], [[0.05 - wide, 0.05 - tall, 0.05 + wide, 0.05 + tall],
                           [0.05 - tall, 0.05 - wide, 0.05 + tall, 0.05 + wide]], atol=1e-6
    )  # fmt: skip
    np.testing.assert_allclose(variances, 0.1, atol=1e-7)
    np.testing.assert_allclose(_boxes("min_size: 4 step: 10"), _boxes("min_size: 4"), atol=1e-7)


def _by_loops(
    grid: tuple[int, int], image: tuple[int, int], sizes: list[tuple[int, int]], ratios: list[float],
    step: tuple[float, float], offset: float, clip: bool,
) -> np.ndarray:  # fmt: skip
    found = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            x, y = (column + offset) * step[1], (row + offset) * step[0]
            sides = []
            for small, large in sizes:
                sides += [(small, small), (math.sqrt(small * large),) * 2]
                sides += [(small * math.sqrt(ratio), small / math.sqrt(ratio)) for ratio in ratios]
            for w, h in sides:
                box = [(x - w / 2) / image[1], (y - h / 2) / image[0], (x + w / 2) / image[1], (y + h / 2) / image[0]]
                found.append([min(max(side, 0), 1) for side in box] if clip else box)
    return np.array(found).reshape(*grid, -1, 4)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize(
    ("param", "image", "step"),
    [
        ("", (90, 120), (90 / 3, 120 / 5)),
        ("step_h: 25 step_w: 20", (90, 120), (25, 20)),
        ("img_h: 60 img_w: 100", (60, 100), (60 / 3, 100 / 5)),
        ("img_size: 64 step: 16", (64, 64), (16, 16)),
    ],
)
def test_boxes_by_loops(param: str, image: tuple[int, int], step: tuple[float, float], clip: bool) -> None:
    """Sizes of 20.9 and 45.2 pixels count as 20 and 45."""
    given = (
        f"min_size: 10 min_size: 20.9 max_size: 30 max_size: 45.2 aspect_ratio: 2 aspect_ratio: 3 offset: 0.3 {param}"
    )
    places, variances = _boxes(f"{given} variance: 0.2 clip: {str(clip).lower()}", (1, 4, 3, 5), (1, 3, 90, 120))
    want = _by_loops((3, 5), image, [(10, 30), (20, 45)], [2, 1 / 2, 3, 1 / 3], step, 0.3, clip)
    np.testing.assert_allclose(places, want, rtol=1e-5, atol=1e-6)
    assert np.unique(variances).tolist() == [np.float32(0.2)]


def test_reduced_boxes() -> None:
    """Of chuanqi305/ssd: the squares of min_size have half the side; others stay as they are."""
    whole, reduced = (
        _boxes("min_size: 5 aspect_ratio: 2")[0],
        _boxes("min_size: 5 aspect_ratio: 2 reduce_boxes: true")[0],
    )
    np.testing.assert_allclose(reduced[0, 0, 0], [0.0375, 0.0375, 0.0625, 0.0625], atol=1e-6)
    np.testing.assert_array_equal(reduced[:, :, 1:], whole[:, :, 1:])


def _dense_by_loops(
    grid: tuple[int, int], image: tuple[int, int], sizes: list[float], densities: list[int], ratios: list[float]
) -> np.ndarray:
    """As `prior_box_layer.cpp` of zihaozhang9/FaceBoxes writes fixed_size, cutting off at the image's edges."""
    found, (rows, columns), (height, width) = [], grid, image
    for row in range(rows):
        for column in range(columns):
            x, y = (column + 0.5) * width / columns, (row + 0.5) * height / rows
            for size, density in zip(sizes, densities, strict=True):
                shift = int(size / density)
                for ratio in ratios:
                    w, h = (int(size),) * 2 if ratio == 1 else (size * math.sqrt(ratio), size / math.sqrt(ratio))
                    for r in range(density):
                        for c in range(density):
                            across = x - int(size) // 2 + shift / 2 + c * shift
                            down = y - int(size) // 2 + shift / 2 + r * shift
                            found.append([
                                max((across - w / 2) / width, 0), max((down - h / 2) / height, 0),
                                min((across + w / 2) / width, 1), min((down + h / 2) / height, 1),
                            ])  # fmt: skip
    return np.array(found).reshape(rows, columns, -1, 4)


@pytest.mark.parametrize("ratios", [[1.0], [1.0, 2.0, 0.5]])
def test_dense_boxes(ratios: list[float]) -> None:
    """Of FaceBoxes' first layer: 16, 4 and 1 boxes of 32, 64 and 128 pixels; and sizes that do not divide evenly."""
    for sizes, densities in (([32.0, 64.0, 128.0], [4, 2, 1]), ([33.7, 15.0], [3, 2])):
        given = " ".join(f"fixed_size: {size}" for size in sizes) + " " + " ".join(f"density: {n}" for n in densities)
        given += " aspect_ratio: 2" if len(ratios) > 1 else ""
        places, variances = _boxes(f"{given} variance: 0.2", (1, 4, 3, 5), (1, 3, 96, 160))
        want = _dense_by_loops((3, 5), (96, 160), sizes, densities, ratios)
        np.testing.assert_allclose(places, want, rtol=1e-5, atol=1e-6)
        assert (places.min(), places.max()) == (0, 1)
        assert np.unique(variances).tolist() == [np.float32(0.2)]


def test_shapes_of_dense_boxes_may_be_fixed() -> None:
    places, _ = _boxes("fixed_size: 20.5 density: 2 fixed_ratio: 0.8 fixed_ratio: 1", (1, 4, 3, 5), (1, 3, 96, 160))
    want = np.concatenate(
        [_dense_by_loops((3, 5), (96, 160), [20.5], [2], [ratio]) for ratio in (0.8, 1.0000001)], -2
    )  # fmt: skip
    np.testing.assert_allclose(places, want, rtol=1e-4, atol=1e-5)


def test_each_pass_follows_its_bottoms() -> None:
    layer, _ = _layer("min_size: 4")
    for grid, image in (
        ((1, 1, 2, 2), (1, 3, 100, 100)),
        ((1, 1, 2, 2), (1, 3, 50, 100)),
        ((1, 1, 1, 1), (1, 3, 8, 8)),
    ):
        (y,) = layer.forward(run_at(), [torch.zeros(grid), torch.zeros(image)], [])
        center = (y[0, 0, :2] + y[0, 0, 2:4]) / 2
        np.testing.assert_allclose(center, [0.5 / grid[3], 0.5 / grid[2]], rtol=1e-6)
        y.fill_(7)


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("", "min_size is missing: the sides of squares in pixels"),
        ("min_size: 0", "min_size must be positive, got 0"),
        ("min_size: 4 max_size: 4", "max_size must be greater than min_size, 4, got 4"),
        ("min_size: 4 max_size: 5 max_size: 6", "needs no max_size, or one for each of 1 min_size, got 2"),
        ("min_size: 4 aspect_ratio: 0", "aspect_ratio must be positive, got 0"),
        ("min_size: 4 variance: 1 variance: 1", "needs 4 variances, 1 or none, got 2"),
        ("min_size: 4 variance: 0", "variance must be positive, got 0"),
        ("min_size: 4 img_size: 3 img_h: 3 img_w: 3", "has both img_size and img_w"),
        ("min_size: 4 img_h: 3", "img_w must be positive, got 0"),
        ("min_size: 4 step: 0", "step must be positive, got 0.0"),
        ("min_size: 4 fixed_size: 4 density: 1", "min_size and fixed_size are both given"),
        ("fixed_size: 4", "needs one density for each of 1 fixed_size, got 0"),
        ("min_size: 4 density: 1", "density is for fixed_size, and there is none"),
        ("fixed_size: 4 density: 1.5", "density must be a whole number from 1 on, got 1.5"),
        ("fixed_size: 0 density: 1", "fixed_size must be positive, got 0"),
        ("fixed_size: 4 density: 1 aspect_ratio: 2 fixed_ratio: 2", "aspect_ratio and fixed_ratio are both given"),
    ],
)
def test_faults(param: str, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param)
    assert str(raised.value) == f'layer "p" (PriorBox): {told}'


def test_sizes_that_mean_more_in_a_fork_are_told() -> None:
    (warning,) = _layer("min_size: 32 min_size: 64 min_size: 128")[0].warnings()
    assert warning.message.startswith("sfzhang15/FaceBoxes lays 21 boxes of these sizes into a cell, not 3 as here")
    for param in ("min_size: 32", "min_size: 32 min_size: 64 min_size: 128 aspect_ratio: 2"):
        assert not _layer(param)[0].warnings()


def test_bottoms_are_images() -> None:
    with pytest.raises(LayerError, match="needs bottoms of 4 axes"):
        _layer("min_size: 4", (10, 8))


def test_warnings_need_no_shapes() -> None:
    """A net asks for them even where shapes are not known."""
    kind = layers["PriorBox"]
    assert not kind(settings('type: "PriorBox" prior_box_param { min_size: 4 }')).warnings()


def test_boxes_as_the_fork_writes_them() -> None:
    """Recorded output of the fork, the boxes of the first of two cells: equal to the last bit."""
    recorded = [
        [0.0, 0.0, 0.3642857, 0.7054054], [0.0, 0.0, 0.45304576, 0.8733298],
        [0.0, 0.013335099, 0.45304576, 0.5866649], [0.0, 0.0, 0.30152288, 0.8733298],
        [0.0, 0.065939076, 0.52115375, 0.53406096], [0.026282093, 0.0, 0.2737179, 1.0],
    ]  # fmt: skip
    param = "min_size: 30.5 max_size: 60 aspect_ratio: 2 aspect_ratio: 3 clip: true offset: 0.3"
    found = _boxes(param, (1, 1, 1, 2), (1, 3, 37, 70))
    np.testing.assert_array_equal(found[0, 0, 0], np.array(recorded, np.float32))


def test_the_root_of_a_ratio_is_a_float32() -> None:
    """Recorded output of the fork."""
    found = _boxes("min_size: 57 aspect_ratio: 3 flip: false", (1, 1, 1, 1), (1, 3, 100, 100))[0, 0, 0, 1]
    np.testing.assert_array_equal(found, np.array([0.006365547, 0.33545518, 0.99363446, 0.6645448], np.float32))
