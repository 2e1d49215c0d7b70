"""LpPooling against norms of windows cut by hand, and against its neighbours: sums, maxima, torch's."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.layerkit.windows import Window, pooled

from .alone import build, run_at

Shape = tuple[int, ...]
FORMATS = [torch.contiguous_format, torch.channels_last]


def _layer(param: str, shape: Shape, type: str = "LpPooling") -> tuple:
    return build(f'name: "l" type: "{type}" bottom: "x" top: "y" pooling_param {{ {param} }}', shape)


def _by_windows(x: np.ndarray, p: float, window: Window, ceil: bool) -> np.ndarray:
    sizes = pooled(x.shape[2:], window, ceil)
    y = np.zeros((*x.shape[:2], *sizes))
    for i, j in itertools.product(*map(range, sizes)):
        ends = [
            (max(0, at * s - pad), max(0, at * s - pad + k))
            for at, k, s, pad in zip((i, j), window.kernel, window.stride, window.pad, strict=True)
        ]
        cut = x[:, :, slice(*ends[0]), slice(*ends[1])]
        y[:, :, i, j] = np.linalg.norm(cut.reshape(*x.shape[:2], -1), ord=p, axis=-1) if cut.size else 0
    return y


@pytest.mark.parametrize("memory_format", FORMATS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("p", [1, 1.5, 2, 3, 4])
@pytest.mark.parametrize(
    ("param", "shape", "window", "ceil"),
    [
        ("kernel_size: 2 stride: 2", (2, 3, 6, 5), ((2, 2), (2, 2), (0, 0)), True),
        ("kernel_size: 3 stride: 2 pad: 1", (2, 1, 6, 7), ((3, 3), (2, 2), (1, 1)), True),
        ("kernel_size: 3 stride: 2 round_mode: FLOOR", (1, 3, 6, 8), ((3, 3), (2, 2), (0, 0)), False),
        ("kernel_size: 2 stride: 3", (1, 2, 6, 7), ((2, 2), (3, 3), (0, 0)), True),
        ("kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 2", (2, 2, 3, 4), ((1, 3), (1, 1), (0, 2)), True),
        ("global_pooling: true", (2, 3, 4, 5), ((4, 5), (1, 1), (0, 0)), True),
    ],
)
def test_norms_by_hand(
    param: str, shape: Shape, window: tuple, ceil: bool, p: float, memory_format: torch.memory_format
) -> None:
    layer, (top,) = _layer(f"p: {p} {param}", shape)
    x = np.random.default_rng(1).standard_normal(shape)
    (y,) = layer.forward(run_at(), [torch.from_numpy(x).contiguous(memory_format=memory_format)], [])
    want = _by_windows(x, p, Window(*window, (1, 1)), ceil)
    assert top == tuple(y.shape) == want.shape
    assert y.is_contiguous(memory_format=memory_format)
    np.testing.assert_allclose(y, want, rtol=1e-12)


def test_the_exponent_is_2_unless_it_is_given() -> None:
    layer, _ = _layer("kernel_size: 2", (1, 1, 2, 2))
    (y,) = layer.forward(run_at(), [torch.tensor([[[[1.0, -2.0], [4.0, 2.0]]]])], [])
    assert y.item() == 5


def test_with_even_exponents_it_is_torchs() -> None:
    x = torch.randn(2, 3, 6, 6, dtype=torch.double)
    for p in (2, 4):
        layer, _ = _layer(f"p: {p} kernel_size: 2 stride: 2", (2, 3, 6, 6))
        torch.testing.assert_close(layer.forward(run_at(), [x], [])[0], torch.nn.functional.lp_pool2d(x, p, 2))


def test_a_large_exponent_comes_near_to_the_maximum() -> None:
    x = torch.rand(2, 3, 6, 6, dtype=torch.double) + 0.5
    layer, _ = _layer("p: 400 kernel_size: 3", (2, 3, 6, 6))
    largest, _ = _layer("kernel_size: 3", (2, 3, 6, 6), type="Pooling")
    (y,), (most,) = (each.forward(run_at(), [x], []) for each in (layer, largest))
    torch.testing.assert_close(y, most, rtol=0.01, atol=0)


@pytest.mark.parametrize("p", [1, 1.25, 2, 3])
@pytest.mark.parametrize("param", ["kernel_size: 3 stride: 2 pad: 1", "kernel_size: 2", "kernel_size: 3 pad: 2"])
def test_gradient(param: str, p: float) -> None:
    layer, _ = _layer(f"p: {p} {param}", (2, 2, 5, 4))
    x = torch.randn(2, 2, 5, 4, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    x = (x + 0.1 * x.sign()).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_the_gradient_is_0_where_the_norm_is(p: float) -> None:
    layer, _ = _layer(f"p: {p} kernel_size: 2 stride: 2", (1, 1, 2, 4))
    x = torch.tensor([[[[0.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]]]], requires_grad=True)
    (y,) = layer.forward(run_at(), [x], [])
    assert y.flatten().tolist() == [0, 3]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad[0, 0].tolist() == [[0, 0, 0, pytest.approx(1)], [0, 0, 0, 0]]


def test_not_a_number_is_passed_on() -> None:
    layer, _ = _layer("kernel_size: 1", (1, 1, 1, 2))
    (y,) = layer.forward(run_at(), [torch.tensor([[[[torch.nan, torch.inf]]]])], [])
    assert y.isnan().tolist() == [[[[True, False]]]]


@pytest.mark.parametrize(
    ("param", "shape", "told"),
    [
        ("p: 0.5 kernel_size: 2", (1, 1, 4, 4), "p must be at least 1, and finite, got 0.5"),
        ("p: inf kernel_size: 2", (1, 1, 4, 4), "p must be at least 1, and finite, got inf"),
        ("p: nan kernel_size: 2", (1, 1, 4, 4), "p must be at least 1, and finite, got nan"),
        (
            "",
            (1, 1, 4, 4),
            "kernel_size is missing\n  help: give kernel_size: 2, or kernel_h and kernel_w, or global_pooling: true",
        ),
        ("kernel_size: 5", (1, 1, 6, 4), "the kernel spans 5, more than the input of 4 with pad 0 on both sides"),
        ("kernel_size: 2", (1, 4), "needs a bottom of 4 axes (num, channels, height, width), got (1, 4)"),
    ],
)
def test_faults(param: str, shape: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param, shape)
    assert str(raised.value).splitlines() == f'layer "l" (LpPooling): {told}'.splitlines()


def test_settings_of_the_other_type_are_warned_about() -> None:
    layer, _ = _layer("kernel_size: 2 pool: AVE", (1, 1, 4, 4))
    (warning,) = layer.warnings()
    assert str(warning) == (
        'warning: layer "l" (LpPooling): pool has no effect: it belongs to the layer type Pooling\n  help: leave it out'
    )
    layer, _ = _layer("kernel_size: 2 p: 3", (1, 1, 4, 4), type="Pooling")
    assert [fault.message for fault in layer.warnings()] == ["p has no effect: it belongs to the layer type LpPooling"]
    assert not _layer("kernel_size: 2", (1, 1, 4, 4))[0].warnings()
