"""larc and local_lr_auto against their formulas in NumPy, parameter by parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import SettingsError
from caffelite.solver.rule import Rule

from .fakes import FakeParameter, settings

WEIGHTS = [np.array([3.0, -4.0]), np.array([0.5, 0.0, 1.0]), np.zeros(2), np.array([1.0])]
GRADIENTS = [np.array([0.6, 0.8]), np.array([2.0, 1.0, -2.0]), np.array([1.0, 1.0]), np.array([0.0])]
MULTIPLIERS = [(1.0, 1.0), (2.0, 0.0), (1.0, 1.0), (1.0, 1.0)]


def by_larc(s: Any, w: np.ndarray, g: np.ndarray, rate: float) -> float:
    """`GetLocalRate` and `ComputeUpdateValue` of NVIDIA/caffe, the gradient's norm without weight decay."""
    norm_w, norm_g = np.sqrt((w**2).sum()), np.sqrt((g**2).sum())
    local = (1 - s.momentum) * s.larc_eta * norm_w / norm_g if norm_w > 0 and norm_g > 0 else 1.0
    return rate * local if s.larc_policy == "scale" else min(rate, local)


def by_lars(s: Any, w: np.ndarray, g: np.ndarray, rate: float) -> float:
    """`GetLocalRate` of intel/caffe."""
    norm_w, norm_g = np.sqrt((w**2).sum()), np.sqrt((g**2).sum())
    local = s.local_gw_ratio * norm_w / (norm_g + s.weight_decay * norm_w) if norm_w > 0 and norm_g > 0 else 1.0
    return rate * local


CASES = {
    "larc, scale": (by_larc, {"larc": True, "larc_eta": 0.5}),
    "larc, clip": (by_larc, {"larc": True, "larc_eta": 0.25, "larc_policy": "clip"}),
    "larc, Nesterov": (by_larc, {"larc": True, "larc_eta": 0.5, "type": "Nesterov"}),
    "lars": (by_lars, {"local_lr_auto": True, "local_gw_ratio": 0.5}),
    "lars, L1": (by_lars, {"local_lr_auto": True, "local_gw_ratio": 0.5, "regularization_type": "L1"}),
}


@pytest.mark.parametrize("case", CASES)
def test_updates_follow_the_formula(case: str) -> None:
    formula, fields = CASES[case]
    chosen = settings(momentum=0.5, weight_decay=0.125, iter_size=2, **fields)
    parameters = [FakeParameter(w, *of) for w, of in zip(WEIGHTS, MULTIPLIERS, strict=True)]
    rule = Rule(chosen, parameters)
    weights = [w.copy() for w in WEIGHTS]
    history = [np.zeros_like(w) for w in WEIGHTS]
    for iteration, rate in enumerate((0.5, 0.25, 0.0)):
        for parameter, g in zip(parameters, GRADIENTS, strict=True):
            parameter.grad = torch.as_tensor(2 * g)
        rule.apply(rate, iteration)
        for index, g in enumerate(GRADIENTS):
            own = formula(chosen, weights[index], g, rate)
            pull = np.sign(weights[index]) if chosen.regularization_type == "L1" else weights[index]
            whole = g + 0.125 * MULTIPLIERS[index][1] * pull
            old, history[index] = history[index], 0.5 * history[index] + own * whole
            moved = 1.5 * history[index] - 0.5 * old if chosen.type == "Nesterov" else history[index]
            weights[index] = weights[index] - moved
            np.testing.assert_allclose(parameters[index].values, weights[index], rtol=1e-6, atol=1e-12)


def test_a_parameter_without_a_rate_stays() -> None:
    parameter = FakeParameter(WEIGHTS[0], lr_mult=0.0)
    parameter.grad = torch.as_tensor(GRADIENTS[0])
    Rule(settings(larc=True, momentum=0.5), [parameter]).apply(0.5, 0)
    np.testing.assert_array_equal(parameter.values, WEIGHTS[0])


def test_a_momentum_that_changes() -> None:
    """h ← m(t) · h + rate · g with m(0) = 0.5 and m(5) = 0.7 of max_iter 10."""
    parameter = FakeParameter(np.zeros(1))
    rule = Rule(settings(momentum=0.5, momentum_policy="poly", max_momentum=0.9), [parameter])
    for iteration in (0, 5):
        parameter.grad = torch.ones(1, dtype=torch.float64)
        rule.apply(0.5, iteration)
    np.testing.assert_allclose(parameter.values, [-0.5 - (0.7 * 0.5 + 0.5)], rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"larc": True, "type": "Adam"}, "larc cannot be used with Adam"),
        ({"local_lr_auto": True, "type": "Nesterov"}, "local_lr_auto cannot be used with Nesterov"),
        ({"larc": True, "local_lr_auto": True}, "larc and local_lr_auto both set the rate of a parameter"),
        ({"larc": True, "larc_policy": "clop"}, 'unknown larc_policy "clop"'),
        ({"momentum_policy": "opt"}, 'unknown momentum_policy "opt"'),
        ({"momentum_policy": "poly", "max_momentum": 1}, "max_momentum must be at least 0 and below 1, got 1"),
        ({"lr_policy": "multifixed"}, "lr_policy multifixed needs a stageiter for each stagelr, and at least one"),
        ({"lr_policy": "multifixed", "stagelr": [1, 2], "stageiter": [3]}, "got 2 stagelr and 1 stageiter"),
        ({"warmup_iter": 3, "rampup_interval": 3}, "warmup_iter and rampup_interval are two ways to begin"),
        ({"warmup_iter": -3}, "warmup_iter must be at least 0, got -3"),
    ],
)
def test_what_contradicts_itself_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"larc_eta": 0.5}, "larc_eta has no effect with no larc"),
        ({"local_gw_ratio": 0.5}, "local_gw_ratio has no effect with no local_lr_auto"),
        ({"warmup_start_lr": 0.5}, "warmup_start_lr has no effect with no warmup_iter"),
        ({"max_momentum": 0.5}, "max_momentum has no effect with momentum_policy fixed"),
        ({"type": "Adam", "momentum_policy": "poly", "max_momentum": 0.5}, "max_momentum has no effect with type Adam"),
        ({"stagelr": [1]}, "stagelr has no effect with lr_policy fixed"),
    ],
)
def test_what_has_no_effect_is_told(fields: dict[str, Any], message: str) -> None:
    assert message in [warning.message for warning in settings(**fields).warnings]
