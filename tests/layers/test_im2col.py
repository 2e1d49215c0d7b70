"""Im2col against windows cut by hand, and a Convolution as one matrix product."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

Shape = tuple[int, ...]


def _layer(param: str, shape: Shape, type: str = "Im2col") -> tuple:
    return build(f'name: "i" type: "{type}" bottom: "x" top: "y" convolution_param {{ {param} }}', shape)


def _by_windows(x: np.ndarray, kernel: Shape, stride: Shape, pad: Shape, dilation: Shape) -> np.ndarray:
    """Every window of the padded image as a column, zeros wherever one reaches beyond."""
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [math.trunc((n + 2 * p - r) / s) + 1 for n, p, r, s in zip(x.shape[2:], pad, reach, stride, strict=True)]
    x = np.pad(x, [(0, 0), (0, 0), *((p, p + r) for p, r in zip(pad, reach, strict=True))])
    y = np.zeros((x.shape[0], x.shape[1] * math.prod(kernel), *sizes))
    for at in itertools.product(*map(range, sizes)):
        cut = tuple(slice(i * s, i * s + r, d) for i, s, r, d in zip(at, stride, reach, dilation, strict=True))
        y[(..., *at)] = x[(slice(None), slice(None), *cut)].reshape(len(x), -1)
    return y


GRID = [
    ("kernel_size: 3", (2, 3, 5, 6), ((3, 3), (1, 1), (0, 0), (1, 1))),
    ("kernel_size: 3 stride: 2 pad: 4 force_nd_im2col: true", (2, 1, 5, 6), ((3, 3), (2, 2), (4, 4), (1, 1))),
    ("kernel_h: 1 kernel_w: 4 stride_h: 3 stride_w: 1 pad_w: 2", (1, 2, 7, 5), ((1, 4), (3, 1), (0, 2), (1, 1))),
    ("kernel_size: 2 kernel_size: 3 dilation: 3 dilation: 1", (2, 3, 5, 6), ((2, 3), (1, 1), (0, 0), (3, 1))),
    ("kernel_size: 3 stride: 2", (1, 2, 2, 2), ((3, 3), (2, 2), (0, 0), (1, 1))),
    ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 8), ((3,), (2,), (1,), (1,))),
    ("kernel_size: 2 pad: 1 dilation: 2 stride: 2", (1, 2, 4, 3, 5), ((2,) * 3, (2,) * 3, (1,) * 3, (2,) * 3)),
    ("kernel_size: 2 stride: 2 pad: 1", (2, 2, 3, 2, 4, 3), ((2,) * 4, (2,) * 4, (1,) * 4, (1,) * 4)),
]


@pytest.mark.parametrize(("param", "shape", "window"), GRID)
def test_windows_by_hand(param: str, shape: Shape, window: tuple) -> None:
    layer, (top,) = _layer(param, shape)
    x = np.random.default_rng(4).standard_normal(shape)
    (y,) = layer.forward(run_at(), [torch.from_numpy(x)], [])
    assert tuple(y.shape) == top
    np.testing.assert_array_equal(y, _by_windows(x, *window))


@pytest.mark.parametrize(("param", "shape", "window"), GRID)
def test_a_convolution_is_a_matrix_product(param: str, shape: Shape, window: tuple) -> None:
    layer, _ = _layer(param, shape)
    convolution, _ = _layer(f"num_output: 4 bias_term: false {param}", shape, type="Convolution")
    x = torch.randn(shape, dtype=torch.double)
    weight = torch.randn(convolution.weights[0].shape, dtype=torch.double)
    (columns,) = layer.forward(run_at(), [x], [])
    (y,) = convolution.forward(run_at(), [x], [weight])
    torch.testing.assert_close(torch.einsum("ok,nk...->no...", weight.flatten(1), columns), y)


@pytest.mark.parametrize(
    ("param", "shape", "top"),
    [
        ("kernel_size: 2", (2, 3, 4, 5), (2, 12, 3, 4)),
        ("axis: 2 kernel_size: 2", (2, 3, 4, 5), (2, 3, 8, 4)),
        ("axis: -2 kernel_size: 5", (2, 3, 4, 5), (2, 3, 20, 1)),
        ("axis: 0 kernel_size: 2", (3, 4, 5), (12, 3, 4)),
    ],
)
def test_axes_before_the_channels_are_the_batch(param: str, shape: Shape, top: Shape) -> None:
    layer, declared = _layer(param, shape)
    assert declared == [top]
    x = torch.randn(shape)
    (y,) = layer.forward(run_at(), [x], [])
    axis = layer.channel_axis
    kernel = layer.window.kernel
    ones = (1,) * len(kernel)
    want = _by_windows(x.reshape(-1, *shape[axis:]).numpy(), kernel, ones, (0,) * len(ones), ones)
    np.testing.assert_array_equal(y, want.reshape(top))


@pytest.mark.parametrize(("param", "shape", "window"), GRID)
def test_gradient(param: str, shape: Shape, window: tuple) -> None:
    layer, _ = _layer(param, shape)
    x = torch.randn(shape, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x)


def test_the_gradient_counts_the_windows_a_value_lies_in() -> None:
    layer, _ = _layer("kernel_size: 2", (1, 1, 3, 3))
    x = torch.zeros(1, 1, 3, 3, requires_grad=True)
    layer.forward(run_at(), [x], [])[0].sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_an_empty_batch_and_another_size() -> None:
    layer, tops = _layer("kernel_size: 3 pad: 1", (0, 3, 6, 6))
    (y,) = layer.forward(run_at(), [torch.zeros(0, 3, 6, 6)], [])
    assert [tuple(y.shape)] == tops == [(0, 27, 6, 6)]
    assert list(layer.shapes([(2, 5, 3, 4)])) == [(2, 45, 3, 4)]
    assert layer.forward(run_at(), [torch.zeros(2, 5, 3, 4)], [])[0].shape == (2, 45, 3, 4)


HEAD = 'layer "i" (Im2col): '


@pytest.mark.parametrize(
    ("param", "shape", "told"),
    [
        ("", (1, 2, 5, 5), "kernel_size is missing\n  help: give kernel_size: 3, or kernel_h and kernel_w"),
        ("kernel_size: 3", (2, 3), "needs an axis behind the channels, on axis 1, to move a window over, got (2, 3)"),
        ("kernel_size: 3 axis: 4", (1, 2, 5, 5), "axis must be an axis of a 4-d blob, got 4"),
        ("kernel_size: 3 stride: 0", (1, 2, 5, 5), "stride must be positive, got stride: 0"),
        ("kernel_size: 6", (1, 2, 5, 7), "the kernel spans 6, more than the input of 5 with pad 0 on both sides"),
    ],
)
def test_faults(param: str, shape: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param, shape)
    assert str(raised.value) == HEAD + told


def test_the_number_of_axes_may_not_change() -> None:
    layer, _ = _layer("kernel_size: 3", (1, 2, 5, 5))
    with pytest.raises(LayerError) as raised:
        layer.shapes([(1, 2, 5, 5, 5)])
    assert str(raised.value) == f"{HEAD}the windows are for 4 axes, the bottom is now (1, 2, 5, 5, 5)"
