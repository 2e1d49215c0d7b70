"""What docs/solvers.md says of each type and torch.optim's: at a constant rate the same, but for delta in Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from caffelite.solver.rule import Rule
from caffelite.solver.update import updates

from .fakes import FakeParameter, settings

DELTA = float(np.float32(1e-3))
"""As in a prototxt, in single precision; the other numbers are exact in it."""

SAME: dict[str, tuple[dict[str, Any], type[torch.optim.Optimizer], dict[str, Any]]] = {
    "SGD": ({"momentum": 0.75}, torch.optim.SGD, {"momentum": 0.75}),
    "Nesterov": ({"momentum": 0.75}, torch.optim.SGD, {"momentum": 0.75, "nesterov": True}),
    "AdaGrad": ({"delta": DELTA}, torch.optim.Adagrad, {"eps": DELTA}),
    "RMSProp": ({"rms_decay": 0.875, "delta": DELTA}, torch.optim.RMSprop, {"alpha": 0.875, "eps": DELTA}),
    "AdaDelta": ({"momentum": 0.875, "delta": DELTA}, torch.optim.Adadelta, {"rho": 0.875, "eps": DELTA}),
    "Adam": ({"momentum": 0.75, "momentum2": 0.875, "delta": DELTA}, torch.optim.Adam, {"betas": (0.75, 0.875)}),
    "AdamW": (
        {"momentum": 0.75, "momentum2": 0.875, "delta": DELTA},
        torch.optim.AdamW,
        {"betas": (0.75, 0.875), "eps": DELTA},
    ),
}
"""By type: settings, torch's optimizer, and its."""


def compared() -> set[str]:
    """ConjugateGradient has no counterpart; LBFGS has its own test, in test_search.py."""
    return set(SAME) | {"ConjugateGradient", "LBFGS"}


def test_every_type_is_compared() -> None:
    assert compared() == set(updates)


@pytest.mark.parametrize("decay", [0.0, 0.25])
@pytest.mark.parametrize("kind", SAME)
def test_trajectory(kind: str, decay: float) -> None:
    fields, counterpart, options = SAME[kind]
    random = np.random.default_rng(0)
    start, gradients = random.standard_normal((4, 3)), random.standard_normal((30, 4, 3))
    ours, theirs = FakeParameter(start), torch.from_numpy(start.copy()).requires_grad_()
    rule = Rule(settings(type=kind, weight_decay=decay, **fields), [ours])
    optimizer = counterpart([theirs], lr=0.0625, weight_decay=decay, **options)
    for t, gradient in enumerate(gradients):
        ours.grad, theirs.grad = torch.from_numpy(gradient.copy()), torch.from_numpy(gradient.copy())
        if kind == "Adam":
            optimizer.param_groups[0]["eps"] = DELTA / np.sqrt(1 - 0.875 ** (t + 1))
        rule.apply(0.0625, t)
        optimizer.step()
        np.testing.assert_allclose(ours.values, theirs.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_adamw_in_single_precision() -> None:
    random = np.random.default_rng(0)
    start, gradients = (random.standard_normal(shape).astype(np.float32) for shape in ((100,), (200, 100)))
    ours, theirs = FakeParameter(start), torch.from_numpy(start.copy()).requires_grad_()
    rule = Rule(settings(type="AdamW", weight_decay=0.125, momentum=0.9), [ours])
    optimizer = torch.optim.AdamW([theirs], lr=2**-10, weight_decay=0.125, betas=(float(np.float32(0.9)), 0.999))
    for t, gradient in enumerate(gradients):
        ours.grad, theirs.grad = torch.from_numpy(gradient.copy()), torch.from_numpy(gradient.copy())
        rule.apply(2**-10, t)
        optimizer.step()
    np.testing.assert_allclose(ours.values, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["SGD", "Nesterov"])
def test_a_change_of_rate_acts_on_new_gradients_only(kind: str) -> None:
    weight = FakeParameter(np.zeros(1))
    rule = Rule(settings(type=kind, momentum=0.5), [weight])
    for t, rate in enumerate((1.0, 0.0)):
        weight.grad = torch.ones(1, dtype=torch.float64)
        rule.apply(rate, t)
    # torch's would stand still at a rate of 0.
    assert weight.values.tolist() == [-1.5 if kind == "SGD" else -1.75]
