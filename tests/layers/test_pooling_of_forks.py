"""What forks added to Pooling, window by window: padding of single sides and AVE_EXC_PAD, written from
`src/caffe/layers/pooling_layer.cpp` of foss-for-synopsys-dwc-arc-processors/synopsys-caffe; and ceil_mode."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit import Layer

from .alone import build, run_at

Shape = tuple[int, ...]
FLT_MAX = np.finfo(np.float32).max
CASES = [
    # kernel, stride, pad (t, l, b, r), ceil, image
    case
    for case in itertools.product(
        ((2, 2), (3, 3), (3, 2)),
        ((1, 1), (2, 2), (2, 3)),
        ((0, 0, 1, 1), (1, 0, 0, 0), (2, 1, 0, 1), (0, 0, 0, 0), (1, 1, 1, 1)),
        (True, False),
        ((4, 4), (5, 6), (7, 3)),
    )
    if max(case[2][::2]) < case[0][0] and max(case[2][1::2]) < case[0][1]
]


def pooling(settings: str, shape: Shape, tops: str = 'top: "y"') -> tuple[Layer, list[Shape]]:
    return build(f'name: "p" type: "Pooling" bottom: "x" {tops} pooling_param {{ {settings} }}', shape)


def counted(case: tuple) -> Shape:
    """How many windows there are."""
    kernel, stride, (top, left, bottom, right), ceil, image = case
    round_ = np.ceil if ceil else np.floor
    sizes = []
    for n, k, s, before, behind in zip(image, kernel, stride, (top, left), (bottom, right), strict=True):
        size = int(round_(np.float32(n + before + behind - k) / s)) + 1
        if top or left or bottom or right:
            size -= (size - 1) * s >= n + before
        sizes.append(size)
    return tuple(sizes)


def by_loops(x: np.ndarray, case: tuple) -> dict[str, np.ndarray]:
    kernel, stride, (top, left, bottom, right), _, (height, width) = case
    shape = (*x.shape[:2], *counted(case))
    found = {name: np.zeros(shape) for name in ("max", "mask", "AVE", "AVE_EXC_PAD")}
    for n, c, i, j in np.ndindex(*shape):
        hstart, wstart = i * stride[0] - top, j * stride[1] - left
        whole = (min(hstart + kernel[0], height + bottom) - hstart) * (min(wstart + kernel[1], width + right) - wstart)
        rows = range(max(hstart, 0), min(hstart + kernel[0], height))
        columns = range(max(wstart, 0), min(wstart + kernel[1], width))
        best, where, total = -FLT_MAX, -1, 0.0
        for h, w in itertools.product(rows, columns):
            total += x[n, c, h, w]
            if x[n, c, h, w] > best:
                best, where = x[n, c, h, w], h * width + w
        found["max"][n, c, i, j], found["mask"][n, c, i, j] = best, where
        found["AVE"][n, c, i, j] = total / whole if whole else np.nan
        covered = len(rows) * len(columns)
        found["AVE_EXC_PAD"][n, c, i, j] = total / covered if covered else np.nan
    return found


def settings_of(case: tuple, method: str) -> str:
    (kh, kw), (sh, sw), (top, left, bottom, right), ceil, _ = case
    return (
        f"pool: {method} kernel_h: {kh} kernel_w: {kw} stride_h: {sh} stride_w: {sw} pad_t: {top} pad_l: {left} "
        f"pad_b: {bottom} pad_r: {right} ceil_mode: {'true' if ceil else 'false'}"
    )


def test_every_window_by_hand() -> None:
    for case in CASES:
        if min(counted(case)) < 1:
            continue
        x = np.random.default_rng(1).standard_normal((2, 2, *case[4])).astype(np.float32)
        want, bottom = by_loops(x, case), torch.from_numpy(x)
        layer, tops = pooling(settings_of(case, "MAX"), x.shape, 'top: "y" top: "mask"')
        y, mask = layer.forward(run_at(), [bottom], [])
        assert tops == [tuple(y.shape)] * 2 == [want["max"].shape] * 2, case
        np.testing.assert_array_equal(y, want["max"].astype(np.float32), str(case))
        np.testing.assert_array_equal(mask, want["mask"], str(case))
        for method in ("AVE", "AVE_EXC_PAD"):
            layer, tops = pooling(settings_of(case, method), x.shape)
            (y,) = layer.forward(run_at(), [bottom], [])
            assert tops == [tuple(y.shape)], case
            np.testing.assert_allclose(y, want[method], rtol=1e-5, atol=1e-6, err_msg=f"{method} {case}")


@pytest.mark.parametrize(
    "settings", ["pad: 1", "pad_h: 1 pad_w: 0", "pad_t: 1 pad_r: 1", "stride: 2", "stride: 5 pad: 2"]
)
def test_gradient_of_an_average_over_the_image(settings: str) -> None:
    layer, _ = pooling(f"pool: AVE_EXC_PAD kernel_size: 3 {settings}", (2, 2, 5, 4))
    x = torch.randn(2, 2, 5, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x)


def test_padding_does_not_count_in_an_average_over_the_image() -> None:
    layer, _ = pooling("pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad: 1", (1, 1, 3, 3))
    (y,) = layer.forward(run_at(), [torch.ones(1, 1, 3, 3)], [])
    assert y.unique().tolist() == [1]


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ("", 4),
        ("ceil_mode: true", 4),
        ("ceil_mode: false", 3),
        ("ceil_mode: false round_mode: FLOOR", 3),
        ("ceil_mode: true round_mode: CEIL", 4),
    ],
)
def test_ceil_mode(settings: str, size: int) -> None:
    assert pooling(f"kernel_size: 3 stride: 2 {settings}", (1, 1, 8, 8))[1] == [(1, 1, size, size)]


@pytest.mark.parametrize("settings", ["ceil_mode: true round_mode: FLOOR", "ceil_mode: false round_mode: CEIL"])
def test_ceil_mode_against_round_mode(settings: str) -> None:
    with pytest.raises(LayerError, match="ceil_mode contradicts round_mode, which says the same in other words"):
        pooling(f"kernel_size: 3 {settings}", (1, 1, 8, 8))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("kernel_size: 3 pad: 1 pad_l: 1", "pad and pad_l are both given"),
        ("kernel_size: 3 pad_h: 1 pad_w: 1 pad_b: 1", "pad_h and pad_b are both given"),
        ("kernel_size: 3 pad_l: 3", "pad must be smaller than the kernel, 3, got pad_l: 3"),
        ("kernel_h: 3 kernel_w: 2 pad_r: 2", "pad must be smaller than the kernel, 2, got pad_r: 2"),
        ("global_pooling: true pad_t: 1", "pad must be 0 with global_pooling: true, got pad_t: 1"),
        ("pool: STOCHASTIC kernel_size: 3 pad_b: 1", "pool: STOCHASTIC has no padding"),
        (
            "kernel_size: 9 pad_t: 1 ceil_mode: false",
            "the kernel spans 9, more than the input of 7 with pad 1 before and 0 behind it",
        ),
    ],
)
def test_faults(settings: str, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        pooling(settings, (1, 1, 7, 7))
    assert f'layer "p" (Pooling): {told}' in str(raised.value)


@pytest.mark.parametrize("phase", [0, 1])
def test_dropout_that_samples_in_test(phase: int) -> None:
    text = (
        'name: "d" type: "Dropout" bottom: "x" top: "y" dropout_param { dropout_ratio: 0.25 sample_weights_test: true }'
    )
    layer, _ = build(text, (40, 50), phase=phase)
    (y,) = layer.forward(run_at(), [torch.ones(40, 50)], [])
    assert y.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert 0.2 < (y == 0).double().mean() < 0.3
    assert not torch.equal(y, layer.forward(run_at(1), [torch.ones(40, 50)], [])[0])
