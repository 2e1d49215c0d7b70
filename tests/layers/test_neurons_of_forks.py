"""Activations of forks against their formulas, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from caffelite.errors import LayerError
from caffelite.proto import TEST, TRAIN

from .alone import build, run_at

VALUES = [-8.0, -6.0, -1.25, -0.1, 0.0, 0.1, 0.75, 2.0, 5.9, 6.0, 6.1, 9.0]
LAMBDA, ALPHA = 1.050700987, 1.67326324


def run(text: str, in_place: bool = False, phase: int = TRAIN) -> tuple[np.ndarray, np.ndarray]:
    """y and, for a gradient of 1 above, dx of these values."""
    layer, _ = build(f'name: "l" bottom: "x" top: "{"x" if in_place else "y"}" {text}', (3, 4), phase=phase)
    x = torch.tensor(VALUES, dtype=torch.double).reshape(3, 4).requires_grad_()
    (y,) = layer.forward(run_at(), [x], [])
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return y.detach().numpy().ravel(), gradient.numpy().ravel()


def relu6(x: float, slope: float) -> tuple[float, float]:
    return min(max(x, 0) + slope * min(x, 0), 6), (1 if x > 0 else slope) * (x < 6)


def selu(x: float, at: float) -> tuple[float, float]:
    y = LAMBDA * x if x > 0 else LAMBDA * ALPHA * (math.exp(x) - 1)
    return y, LAMBDA if at > 0 else LAMBDA * ALPHA * math.exp(at)


def sparsify(x: float, threshold: float, coef: float) -> tuple[float, float]:
    y = 0.0 if abs(x) <= threshold else x - math.copysign(threshold, x)
    sign = (y > 0) - (y < 0)
    return y, (1 + sign * coef) * (y != 0 if threshold else 1)


def expect(text: str, formula: Callable[[float], tuple[float, float]], **options: bool) -> None:
    values, gradients = zip(*map(formula, VALUES), strict=True)
    got = run(text, **options)
    np.testing.assert_allclose(got[0], values, rtol=1e-6)  # settings are single precision
    np.testing.assert_allclose(got[1], gradients, rtol=1e-6)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("slope", [0, 0.25])
def test_relu6(slope: float, in_place: bool) -> None:
    text = f'type: "ReLU6" relu6_param {{ negative_slope: {slope} }}'
    expect(text, lambda x: relu6(x, slope), in_place=in_place)


@pytest.mark.parametrize(
    "settings",
    ["relu6_param { engine: DEFAULT }", "relu6_param { engine: CAFFE }", "relu6_param { engine: CUDNN }"],
)
def test_the_engine_of_relu6_has_no_effect(settings: str) -> None:
    expect(f'type: "ReLU6" {settings}', lambda x: relu6(x, 0))


def mish(x: float) -> tuple[float, float]:
    soft = math.log1p(math.exp(x))
    tanh = math.tanh(soft)
    return x * tanh, tanh + x * (1 - tanh**2) / (1 + math.exp(-x))


def hard_swish(x: float) -> tuple[float, float]:
    return x * min(max(x + 3, 0), 6) / 6, 0 if x <= -3 else 1 if x >= 3 else (2 * x + 3) / 6


@pytest.mark.parametrize("in_place", [False, True])
def test_mish_and_hard_swish(in_place: bool) -> None:
    expect('type: "Mish"', mish, in_place=in_place)
    expect('type: "HardSwish"', hard_swish, in_place=in_place)


@pytest.mark.parametrize("in_place", [False, True])
def test_hard_sigmoid(in_place: bool) -> None:
    expect('type: "HardSigmoid"', lambda x: (min(max(0.2 * x + 0.5, 0), 1), 0.2 * (-2.5 < x < 2.5)), in_place=in_place)
    text = 'type: "HardSigmoid" hard_sigmoid_param { alpha: 0.5 beta: 0.25 }'
    expect(text, lambda x: (min(max(x / 2 + 0.25, 0), 1), (-0.5 < x < 1.5) / 2), in_place=in_place)


def test_selu() -> None:
    expect('type: "SeLu"', lambda x: selu(x, x))
    text = 'type: "SeLu" selu_param { alpha: 2 lambda: 0.5 }'
    y, dx = run(text)
    assert y[2] == pytest.approx(math.expm1(-1.25))
    assert dx[2] == pytest.approx(math.exp(-1.25))


def test_selu_in_place_takes_the_slope_where_the_result_is() -> None:
    """As `selu_layer.cpp` does: its backward reads bottom_data, which holds the result then."""
    expect('type: "SeLu"', lambda x: selu(x, selu(x, x)[0]), in_place=True)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(("threshold", "coef"), [(0, 0), (0, 0.5), (1.25, 0), (1.25, 0.5)])
def test_sparsify(threshold: float, coef: float, in_place: bool) -> None:
    text = f'type: "Sparsify" sparsify_param {{ thre: {threshold} coef: {coef} }}'
    expect(text, lambda x: sparsify(x, threshold, coef), in_place=in_place)


@pytest.mark.parametrize("in_place", [False, True])
def test_insanity_divides_by_one_number_in_test(in_place: bool) -> None:
    middle = (8 - 3) / (math.log(8) - math.log(3))
    y, dx = run('type: "Insanity" insanity_param { lb: 3 ub: 8 }', in_place, TEST)
    np.testing.assert_allclose(y, [x if x > 0 else x / middle for x in VALUES])
    np.testing.assert_allclose(dx, [1 if x > 0 else 1 / middle for x in VALUES])


@pytest.mark.parametrize("in_place", [False, True])
def test_insanity_divides_each_element_by_a_number_of_its_own_in_train(in_place: bool) -> None:
    y, dx = run('type: "Insanity" insanity_param { lb: 3 ub: 8 }', in_place)
    positive = np.array(VALUES) > 0
    np.testing.assert_array_equal(y[positive], np.array(VALUES)[positive])
    np.testing.assert_array_equal(dx[positive], 1)
    np.testing.assert_allclose(y[~positive], np.array(VALUES)[~positive] * dx[~positive])
    drawn = 1 / dx[~positive]
    assert (drawn >= 3).all()
    assert (drawn <= 8).all()
    assert len({*drawn}) == len(drawn)


def test_the_leak_of_insanity_is_evenly_drawn_and_named_by_its_position() -> None:
    layer, _ = build('name: "l" type: "Insanity" bottom: "x" top: "y"', (200, 100), phase=TRAIN)
    x = torch.full((200, 100), -1.0, dtype=torch.double)
    first, again, other = (layer.forward(run_at(position), [x], [])[0] for position in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    drawn = -1 / first
    assert drawn.min() >= 5
    assert drawn.max() <= 10
    assert drawn.mean().item() == pytest.approx(7.5, abs=0.05)
    assert drawn.std().item() == pytest.approx(5 / math.sqrt(12), abs=0.05)


@pytest.mark.parametrize(
    ("settings", "low"),
    [
        ("selu_dropout_param { dropout_ratio: 0.4 }", -1.75809934),
        ("selu_dropout_param { dropout_ratio: 0.4 alpha: -0.5 }", -0.5),
        ("selu_dropout_param { dropout_ratio: 0.4 alpha: 0 }", 0),
    ],
)
@pytest.mark.parametrize("in_place", [False, True])
def test_selu_dropout_gives_values_for_what_it_leaves_out(in_place: bool, settings: str, low: float) -> None:
    keep = 1 - 0.4
    a = (keep * (1 + low * low * (1 - keep))) ** -0.5
    b = -a * (1 - keep) * low
    y, dx = run(f'type: "SeLuDropout" {settings}', in_place)
    kept = dx != 0
    assert 0 < kept.sum() < len(VALUES)
    np.testing.assert_allclose(dx[kept], a, rtol=1e-6)
    np.testing.assert_allclose(y, np.where(kept, np.array(VALUES), low) * a + b, rtol=1e-6)
    unchanged, ones = run('type: "SeLuDropout"', in_place, TEST)
    np.testing.assert_array_equal(unchanged, VALUES)
    np.testing.assert_array_equal(ones, 1)


def test_selu_dropout_keeps_mean_and_variance_of_what_has_mean_0_and_variance_1() -> None:
    layer, _ = build('name: "l" type: "SeLuDropout" bottom: "x" top: "y"', (400, 500), phase=TRAIN)
    x = torch.randn(400, 500, dtype=torch.double, generator=torch.Generator().manual_seed(1))
    (y,) = layer.forward(run_at(), [x], [])
    assert y.mean().item() == pytest.approx(0, abs=0.01)
    assert y.var().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('type: "Insanity" insanity_param { lb: 8 ub: 3 }', "ub must be above lb, 8, got 3.0"),
        ('type: "Insanity" insanity_param { lb: 0 }', "lb must be positive, got 0.0"),
        (
            'type: "SeLuDropout" selu_dropout_param { dropout_ratio: 1 }',
            "dropout_ratio must be above 0 and below 1, got 1.0",
        ),
        ('type: "Sparsify" sparsify_param { thre: -1 }', "thre must not be negative, got -1.0"),
        ('type: "Sparsify" sparsify_param { coef: -1 }', "coef must not be negative, got -1.0"),
    ],
)
def test_faults(text: str, told: str) -> None:
    with pytest.raises(LayerError) as raised:
        build(f'bottom: "x" top: "y" {text}', (2, 3))
    assert [fault.message for fault in raised.value.faults] == [told]
