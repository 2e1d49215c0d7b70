"""DepthwiseConvolution and ConvolutionDepthwise: loops of conv_dw_layer.cpp, and the Convolution they stand for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from .alone import build, run_at

Pair = tuple[int, int]


def by_loops(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: Pair, pad: Pair, dilation: Pair
) -> np.ndarray:
    """What `Forward_cpu` of conv_dw_layer.cpp computes: each channel with its own kernel."""
    kernel = weight.shape[2:]
    sizes = [
        (x.shape[2 + at] + 2 * pad[at] - (dilation[at] * (kernel[at] - 1) + 1)) // stride[at] + 1 for at in range(2)
    ]
    y = np.zeros((*x.shape[:2], *sizes))
    for n, c, h, w in itertools.product(*map(range, y.shape)):
        y[n, c, h, w] = bias[c]
        for kh, kw in itertools.product(*map(range, kernel)):
            row, column = h * stride[0] - pad[0] + kh * dilation[0], w * stride[1] - pad[1] + kw * dilation[1]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                y[n, c, h, w] += weight[c, 0, kh, kw] * x[n, c, row, column]
    return y


@pytest.mark.parametrize(
    ("kind", "count"), [("DepthwiseConvolution", "num_output: 4 group: 4"), ("ConvolutionDepthwise", ""),
                        ("ConvolutionDepthwise", "num_output: 4"), ("ConvolutionDepthwise", "num_output: 4 group: 4")]
)  # fmt: skip
@pytest.mark.parametrize(
    ("settings", "stride", "pad", "dilation", "kernel"),
    [
        ("kernel_size: 3 pad: 1", (1, 1), (1, 1), (1, 1), (3, 3)),
        ("kernel_size: 3 pad: 1 stride: 2", (2, 2), (1, 1), (1, 1), (3, 3)),
        ("kernel_h: 3 kernel_w: 1 pad_h: 2 pad_w: 0 stride_h: 1 stride_w: 2", (1, 2), (2, 0), (1, 1), (3, 1)),
        ("kernel_size: 2 dilation: 2", (1, 1), (0, 0), (2, 2), (2, 2)),
    ],
)
def test_loops(kind: str, count: str, settings: str, stride: Pair, pad: Pair, dilation: Pair, kernel: Pair) -> None:
    chance = np.random.default_rng(1)
    x, weight = chance.standard_normal((2, 4, 6, 5)), chance.standard_normal((4, 1, *kernel))
    bias = chance.standard_normal(4)
    layer, (top,) = build(f'type: "{kind}" bottom: "x" top: "y" convolution_param {{ {count} {settings} }}', x.shape)
    assert [spec.shape for spec in layer.weights] == [(4, 1, *kernel), (4,)]
    given = [torch.tensor(array, requires_grad=True) for array in (x, weight, bias)]
    (y,) = layer.forward(run_at(), given[:1], given[1:])
    want = by_loops(x, weight, bias, stride, pad, dilation)
    assert top == tuple(y.shape) == want.shape
    np.testing.assert_allclose(y.detach(), want, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x, *weights: tuple(layer.forward(run_at(), [x], weights)), given)


def test_without_a_bias() -> None:
    text = 'type: "ConvolutionDepthwise" bottom: "x" top: "y" convolution_param { kernel_size: 3 bias_term: false }'
    layer, tops = build(text, (1, 5, 7, 7))
    assert [spec.shape for spec in layer.weights] == [(5, 1, 3, 3)]
    assert tops == [(1, 5, 5, 5)]


def test_a_depthwise_convolution_without_group_is_a_convolution() -> None:
    """As `depthwise_conv_layer.cpp`, which leaves the groups to base_conv_layer.cpp."""
    text = 'type: "{}" bottom: "x" top: "y" convolution_param {{ num_output: 6 group: 2 kernel_size: 3 }}'
    layers = [build(text.format(kind), (1, 4, 5, 5))[0] for kind in ("Convolution", "DepthwiseConvolution")]
    assert [spec.shape for spec in layers[1].weights] == [(6, 2, 3, 3), (6,)]
    chance = torch.Generator().manual_seed(1)
    x, weight, bias = (torch.randn(shape, generator=chance) for shape in ((1, 4, 5, 5), (6, 2, 3, 3), (6,)))
    plain, other = (layer.forward(run_at(), [x], [weight, bias])[0] for layer in layers)
    torch.testing.assert_close(plain, other)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("num_output: 8", "num_output has no effect: there is a filter for each of the 4 channels"),
        ("group: 2", "group has no effect: there is a filter for each of the 4 channels"),
    ],
)
def test_another_number_of_filters_is_not_read(settings: str, told: str) -> None:
    """As in the fork: a file of eric612/MnasNet-caffe has 16 filters for 32 channels."""
    text = f'type: "ConvolutionDepthwise" bottom: "x" top: "y" convolution_param {{ kernel_size: 3 {settings} }}'
    layer, tops = build(text, (1, 4, 5, 5))
    assert tops == [(1, 4, 3, 3)]
    assert [spec.shape for spec in layer.weights] == [(4, 1, 3, 3), (4,)]
    (warning,) = layer.warnings()
    assert warning.message.startswith(told)
    assert warning.help == "leave it out, or write a Convolution, which may have any"
