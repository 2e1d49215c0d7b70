"""Update rules against the formulas, written down in NumPy and float64, and their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from caffelite.errors import SettingsError
from caffelite.solver import Settings
from caffelite.solver.rule import Rule
from caffelite.solver.search import Search
from caffelite.solver.update import updates
from caffelite.solver.updates import sgd

from .fakes import FakeParameter, settings

Array = np.ndarray
Formula = Callable[[Settings, Array, "list[Array]", float, int], "tuple[Array, list[Array]]"]


def by_sgd(s: Settings, g: Array, h: list[Array], rate: float, t: int) -> tuple[Array, list[Array]]:
    new = s.momentum * h[0] + rate * g
    return new, [new]


def by_nesterov(s: Settings, g: Array, h: list[Array], rate: float, t: int) -> tuple[Array, list[Array]]:
    new = s.momentum * h[0] + rate * g
    return (1 + s.momentum) * new - s.momentum * h[0], [new]


def by_adagrad(s: Settings, g: Array, h: list[Array], rate: float, t: int) -> tuple[Array, list[Array]]:
    new = h[0] + g**2
    return rate * g / (np.sqrt(new) + s.delta), [new]


def by_rmsprop(s: Settings, g: Array, h: list[Array], rate: float, t: int) -> tuple[Array, list[Array]]:
    new = s.rms_decay * h[0] + (1 - s.rms_decay) * g**2
    return rate * g / (np.sqrt(new) + s.delta), [new]


def by_adadelta(s: Settings, g: Array, h: list[Array], rate: float, t: int) -> tuple[Array, list[Array]]:
    squares = s.momentum * h[0] + (1 - s.momentum) * g**2
    step = g * np.sqrt((h[1] + s.delta) / (squares + s.delta))
    return rate * step, [squares, s.momentum * h[1] + (1 - s.momentum) * step**2]


def by_adam(s: Settings, g: Array, h: list[Array], rate: float, t: int) -> tuple[Array, list[Array]]:
    mean = s.momentum * h[0] + (1 - s.momentum) * g
    square = s.momentum2 * h[1] + (1 - s.momentum2) * g**2
    correction = np.sqrt(1 - s.momentum2 ** (t + 1)) / (1 - s.momentum ** (t + 1))
    return rate * correction * mean / (np.sqrt(square) + s.delta), [mean, square]


def by_adamw(s: Settings, g: Array, h: list[Array], rate: float, t: int) -> tuple[Array, list[Array]]:
    mean = s.momentum * h[0] + (1 - s.momentum) * g
    square = s.momentum2 * h[1] + (1 - s.momentum2) * g**2
    size = np.sqrt(square / (1 - s.momentum2 ** (t + 1))) + s.delta
    return rate * mean / (1 - s.momentum ** (t + 1)) / size, [mean, square]


TYPES: dict[str, tuple[Formula, dict[str, Any]]] = {
    "SGD": (by_sgd, {"momentum": 0.75}),
    "Nesterov": (by_nesterov, {"momentum": 0.75}),
    "AdaGrad": (by_adagrad, {"delta": 0.125}),
    "RMSProp": (by_rmsprop, {"rms_decay": 0.875, "delta": 0.125}),
    "AdaDelta": (by_adadelta, {"momentum": 0.875, "delta": 0.125}),
    "Adam": (by_adam, {"momentum": 0.75, "momentum2": 0.875, "delta": 0.125}),
    "AdamW": (by_adamw, {"momentum": 0.75, "momentum2": 0.875, "delta": 0.125}),
}
APART = {"AdamW"}
"""Types whose weight decay does not go through the gradient, and which know L2 only."""
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "l2": {"weight_decay": 0.25},
    "l1": {"weight_decay": 0.25, "regularization_type": "L1"},
    "clipped averages with decay": {"weight_decay": 0.25, "iter_size": 4, "clip_gradients": 1.5},
    "not clipped": {"clip_gradients": 1000.0},
}
MULTS = [(1.0, 1.0), (2.0, 0.0), (0.0, 1.0), (1.0, 0.5)]


def made(seed: int) -> list[Array]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for shape in ((4, 3), (5,), (2,), (2, 3, 2, 2))]


def follow(formula: Formula, s: Settings, steps: int, rate: float) -> tuple[list[Array], list[Array], list[Array]]:
    """Weights, history and last updates after some steps, in float64, one parameter after the other."""
    weights = made(0)
    slots = updates[s.type].slots
    history = [[np.zeros_like(w) for _ in range(slots)] for w in weights]
    changes: list[Array] = []
    for t in range(steps):
        gradients = made(1 + t)
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        if 0 <= s.clip_gradients < norm:
            gradients = [g * s.clip_gradients / norm for g in gradients]
        changes = []
        for i, (lr_mult, decay_mult) in enumerate(MULTS):
            g = gradients[i] / s.iter_size
            pull = s.weight_decay * decay_mult * (np.sign(weights[i]) if s.regularization_type == "L1" else weights[i])
            change, history[i] = formula(s, g if s.type in APART else g + pull, history[i], rate * lr_mult, t)
            change = change + rate * lr_mult * pull if s.type in APART else change
            weights[i] = weights[i] - change
            changes.append(change)
    return weights, [row[slot] for slot in range(slots) for row in history], changes


def run(rule: Rule, steps: int, rate: float) -> None:
    for t in range(steps):
        for parameter, gradient in zip(rule.parameters, made(1 + t), strict=True):
            parameter.grad = torch.from_numpy(gradient)
        rule.apply(rate, t)


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("kind", TYPES)
def test_formula(kind: str, extra: str) -> None:
    formula, fields = TYPES[kind]
    if kind in APART and "regularization_type" in EXTRAS[extra]:
        with pytest.raises(SettingsError, match=f"regularization_type L1 cannot be used with {kind}"):
            settings(type=kind, **fields, **EXTRAS[extra])
        return
    s = settings(type=kind, **fields, **EXTRAS[extra])
    parameters = [FakeParameter(w, *mults) for w, mults in zip(made(0), MULTS, strict=True)]
    rule = Rule(s, parameters)
    run(rule, 4, 0.25)
    weights, history, changes = follow(formula, s, 4, 0.25)
    for parameter, weight, change in zip(parameters, weights, changes, strict=True):
        np.testing.assert_allclose(parameter.values, weight, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(parameter.diff, change, rtol=1e-12, atol=1e-14)
    assert len(rule.history) == len(history)
    for got, wanted in zip(rule.history, history, strict=True):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_every_type_is_compared() -> None:
    searching = [name for name in updates if issubclass(updates[name], Search)]  # see test_search.py
    assert updates.names() == sorted([*TYPES, *searching])


@pytest.mark.parametrize("momentum", [0.0, 0.75])
def test_without_the_fused_kernel_the_same(momentum: float, monkeypatch: pytest.MonkeyPatch) -> None:
    s = settings(momentum=momentum, weight_decay=0.25)
    monkeypatch.setattr(sgd, "_fused", lambda device, dtype: None)
    parameters = [FakeParameter(w, *mults) for w, mults in zip(made(0), MULTS, strict=True)]
    run(Rule(s, parameters), 4, 0.25)
    for parameter, weight in zip(parameters, follow(by_sgd, s, 4, 0.25)[0], strict=True):
        np.testing.assert_allclose(parameter.values, weight, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("gradient_too", [False, True])
def test_memory_format_does_not_matter(kind: str, gradient_too: bool) -> None:
    s = settings(type=kind, **TYPES[kind][1], weight_decay=0.25)
    random = np.random.default_rng(0)
    start, gradients = random.standard_normal((3, 4, 2, 5)), random.standard_normal((3, 3, 4, 2, 5))
    plain, last = FakeParameter(start), FakeParameter(start)
    last.tensor = torch.from_numpy(start).to(memory_format=torch.channels_last).requires_grad_(True)
    rules = Rule(s, [plain]), Rule(s, [last])
    for t, gradient in enumerate(gradients):
        plain.grad = torch.from_numpy(gradient.copy())
        format = torch.channels_last if gradient_too else torch.contiguous_format
        last.grad = torch.from_numpy(gradient.copy()).contiguous(memory_format=format)
        for rule in rules:
            rule.apply(0.25, t)
    np.testing.assert_allclose(last.values, plain.values, rtol=1e-12)
    assert all(slot.stride() == last.tensor.stride() for slot in rules[1].history)


def test_a_parameter_without_a_gradient_still_decays() -> None:
    s = settings(weight_decay=0.5, momentum=0.5)
    parameter = FakeParameter(np.full(3, 8.0))
    Rule(s, [parameter]).apply(0.5, 0)
    assert parameter.values.tolist() == [6.0] * 3


def test_a_frozen_one_without_a_gradient_is_left_alone() -> None:
    frozen = FakeParameter(np.full(3, 8.0), lr_mult=0.0)
    rule = Rule(settings(weight_decay=0.5, momentum=0.5), [frozen])
    rule.apply(0.5, 0)
    assert frozen.grad is None
    assert frozen.values.tolist() == [8.0] * 3
    assert not rule.history[0].any()


def test_frozen_weights_that_decay_leave_a_trace_in_adams_history() -> None:
    frozen = FakeParameter(np.full(3, 8.0), lr_mult=0.0)
    rule = Rule(settings(type="Adam", weight_decay=0.5, momentum=0.5), [frozen])
    rule.apply(0.5, 0)
    assert frozen.values.tolist() == [8.0] * 3
    assert rule.history[0].tolist() == [2.0] * 3  # (1 - beta1) · decay · w


def test_a_restored_history_moves_even_a_frozen_parameter() -> None:
    frozen = FakeParameter(np.full(3, 8.0), lr_mult=0.0)
    rule = Rule(settings(momentum=0.5), [frozen])
    rule.history[0].fill_(2.0)
    rule.history_changed()
    rule.apply(0.5, 0)
    assert frozen.values.tolist() == [7.0] * 3


def test_frozen_weights_that_decay_leave_no_trace_in_adamws_history() -> None:
    frozen = FakeParameter(np.full(3, 8.0), lr_mult=0.0)
    rule = Rule(settings(type="AdamW", weight_decay=0.5, momentum=0.5), [frozen])
    rule.apply(0.5, 0)
    assert frozen.grad is None
    assert frozen.values.tolist() == [8.0] * 3
    assert not any(slot.any() for slot in rule.history)


def test_clipping_reports_the_global_norm() -> None:
    parameters = [FakeParameter(np.zeros(1)), FakeParameter(np.zeros(1))]
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0]).double(), torch.tensor([4.0]).double()
    clipping = Rule(settings(clip_gradients=2.5), parameters).apply(1.0, 0)
    assert clipping is not None
    assert (float(clipping.norm), float(clipping.scale)) == (5.0, 0.5)
    assert [p.values.item() for p in parameters] == [-1.5, -2.0]
