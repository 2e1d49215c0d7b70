"""Convolution and Deconvolution against sums over every output or input position, and against each other."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.fillers import fill
from caffelite.runtime.seeds import generator

from .alone import build, run_at

Shape = tuple[int, ...]


def _layer(kind: str, param: str, *bottoms: Shape) -> tuple:
    names = " ".join(f'bottom: "x{i}" top: "y{i}"' for i in range(len(bottoms)))
    return build(f'name: "f" type: "{kind}" {names} convolution_param {{ {param} }}', *bottoms)


def _convolved(
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


def _deconvolved(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: Shape, pad: Shape, dilation: Shape, group: int
) -> np.ndarray:
    """Each value of x spread over the positions its filter covers; then the padding is cut off."""
    kernel, outputs, inputs = weight.shape[2:], weight.shape[1], x.shape[1] // group
    sizes = [s * (n - 1) + d * (k - 1) + 1 for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)]
    y = np.zeros((len(x), outputs * group, *sizes))
    for c, at, tap in itertools.product(range(x.shape[1]), np.ndindex(x.shape[2:]), np.ndindex(kernel)):
        to = tuple(i * s + k * d for i, s, k, d in zip(at, stride, tap, dilation, strict=True))
        first = c // inputs * outputs
        for o in range(outputs):
            y[(slice(None), first + o, *to)] += x[(slice(None), c, *at)] * weight[(c, o, *tap)]
    inside = tuple(slice(p, size - p) for p, size in zip(pad, sizes, strict=True))
    return y[(slice(None), slice(None), *inside)] + bias.reshape(-1, *(1,) * len(kernel))


BY_SUMS = {"Convolution": _convolved, "Deconvolution": _deconvolved}
CONVOLUTIONS = [
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
]
DECONVOLUTIONS = [
    ("kernel_size: 3", (2, 3, 5, 6), ((1, 1), (0, 0), (1, 1)), 1),
    ("kernel_size: 4 stride: 2 pad: 1", (2, 3, 3, 4), ((2, 2), (1, 1), (1, 1)), 1),
    ("kernel_size: 3 stride: 2 pad: 3 group: 2", (2, 4, 5, 6), ((2, 2), (3, 3), (1, 1)), 2),
    ("kernel_h: 1 kernel_w: 4 stride_h: 3 stride_w: 1 pad_w: 2", (1, 2, 4, 5), ((3, 1), (0, 2), (1, 1)), 1),
    ("kernel_size: 2 stride: 3 dilation: 3 dilation: 1", (2, 3, 5, 6), ((3, 3), (0, 0), (3, 1)), 1),
    ("kernel_size: 1 stride: 3 group: 4", (1, 4, 2, 3), ((3, 3), (0, 0), (1, 1)), 4),
    ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 8), ((2,), (1,), (1,)), 1),
    ("kernel_size: 2 pad: 1 dilation: 2", (1, 2, 4, 3, 5), ((1,) * 3, (1,) * 3, (2,) * 3), 1),
    ("kernel_size: 2 stride: 2 pad: 1", (2, 2, 3, 2, 2, 3), ((2,) * 4, (1,) * 4, (1,) * 4), 1),
    ("kernel_size: 2 group: 2 dilation: 2", (1, 4, 2, 3, 1, 2), ((1,) * 4, (0,) * 4, (2,) * 4), 2),
    ("kernel_size: 1 kernel_size: 2 kernel_size: 1 kernel_size: 2 kernel_size: 2", (1, 2, 2, 1, 2, 1, 2), (), 1),
]


@pytest.mark.parametrize(
    ("kind", "param", "shape", "moves", "group"),
    [
        *(("Convolution", *given) for given in CONVOLUTIONS),
        *(("Deconvolution", *given) for given in DECONVOLUTIONS),
    ],
)
def test_sums_by_hand(kind: str, param: str, shape: Shape, moves: tuple, group: int) -> None:
    random = np.random.default_rng(4)
    layer, (top,) = _layer(kind, f"num_output: 4 {param}", shape)
    x, weight, bias = (random.standard_normal(s) for s in (shape, *(spec.shape for spec in layer.weights)))
    moves = moves or tuple((value,) * (len(shape) - 2) for value in (1, 0, 1))
    want = BY_SUMS[kind](x, weight, bias, *moves, group)
    (y,) = layer.forward(run_at(), [torch.from_numpy(x)], [torch.from_numpy(weight), torch.from_numpy(bias)])
    assert tuple(y.shape) == top == want.shape
    np.testing.assert_allclose(y, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("param", "shape", "moves", "group"), DECONVOLUTIONS)
def test_it_is_the_gradient_of_a_convolution(param: str, shape: Shape, moves: tuple, group: int) -> None:
    random = torch.Generator().manual_seed(3)
    layer, (top,) = _layer("Deconvolution", f"num_output: 4 {param} bias_term: false", shape)
    convolution, (back,) = _layer("Convolution", f"num_output: {shape[1]} {param} bias_term: false", top)
    assert back == shape
    assert convolution.weights[0].shape == layer.weights[0].shape
    weight = torch.randn(layer.weights[0].shape, dtype=torch.double, generator=random)
    x = torch.randn(shape, dtype=torch.double, generator=random)
    z = torch.zeros(top, dtype=torch.double, requires_grad=True)
    (y,) = layer.forward(run_at(), [x], [weight])
    (reduced,) = convolution.forward(run_at(), [z], [weight])
    torch.testing.assert_close(y, torch.autograd.grad(reduced, z, x)[0])


SIZES = {
    "Convolution": [(height, 10 - height) for height in range(1, 10)],
    "Deconvolution": [(1, 9), (2, 7), (4, 4), (8, 3)],
}


@pytest.mark.parametrize("kind", BY_SUMS)
def test_declared_shape_is_computed_shape(kind: str) -> None:
    for kernel, stride, pad, dilation in itertools.product((1, 2, 3, 5), (1, 2, 3), (0, 1, 3), (1, 2)):
        reach, param = dilation * (kernel - 1) + 1, f"kernel_size: {kernel} stride: {stride} dilation: {dilation}"
        for sizes in SIZES[kind]:
            beyond = reach - min(sizes) - 2 * pad
            spread = stride * (min(sizes) - 1) + reach - 2 * pad
            if beyond >= stride if kind == "Convolution" else spread < 1:
                continue
            layer, declared = _layer(kind, f"num_output: 3 pad: {pad} {param}", (2, 2, *sizes))
            weights = [torch.randn(spec.shape) for spec in layer.weights]
            (y,) = layer.forward(run_at(), [torch.randn(2, 2, *sizes)], weights)
            assert [tuple(y.shape)] == declared, (param, pad, sizes)


@pytest.mark.parametrize(
    ("kind", "param", "shape", "top", "weight"),
    [
        ("Convolution", "axis: 1 kernel_size: 2", (2, 3, 4, 5), (2, 6, 3, 4), (6, 3, 2, 2)),
        ("Convolution", "axis: -3 kernel_size: 2", (2, 3, 4, 5), (2, 6, 3, 4), (6, 3, 2, 2)),
        ("Convolution", "axis: 2 kernel_size: 2", (2, 3, 4, 5), (2, 3, 6, 4), (6, 4, 2)),
        ("Convolution", "axis: 0 kernel_size: 2", (3, 4, 5), (6, 3, 4), (6, 3, 2, 2)),
        ("Convolution", "axis: -1", (2, 3, 4), (2, 3, 6), (6, 4)),
        ("Convolution", "kernel_size: 9 axis: 1", (2, 3), (2, 6), (6, 3)),
        ("Convolution", "axis: 0", (3,), (6,), (6, 3)),
        ("Convolution", "axis: -1 bias_term: false group: 2", (2, 3, 4), (2, 3, 6), (6, 2)),
        ("Deconvolution", "axis: 1 kernel_size: 2", (2, 3, 4, 5), (2, 6, 5, 6), (3, 6, 2, 2)),
        ("Deconvolution", "axis: -3 kernel_size: 2 group: 3", (2, 3, 4, 5), (2, 6, 5, 6), (3, 2, 2, 2)),
        ("Deconvolution", "axis: 2 kernel_size: 2", (2, 3, 4, 5), (2, 3, 6, 6), (4, 6, 2)),
        ("Deconvolution", "axis: 0 kernel_size: 2", (3, 4, 5), (6, 5, 6), (3, 6, 2, 2)),
        ("Deconvolution", "axis: -1", (2, 3, 4), (2, 3, 6), (4, 6)),
        ("Deconvolution", "axis: 0", (3,), (6,), (3, 6)),
        ("Deconvolution", "axis: -1 bias_term: false group: 2", (2, 3, 4), (2, 3, 6), (4, 3)),
    ],
)
def test_axes_before_the_channels_are_the_batch(kind: str, param: str, shape: Shape, top: Shape, weight: Shape) -> None:
    layer, declared = _layer(kind, f"num_output: 6 {param}", shape)
    assert declared == [top]
    assert layer.weights[0].shape == weight
    assert all(spec.shape == (6,) for spec in layer.weights[1:])
    weights = [torch.randn(spec.shape, dtype=torch.double) for spec in layer.weights]
    x = torch.randn(shape, dtype=torch.double)
    (y,) = layer.forward(run_at(), [x], weights)
    assert tuple(y.shape) == top
    axis = len(shape) + 1 - len(weight)
    lone = [1] if len(weight) == 2 else []
    folded, first = x.reshape(-1, *shape[axis:], *lone), weights[0].reshape(*weight, *lone)
    bias = weights[1] if len(weights) > 1 else torch.zeros(6, dtype=torch.double)
    ones, zeros = (1,) * (folded.dim() - 2), (0,) * (folded.dim() - 2)
    group = (shape[axis] if kind == "Convolution" else 6) // weight[1]
    want = BY_SUMS[kind](folded.numpy(), first.numpy(), bias.numpy(), ones, zeros, ones, group)
    np.testing.assert_allclose(y.reshape(want.shape), want)


@pytest.mark.parametrize(
    ("kind", "param", "shape"),
    [
        ("Convolution", "kernel_size: 3 stride: 2 pad: 1 group: 2", (2, 4, 4, 5)),
        ("Convolution", "kernel_size: 3 stride: 2", (1, 2, 2, 2)),
        ("Convolution", "kernel_size: 2 stride: 2 pad: 1", (1, 2, 2, 2, 3, 2)),
        ("Convolution", "axis: -1", (2, 2, 3)),
        ("Deconvolution", "kernel_size: 3 stride: 2 pad: 1 group: 2", (2, 4, 2, 3)),
        ("Deconvolution", "kernel_size: 2 dilation: 2", (2, 2, 3)),
        ("Deconvolution", "kernel_size: 2 stride: 2 pad: 1", (1, 2, 2, 2, 3, 2)),
        ("Deconvolution", "axis: -1", (2, 2, 3)),
    ],
)
def test_gradient(kind: str, param: str, shape: Shape) -> None:
    layer, _ = _layer(kind, f"num_output: 2 {param}", shape)
    given = [torch.randn(s, dtype=torch.double, requires_grad=True) for s in (shape, *(w.shape for w in layer.weights))]
    assert torch.autograd.gradcheck(lambda x, *weights: layer.forward(run_at(), [x], weights), given)


def test_several_bottoms_share_the_filters() -> None:
    layer, tops = _layer("Deconvolution", "num_output: 2 kernel_size: 3 stride: 2", (2, 3, 4, 5), (2, 3, 4, 5))
    assert tops == [(2, 2, 9, 11)] * 2
    first, second = torch.randn(2, 2, 3, 4, 5)
    weights = [torch.randn(spec.shape) for spec in layer.weights]
    both = layer.forward(run_at(), [first, second], weights)
    assert [torch.equal(y, layer.forward(run_at(), [x], weights)[0]) for x, y in ((first, both[0]), (second, both[1]))]


@pytest.mark.parametrize(("kind", "stride"), [("Convolution", 1), ("Deconvolution", 2)])
def test_channels_last_is_kept(kind: str, stride: int) -> None:
    layer, _ = _layer(kind, f"num_output: 4 kernel_size: 3 stride: {stride}", (2, 3, 6, 6))
    x = torch.randn(2, 3, 6, 6).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(layer.weights[0].shape).contiguous(memory_format=torch.channels_last)
    (y,) = layer.forward(run_at(), [x], [weight, torch.zeros(4)])
    assert y.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("kind", "size"), [("Convolution", 4), ("Deconvolution", 8)])
def test_an_empty_batch(kind: str, size: int) -> None:
    layer, tops = _layer(kind, "num_output: 4 kernel_size: 3", (0, 3, 6, 6))
    (y,) = layer.forward(run_at(), [torch.zeros(0, 3, 6, 6)], [torch.zeros(spec.shape) for spec in layer.weights])
    assert [tuple(y.shape)] == tops == [(0, 4, size, size)]


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_filler_interpolates(factor: int) -> None:
    """A ramp stays a ramp: value (i + ½)/factor − ½ at position i, away from the edges."""
    kernel, pad = 2 * factor - factor % 2, factor // 2
    layer, (top,) = _layer(
        "Deconvolution",
        f"num_output: 2 group: 2 kernel_size: {kernel} stride: {factor} pad: {pad} bias_term: false "
        'weight_filler { type: "bilinear" }',
        (1, 2, 5, 6),
    )
    assert top == (1, 2, 5 * factor, 6 * factor)
    weight = torch.from_numpy(fill(layer.weights[0].filler, layer.weights[0].shape, generator(1, "w")))
    ramp = torch.arange(6.0).expand(1, 2, 5, 6)
    (y,) = layer.forward(run_at(), [ramp], [weight])
    want = (torch.arange(6.0 * factor) + 0.5) / factor - 0.5
    torch.testing.assert_close(
        y[0, 1, factor:-factor, factor:-factor], want[factor:-factor].expand(3 * factor, 4 * factor)
    )


def test_fans_come_from_the_weights_shape() -> None:
    """Fan-in is count / shape[0] (what one would call fan-out), so xavier's bound is √(3 / (2·3·3))."""
    layer, _ = _layer("Deconvolution", 'num_output: 2 kernel_size: 3 weight_filler { type: "xavier" }', (1, 200, 4, 4))
    weight = fill(layer.weights[0].filler, layer.weights[0].shape, generator(1, "w"))
    assert np.abs(weight).max() == pytest.approx((3 / 18) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "count"),
    [("Convolution", 2 * (2 * 6 * 3 * 3) * (2 * 3 * 3)), ("Deconvolution", 2 * (2 * 4 * 5 * 5) * (3 * 3 * 3))],
)
def test_multiply_adds(kind: str, count: int) -> None:
    layer, tops = _layer(kind, "num_output: 6 kernel_size: 3 group: 2", (2, 4, 5, 5), (2, 4, 5, 5))
    assert layer.multiply_adds([(2, 4, 5, 5)] * 2, tops) == count


FAULTS_OF_BOTH = [
    ("kernel_size: 3", [(1, 2, 5, 5)], ["num_output must be positive, got 0"]),
    (
        "num_output: 4",
        [(1, 2, 5, 5)],
        ["kernel_size is missing\n  help: give kernel_size: 3, or kernel_h and kernel_w"],
    ),
    ("num_output: 4 kernel_size: 3 group: 0", [(1, 2, 5, 5)], ["group must be positive, got 0"]),
    (
        "num_output: 5 kernel_size: 3 stride: 0 group: 2",
        [(1, 3, 5, 5)],
        [
            "input channels must be a multiple of group, got 3 with group: 2",
            "num_output must be a multiple of group, got 5 with group: 2",
            "stride must be positive, got stride: 0",
        ],
    ),
    ("num_output: 4 kernel_size: 3 axis: 4", [(1, 2, 5, 7)], ["axis must be an axis of a 4-d blob, got 4"]),
    (
        "num_output: 4 kernel_size: 3",
        [(1, 2, 5, 5), (1, 2, 5, 6)],
        ["its bottoms must all have one shape, got shapes (1, 2, 5, 5) and (1, 2, 5, 6)"],
    ),
    (
        'num_output: 4 kernel_size: 3 weight_filler { type: "gausian" } bias_filler { type: "uniform" min: 2 }',
        [(1, 2, 5, 5)],
        [
            'weight_filler type names no filler, got "gausian"\n  help: did you mean gaussian?',
            "bias_filler min must not be above max, got 2 above 1",
        ],
    ),
]


@pytest.mark.parametrize(
    ("kind", "param", "bottoms", "told"),
    [
        *((kind, *given) for kind in BY_SUMS for given in FAULTS_OF_BOTH),
        (
            "Convolution",
            "num_output: 4 kernel_size: 6",
            [(1, 2, 5, 7)],
            ["the kernel spans 6, more than the input of 5 with pad 0 on both sides"],
        ),
        (
            "Convolution",
            "num_output: 4 kernel_size: 3 dilation: 4 pad: 1",
            [(1, 2, 9, 6)],
            ["the kernel spans 9, more than the input of 6 with pad 1 on both sides"],
        ),
        (
            "Deconvolution",
            "num_output: 4 kernel_size: 3 pad: 4",
            [(1, 2, 5, 7)],
            ["pad 4 cuts off 8 of the 7 positions that 5 are spread over"],
        ),
        (
            "Deconvolution",
            'num_output: 4 kernel_h: 3 kernel_w: 2 weight_filler { type: "bilinear" }',
            [(1, 2, 5, 5)],
            ['weight_filler type "bilinear" fills square kernels of 4-d weights, this weight is (2, 4, 3, 2)'],
        ),
    ],
)
def test_faults(kind: str, param: str, bottoms: list[Shape], told: list[str]) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(kind, param, *bottoms)
    assert [str(fault) for fault in raised.value.faults] == [f'layer "f" ({kind}): {line}' for line in told]


@pytest.mark.parametrize(("kind", "top"), [("Convolution", (3, 4, 4, 5)), ("Deconvolution", (3, 4, 8, 9))])
def test_the_channels_may_not_change(kind: str, top: Shape) -> None:
    layer, _ = _layer(kind, "num_output: 4 kernel_size: 3", (1, 2, 5, 5))
    assert list(layer.shapes([(3, 2, 6, 7)])) == [top]
    with pytest.raises(LayerError) as raised:
        layer.shapes([(1, 3, 5, 5)])
    assert str(raised.value) == (
        f'layer "f" ({kind}): the filters are for 4 axes with 2 channels on axis 1, the bottom is now (1, 3, 5, 5)'
    )
