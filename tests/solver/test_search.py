"""Types that search, on functions whose minimum is known: what they find, what they ask for, what they remember."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from caffelite.errors import SettingsError, SnapshotError, UsageError
from caffelite.solver.rule import Rule
from caffelite.solver.update import Memory, updates

from .fakes import FakeParameter, settings

TYPES = ["ConjugateGradient", "LBFGS"]
Loss = Callable[..., Tensor]


class Descent:
    """A function of parameters, made smaller by a rule.

    Attributes:
        losses: at the beginning of each iteration; evaluations: of the function, so far.
    """

    def __init__(self, function: Loss, *parameters: FakeParameter, rate: float = 1.0, **fields: Any) -> None:
        self.function, self.parameters, self.rate = function, list(parameters), rate
        self.rule = Rule(settings(base_lr=rate, **fields), self.parameters)
        self.losses: list[float] = []
        self.evaluations = 0

    def __call__(self) -> Tensor:
        self.evaluations += 1
        for parameter in self.parameters:
            parameter.grad = None
        with torch.enable_grad():
            loss = self.function(*(parameter.tensor for parameter in self.parameters))
            loss.backward()
        return loss.detach()

    def step(self, iterations: int = 1) -> None:
        for _ in range(iterations):
            self.loss = self()
            self.losses.append(float(self.loss))
            self.rule.apply(self.rate, len(self.losses) - 1, self)


def rosenbrock(w: Tensor) -> Tensor:
    """Its minimum is 0, at (1, 1), in a bent valley."""
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


MATRIX = np.random.default_rng(0).standard_normal((8, 6))
CURVATURE, LINEAR = MATRIX.T @ MATRIX + np.eye(6), np.random.default_rng(1).standard_normal(6)


def quadratic(w: Tensor) -> Tensor:
    return w @ torch.from_numpy(CURVATURE).to(w) @ w / 2 - torch.from_numpy(LINEAR).to(w) @ w


# -- what they find ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_the_minimum_of_a_convex_quadratic(kind: str) -> None:
    w = FakeParameter(np.zeros(6))
    descent = Descent(quadratic, w, type=kind)
    descent.step(25)
    np.testing.assert_allclose(w.values, np.linalg.solve(CURVATURE, LINEAR), atol=1e-7)
    assert descent.losses == sorted(descent.losses, reverse=True)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("evaluations", [2, 3, 20])
def test_no_more_evaluations_than_allowed_and_never_up(kind: str, evaluations: int) -> None:
    descent = Descent(rosenbrock, FakeParameter(np.array([-1.2, 1.0])), type=kind, max_evaluations=evaluations)
    for _ in range(40):
        before = descent.evaluations
        descent.step()
        assert descent.evaluations - before <= evaluations
    assert descent.losses == sorted(descent.losses, reverse=True)
    assert descent.losses[-1] < 4.0 < descent.losses[0]  # with 2, conjugate gradients creep, but do not stand still


@pytest.mark.parametrize(("kind", "iterations"), [("LBFGS", 45), ("ConjugateGradient", 50)])
def test_the_bottom_of_rosenbrocks_valley(kind: str, iterations: int) -> None:
    w = FakeParameter(np.array([-1.2, 1.0]))
    Descent(rosenbrock, w, type=kind).step(iterations)
    np.testing.assert_allclose(w.values, [1, 1], atol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
def test_there_is_nothing_below_the_minimum(kind: str) -> None:
    w = FakeParameter(np.zeros(3))
    descent = Descent(lambda w: (w**2).sum(), w, type=kind)
    descent.step(3)
    assert w.values.tolist() == [0, 0, 0]
    assert descent.evaluations == 3  # a gradient of zeros says so


@pytest.mark.parametrize("kind", TYPES)
def test_where_there_is_no_value_it_does_not_go(kind: str) -> None:
    # Minus infinity at the edge of the logarithm, NaN behind it; the minimum of 10 w - log w is at 0.1.
    w = FakeParameter(np.array([5.0]))
    descent = Descent(lambda w: (10 * w - w.log()).sum(), w, rate=1e3, type=kind)
    descent.step(20)
    np.testing.assert_allclose(w.values, [0.1], rtol=1e-6)
    assert np.isfinite(descent.losses).all()


@pytest.mark.parametrize("kind", TYPES)
def test_from_where_there_is_no_value_it_goes_nowhere(kind: str) -> None:
    w = FakeParameter(np.array([-1.0]))
    descent = Descent(lambda w: (10 * w - w.log()).sum(), w, type=kind)
    descent.step(2)
    assert w.values.tolist() == [-1.0]
    assert descent.evaluations == 2


@pytest.mark.parametrize("kind", TYPES)
def test_a_rate_of_0_changes_nothing(kind: str) -> None:
    w = FakeParameter(np.array([-1.2, 1.0]))
    descent = Descent(rosenbrock, w, type=kind)
    descent.step(3)
    before, memory = w.values, copied(descent.rule.remembered())
    descent.rate = 0.0
    descent.step()
    assert np.array_equal(w.values, before)
    same(descent.rule.remembered(), memory)


# -- formulas ---------------------------------------------------------------------------------------------------------


def test_lbfgs_is_torchs() -> None:
    ours, theirs = FakeParameter(np.array([-1.2, 1.0])), torch.tensor([-1.2, 1.0], dtype=torch.float64).requires_grad_()
    options: dict[str, Any] = {"tolerance_grad": 0.0, "tolerance_change": 1e-30, "line_search_fn": "strong_wolfe"}
    optimizer = torch.optim.LBFGS([theirs], lr=0.5, max_iter=1, max_eval=8, history_size=3, **options)

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = rosenbrock(theirs)
        loss.backward()
        return loss

    descent = Descent(rosenbrock, ours, rate=0.5, type="LBFGS", history_size=3, max_evaluations=9)
    for _ in range(30):
        descent.step()
        optimizer.step(evaluate)  # type: ignore[arg-type]
        np.testing.assert_allclose(ours.values, theirs.detach(), rtol=1e-9)


def test_directions_are_conjugate_after_polak_and_ribiere() -> None:
    w = FakeParameter(np.array([-1.2, 1.0, 0.5]))

    def function(w: Tensor) -> Tensor:
        return rosenbrock(w[:2]) + torch.cosh(w[2] * w[0])

    descent = Descent(function, w, type="ConjugateGradient")
    gradients, moves, restarts = [], [], 0
    for _ in range(9):
        before = w.values
        point = torch.from_numpy(before).requires_grad_()
        function(point).backward()
        gradients.append(point.grad.numpy())  # type: ignore[union-attr]
        descent.step()
        moves.append(w.values - before)
    direction, age = -gradients[0], 0
    for k in range(1, 9):
        g, last = gradients[k], gradients[k - 1]
        beta = max(0.0, g @ (g - last) / (last @ last))
        direction, age = beta * direction - g, age + 1
        if age == 3 or beta == 0 or g @ direction > -0.01 * (g @ g):
            direction, age, restarts = -g, 0, restarts + 1
        cosine = moves[k] @ direction / np.linalg.norm(moves[k]) / np.linalg.norm(direction)
        assert cosine == pytest.approx(1, abs=1e-9)
    assert 0 < restarts < 8


@pytest.mark.parametrize("kind", TYPES)
def test_the_first_trial_is_rate_times_the_gradient_or_as_long_as_rate(kind: str) -> None:
    # So flat that the first trial is taken: 0.5 · g of g = (0.25, -0.5), and 0.5 · g / 8 of one that is 8 long.
    for slope, expected in ((0.25, 0.125), (-0.5, -0.25), (8.0, 0.5)):
        w = FakeParameter(np.zeros(1))
        curvature = abs(slope / expected)
        Descent(lambda w, a=slope, b=curvature: (b * w**2 / 2 - a * w).sum(), w, rate=0.5, type=kind).step()
        assert w.values.tolist() == [expected]


@pytest.mark.parametrize("kind", TYPES)
def test_weight_decay_is_a_part_of_what_becomes_smaller(kind: str) -> None:
    one, two = FakeParameter(np.zeros(6)), FakeParameter(np.zeros(6), decay_mult=3.0)
    descent = Descent(lambda a, b: quadratic(a) + quadratic(b), one, two, type=kind, weight_decay=0.5)
    descent.step(25)
    for parameter, decay in ((one, 0.5), (two, 1.5)):
        wanted = np.linalg.solve(CURVATURE + decay * np.eye(6), LINEAR)
        np.testing.assert_allclose(parameter.values, wanted, atol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
def test_gradients_are_averaged_over_iter_size(kind: str) -> None:
    # What computes them adds up gradients and gives the mean of losses.
    plain, summed = FakeParameter(np.zeros(6)), FakeParameter(np.zeros(6))

    class Summed(Descent):
        def __call__(self) -> Tensor:
            loss = super().__call__()
            summed.tensor.grad.mul_(4)  # type: ignore[union-attr]
            return loss

    one, four = Descent(quadratic, plain, type=kind), Summed(quadratic, summed, type=kind, iter_size=4)
    one.step(9)
    four.step(9)
    np.testing.assert_array_equal(plain.values, summed.values)


@pytest.mark.parametrize("kind", TYPES)
def test_weights_with_lr_mult_0_stay_and_the_others_see_them(kind: str) -> None:
    still, moving = FakeParameter(np.array([3.0]), lr_mult=0.0), FakeParameter(np.zeros(2))
    descent = Descent(lambda a, b: ((b - a) ** 2).sum(), still, moving, type=kind, weight_decay=0.5)
    descent.step(9)
    assert still.values.tolist() == [3.0]
    assert still.diff.tolist() == [0.0]
    np.testing.assert_allclose(moving.values, [2.4, 2.4])  # 2 (w - 3) + w / 2 = 0


@pytest.mark.parametrize("kind", TYPES)
def test_other_lr_mult_stretch_the_space(kind: str) -> None:
    # The same function of v = w / 2, moved with lr_mult 1.
    stretched, plain = FakeParameter(np.array([-1.2, 1.0]), lr_mult=4.0), FakeParameter(np.array([-0.6, 0.5]))
    one, other = Descent(rosenbrock, stretched, type=kind), Descent(lambda v: rosenbrock(2 * v), plain, type=kind)
    one.step(12)
    other.step(12)
    np.testing.assert_allclose(one.losses, other.losses, rtol=1e-9)
    np.testing.assert_allclose(stretched.values, 2 * plain.values, rtol=1e-9)


def test_nothing_to_move() -> None:
    still = FakeParameter(np.ones(2), lr_mult=0.0)
    Descent(lambda w: (w**2).sum(), still, type="LBFGS").step()
    assert still.values.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("kind", TYPES)
def test_memory_format_does_not_matter(kind: str) -> None:
    start = np.random.default_rng(0).standard_normal((3, 4, 2, 5))
    plain, last = FakeParameter(start), FakeParameter(start)
    last.tensor = torch.from_numpy(start).to(memory_format=torch.channels_last).requires_grad_(True)
    factors = torch.from_numpy(np.random.default_rng(1).uniform(0.5, 2, start.shape))
    for parameter in (plain, last):
        Descent(lambda w: (factors * (w - 1) ** 4).sum(), parameter, type=kind).step(5)
    np.testing.assert_allclose(last.values, plain.values, rtol=1e-9)
    assert last.tensor.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", TYPES)
def test_diff_is_what_was_subtracted(kind: str) -> None:
    w = FakeParameter(np.array([-1.2, 1.0]))
    descent = Descent(rosenbrock, w, type=kind)
    descent.step(2)
    before = w.values
    descent.step()
    np.testing.assert_array_equal(w.diff, before - w.values)


# -- what they remember -----------------------------------------------------------------------------------------------


def copied(memory: Memory) -> dict[str, Any]:
    """A copy as a file keeps it: an empty list is none."""

    def copy(value: Any) -> Any:
        if isinstance(value, list):
            return [copy(one) for one in value] or None
        return value.clone() if isinstance(value, Tensor) else value

    return {name: copy(value) for name, value in memory.items()}


def same(one: Memory, other: Memory) -> None:
    def numbers(value: Any) -> Any:
        return [one.tolist() if isinstance(one, Tensor) else one for one in value] if isinstance(value, list) else value

    assert {name: numbers(value) for name, value in one.items() if value != []} == {
        name: numbers(value) for name, value in other.items() if value is not None
    }


@pytest.mark.parametrize("kind", updates.names())
def test_what_is_remembered_goes_into_a_file(kind: str) -> None:
    descent = Descent(rosenbrock, FakeParameter(np.array([-1.2, 1.0], np.float32)), type=kind, rate=0.01)
    descent.step(5)
    memory = descent.rule.remembered()
    assert bool(memory) == (kind in TYPES)
    for value in memory.values():
        several = value if isinstance(value, list) else []
        assert isinstance(value, int) or {type(one) for one in several} in ({float}, {Tensor})


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("stop", [0, 1, 2, 7])
@pytest.mark.parametrize("evaluations", [2, 20])
def test_a_resumed_descent_is_the_same(kind: str, stop: int, evaluations: int) -> None:
    fields = {"type": kind, "max_evaluations": evaluations, "history_size": 4, "weight_decay": 0.125}
    whole, first = (FakeParameter(np.array([-1.2, 1.0], np.float32)) for _ in range(2))
    Descent(rosenbrock, whole, **fields).step(14)
    begun = Descent(rosenbrock, first, **fields)
    begun.step(stop)
    rest = FakeParameter(first.values)
    resumed = Descent(rosenbrock, rest, **fields)
    memory = copied(begun.rule.remembered())
    resumed.rule.check_memory(memory)
    resumed.rule.remember(memory)
    begun.step(3)  # what it does afterwards is no affair of the other
    same(resumed.rule.remembered(), memory)
    resumed.step(14 - stop)
    assert rest.values.tolist() == whole.values.tolist()


def test_a_shorter_history_takes_the_newest() -> None:
    first, second = FakeParameter(np.array([-1.2, 1.0])), FakeParameter(np.array([-1.2, 1.0]))
    long, short = (Descent(rosenbrock, w, type="LBFGS", history_size=n) for w, n in ((first, 8), (second, 2)))
    long.step(8)
    memory = long.rule.remembered()
    short.rule.remember(memory)
    assert short.rule.remembered()["ro"] == memory["ro"][-2:]  # type: ignore[index]
    short.step(3)


@pytest.mark.parametrize("kind", TYPES)
def test_nothing_remembered_is_a_beginning(kind: str) -> None:
    w = FakeParameter(np.array([-1.2, 1.0]))
    descent = Descent(rosenbrock, w, type=kind)
    descent.step(3)
    descent.rule.remember({})
    w.tensor.data = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    descent.step(3)
    assert descent.losses[3:] == descent.losses[:3]


@pytest.mark.parametrize("kind", TYPES)
def test_an_error_leaves_all_as_it_was(kind: str) -> None:
    w, twin = FakeParameter(np.array([-1.2, 1.0])), FakeParameter(np.array([-1.2, 1.0]))
    descent, undisturbed = Descent(rosenbrock, w, type=kind), Descent(rosenbrock, twin, type=kind)
    descent.step(4)
    undisturbed.step(4)

    class Interrupting(Descent):
        def __call__(self) -> Tensor:
            if self.evaluations == 1:
                raise KeyboardInterrupt
            return super().__call__()

    interrupted = Interrupting(rosenbrock, w, type=kind)
    interrupted.rule = descent.rule
    before = w.values
    with pytest.raises(KeyboardInterrupt):
        interrupted.step()
    assert np.array_equal(w.values, before)
    descent.step(4)
    undisturbed.step(4)
    assert w.values.tolist() == twin.values.tolist()


def test_a_memory_that_does_not_fit() -> None:
    lbfgs = Descent(rosenbrock, FakeParameter(np.array([-1.2, 1.0])), type="LBFGS")
    lbfgs.step(3)
    memory = dict(lbfgs.rule.remembered())
    others = {
        "what the method remembers as": Descent(quadratic, FakeParameter(np.zeros(6)), type="ConjugateGradient"),
        "type SGD remembers nothing besides its history, and here is more: ": Descent(
            quadratic, FakeParameter(np.zeros(6)), type="SGD"
        ),
        '"d" has 2 values, and 6 weights of this net may move': Descent(
            quadratic, FakeParameter(np.zeros(6)), type="LBFGS"
        ),
    }
    for text, other in others.items():
        with pytest.raises(SnapshotError, match=text):
            other.rule.check_memory(memory)
    for damage in ({"t": []}, {"ro": 3}, {"n_iter": None}, {"d": [1.0]}, {"old_dirs": None}, {"caution": None}):
        with pytest.raises(SnapshotError, match=f'what the method remembers as "{next(iter(damage))}"'):
            lbfgs.rule.remember(memory | damage)
        same(lbfgs.rule.remembered(), memory)


# -- what they refuse -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_gradients_alone_are_not_enough(kind: str) -> None:
    with pytest.raises(UsageError, match=f"type {kind} computes loss and gradients several times"):
        Rule(settings(type=kind), [FakeParameter(np.zeros(1))]).apply(1.0, 0)


@pytest.mark.parametrize("kind", TYPES)
def test_up_and_down_at_once(kind: str) -> None:
    parameters = [FakeParameter(np.zeros(1), lr_mult, slot=k) for k, lr_mult in enumerate((-1.0, 1.0, -2.0))]
    with pytest.raises(SettingsError) as caught:
        Rule(settings(type=kind), parameters)
    assert [fault.message.split("; ")[1] for fault in caught.value.faults] == [
        "lr_mult must be at least 0, got -1 for ip/0",
        "lr_mult must be at least 0, got -2 for ip/2",
    ]
