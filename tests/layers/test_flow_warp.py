"""FlowWarp against plain loops over `flow_warp_layer.cpp` of lmb-freiburg/flownet2."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError

from .alone import build, run_at


def _by_loops(x: np.ndarray, flow: np.ndarray, above: np.ndarray, fill: float) -> tuple[np.ndarray, ...]:
    count, channels, height, width = x.shape
    y, of_x, of_flow = np.full(x.shape, fill), np.zeros(x.shape), np.zeros(flow.shape)
    for n in range(count):
        for h in range(height):
            for w in range(width):
                across, down = w + flow[n, 0, h, w], h + flow[n, 1, h, w]
                if not (0 <= across < width and 0 <= down < height):
                    continue
                left, top = int(across), int(down)
                right, below = min(left + 1, width - 1), min(top + 1, height - 1)
                a, b = across - left, down - top
                for c in range(channels):
                    image, g = x[n, c], above[n, c, h, w]
                    parts = [((top, left), (1 - a) * (1 - b)), ((top, right), a * (1 - b)),
                             ((below, left), (1 - a) * b), ((below, right), a * b)]  # fmt: skip
                    y[n, c, h, w] = sum(image[at] * share for at, share in parts)
                    for at, share in parts:
                        of_x[n, c][at] += g * share
                    of_flow[n, 0, h, w] += g * (
                        (1 - b) * (image[top, right] - image[top, left])
                        + b * (image[below, right] - image[below, left])
                    )
                    of_flow[n, 1, h, w] += g * (
                        (1 - a) * (image[below, left] - image[top, left])
                        + a * (image[below, right] - image[top, right])
                    )
    return y, of_x, of_flow


@pytest.mark.parametrize(("fill", "value"), [("ZERO", 0.0), ("NOT_A_NUMBER", math.nan)])
def test_flow_warp(fill: str, value: float) -> None:
    """Flows of up to 3 pixels, so that some leave the image; none of whole pixels, where slopes have a step."""
    chance = np.random.default_rng(1)
    x, above = chance.standard_normal((2, 3, 4, 5)), chance.standard_normal((2, 3, 4, 5))
    flow = chance.uniform(-3, 3, (2, 2, 4, 5))
    text = f'type: "FlowWarp" bottom: "x" bottom: "f" top: "y" flow_warp_param {{ fill_value: {fill} }}'
    layer, tops = build(text, x.shape, flow.shape)
    given = [torch.tensor(array, requires_grad=True) for array in (x, flow)]
    (y,) = layer.forward(run_at(), given, [])
    assert tops == [tuple(y.shape)]
    gradients = torch.autograd.grad(y, given, torch.tensor(above))
    for got, want in zip((y.detach(), *gradients), _by_loops(x, flow, above, value), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    assert bool(y.isnan().any()) == math.isnan(value)


def test_a_flow_of_nothing_leaves_the_image() -> None:
    layer, _ = build('type: "FlowWarp" bottom: "x" bottom: "f" top: "y"', (1, 2, 3, 4), (1, 2, 3, 4))
    x = torch.randn(1, 2, 3, 4)
    assert torch.equal(layer.forward(run_at(), [x, torch.zeros(1, 2, 3, 4)], [])[0], x)


@pytest.mark.parametrize(
    ("image", "flow", "told"),
    [
        ((2, 3, 4), (2, 2, 4), "needs images of N×C×H×W"),
        ((1, 3, 4, 5), (1, 3, 4, 5), r"needs a flow of shape \(1, 2, 4, 5\)"),
        ((1, 3, 4, 5), (1, 2, 5, 4), r"needs a flow of shape \(1, 2, 4, 5\)"),
    ],
)
def test_shapes(image: tuple[int, ...], flow: tuple[int, ...], told: str) -> None:
    with pytest.raises(LayerError, match=told):
        build('type: "FlowWarp" bottom: "x" bottom: "f" top: "y"', image, flow)
