"""ROIPooling and PSROIPooling against loops over cells and places, written from the papers' formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

import caffelite
from caffelite.errors import LayerError

from .alone import build, run_at

ROIS = np.array(
    [
        [0, 1, 1, 6, 6],  # these four: of the fork's own test, test_roi_pooling_layer.cpp
        [2, 6, 2, 7, 11],
        [1, 3, 1, 5, 10],
        [0, 3, 3, 3, 3],
        [1, 5, 9, 2, 4],  # its ends the wrong way round
        [0, -3, -2, 2, 30],  # partly off the map
        [3, 20, 20, 24, 28],  # off the map
        [1, 0.5, 1.5, 2.5, 3.49],  # halves
    ]
)
SHAPE = (4, 3, 12, 8)


def c_round(value: float) -> int:
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def max_by_loops(x: np.ndarray, rois: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    y = np.zeros((len(rois), x.shape[1], *size), x.dtype)
    for r, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (c_round(np.float32(corner) * np.float32(scale)) for corner in corners)
        high, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i, j in itertools.product(*map(range, size)):
            rows = range(y1 + i * high // size[0], y1 - (-(i + 1) * high // size[0]))
            columns = range(x1 + j * wide // size[1], x1 - (-(j + 1) * wide // size[1]))
            places = [(a, b) for a in rows for b in columns if 0 <= a < x.shape[2] and 0 <= b < x.shape[3]]
            for c in range(x.shape[1]):
                y[r, c, i, j] = max((x[int(image), c, a, b] for a, b in places), default=0)
    return y


def mean_by_loops(x: np.ndarray, rois: np.ndarray, scale: float, outputs: int, group: int) -> np.ndarray:
    y = np.zeros((len(rois), outputs, group, group))
    for r, (image, *corners) in enumerate(rois):
        left, top = (c_round(corner) * scale for corner in corners[:2])
        right, bottom = ((c_round(corner) + 1) * scale for corner in corners[2:])
        high, wide = max(bottom - top, 0.1) / group, max(right - left, 0.1) / group
        for d, i, j in itertools.product(range(outputs), range(group), range(group)):
            rows = range(math.floor(i * high + top), math.ceil((i + 1) * high + top))
            columns = range(math.floor(j * wide + left), math.ceil((j + 1) * wide + left))
            plane = x[int(image), (d * group + i) * group + j]
            inside = [plane[a, b] for a in rows for b in columns if 0 <= a < x.shape[2] and 0 <= b < x.shape[3]]
            y[r, d, i, j] = np.mean(inside) if inside else 0
    return y


def max_layer(size: tuple[int, int], scale: float = 1, shape: tuple[int, ...] = SHAPE, rois: int = len(ROIS)):
    settings = f"roi_pooling_param {{ pooled_h: {size[0]} pooled_w: {size[1]} spatial_scale: {scale} }}"
    return build(f'name: "p" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" {settings}', shape, (rois, 5))


def mean_layer(outputs: int, group: int, scale: float = 1, size: tuple[int, int] = (12, 8)):
    settings = f"psroi_pooling_param {{ output_dim: {outputs} group_size: {group} spatial_scale: {scale} }}"
    text = f'name: "p" type: "PSROIPooling" bottom: "x" bottom: "rois" top: "y" {settings}'
    return build(text, (4, outputs * group**2, *size), (len(ROIS), 5))


def distinct(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    """Numbers far enough apart for finite differences, in no order, some of them negative."""
    return np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape) - 200.0


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("size", [(6, 6), (7, 7), (2, 3), (1, 1), (14, 5)])
@pytest.mark.parametrize("scale", [1, 0.5, 0.0625, 2])
def test_maxima_by_loops(size: tuple[int, int], scale: float, memory_format: torch.memory_format) -> None:
    layer, (shape,) = max_layer(size, scale)
    x = distinct(SHAPE)
    given = torch.from_numpy(x).float().contiguous(memory_format=memory_format)
    (y,) = layer.forward(run_at(), [given, torch.from_numpy(ROIS).float()], [])
    assert tuple(y.shape) == shape
    np.testing.assert_array_equal(y.numpy(), max_by_loops(x, ROIS, scale, size))


@pytest.mark.parametrize("group", [1, 2, 3, 7])
@pytest.mark.parametrize("scale", [1, 0.5, 0.25])
def test_position_sensitive_means_by_loops(group: int, scale: float) -> None:
    layer, (shape,) = mean_layer(2, group, scale)
    x = np.random.default_rng(2).standard_normal((4, 2 * group**2, 12, 8))
    (y,) = layer.forward(run_at(), [torch.from_numpy(x), torch.from_numpy(ROIS)], [])
    assert tuple(y.shape) == shape
    np.testing.assert_allclose(y.numpy(), mean_by_loops(x, ROIS, scale, 2, group), rtol=1e-9, atol=1e-12)


def test_gradients() -> None:
    """As the fork's own test of ROIPooling: 6×6 cells of these regions, by finite differences."""
    x = torch.from_numpy(distinct(SHAPE)).requires_grad_()
    rois = torch.from_numpy(ROIS)
    layer, _ = max_layer((6, 6))
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x, rois], []), x, fast_mode=True)
    layer, _ = mean_layer(1, 3, 0.5)
    x = torch.randn(4, 9, 12, 8, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x, rois], []), x, fast_mode=True)


def test_the_gradient_goes_to_the_first_of_equal_maxima_once_for_every_cell() -> None:
    layer, _ = max_layer((1, 1), shape=(1, 1, 3, 3), rois=2)
    x = torch.tensor([[[[1.0, 2.0, 7.0], [7.0, 0.0, 7.0], [3.0, 7.0, 1.0]]]], requires_grad=True)
    rois = torch.tensor([[0.0, 0, 0, 2, 2], [0.0, 0, 1, 2, 2]])
    (y,) = layer.forward(run_at(), [x, rois], [])
    assert y.flatten().tolist() == [7, 7]
    y.backward(torch.tensor([10.0, 1.0]).reshape(2, 1, 1, 1))
    assert x.grad is not None
    assert x.grad[0, 0].tolist() == [[0, 0, 10], [1, 0, 0], [0, 0, 0]]


def test_no_region_makes_an_empty_top() -> None:
    layer, (shape,) = max_layer((2, 2), rois=0)
    (y,) = layer.forward(run_at(), [torch.zeros(SHAPE), torch.zeros(0, 5)], [])
    assert tuple(y.shape) == shape == (0, 3, 2, 2)


@pytest.mark.parametrize(
    ("text", "bottoms", "told"),
    [
        ("roi_pooling_param { pooled_h: 7 }", [(1, 2, 3, 4), (1, 5)], "pooled_w must be positive, got 0"),
        (
            "roi_pooling_param { pooled_h: 7 pooled_w: 7 }",
            [(1, 2, 3, 4), (6, 4)],
            "its regions must be R×5, each (image, x1, y1, x2, y2), got shape (6, 4)",
        ),
        (
            "roi_pooling_param { pooled_h: 7 pooled_w: 7 }",
            [(1, 2), (6, 5)],
            "needs a bottom of 4 axes (num, channels, height, width), none of size 0, got (1, 2)",
        ),
    ],
)
def test_faults(text: str, bottoms: list[tuple[int, ...]], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        build(f'name: "p" type: "ROIPooling" bottom: "x" bottom: "r" top: "y" {text}', *bottoms)
    assert str(raised.value) == f'layer "p" (ROIPooling): {told}'


def test_channels_must_fit_the_groups() -> None:
    text = "psroi_pooling_param { spatial_scale: 1 output_dim: 2 group_size: 3 }"
    with pytest.raises(LayerError, match=r"needs output_dim·group_size² = 18 channels, got 17"):
        build(f'type: "PSROIPooling" bottom: "x" bottom: "r" top: "y" {text}', (1, 17, 4, 4), (2, 5))


def test_a_region_of_no_image_is_told() -> None:
    layer, _ = max_layer((2, 2), shape=(2, 1, 4, 4), rois=3)
    rois = torch.tensor([[0.0, 0, 0, 1, 1], [1.0, 0, 0, 1, 1], [2.0, 0, 0, 1, 2.5]])
    with pytest.raises(LayerError) as raised:
        layer.forward(run_at(), [torch.zeros(2, 1, 4, 4), rois], [])
    told = "region 2 of its bottom must be in an image from 0 to 1, got (2, 0, 0, 1, 2.5)"
    assert str(raised.value) == f'layer "p" (ROIPooling): {told}'


def test_in_a_net_regions_get_no_gradient_and_nobody_minds(tmp_path) -> None:
    text = """
    force_backward: true
    layer { name: "in" type: "Input" top: "x" top: "r"
            input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } shape { dim: 2 dim: 5 dim: 1 dim: 1 } } }
    layer { name: "scale" type: "Power" bottom: "r" top: "rois" propagate_down: true }
    layer { name: "p" type: "ROIPooling" bottom: "x" bottom: "rois" top: "y" propagate_down: 1 propagate_down: 1
            roi_pooling_param { pooled_h: 2 pooled_w: 2 } }
    layer { name: "sum" type: "Reduction" bottom: "y" top: "loss" loss_weight: 1 }
    """
    (tmp_path / "net.prototxt").write_text(text)
    net = caffelite.Net(tmp_path / "net.prototxt", caffelite.TRAIN)
    net.blobs["x"].data[...] = np.arange(72).reshape(1, 2, 6, 6)
    net.blobs["r"].data[...] = np.array([[0, 0, 0, 5, 5], [0, 1, 1, 2, 2]]).reshape(2, 5, 1, 1)
    net.forward()
    net.backward()
    assert net.blobs["x"].diff.sum() == 16
    assert not net.blobs["r"].diff.any()
