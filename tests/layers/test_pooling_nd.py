"""PoolingND against plain loops over `pooling_nd_layer.cpp` of 3D-Caffe, and against Pooling over images."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

TEXT = 'type: "PoolingND" bottom: "x" top: "y" {}'


def _by_loops(
    x: np.ndarray, above: np.ndarray | None, kernel: list[int], stride: list[int], pad: list[int], average: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The top, and the gradient that comes back from `above`, or from ones."""
    sizes = x.shape[2:]
    counts = [math.ceil((n + 2 * p - k) / s) + 1 for n, p, k, s in zip(sizes, pad, kernel, stride, strict=True)]
    if sum(pad):
        counts = [
            c - ((c - 1) * s >= n + p) for c, s, n, p in zip(counts, stride, sizes, pad, strict=True)
        ]  # fmt: skip
    y, gradient = np.zeros((*x.shape[:2], *counts)), np.zeros(x.shape)
    for n, c in product(*map(range, x.shape[:2])):
        for at in product(*map(range, counts)):
            begin = [i * s - p for i, s, p in zip(at, stride, pad, strict=True)]
            end = [min(b + k, size + p) for b, k, size, p in zip(begin, kernel, sizes, pad, strict=True)]
            whole = math.prod(e - b for b, e in zip(begin, end, strict=True))
            window = tuple(slice(max(b, 0), min(e, size)) for b, e, size in zip(begin, end, sizes, strict=True))
            values, g = x[n, c][window], 1.0 if above is None else above[(n, c, *at)]
            if average:
                y[(n, c, *at)] = values.sum() / whole
                gradient[n, c][window] += g / whole
            else:
                y[(n, c, *at)] = values.max()
                first = np.unravel_index(values.argmax(), values.shape)
                gradient[n, c][window][first] += g
    return y, gradient


@pytest.mark.parametrize(
    ("settings", "kernel", "stride", "pad"),
    [
        ("pooling_nd_param { pool: MAX kernel_size: 2 stride: 2 }", [2, 2, 2], [2, 2, 2], [0, 0, 0]),
        ("pooling_nd_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 }", [3, 3, 3], [2, 2, 2], [1, 1, 1]),
        ("pooling_nd_param { pool: MAX kernel_size: [1, 2, 3] stride: [1, 2, 3] }", [1, 2, 3], [1, 2, 3], [0, 0, 0]),
        ("pooling_nd_param { pool: MAX kernel_size: 3 stride: 3 pad: [0, 1, 2] }", [3, 3, 3], [3, 3, 3], [0, 1, 2]),
        ("pooling_nd_param { pool: MAX kernel_size: 2 }", [2, 2, 2], [1, 1, 1], [0, 0, 0]),
        ("pooling_nd_param { pool: AVE kernel_size: 2 stride: 2 }", [2, 2, 2], [2, 2, 2], [0, 0, 0]),
        ("pooling_nd_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", [3, 3, 3], [2, 2, 2], [1, 1, 1]),
        ("pooling_nd_param { pool: AVE kernel_size: [1, 2, 3] stride: [1, 2, 3] }", [1, 2, 3], [1, 2, 3], [0, 0, 0]),
        ("pooling_nd_param { pool: AVE kernel_size: 3 stride: 3 pad: [0, 1, 2] }", [3, 3, 3], [3, 3, 3], [0, 1, 2]),
        ("pooling_nd_param { pool: AVE kernel_size: 2 }", [2, 2, 2], [1, 1, 1], [0, 0, 0]),
    ],
)
def test_volumes(settings: str, kernel: list[int], stride: list[int], pad: list[int]) -> None:
    """Whole numbers, so that several values of a window are its maximum."""
    x = np.random.default_rng(3).integers(-3, 3, (2, 2, 4, 5, 7)).astype(float)
    layer, (shape,) = build(TEXT.format(settings), x.shape)
    above = np.random.default_rng(4).standard_normal(shape)
    given = torch.tensor(x, requires_grad=True)
    (y,) = layer.forward(run_at(), [given], [])
    (gradient,) = torch.autograd.grad(y, given, torch.tensor(above))
    want, back = _by_loops(x, above, kernel, stride, pad, "pool: AVE" in settings)
    assert shape == want.shape == tuple(y.shape)
    np.testing.assert_allclose(y.detach(), want, rtol=1e-9)
    np.testing.assert_allclose(gradient, back, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    "settings",
    [
        "pooling_nd_param { kernel_size: 3 stride: 2 pool: MAX }",
        "pooling_nd_param { kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pool: MAX }",
        "pooling_nd_param { kernel_h: 3 kernel_w: 4 stride_h: 2 stride_w: 3 pad_h: 1 pad_w: 2 pool: MAX }",
        "pooling_nd_param { kernel_size: 3 stride: 2 pad: 1 pool: MAX }",
    ],
)
def test_images_are_pooled_as_pooling_does(method: str, settings: str) -> None:
    x, settings = torch.randn(2, 3, 7, 8), settings.replace("MAX", method)
    layer, tops = build(TEXT.format(settings), x.shape)
    plain = f'type: "Pooling" bottom: "x" top: "y" {settings.replace("pooling_nd_param", "pooling_param")}'
    other, wanted = build(plain, x.shape)
    assert tops == wanted
    assert torch.equal(layer.forward(run_at(), [x], [])[0], other.forward(run_at(), [x], [])[0])


def test_one_window_over_everything_and_another_axis() -> None:
    x = torch.randn(2, 3, 4, 5, 6)
    layer, tops = build(TEXT.format("pooling_nd_param { pool: AVE global_pooling: true }"), x.shape)
    (y,) = layer.forward(run_at(), [x], [])
    assert tops == [(2, 3, 1, 1, 1)]
    np.testing.assert_allclose(y.flatten(), x.mean((2, 3, 4)).flatten(), rtol=1e-5, atol=1e-6)
    layer, tops = build(TEXT.format("pooling_nd_param { axis: 2 kernel_size: 2 stride: 2 }"), x.shape)
    (y,) = layer.forward(run_at(), [x], [])
    assert tops == [tuple(y.shape)] == [(2, 3, 4, 3, 3)]
    want, _ = _by_loops(x.reshape(6, 4, 5, 6).numpy(), None, [2, 2], [2, 2], [0, 0], average=False)
    np.testing.assert_array_equal(y.reshape(6, 4, 3, 3), want.astype(np.float32))


@pytest.mark.parametrize(
    "settings",
    [
        "pooling_nd_param { kernel_size: 2 engine: DEFAULT }",
        "pooling_nd_param { kernel_size: 2 engine: CAFFE }",
        "pooling_nd_param { kernel_size: 2 engine: CUDNN }",
    ],
)
def test_the_engine_has_no_effect(settings: str) -> None:
    x = np.random.default_rng(5).standard_normal((1, 2, 3, 4, 5))
    layer, _ = build(TEXT.format(settings), x.shape)
    (y,) = layer.forward(run_at(), [torch.tensor(x)], [])
    np.testing.assert_array_equal(y, _by_loops(x, None, [2] * 3, [1] * 3, [0] * 3, average=False)[0])


@pytest.mark.parametrize(
    ("settings", "shape", "told"),
    [
        ("pooling_nd_param { }", (1, 2, 4, 4, 4), "kernel_size is missing"),
        ("pooling_nd_param { pool: STOCHASTIC kernel_size: 2 }", (1, 2, 4, 4, 4), "pool must be MAX or AVE"),
        ("pooling_nd_param { kernel_size: 2 }", (1, 2, 4), "needs 2 or 3 axes behind the channels' axis, 1"),
        (
            "pooling_nd_param { kernel_size: 2 kernel_size: 2 }",
            (1, 2, 4, 4, 4),
            "kernel_size is given 2 times for 3 spatial axes",
        ),
        (
            "pooling_nd_param { kernel_h: 2 kernel_w: 2 }",
            (1, 2, 4, 4, 4),
            "kernel_h is for 2 spatial axes, this input has 3",
        ),
        (
            "pooling_nd_param { kernel_size: 2 pad: 2 }",
            (1, 2, 4, 4, 4),
            "pad must be smaller than the kernel, 2, got 2",
        ),
        ("pooling_nd_param { kernel_size: 9 }", (1, 2, 4, 4, 4), "the kernel spans 9, more than the input of 4"),
        ("pooling_nd_param { kernel_size: 2 stride: 0 }", (1, 2, 4, 4, 4), "stride must be positive"),
        (
            "pooling_nd_param { kernel_size: 2 global_pooling: true }",
            (1, 2, 4, 4, 4),
            "global_pooling: true and kernel_size are both given",
        ),
    ],
)
def test_settings(settings: str, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(LayerError, match=told):
        build(TEXT.format(settings), shape)
