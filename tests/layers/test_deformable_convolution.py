"""DeformableConvolution against loops over `deformable_im2col.cu` of unsky/FPN, and against plain convolution."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at


def bilinear(image: np.ndarray, h: float, w: float) -> float:
    """What the kernel reads at (h, w) of an H×W image."""
    height, width = image.shape
    if not (0 <= h < height and 0 <= w < width):
        return 0.0
    low_h, low_w = math.floor(h), math.floor(w)
    high_h, high_w = low_h + 1, low_w + 1
    if low_h >= height - 1:
        high_h, h = low_h, low_h
    if low_w >= width - 1:
        high_w, w = low_w, low_w
    lh, lw = h - low_h, w - low_w
    corners = (
        (low_h, low_w, (1 - lh) * (1 - lw)),
        (low_h, high_w, (1 - lh) * lw),
        (high_h, low_w, lh * (1 - lw)),
        (high_h, high_w, lh * lw),
    )
    return sum(image[row, column] * part for row, column, part in corners)


def by_loops(x: np.ndarray, moves: np.ndarray, weight: np.ndarray, bias: np.ndarray, how: dict) -> np.ndarray:
    kernel, sizes = weight.shape[2:], moves.shape[2:]
    channels, taps = x.shape[1], kernel[0] * kernel[1]
    steps, pads, apart = (np.broadcast_to(how[name], 2) for name in ("stride", "pad", "dilation"))
    each, seen = channels // how["bent"], weight.shape[1]
    y = np.zeros((len(x), len(weight), *sizes))
    for n, o, h, w in itertools.product(*map(range, y.shape)):
        first = o // (len(weight) // how["group"]) * seen
        y[n, o, h, w] = bias[o]
        for c, i, j in itertools.product(range(seen), *map(range, kernel)):
            at = 2 * (((first + c) // each) * taps + i * kernel[1] + j)
            row = h * steps[0] - pads[0] + i * apart[0] + moves[n, at, h, w]
            column = w * steps[1] - pads[1] + j * apart[1] + moves[n, at + 1, h, w]
            y[n, o, h, w] += weight[o, c, i, j] * bilinear(x[n, first + c], row, column)
    return y


def layer_of(how: dict, x: tuple[int, ...], moves: tuple[int, ...], kernel: tuple[int, int]) -> tuple:
    names = {"stride": "stride", "pad": "pad", "dilation": "dilation", "group": "group", "bent": "deformable_group"}
    text = " ".join(f"{names[name]}: {value}" for name, value in how.items())
    size = f"kernel_h: {kernel[0]} kernel_w: {kernel[1]}"
    text = f"deformable_convolution_param {{ num_output: 4 {size} {text} engine: CAFFE }}"
    return build(f'name: "l" type: "DeformableConvolution" bottom: "x" bottom: "m" top: "y" {text}', x, moves)


@pytest.mark.parametrize(
    ("how", "kernel", "sizes"),
    [
        (dict(stride=1, pad=1, dilation=1, group=1, bent=4), (3, 3), (5, 4)),
        (dict(stride=1, pad=2, dilation=2, group=2, bent=2), (3, 3), (5, 4)),
        (dict(stride=2, pad=1, dilation=1, group=1, bent=1), (3, 2), (3, 3)),
    ],
)
def test_loops(how: dict, kernel: tuple[int, int], sizes: tuple[int, int]) -> None:
    chance = np.random.default_rng(1)
    x = chance.standard_normal((2, 4, 5, 4))
    moves = chance.uniform(-2.5, 2.5, (2, 2 * how["bent"] * math.prod(kernel), *sizes))
    weight, bias = chance.standard_normal((4, 4 // how["group"], *kernel)), chance.standard_normal(4)
    layer, (top,) = layer_of(how, x.shape, moves.shape, kernel)
    assert [spec.shape for spec in layer.weights] == [weight.shape, (4,)]
    given = [torch.tensor(array, requires_grad=True) for array in (x, moves, weight, bias)]
    (y,) = layer.forward(run_at(), given[:2], given[2:])
    want = by_loops(x, moves, weight, bias, how)
    assert top == tuple(y.shape) == want.shape
    np.testing.assert_allclose(y.detach(), want, rtol=1e-9, atol=1e-12)
    assert torch.autograd.gradcheck(lambda *all: tuple(layer.forward(run_at(), all[:2], all[2:])), given)


BOTTOMS = 'name: "l" type: "DeformableConvolution" bottom: "x" bottom: "m" top: "y"'


def test_height_and_width_apart_and_no_offsets() -> None:
    settings = "deformable_convolution_param { num_output: 3 deformable_group: 1 bias_term: false "
    settings += "kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 stride_h: 3 stride_w: 2 }"
    chance = np.random.default_rng(2)
    x, moves = chance.standard_normal((2, 4, 5, 7)), chance.uniform(-1.5, 1.5, (2, 12, 3, 4))
    weight = chance.standard_normal((3, 4, 3, 2))
    layer, (top,) = build(f"{BOTTOMS} {settings}", x.shape, moves.shape)
    assert [spec.shape for spec in layer.weights] == [weight.shape]
    (y,) = layer.forward(run_at(), [torch.tensor(x), torch.tensor(moves)], [torch.tensor(weight)])
    want = by_loops(x, moves, weight, np.zeros(3), dict(stride=(3, 2), pad=(2, 1), dilation=1, group=1, bent=1))
    assert top == tuple(y.shape) == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        "deformable_convolution_param { num_output: 2 kernel_size: 3 engine: DEFAULT }",
        "deformable_convolution_param { num_output: 2 kernel_size: 3 engine: CAFFE }",
        "deformable_convolution_param { num_output: 2 kernel_size: 3 engine: CUDNN }",
        "deformable_convolution_param { num_output: 2 kernel_size: 3 force_nd_im2col: true }",
    ],
)
def test_the_implementation_makes_no_difference(settings: str) -> None:
    plain = "deformable_convolution_param { num_output: 2 kernel_size: 3 }"
    shapes = (2, 4, 5, 5), (2, 72, 3, 3)
    chance = np.random.default_rng(3)
    bottoms = [torch.tensor(chance.uniform(-1, 1, shape)) for shape in shapes]
    weights = [torch.tensor(chance.standard_normal(shape)) for shape in ((2, 4, 3, 3), (2,))]
    y, same = (
        build(f"{BOTTOMS} {text}", *shapes)[0].forward(run_at(), bottoms, weights)[0] for text in (settings, plain)
    )
    assert torch.equal(y, same)


def test_filters_and_offsets_begin_as_their_fillers_say() -> None:
    settings = "deformable_convolution_param { num_output: 2 kernel_size: 3 "
    settings += "weight_filler { value: 3 } bias_filler { value: 5 } }"
    layer, _ = build(f"{BOTTOMS} {settings}", (2, 4, 5, 5), (2, 72, 3, 3))
    assert [(spec.filler.type, spec.filler.value) for spec in layer.weights] == [("constant", 3), ("constant", 5)]


def test_unmoved_it_is_a_convolution() -> None:
    how = dict(stride=2, pad=1, dilation=2, group=2, bent=2)
    x, weight = torch.randn(2, 4, 9, 9).double(), torch.randn(4, 2, 3, 3).double()
    layer, (top,) = layer_of(how, (2, 4, 9, 9), (2, 36, 4, 4), (3, 3))
    (y,) = layer.forward(run_at(), [x, torch.zeros(2, 36, 4, 4).double()], [weight, torch.zeros(4).double()])
    torch.testing.assert_close(y, torch.conv2d(x, weight, None, 2, 1, 2, 2))
    assert top == tuple(y.shape)


def test_between_the_last_pixel_and_the_edge_the_last_pixel_counts() -> None:
    how = dict(stride=1, pad=0, dilation=1, group=1, bent=1)
    layer, _ = layer_of(how, (1, 4, 2, 2), (1, 2, 2, 2), (1, 1))
    x, weight = torch.arange(16.0).reshape(1, 4, 2, 2), torch.eye(4).reshape(4, 4, 1, 1)
    far = torch.tensor([[0.0, 0], [0.9, 1.1]]).expand(1, 2, 2, 2).contiguous()
    (y,) = layer.forward(run_at(), [x, far], [weight, torch.zeros(4)])
    assert y[0, 0].tolist() == [[0, 1], [pytest.approx(2.9), 0]]


@pytest.mark.parametrize(
    ("settings", "shapes", "told"),
    [
        ("num_output: 4", [(1, 4, 5, 5), (1, 18, 5, 5)], "kernel_size is missing"),
        ("kernel_size: 3", [(1, 4, 5, 5), (1, 18, 5, 5)], "num_output must be positive, got 0"),
        (
            "num_output: 4 kernel_size: 3 pad: 1",
            [(1, 4, 5, 5), (1, 18, 5, 5)],
            "needs two numbers for each group of channels, tap and position, (1, 72, 5, 5), got (1, 18, 5, 5)",
        ),
        (
            "num_output: 4 kernel_size: 3 deformable_group: 3",
            [(1, 4, 5, 5), (1, 18, 5, 5)],
            "deformable_group must divide the 4 channels of (1, 4, 5, 5), got 3",
        ),
        (
            "num_output: 5 group: 2 kernel_size: 3",
            [(1, 4, 5, 5), (1, 72, 3, 3)],
            "group must divide num_output, 5, got 2",
        ),
        ("num_output: 4 kernel_size: 3 axis: 2", [(1, 4, 5, 5), (1, 72, 3, 3)], "axis must be 1, got 2"),
        (
            "num_output: 4 kernel_size: 3",
            [(1, 4, 5), (1, 72, 3, 3)],
            "needs a bottom of 4 axes (num, channels, height, width), got (1, 4, 5)",
        ),
    ],
)
def test_faults(settings: str, shapes: list[tuple[int, ...]], told: str) -> None:
    text = (
        f'type: "DeformableConvolution" bottom: "x" bottom: "m" top: "y" deformable_convolution_param {{ {settings} }}'
    )
    with pytest.raises(LayerError) as raised:
        build(text, *shapes)
    assert [fault.message for fault in raised.value.faults] == [told]
