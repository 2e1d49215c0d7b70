"""LocalContrastNormalization against loops written from the paper's formulas, and images whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at

Shape = tuple[int, ...]
FORMATS = [torch.contiguous_format, torch.channels_last]


def _layer(param: str, shape: Shape) -> tuple:
    type = 'name: "n" type: "LocalContrastNormalization" bottom: "x" top: "y"'
    return build(f"{type} local_contrast_normalization_param {{ {param} }}", shape)


def _computed(param: str, x: torch.Tensor) -> torch.Tensor:
    layer, declared = _layer(param, tuple(x.shape))
    (y,) = layer.forward(run_at(), [x], [])
    assert declared == [tuple(y.shape)]
    return y


def _weighted(x: np.ndarray, size: int, sigma: float | None, across: bool) -> np.ndarray:
    """For each position the weighted mean of x around, the weights of what lies inside the image adding up to 1."""
    half, mean = size // 2, np.zeros(x.shape)
    for n, c, h, w in np.ndindex(x.shape):
        total = weights = 0.0
        for p in range(max(0, h - half), min(x.shape[2], h + half + 1)):
            for q in range(max(0, w - half), min(x.shape[3], w + half + 1)):
                weight = 1.0 if sigma is None else np.exp(-((p - h) ** 2 + (q - w) ** 2) / (2 * sigma**2))
                total += weight * (x[n, :, p, q].mean() if across else x[n, c, p, q])
                weights += weight
        mean[n, c, h, w] = total / weights
    return mean


def _divided(v: np.ndarray, mean: np.ndarray, threshold: float, mean_floor: bool) -> np.ndarray:
    sigma = np.maximum(np.sqrt(mean), threshold)
    floor = sigma.mean((2, 3), keepdims=True) if mean_floor else 0
    return v / np.maximum(sigma, floor)


WINDOWS = [
    ("", 9, 2.25),
    ("local_size: 3", 3, 0.75),
    ("local_size: 5 sigma: 2", 5, 2.0),
    ("local_size: 3 window: UNIFORM", 3, None),
    ("local_size: 1", 1, 1.0),
]


@pytest.mark.parametrize("memory_format", FORMATS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize("across", [True, False], ids=["across", "within"])
@pytest.mark.parametrize(("window", "size", "sigma"), WINDOWS)
@pytest.mark.parametrize("floor", ["", "mean_floor: false threshold: 0.5"])
def test_formula(
    window: str, size: int, sigma: float | None, floor: str, across: bool, memory_format: torch.memory_format
) -> None:
    x = np.random.default_rng(3).standard_normal((2, 3, 5, 7))
    param = f"{window} {floor} norm_region: {'ACROSS_CHANNELS' if across else 'WITHIN_CHANNEL'}"
    bottom = torch.from_numpy(x).contiguous(memory_format=memory_format)
    threshold, mean_floor = (0.5, False) if floor else (1e-4, True)
    v = x - _weighted(x, size, sigma, across)
    wanted = {
        "SUBTRACTIVE": v,
        "DIVISIVE": _divided(x, _weighted(x**2, size, sigma, across), threshold, mean_floor),
        "BOTH": _divided(v, _weighted(v**2, size, sigma, across), threshold, mean_floor),
    }
    for operation, want in wanted.items():
        y = _computed(f"{param} operation: {operation}", bottom)
        assert y.is_contiguous(memory_format=memory_format)
        np.testing.assert_allclose(y, want, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("param", ["", "window: UNIFORM", "norm_region: WITHIN_CHANNEL", "local_size: 31"])
def test_an_even_image_has_no_contrast_not_even_at_its_border(param: str) -> None:
    x = torch.full((1, 2, 8, 9), 3.0, dtype=torch.double)
    torch.testing.assert_close(_computed(param, x), torch.zeros_like(x), rtol=0, atol=1e-9)
    for floor in ("true", "false"):
        y = _computed(f"{param} operation: DIVISIVE mean_floor: {floor}", x)
        torch.testing.assert_close(y, torch.ones_like(x))


def test_brightness_and_contrast_of_the_image_do_not_matter() -> None:
    x = torch.randn(2, 3, 12, 10, dtype=torch.double)
    torch.testing.assert_close(_computed("", 40 * x + 7), _computed("", x))


def test_noise_in_an_even_part_is_not_blown_up_unless_the_floor_is_left_out() -> None:
    x = torch.randn(1, 1, 16, 32, generator=torch.Generator().manual_seed(1))
    x[..., :16] *= 0.01
    kept, blown = (_computed(param, x)[..., :8].abs().mean() for param in ("", "mean_floor: false"))
    assert kept < 0.05
    assert blown > 0.5


@pytest.mark.parametrize("operation", ["BOTH", "SUBTRACTIVE", "DIVISIVE"])
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
@pytest.mark.parametrize("floor", ["true", "false"])
@pytest.mark.parametrize("window", ["GAUSSIAN", "UNIFORM"])
def test_gradient(operation: str, region: str, floor: str, window: str) -> None:
    param = f"operation: {operation} norm_region: {region} mean_floor: {floor} window: {window} local_size: 3"
    layer, _ = _layer(param, (2, 2, 4, 3))
    x = torch.randn(2, 2, 4, 3, dtype=torch.double, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x)


@pytest.mark.parametrize("operation", ["BOTH", "DIVISIVE"])
@pytest.mark.parametrize("floor", ["true", "false"])
def test_the_gradient_is_finite_on_an_empty_image(operation: str, floor: str) -> None:
    layer, _ = _layer(f"operation: {operation} mean_floor: {floor}", (1, 1, 5, 5))
    x = torch.zeros(1, 1, 5, 5, requires_grad=True)
    layer.forward(run_at(), [x], [])[0].square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_an_empty_batch() -> None:
    assert _computed("", torch.zeros(0, 3, 5, 6)).shape == (0, 3, 5, 6)


@pytest.mark.parametrize(
    ("param", "shape", "told"),
    [
        ("local_size: 4", (1, 1, 4, 4), "local_size must be odd, got 4\n  help: so that a pixel is in the middle"),
        ("sigma: 0", (1, 1, 4, 4), "sigma must be positive, got 0.0"),
        ("sigma: nan", (1, 1, 4, 4), "sigma must be positive, got nan"),
        ("threshold: 0", (1, 1, 4, 4), "threshold must be at least 1e-15, got 0.0"),
        ("", (1, 4), "needs a bottom of 4 axes (num, channels, height, width), got (1, 4)"),
    ],
)
def test_faults(param: str, shape: Shape, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param, shape)
    assert str(raised.value) == f'layer "n" (LocalContrastNormalization): {told}'


def test_a_sigma_that_is_not_used_is_warned_about() -> None:
    layer, _ = _layer("window: UNIFORM sigma: 2", (1, 1, 4, 4))
    assert [fault.message for fault in layer.warnings()] == ["sigma has no effect: it is for window: GAUSSIAN"]
    assert not _layer("sigma: 2", (1, 1, 4, 4))[0].warnings()
