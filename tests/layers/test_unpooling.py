"""Unpooling, forward and backward, against loops over windows written from `src/caffe/layers/unpooling_layer.cpp` of
HyeonwooNoh/caffe (top begins as zeros in every method, as on its GPU); and Gather of yjxiong/caffe."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import Layer

from .alone import build, run_at

Shape = tuple[int, ...]
CASES = [
    ((2, 3, 3, 4), (2, 2), (2, 2), (6, 8)),
    ((1, 2, 3, 3), (3, 3), (2, 2), (7, 7)),  # windows overlap
    ((1, 2, 3, 3), (3, 3), (2, 2), (6, 5)),  # the last are cut
    ((1, 2, 2, 2), (2, 2), (3, 3), (6, 6)),  # gaps between windows
    ((1, 1, 4, 3), (2, 3), (1, 2), (3, 4)),  # some begin beyond the image
    ((1, 1, 2, 5), (1, 2), (2, 1), (4, 6)),
]


def unpooling(settings: str, *shapes: Shape) -> tuple[Layer, list[Shape]]:
    bottoms = " ".join(f'bottom: "b{at}"' for at in range(len(shapes)))
    return build(f'name: "u" type: "Unpooling" {bottoms} top: "y" unpooling_param {{ {settings} }}', *shapes)


def by_loops(x: np.ndarray, dy: np.ndarray, method: str, kernel: Shape, stride: Shape) -> tuple[np.ndarray, np.ndarray]:
    y, dx, (height, width) = np.zeros(dy.shape), np.zeros(x.shape), dy.shape[2:]
    for n, c, ph, pw in np.ndindex(*x.shape):
        if method == "MAX":
            place = (min(ph * stride[0], height - 1), min(pw * stride[1], width - 1))
            y[(n, c, *place)], dx[n, c, ph, pw] = x[n, c, ph, pw], dy[(n, c, *place)]
            continue
        rows = range(ph * stride[0], min(ph * stride[0] + kernel[0], height))
        columns = range(pw * stride[1], min(pw * stride[1] + kernel[1], width))
        for h, w in itertools.product(rows, columns):
            size = len(rows) * len(columns)
            y[n, c, h, w] += x[n, c, ph, pw] / (size if method == "AVE" else 1)
            dx[n, c, ph, pw] += dy[n, c, h, w] / size
    return y, dx


@pytest.mark.parametrize(("shape", "kernel", "stride", "size"), CASES)
@pytest.mark.parametrize("method", ["MAX", "AVE", "TILE"])
def test_by_loops(method: str, shape: Shape, kernel: Shape, stride: Shape, size: Shape) -> None:
    layer, tops = unpooling(
        f"unpool: {method} kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]} "
        f"unpool_h: {size[0]} unpool_w: {size[1]}",
        shape,
    )
    assert tops == [(*shape[:2], *size)]
    x, dy = (np.random.default_rng(seed).standard_normal(each) for seed, each in ((1, shape), (2, tops[0])))
    bottom = torch.from_numpy(x).requires_grad_()
    (y,) = layer.forward(run_at(), [bottom], [])
    (dx,) = torch.autograd.grad(y, bottom, torch.from_numpy(dy))
    want, gradient = by_loops(x, dy, method, kernel, stride)
    np.testing.assert_allclose(y.detach(), want, atol=1e-12)
    np.testing.assert_allclose(dx, gradient, atol=1e-12)


def test_a_mask_says_where_maxima_were() -> None:
    layer, tops = unpooling("kernel_size: 2 stride: 2 unpool_size: 4", (1, 1, 2, 2), (1, 1, 2, 2))
    x = torch.tensor([[[[1.0, 2.0], [9.0, 4.0]]]], requires_grad=True)
    (y,) = layer.forward(run_at(), [x, torch.tensor([[[[1.0, 6.0], [8.0, 15.0]]]])], [])
    assert tops == [(1, 1, 4, 4)]
    assert y.tolist() == [[[[0, 1, 0, 0], [0, 0, 2, 0], [9, 0, 0, 0], [0, 0, 0, 4]]]]
    y.backward(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert x.grad is not None
    assert x.grad.tolist() == [[[[1, 6], [8, 15]]]]


@pytest.mark.parametrize("settings", ["pad: 0 engine: DEFAULT", "pad_h: 0 pad_w: 0 engine: CAFFE"])
def test_what_has_no_effect(settings: str) -> None:
    layer, _ = unpooling(f"kernel_size: 2 stride: 2 unpool_size: 4 {settings}", (1, 1, 2, 2))
    (y,) = layer.forward(run_at(), [torch.tensor([[[[1.0, 2.0], [9.0, 4.0]]]])], [])
    assert y.tolist() == [[[[1, 0, 2, 0], [0, 0, 0, 0], [9, 0, 4, 0], [0, 0, 0, 0]]]]


def test_a_mask_of_a_larger_image() -> None:
    layer, _ = unpooling("kernel_size: 2 stride: 2 unpool_size: 4", (1, 1, 1, 1), (1, 1, 1, 1))
    with pytest.raises(LayerError, match="place 16 of sample 0, channel 0, is outside the top of 4×4"):
        layer.forward(run_at(), [torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 16.0)], [])


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        (
            "unpool_size: 4",
            [(1, 1, 2, 2)],
            "kernel_size is missing\n  help: give kernel_size, or kernel_h and kernel_w",
        ),
        (
            "kernel_size: 2",
            [(1, 1, 2, 2)],
            "unpool_size is missing\n  help: give unpool_size, or unpool_h and unpool_w",
        ),
        ("kernel_h: 2 unpool_size: 4", [(1, 1, 2, 2)], "kernel_h is given alone"),
        ("kernel_size: 2 kernel_h: 2 kernel_w: 2 unpool_size: 4", [(1, 1, 2, 2)], "kernel_size and kernel_h are both"),
        ("kernel_size: 0 unpool_size: 4", [(1, 1, 2, 2)], "kernel_size must be positive, got 0"),
        ("kernel_size: 2 unpool_size: 4 stride: 0", [(1, 1, 2, 2)], "stride must be positive, got 0"),
        ("kernel_size: 2 unpool_size: 4 pad: 1", [(1, 1, 2, 2)], "pad must be 0, got 1"),
        ("kernel_size: 2 unpool_size: 4 pad_h: 1", [(1, 1, 2, 2)], "pad_h must be 0, got 1"),
        ("kernel_size: 2 unpool_size: 4 pad_w: 2", [(1, 1, 2, 2)], "pad_w must be 0, got 2"),
        (
            "kernel_size: 2 unpool_size: 4",
            [(2, 2)],
            "needs a bottom of 4 axes (num, channels, height, width), got (2, 2)",
        ),
        ("kernel_size: 2 unpool_size: 4", [(1, 1, 2, 2), (1, 1, 2, 1)], "its bottoms must have one shape, got"),
    ],
)
def test_faults(settings: str, shapes: list[Shape], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        unpooling(settings, *shapes)
    assert f'layer "u" (Unpooling): {told}' in str(raised.value)


def test_a_mask_that_nobody_reads() -> None:
    layer, _ = unpooling("unpool: AVE kernel_size: 2 unpool_size: 4", (1, 1, 2, 2), (1, 1, 2, 2))
    (warning,) = layer.warnings()
    assert warning.message == 'its second bottom, "b1", has no effect: only unpool: MAX reads it'


def test_gather_passes_its_bottoms_on() -> None:
    layer, tops = build('type: "Gather" bottom: "a" bottom: "b" top: "c" top: "d"', (4, 3), (4,))
    bottoms = [torch.randn(4, 3, requires_grad=True), torch.randn(4)]
    given = layer.forward(run_at(), bottoms, [])
    assert tops == [(4, 3), (4,)]
    assert all(torch.equal(one, other) for one, other in zip(bottoms, given, strict=True))
    assert torch.equal(torch.autograd.grad(given[0].sum(), bottoms[0])[0], torch.ones(4, 3))
