"""The solver types as torch optimizers: the same arithmetic as a solver's, and the manners of torch's."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import caffelite
from caffelite import assembly, optim
from caffelite.errors import SettingsError, SnapshotError, UsageError
from caffelite.solver import Solver
from caffelite.solver.search import Search
from caffelite.solver.update import updates

from .solver.fakes import FakeParameter, settings

FIELDS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "Nesterov": {"momentum": 0.9},
    "AdaGrad": {},
    "RMSProp": {"rms_decay": 0.9},
    "AdaDelta": {"momentum": 0.9, "delta": 1e-4},
    "Adam": {"momentum": 0.9},
    "AdamW": {"momentum": 0.9},
    "LBFGS": {"history_size": 4},
    "ConjugateGradient": {"max_evaluations": 9},
}
SEARCHING = [kind for kind in FIELDS if issubclass(updates[kind], Search)]
PLAIN = [kind for kind in FIELDS if kind not in SEARCHING]
NET = """
layer { name: "in" type: "Input" top: "x" top: "label" input_param { shape { dim: 12 dim: 5 } shape { dim: 12 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "x" top: "h"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "tanh" type: "TanH" bottom: "h" top: "h" }
layer { name: "ip2" type: "InnerProduct" bottom: "h" top: "y"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "y" bottom: "label" top: "loss" }
"""
X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
LABEL = np.random.default_rng(1).integers(0, 3, 12)


def rate_of(kind: str) -> float:
    return 1.0 if kind in (*SEARCHING, "AdaDelta") else 0.0625


def net(folder: Path) -> Any:
    (folder / "net.prototxt").write_text(NET)
    made = assembly.load_net(folder / "net.prototxt", 0, seed=3)
    made.blobs["x"].data[...], made.blobs["label"].data[...] = X, LABEL
    return made


def module(like: Any) -> nn.Module:
    """The net as a torch module, with its weights."""
    made = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    with torch.no_grad():
        for weight, parameter in zip(made.parameters(), like.parameters, strict=True):
            weight.copy_(parameter.tensor)
    return made


def closure(model: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.from_numpy(X)), torch.from_numpy(LABEL))
        loss.backward()
        return loss

    return evaluate


# -- the arithmetic of a solver ---------------------------------------------------------------------------------------


def test_every_type_is_there() -> None:
    assert sorted(FIELDS) == updates.names()
    assert set(FIELDS) <= set(dir(optim))
    assert caffelite.optim is optim


@pytest.mark.parametrize("decay", [{}, {"weight_decay": 0.01}, {"weight_decay": 0.01, "regularization_type": "L1"}])
@pytest.mark.parametrize("kind", FIELDS)
def test_it_is_the_solvers_to_the_last_bit(kind: str, decay: dict[str, Any], tmp_path: Path) -> None:
    if "regularization_type" in decay and kind in ("AdamW", *SEARCHING):
        with pytest.raises(SettingsError, match=f"regularization_type L1 cannot be used with {kind}"):
            getattr(optim, kind)([torch.zeros(1)], lr=1.0, **decay)
        return
    fields = FIELDS[kind] | decay
    solved, stepped = net(tmp_path), net(tmp_path)
    training = Solver(settings(type=kind, base_lr=rate_of(kind), **fields), solved)
    weights = [parameter.tensor for parameter in stepped.parameters]
    optimizer = getattr(optim, kind)(weights, lr=rate_of(kind), **fields)

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = stepped.forward_backward()
        return loss

    for _ in range(8):
        training.step(1)
        optimizer.step(evaluate)
    for parameter, weight in zip(solved.parameters, weights, strict=True):
        assert torch.equal(parameter.tensor, weight)


@pytest.mark.parametrize("kind", FIELDS)
def test_a_torch_module_is_trained_as_the_net_is(kind: str, tmp_path: Path) -> None:
    trained = net(tmp_path)
    model = module(trained)
    optimizer = getattr(optim, kind)(model.parameters(), lr=rate_of(kind), weight_decay=0.01, **FIELDS[kind])
    training = Solver(settings(type=kind, base_lr=rate_of(kind), weight_decay=0.01, **FIELDS[kind]), trained)
    for _ in range(8):
        training.step(1)
        optimizer.step(closure(model, optimizer))
    for parameter, weight in zip(trained.parameters, model.parameters(), strict=True):
        np.testing.assert_allclose(weight.detach(), parameter.tensor.detach(), rtol=2e-3, atol=2e-4)


def test_groups_are_lr_mult_and_decay_mult() -> None:
    from caffelite.solver.rule import Rule

    start = [np.full(3, 2.0, np.float32), np.full(2, -1.0, np.float32)]
    parameters = [FakeParameter(start[0]), FakeParameter(start[1], lr_mult=2.0, decay_mult=0.0)]
    rule = Rule(settings(type="Adam", weight_decay=0.25, momentum=0.5), parameters)
    weights = [torch.from_numpy(values.copy()).requires_grad_() for values in start]
    groups = [{"params": weights[:1]}, {"params": weights[1:], "lr": 0.25, "weight_decay": 0.0}]
    optimizer = optim.Adam(groups, lr=0.125, weight_decay=0.25, momentum=0.5)
    for step in range(4):
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.grad, weight.grad = (torch.full_like(weight, step + 1.0, requires_grad=False) for _ in range(2))
        rule.apply(0.125, step)
        optimizer.step()
    for parameter, weight in zip(parameters, weights, strict=True):
        assert torch.equal(parameter.tensor, weight)


# -- the manners of torch.optim ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PLAIN)
def test_gradients_stay_and_missing_ones_leave_parameters_alone(kind: str) -> None:
    one, other = (torch.ones(3, requires_grad=True) for _ in range(2))
    optimizer = getattr(optim, kind)([one, other], lr=0.25, weight_decay=0.5, **FIELDS[kind])
    one.grad = torch.full((3,), 2.0)
    optimizer.step()
    assert one.grad.tolist() == [2.0] * 3
    assert not torch.equal(one, torch.ones(3))
    assert other.tolist() == [1.0] * 3
    # It begins when its first gradient comes.
    late, first = torch.full((3,), 2.0), one.detach().clone()
    one.grad, other.grad = None, late
    optimizer.step()
    assert torch.equal(other, first)
    assert torch.equal(one, first)


@pytest.mark.parametrize("kind", FIELDS)
def test_sparse_gradients_count_as_dense_ones(kind: str) -> None:
    weights = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(6, 3, sparse=sparse)
        optimizer = getattr(optim, kind)(table.parameters(), lr=0.25, weight_decay=0.5, **FIELDS[kind])

        def evaluate(table: nn.Embedding = table, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = (table(torch.tensor([0, 2, 2])) ** 2).sum()
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.step(evaluate)
        weights.append(table.weight.detach())
    assert torch.equal(*weights)


@pytest.mark.parametrize("kind", FIELDS)
def test_a_saved_state_goes_on(kind: str, tmp_path: Path) -> None:
    whole = module(net(tmp_path))
    broken = copy.deepcopy(whole)

    def made(model: nn.Module, lr: float = 1.0) -> Any:
        return getattr(optim, kind)(model.parameters(), lr=lr * rate_of(kind), weight_decay=0.01, **FIELDS[kind])

    optimizer = made(whole)
    for _ in range(7):
        optimizer.step(closure(whole, optimizer))
    optimizer = made(broken)
    for _ in range(3):
        optimizer.step(closure(broken, optimizer))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    again = made(broken, lr=0.5)
    again.load_state_dict(torch.load(file, weights_only=True))
    copied = copy.deepcopy(again)  # and copies do
    for _ in range(4):
        again.step(closure(broken, again))
    for one, other in zip(whole.parameters(), broken.parameters(), strict=True):
        assert torch.equal(one, other)
    assert copied.state_dict()["param_groups"] == again.state_dict()["param_groups"]
    assert type(pickle.loads(pickle.dumps(again))) is getattr(optim, kind)


def test_schedulers_change_rate_and_momentum() -> None:
    weight = torch.zeros(1, requires_grad=True)
    optimizer = optim.SGD([weight], lr=0.5)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    for _ in range(4):
        weight.grad = torch.ones(1)
        optimizer.step()
        schedule.step()
    assert weight.tolist() == [-1.5]
    cycled = optim.Nesterov([weight], lr=0.5, momentum=0.5)
    cycle = torch.optim.lr_scheduler.OneCycleLR(cycled, 0.5, total_steps=10)
    momenta = set()
    for _ in range(9):
        weight.grad = torch.ones(1)
        cycled.step()
        cycle.step()
        momenta.add(round(cycled.param_groups[0]["momentum"], 4))
    assert len(momenta) > 5


def test_momentum_of_a_group_is_its_own() -> None:
    one, other = (torch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([{"params": [one], "momentum": 0.5}, {"params": [other]}], lr=1.0)
    for _ in range(2):
        one.grad = other.grad = torch.ones(1)
        optimizer.step()
    assert (one.item(), other.item()) == (-2.5, -2.0)


@pytest.mark.parametrize("kind", PLAIN)
def test_parameters_of_two_precisions(kind: str) -> None:
    weights = [torch.ones(2, dtype=dtype, requires_grad=True) for dtype in (torch.float32, torch.float64)]
    optimizer = getattr(optim, kind)(weights, lr=0.25, **FIELDS[kind])
    for _ in range(3):
        for weight in weights:
            weight.grad = torch.full_like(weight, 0.5, requires_grad=False)
        optimizer.step()
    assert [weight.dtype for weight in weights] == [torch.float32, torch.float64]
    np.testing.assert_allclose(*(weight.detach() for weight in weights), rtol=1e-5, atol=1e-6)
    assert weights[0].max() < 1


def test_defaults_are_the_schemas() -> None:
    shown = inspect.signature(optim.Adam).parameters
    assert list(shown) == ["params", "lr", "momentum", "momentum2", "delta", "weight_decay", "regularization_type"]
    got = settings(type="Adam")
    assert {name: shown[name].default for name in list(shown)[2:]} == {
        name: getattr(got, name) for name in list(shown)[2:]
    }
    assert optim.Adam.__doc__ == updates["Adam"].__doc__


@pytest.mark.parametrize("kind", SEARCHING)
def test_a_search_needs_a_closure_and_one_group(kind: str) -> None:
    weights = [torch.ones(2, requires_grad=True) for _ in range(2)]
    optimizer = getattr(optim, kind)(weights[:1], lr=1.0)
    with pytest.raises(UsageError, match="step needs a closure"):
        optimizer.step()
    with pytest.raises(SettingsError, match=f"{kind} has one param group"):
        optimizer.add_param_group({"params": weights[1:]})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize("kind", SEARCHING)
def test_a_search_leaves_frozen_parameters_alone_and_calls_its_closure_so_often(kind: str) -> None:
    weights = [torch.full((2,), 3.0, requires_grad=learned) for learned in (True, False)]
    optimizer = getattr(optim, kind)(weights, lr=1.0, max_evaluations=4, weight_decay=0.5)
    calls = 0

    def evaluate() -> Tensor:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = ((weights[0] - 1) ** 4).sum() + weights[1].sum()
        loss.backward()
        return loss

    assert optimizer.step(evaluate).item() == 38.0
    assert 2 <= calls <= 4
    assert weights[1].tolist() == [3.0, 3.0]
    assert weights[0].max() < 3
    weights[1].requires_grad_()
    with pytest.raises(SnapshotError, match="has 2 values, and 4 weights of this net may move"):
        optimizer.step(evaluate)


def test_what_it_refuses() -> None:
    weight = torch.ones(2, requires_grad=True)
    with pytest.raises(SettingsError, match='SGD has no setting "momentun"'):
        optim.SGD([weight], lr=1.0, momentun=0.9)
    with pytest.raises(SettingsError, match="help: it has lr, momentum, momentum2, delta, weight_decay, regulariz"):
        optim.Adam([weight], lr=1.0, betas=(0.9, 0.99))
    with pytest.raises(SettingsError, match="momentum must be at least 0 and below 1, got 9"):
        optim.SGD([{"params": [weight], "momentum": 9}], lr=1.0)
    with pytest.raises(SettingsError, match="a setting of LBFGS cannot be what it is"):
        optim.LBFGS([weight], lr=1.0, history_size=-1)
    with pytest.raises(UsageError, match="real parameters only"):
        optim.SGD([torch.ones(1, dtype=torch.complex64)], lr=1.0)
    with pytest.warns(UserWarning, match="AdaDelta takes momentum as its decay rate"):
        optim.AdaDelta([weight], lr=1.0)
    with pytest.raises(AttributeError, match="no attribute 'Sgd'"):
        optim.Sgd  # noqa: B018


def test_it_is_imported_when_it_is_used() -> None:
    code = "import sys, caffelite; assert 'torch' not in sys.modules; print(caffelite.optim.SGD.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "SGD\n"


def test_settings_come_from_one_place() -> None:
    # A momentum of 0.9 is that of a prototxt: in single precision.
    optimizer = optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    made = optim._settings("SGD", optim._given(updates["SGD"], optimizer.param_groups[0]))
    assert made.momentum == settings(momentum=0.9).momentum != 0.9
