"""LRN against loops written from the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffelite import ops
from caffelite.errors import LayerError

from .alone import build, run_at

FORMATS = [torch.contiguous_format, torch.channels_last]


def _layer(param: str, shape: tuple[int, ...]) -> tuple:
    return build(f'name: "n" type: "LRN" bottom: "x" top: "y" lrn_param {{ {param} }}', shape)


def _across(x: np.ndarray, size: int, alpha: float, beta: float, k: float) -> np.ndarray:
    y, half = np.zeros(x.shape), size // 2
    for n, c, h, w in np.ndindex(x.shape):
        energy = (x[n, max(0, c - half) : c + half + 1, h, w] ** 2).sum()
        y[n, c, h, w] = x[n, c, h, w] / (k + alpha / size * energy) ** beta
    return y


def _within(x: np.ndarray, size: int, alpha: float, beta: float, _k: float) -> np.ndarray:
    y, half = np.zeros(x.shape), size // 2
    for n, c, h, w in np.ndindex(x.shape):
        energy = (x[n, c, max(0, h - half) : h + half + 1, max(0, w - half) : w + half + 1] ** 2).sum()
        y[n, c, h, w] = x[n, c, h, w] / (1 + alpha / size**2 * energy) ** beta
    return y


PARAMETERS = [(1, 1.0, 0.75, 1.0), (3, 0.5, 0.75, 2.0), (5, 2.0, 0.5, 0.1), (7, 0.3, 1.25, 1.5), (15, 1.0, 0.75, 1.0)]


@pytest.mark.parametrize("memory_format", FORMATS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize(("size", "alpha", "beta", "k"), PARAMETERS)
@pytest.mark.parametrize(("region", "formula"), [("ACROSS_CHANNELS", _across), ("WITHIN_CHANNEL", _within)])
@pytest.mark.parametrize("shape", [(2, 7, 3, 4), (1, 2, 5, 5), (2, 1, 1, 6)])
def test_formula(region, formula, size, alpha, beta, k, shape, memory_format) -> None:  # type: ignore[no-untyped-def]
    x = np.random.default_rng(3).standard_normal(shape)
    param = f"norm_region: {region} local_size: {size} alpha: {alpha} beta: {beta} k: {k}"
    layer, declared = _layer(param, shape)
    bottom = torch.from_numpy(x).contiguous(memory_format=memory_format)
    (y,) = layer.forward(run_at(), [bottom], [])
    assert declared == [shape] == [tuple(y.shape)]
    assert y.is_contiguous(memory_format=memory_format)
    np.testing.assert_allclose(y, formula(x, size, alpha, beta, k), rtol=1e-6)


@pytest.mark.parametrize("memory_format", FORMATS, ids=["nchw", "nhwc"])
@pytest.mark.parametrize(("size", "alpha", "beta", "k"), PARAMETERS)
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_gradient(  # type: ignore[no-untyped-def]
    region, size, alpha, beta, k, memory_format
) -> None:
    param = f"norm_region: {region} local_size: {size} alpha: {alpha} beta: {beta} k: {k}"
    layer, _ = _layer(param, (2, 4, 3, 2))
    x = torch.randn(2, 4, 3, 2, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer.forward(run_at(), [x], []), x)


@pytest.mark.parametrize("memory_format", FORMATS, ids=["nchw", "nhwc"])
def test_a_batch_in_pieces_is_the_batch(monkeypatch: pytest.MonkeyPatch, memory_format: torch.memory_format) -> None:
    layer, _ = _layer("alpha: 0.5", (7, 6, 3, 4))
    random = torch.Generator().manual_seed(1)
    x, above = (torch.randn(7, 6, 3, 4, generator=random).contiguous(memory_format=memory_format) for _ in range(2))
    found = []
    for piece in (2**18, 3 * 72, 72, 1):
        monkeypatch.setattr(ops.lrn, "PIECE", piece)
        (y,) = layer.forward(run_at(), [x.requires_grad_()], [])
        found.append((y, *torch.autograd.grad(y, x, above)))
    for y, dx in found:
        assert y.is_contiguous(memory_format=memory_format)
        torch.testing.assert_close((y, dx), found[0])


def test_an_empty_batch() -> None:
    layer, _ = _layer("", (0, 6, 3, 4))
    x = torch.zeros(0, 6, 3, 4, requires_grad=True)
    (y,) = layer.forward(run_at(), [x], [])
    assert torch.autograd.grad(y.sum(), x)[0].shape == y.shape == (0, 6, 3, 4)


@pytest.mark.parametrize(
    ("param", "shape", "told"),
    [
        (
            "local_size: 4",
            (1, 8, 2, 2),
            "local_size must be odd, got 4\n  help: so that as many neighbours lie on either side",
        ),
        (
            "local_size: 0 norm_region: WITHIN_CHANNEL",
            (1, 8, 2, 2),
            "local_size must be odd, got 0\n  help: so that as many neighbours lie on either side",
        ),
        ("", (4, 8), "needs a bottom of 4 axes (num, channels, height, width), got (4, 8)"),
    ],
)
def test_faults(param: str, shape: tuple[int, ...], told: str) -> None:
    with pytest.raises(LayerError) as raised:
        _layer(param, shape)
    assert str(raised.value) == f'layer "n" (LRN): {told}'
