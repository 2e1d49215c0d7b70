"""MVN against loops over images and channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .alone import build, run_at


def by_hand(x: np.ndarray, g: np.ndarray, across: bool, scale: bool, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Top and bottom gradient of `src/caffe/layers/mvn_layer.cpp`, one row at a time."""
    rows = x.reshape(x.shape[0] if across else x.shape[0] * x.shape[1], -1)
    tops, gradients = np.empty_like(rows), np.empty_like(rows)
    for at, (row, slope) in enumerate(zip(rows, g.reshape(rows.shape), strict=True)):
        y = row - row.mean()
        spread = np.sqrt((y * y).mean()) + eps if scale else 1
        tops[at] = y / spread
        along = tops[at] * (tops[at] * slope).mean() if scale else 0
        gradients[at] = (slope - slope.mean() - along) / spread
    return tops.reshape(x.shape), gradients.reshape(x.shape)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
@pytest.mark.parametrize("eps", [1e-9, 0.5])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("across", [True, False])
def test_values_and_gradients(across: bool, scale: bool, eps: float, memory_format: torch.memory_format) -> None:
    rng = np.random.default_rng(1)
    x, g = rng.normal(3, 2, (2, 3, 4, 5)), rng.normal(size=(2, 3, 4, 5))
    settings = f"across_channels: {across} normalize_variance: {scale} eps: {eps}".lower()
    layer, _ = build(f'type: "MVN" bottom: "x" top: "y" mvn_param {{ {settings} }}', x.shape)
    bottom = torch.tensor(x).contiguous(memory_format=memory_format).requires_grad_()
    (top,) = layer.forward(run_at(), [bottom], [])
    assert top.is_contiguous(memory_format=memory_format)
    (gradient,) = torch.autograd.grad(top, bottom, torch.tensor(g))
    wanted = by_hand(x, g, across, scale, eps)
    np.testing.assert_allclose(top.detach().numpy(), wanted[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(gradient.numpy(), wanted[1], rtol=1e-9, atol=1e-12)


def test_an_image_of_one_value_becomes_zero() -> None:
    layer, tops = build('type: "MVN" bottom: "x" top: "y"', (2, 3))
    assert tops == [(2, 3, 1, 1)]
    (top,) = layer.forward(run_at(), [torch.full((2, 3), 7.0)], [])
    assert not top.any()
