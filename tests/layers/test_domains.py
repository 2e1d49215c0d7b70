"""GradientScaler and MMDLoss, which bring two sets of images together: against plain loops over the forks' formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from caffelite import ops
from caffelite.errors import LayerError

from .alone import build, run_at

SCALER = 'type: "GradientScaler" bottom: "x" top: "y" gradient_scaler_param {{ {} }}'
MMD = 'name: "m" type: "MMDLoss" bottom: "s" bottom: "t" top: "y" mmd_param {{ {} }}'


@pytest.mark.parametrize(
    ("settings", "position", "factor"),
    [
        ("", 0, 0.0),
        ("", 1, 2 / (1 + math.exp(-10)) - 1),
        ("lower_bound: 0.5 upper_bound: 2.5 alpha: 3 max_iter: 8", 2, 2 * 2 / (1 + math.exp(-0.75)) - 2 + 0.5),
        ("lower_bound: 0.5 upper_bound: 2.5 alpha: 3 max_iter: 8", 99, 2 * 2 / (1 + math.exp(-3)) - 2 + 0.5),
        ("lower_bound: 0 upper_bound: 100000 alpha: -0.5 max_iter: 5000", 2500, 2e5 / (1 + math.exp(0.25)) - 1e5),
        ("alpha: -3000 max_iter: 1", 1, -1.0),
    ],
)
def test_gradient_scaler(settings: str, position: int, factor: float) -> None:
    layer, tops = build(SCALER.format(settings), (2, 3))
    x = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    (y,) = layer.forward(run_at(position), [x], [])
    assert tops == [(2, 3)]
    assert torch.equal(y, x)
    assert y is not x
    (gradient,) = torch.autograd.grad(y, x, torch.full((2, 3), 2.0, dtype=torch.double))
    np.testing.assert_allclose(gradient, -2 * factor, rtol=1e-6, atol=1e-12)


def test_settings_of_gradient_scaler() -> None:
    with pytest.raises(LayerError, match=r"upper_bound must be lower_bound, 2, or more, got 1.0"):
        build(SCALER.format("lower_bound: 2"), (2, 3))
    with pytest.raises(LayerError, match=r"max_iter must be at least 1, got 0.5"):
        build(SCALER.format("max_iter: 0.5"), (2, 3))


def _by_loops(s: np.ndarray, t: np.ndarray, drawn: list[np.ndarray], count: int, times: float, gamma: float) -> tuple:
    """The loss and the gradients as `mmd_layer.cu` adds them up, for pairs that are drawn already."""
    draws = len(drawn[0])
    loss, of_s, of_t = 0.0, np.zeros(s.shape), np.zeros(t.shape)
    for (s1, s2), (t1, t2) in zip(*drawn, strict=True):
        for sign, a, b, of_a, of_b in (
            (1, s[s1], s[s2], of_s[s1], of_s[s2]), (-1, s[s1], t[t2], of_s[s1], of_t[t2]),
            (-1, t[t1], s[s2], of_t[t1], of_s[s2]), (1, t[t1], t[t2], of_t[t1], of_t[t2]),
        ):  # fmt: skip
            width = gamma / times ** (count // 2)
            for _ in range(count):
                value = math.exp(-width * ((a - b) ** 2).sum())
                loss += sign * value
                slope = -2 * width * value * sign / draws
                of_a += slope * (a - b)
                of_b += slope * (b - a)
                width *= times
    return loss, of_s, of_t


@pytest.mark.parametrize("count", [1, 4, 5])
def test_mmd(count: int) -> None:
    chance = np.random.default_rng(count)
    s, t = chance.standard_normal((5, 2, 3)), chance.standard_normal((4, 6)) + 1
    both = np.concatenate([s.reshape(5, 6), t])
    gamma = (9 * 9 - 9) / sum(((a - b) ** 2).sum() for a in both for b in both)
    generator = run_at(3).numpy_generator("m")
    drawn = [ops.distances.pairs(generator, 5, 5), ops.distances.pairs(generator, 4, 5)]
    wanted, of_s, of_t = _by_loops(s.reshape(5, 6), t, drawn, count, 1.5, gamma)
    layer, tops = build(MMD.format(f"kernel_num: {count} kernel_mul: 1.5"), s.shape, t.shape)
    given = [torch.tensor(array, requires_grad=True) for array in (s, t)]
    (y,) = layer.forward(run_at(3), given, [])
    assert tops == [tuple(y.shape)] == [()]
    assert y.item() == pytest.approx(wanted, rel=1e-6)
    gradients = torch.autograd.grad(y, given)
    for got, want in zip(gradients, (of_s, of_t), strict=True):
        np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-5, atol=1e-9)


def test_pairs_of_mmd_are_never_one_sample() -> None:
    drawn = ops.distances.pairs(np.random.default_rng(0), 3, 1000)
    assert drawn.shape == (1000, 2)
    assert (drawn[:, 0] != drawn[:, 1]).all()
    assert sorted(set(drawn.ravel().tolist())) == [0, 1, 2]


@pytest.mark.parametrize("fixed", [True, False])
def test_gamma_of_mmd_may_be_that_of_the_first_batch(fixed: bool) -> None:
    layer, _ = build(MMD.format(f"fix_gamma: {str(fixed).lower()}"), (3, 2), (3, 2))
    gammas = []
    for size in (1.0, 5.0):
        layer.forward(run_at(), [size * torch.eye(3)[:, :2], size * torch.ones(3, 2)], [])
        gammas.append(layer.gamma)
    assert (gammas[0] == gammas[1]) is fixed


def test_shapes_of_mmd() -> None:
    with pytest.raises(LayerError, match="needs at least 2 samples, got shape"):
        build(MMD.format(""), (1, 2), (3, 2))
    with pytest.raises(LayerError, match="as many elements per sample"):
        build(MMD.format(""), (3, 2), (3, 3))
