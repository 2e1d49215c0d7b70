"""Element-wise types against the original's formulas, in place and where a later layer wrote their top.

Forward and backward are the loops of `src/caffe/layers/*_layer.cpp`, written down in NumPy: a backward is told what
stands in the bottom's and in the top's memory when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.net import Net

from ..nets import net_of
from .alone import build, run_at

Floats = np.ndarray[Any, np.dtype[np.float64]]
Forward = Callable[[Floats], Floats]
Backward = Callable[[Floats, Floats, Floats], Floats]
"""(bottom and top as backward finds them, bottom as forward found it) → slope."""


def sigmoid(x: Floats) -> Floats:
    return 1 / (1 + np.exp(-x))


def elu(alpha: float) -> tuple[Forward, Backward]:
    return (
        lambda x: np.maximum(x, 0) + alpha * (np.exp(np.minimum(x, 0)) - 1),
        lambda bottom, top, _: (bottom > 0) + (alpha + top) * (bottom <= 0),
    )


def exp(inner: float, outer: float) -> tuple[Forward, Backward]:
    return lambda x: outer * np.exp(inner * x), lambda _bottom, top, _: inner * top


def log(scale: float, shift: float, base: float) -> tuple[Forward, Backward]:
    return (
        lambda x: np.log(scale * x + shift) / np.log(base),
        lambda bottom, _top, _: scale / np.log(base) / (scale * bottom + shift),
    )


def clip(low: float, high: float) -> tuple[Forward, Backward]:
    return (
        lambda x: np.maximum(low, np.minimum(x, high)),
        lambda bottom, _top, _: ((bottom >= low) & (bottom <= high)).astype(float),
    )


def swish(beta: float) -> tuple[Forward, Backward]:
    return (
        lambda x: x * sigmoid(beta * x),
        lambda _bottom, top, x: beta * top + sigmoid(beta * x) * (1 - beta * top),
    )


def prelu(slope: float) -> tuple[Forward, Backward]:
    return (  # in place it keeps a copy of its bottom
        lambda x: np.maximum(x, 0) + slope * np.minimum(x, 0),
        lambda _bottom, _top, x: (x > 0) + slope * (x <= 0),
    )


TYPES: dict[str, tuple[Forward, Backward]] = {
    'type: "ELU" elu_param { alpha: 0.7 }': elu(0.7),
    'type: "ELU" elu_param { alpha: -0.7 }': elu(-0.7),
    'type: "Exp"': exp(1, 1),
    'type: "Exp" exp_param { base: 2 scale: 0.5 shift: 3 }': exp(0.5 * np.log(2), 8),
    'type: "Exp" exp_param { scale: -1 shift: 1 }': exp(-1, np.e),
    'type: "Log" log_param { shift: 9 }': log(1, 9, np.e),
    'type: "Log" log_param { base: 10 scale: -2 shift: 9 }': log(-2, 9, 10),
    'type: "Clip" clip_param { min: -0.5 max: 1 }': clip(-0.5, 1),
    'type: "Clip" clip_param { min: 1 max: -0.5 }': clip(1, -0.5),
    'type: "Swish" swish_param { beta: 1.5 }': swish(1.5),
    'type: "PReLU"': prelu(0.25),
    'type: "PReLU" prelu_param { channel_shared: true filler { value: -2 } }': prelu(-2),
}
X = np.array([[-2.5, -1.0, -0.3, 0.0], [0.2, 0.9, 1.0, 3.0]])


@pytest.mark.parametrize("text", TYPES)
def test_forward(text: str) -> None:
    layer, _ = build(f'bottom: "x" top: "y" {text}', X.shape)
    weights = [torch.full(spec.shape, spec.filler.value, dtype=torch.float64) for spec in layer.weights]
    (y,) = layer.forward(run_at(), [torch.tensor(X)], weights)
    np.testing.assert_allclose(y.numpy(), TYPES[text][0](X), rtol=1e-6, atol=1e-7)


def net_around(text: str, top: str, later: str, observed: bool) -> Net:
    """x, a learned factor 1, the layer from "h" to `top`, and a later one that works in place."""
    layers = f"""
    layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 4 }} }} }}
    layer {{ name: "factor" type: "Scale" bottom: "x" top: "h" scale_param {{ num_axes: -1 axis: 0 }} }}
    layer {{ name: "l" bottom: "h" top: "{top}" {text} }}
    {later}
    layer {{ name: "sum" type: "Reduction" bottom: "{top}" top: "sum" loss_weight: 1 }}
    """
    net = net_of(layers, observed=observed)
    net.blobs["x"].data[...] = X
    return net


@pytest.mark.parametrize("observed", [False, True], ids=["fast", "observed"])
@pytest.mark.parametrize("written", [False, True], ids=["last", "written later"])
@pytest.mark.parametrize("top", ["h", "y"], ids=["in place", "apart"])
@pytest.mark.parametrize("text", TYPES)
def test_backward_reads_what_the_originals_reads(text: str, top: str, written: bool, observed: bool) -> None:
    later = f'layer {{ name: "p" type: "Power" bottom: "{top}" top: "{top}" power_param {{ scale: -2 shift: 0.1 }} }}'
    net = net_around(text, top, later if written else "", observed)
    net.forward_backward()
    forward, backward = TYPES[text]
    last = -2 * forward(X) + 0.1 if written else forward(X)
    slope = backward(last if top == "h" else X, last, X) * (-2 if written else 1)
    np.testing.assert_allclose(net.params["factor"][0].diff, slope * X, rtol=2e-5, atol=1e-6)
    if top == "y" and observed:
        np.testing.assert_allclose(net.blobs["h"].diff, slope, rtol=2e-5, atol=1e-6)


def test_threshold_is_strict() -> None:
    layer, _ = build('type: "Threshold" bottom: "x" top: "y" threshold_param { threshold: 0.5 }', (3,))
    assert layer.forward(run_at(), [torch.tensor([0.5, 0.51, -1])], [])[0].tolist() == [0, 1, 0]


def test_clip_with_bounds_the_wrong_way_round_gives_the_lower_one() -> None:
    layer, _ = build('type: "Clip" bottom: "x" top: "y" clip_param { min: 2 max: 1 }', (3,))
    assert layer.forward(run_at(), [torch.tensor([0.0, 1.5, 3])], [])[0].tolist() == [2, 2, 2]
