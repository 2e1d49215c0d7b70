"""Convolution against the recorded cases, and against sums over every output position."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .conform import Case, Replay, build, cases, run_at

Shape = tuple[int, ...]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("case", cases(["Convolution"]), ids=str)
def test_recorded_case(case: Case, memory_format: torch.memory_format) -> None:
    assert Replay(case, memory_format).check() > 0


def _layer(param: str, *bottoms: Shape) -> tuple:
    names = " ".join(f'bottom: "x{i}" top: "y{i}"' for i in range(len(bottoms)))
    return build(f'name: "c" type: "Convolution" {names} convolution_param {{ {param} }}', *bottoms)


def _by_sums(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: Shape, pad: Shape, dilation: Shape, group: int
) -> np.ndarray:
    """Each output as a sum over a window of the padded input, zeros wherever a window reaches beyond."""
    kernel = weight.shape[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    sizes = [math.trunc((n + 2 * p - r) / s) + 1 for n, p, r, s in zip(x.shape[2:], pad, reach, stride, strict=True)]
    x = np.pad(x, [(0, 0), (0, 0), *((p, p + r) for p, r in zip(pad, reach, strict=True))])
    y = np.zeros((x.shape[0], weight.shape[0], *sizes))
    inputs, outputs = weight.shape[1], weight.shape[0] // group
    for at in itertools.product(*map(range, sizes)):
        cut = tuple(slice(i * s, i * s + r, d) for i, s, r, d in zip(at, stride, reach, dilation, strict=True))
        window = x[(slice(None), slice(None), *cut)]
        for o in range(weight.shape[0]):
            first = o // outputs * inputs
            seen = window[:, first : first + inputs]
            y[(slice(None), o, *at)] = (seen * weight[o]).reshape(len(x), -1).sum(1) + bias[o]
    return y


@pytest.mark.parametrize(
    ("param", "shape", "moves", "group"),
    [
        ("kernel_size: 3", (2, 3, 5, 6), ((1, 1), (0, 0), (1, 1)), 1),
        ("kernel_size: 3 stride: 2 pad: 3 group: 2", (2, 4, 5, 6), ((2, 2), (3, 3), (1, 1)), 2),
        ("kernel_h: 1 kernel_w: 4 stride_h: 3 stride_w: 1 pad_w: 2", (1, 2, 7, 5), ((3, 1), (0, 2), (1, 1)), 1),
        ("kernel_size: 2 dilation: 3 dilation: 1", (2, 3, 5, 6), ((1, 1), (0, 0), (3, 1)), 1),
        ("kernel_size: 3 stride: 2", (1, 2, 2, 2), ((2, 2), (0, 0), (1, 1)), 1),
        ("kernel_size: 4 stride: 3 stride: 1 pad: 0 pad: 1", (2, 1, 2, 5), ((3, 1), (0, 1), (1, 1)), 1),
        ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 8), ((2,), (1,), (1,)), 1),
        ("kernel_size: 2 pad: 1 dilation: 2", (1, 2, 4, 3, 5), ((1,) * 3, (1,) * 3, (2,) * 3), 1),
        ("kernel_size: 2 stride: 2 pad: 1", (2, 2, 3, 2, 4, 3), ((2,) * 4, (1,) * 4, (1,) * 4), 1),
        ("kernel_size: 2 group: 2 dilation: 2", (1, 4, 3, 4, 3, 4), ((1,) * 4, (0,) * 4, (2,) * 4), 2),
        ("kernel_size: 4 stride: 3 pad: 1", (1, 2, 1, 2, 3, 4), ((3,) * 4, (1,) * 4, (1,) * 4), 1),
        ("kernel_size: 1 kernel_size: 2 kernel_size: 1 kernel_size: 2 kernel_size: 2", (1, 2, 2, 3, 2, 3, 2), (), 1),
    ],
)
def test_sums_by_hand(param: str, shape: Shape, moves: tuple, group: int) -> None:
    random = np.random.default_rng(4)
    layer, (top,) = _layer(f"num_output: 4 {param}", shape)
    x, weight, bias = (random.standard_normal(s) for s in (shape, *(spec.shape for spec in layer.weights)))
    moves = moves or tuple((value,) * (len(shape) - 2) for value in (1, 0, 1))
    want = _by_sums(x, weight, bias, *moves, group)
    (y,) = layer.forward(run_at(), [torch.from_numpy(x)], [torch.from_numpy(weight), torch.from_numpy(bias)])
    assert tuple(y.shape) == top == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-10, atol=1e-10)


def test_declared_shape_is_computed_shape() -> None:
    for kernel, stride, pad, dilation in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 3), (1, 2)):
        for height in range(1, 10):
            reach = dilation * (kernel - 1) + 1
            if reach - height - 2 * pad >= stride or reach - (10 - height) - 2 * pad >= stride:
                continue
            shape = (2, 2, height, 10 - height)
            param = f"num_output: 3 kernel_size: {kernel} stride: {stride} pad: {pad} dilation: {dilation}"
            layer, declared = _layer(param, shape)
            weights = [torch.randn(spec.shape) for spec in layer.weights]
            (y,) = layer.forward(run_at(), [torch.randn(shape)], weights)
            assert [tuple(y.shape)] == declared, (param, shape)


@pytest.mark.parametrize(
    ("param", "shape", "top", "weight"),
    [
        ("axis: 1 kernel_size: 2", (2, 3, 4, 5), (2, 6, 3, 4), (6, 3, 2, 2)),
        ("axis: -3 kernel_size: 2", (2, 3, 4, 5), (2, 6, 3, 4), (6, 3, 2, 2)),
        ("axis: 2 kernel_size: 2", (2, 3, 4, 5), (2, 3, 6, 4), (6, 4, 2)),
        ("axis: 0 kernel_size: 2", (3, 4, 5), (6, 3, 4), (6, 3, 2, 2)),
        ("axis: -1", (2, 3, 4), (2, 3, 6), (6, 4)),
        ("kernel_size: 9 axis: 1", (2, 3), (2, 6), (6, 3)),
        ("axis: 0", (3,), (6,), (6, 3)),
        ("axis: -1 bias_term: false group: 2", (2, 3, 4), (2, 3, 6), (6, 2)),
    ],
)
def test_axes_before_the_channels_are_the_batch(param: str, shape: Shape, top: Shape, weight: Shape) -> None:
    layer, declared = _layer(f"num_output: 6 {param}", shape)
    assert declared == [top]
    assert layer.weights[0].shape == weight
    weights = [torch.randn(spec.shape, dtype=torch.double) for spec in layer.weights]
    x = torch.randn(shape, dtype=torch.double)
    (y,) = layer.forward(run_at(), [x], weights)
    assert tuple(y.shape) == top
    axis = len(shape) + 1 - len(weight)
    folded = x.reshape(-1, *shape[axis:], *([1] if len(weight) == 2 else []))
    bias = weights[1] if len(weights) > 1 else torch.zeros(6, dtype=torch.double)
    first = weights[0] if len(weight) > 2 else weights[0][..., None]
    ones = (1,) * (folded.dim() - 2)
    zeros = (0,) * (folded.dim() - 2)
    group = shape[axis] // weight[1]
    want = _by_sums(folded.numpy(), first.numpy(), bias.numpy(), ones, zeros, ones, group)
    np.testing.assert_allclose(y.reshape(want.shape), want)


@pytest.mark.parametrize(
    ("param", "shape"),
    [
        ("kernel_size: 3 stride: 2 pad: 1 group: 2", (2, 4, 4, 5)),
        ("kernel_size: 3 stride: 2", (1, 2, 2, 2)),
        ("kernel_size: 2 stride: 2 pad: 1", (1, 2, 2, 2, 3, 2)),
        ("axis: -1", (2, 2, 3)),
    ],
)
def test_gradient(param: str, shape: Shape) -> None:
    layer, _ = _layer(f"num_output: 2 {param}", shape)
    given = [torch.randn(s, dtype=torch.double, requires_grad=True) for s in (shape, *(w.shape for w in layer.weights))]
    assert torch.autograd.gradcheck(lambda x, *weights: layer.forward(run_at(), [x], weights), given)


def test_channels_last_is_kept() -> None:
    layer, _ = _layer("num_output: 4 kernel_size: 3", (2, 3, 6, 6))
    x = torch.randn(2, 3, 6, 6).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    (y,) = layer.forward(run_at(), [x], [weight, torch.zeros(4)])
    assert y.is_contiguous(memory_format=torch.channels_last)


def test_multiply_adds() -> None:
    layer, tops = _layer("num_output: 6 kernel_size: 3 group: 2", (2, 4, 5, 5), (2, 4, 5, 5))
    assert layer.multiply_adds([(2, 4, 5, 5)] * 2, tops) == 2 * (2 * 6 * 3 * 3) * (2 * 3 * 3)


HEAD = 'layer "c" (Convolution): '


@pytest.mark.parametrize(
    ("param", "bottoms", "told"),
    [
        ("kernel_size: 3", [(1, 2, 5, 5)], [f"{HEAD}num_output must be positive, got 0"]),
        (
            "num_output: 4",
            [(1, 2, 5, 5)],
            [f"{HEAD}kernel_size is missing\n  help: give kernel_size: 3, or kernel_h and kernel_w"],
        ),
        ("num_output: 4 kernel_size: 3 group: 0", [(1, 2, 5, 5)], [f"{HEAD}group must be positive, got 0"]),
        (
            "num_output: 5 kernel_size: 3 stride: 0 group: 2",
            [(1, 3, 5, 5)],
            [
                f"{HEAD}input channels must be a multiple of group, got 3 with group: 2",
                f"{HEAD}num_output must be a multiple of group, got 5 with group: 2",
                f"{HEAD}stride must be positive, got stride: 0",
            ],
        ),
        (
            "num_output: 4 kernel_size: 6",
            [(1, 2, 5, 7)],
            [f"{HEAD}the kernel spans 6, more than the input of 5 with pad 0 on both sides"],
        ),
        (
            "num_output: 4 kernel_size: 3 dilation: 4 pad: 1",
            [(1, 2, 9, 6)],
            [f"{HEAD}the kernel spans 9, more than the input of 6 with pad 1 on both sides"],
        ),
        (
            "num_output: 4 kernel_size: 3 axis: 4",
            [(1, 2, 5, 7)],
            [f"{HEAD}axis must be an axis of a 4-d blob, got 4"],
        ),
        (
            "num_output: 4 kernel_size: 3",
            [(1, 2, 5, 5), (1, 2, 5, 6)],
            [f"{HEAD}its bottoms must all have one shape, got shapes (1, 2, 5, 5) and (1, 2, 5, 6)"],
        ),
        (
            'num_output: 4 kernel_size: 3 weight_filler { type: "gausian" } bias_filler { type: "uniform" min: 2 }',
            [(1, 2, 5, 5)],
            [
                f'{HEAD}weight_filler type names no filler, got "gausian"\n  help: did you mean gaussian?',
                f"{HEAD}bias_filler min must not be above max, got 2 above 1",
            ],
        ),
    ],
)
def test_faults(param: str, bottoms: list[Shape], told: list[str]) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param, *bottoms)
    assert [str(fault) for fault in raised.value.faults] == told


def test_the_channels_may_not_change() -> None:
    layer, _ = _layer("num_output: 4 kernel_size: 3", (1, 2, 5, 5))
    assert list(layer.shapes([(3, 2, 6, 7)])) == [(3, 4, 4, 5)]
    with pytest.raises(LayerError) as raised:
        layer.shapes([(1, 3, 5, 5)])
    assert str(raised.value) == (
        f"{HEAD}the filters are for 4 axes with 2 channels on axis 1, the bottom is now (1, 3, 5, 5)"
    )
