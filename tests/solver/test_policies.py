"""Rates against numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from caffelite.solver.policies import learning_rate, momentum, policies, single

from .fakes import settings


def rates(iterations: list[int], **fields: object) -> list[float]:
    """The rates of single iterations, with the current step at 0."""
    chosen = settings(**fields)
    return [policies[chosen.lr_policy].rate(chosen, iteration, 0).rate for iteration in iterations]


@pytest.mark.parametrize(
    ("fields", "by_hand"),
    [
        ({"lr_policy": "fixed"}, {0: 0.5, 1000: 0.5}),
        ({"lr_policy": "step", "gamma": 0.1, "stepsize": 10}, {0: 0.5, 9: 0.5, 10: 0.05, 29: 0.005}),
        ({"lr_policy": "exp", "gamma": 0.5}, {0: 0.5, 1: 0.25, 4: 0.03125}),
        ({"lr_policy": "inv", "gamma": 1, "power": 2}, {0: 0.5, 1: 0.125, 4: 0.02}),
        ({"lr_policy": "inv", "gamma": 0.0001, "power": 0.75, "base_lr": 0.01}, {10000: 0.01 * 2**-0.75}),
        ({"lr_policy": "poly", "power": 2, "max_iter": 10}, {0: 0.5, 5: 0.125, 10: 0.0}),
        ({"lr_policy": "sigmoid", "gamma": 1, "stepsize": 5}, {5: 0.25, 6: 0.5 / (1 + math.exp(-1)), 500: 0.5}),
        ({"lr_policy": "sigmoid", "gamma": 1, "stepsize": 100000}, {0: 0.0}),
    ],
)
def test_rate(fields: dict[str, object], by_hand: dict[int, float]) -> None:
    assert rates(list(by_hand), **fields) == pytest.approx(list(by_hand.values()), rel=1e-6, abs=1e-30)


def test_the_classic_lenet_rates_as_the_original_prints_them() -> None:
    got = rates([0, 100, 500, 1000], lr_policy="inv", base_lr=0.01, gamma=0.0001, power=0.75)
    assert [f"{rate:g}" for rate in got] == ["0.01", "0.00992565", "0.00964069", "0.00931012"]


def test_poly_has_no_rate_past_the_end_for_a_broken_power() -> None:
    assert math.isnan(rates([11], lr_policy="poly", power=0.5, max_iter=10)[0])


def test_infinite_rather_than_an_exception() -> None:
    assert rates([100000], lr_policy="exp", gamma=10) == [math.inf]


def test_multistep_advances_one_step_an_iteration() -> None:
    chosen = settings(lr_policy="multistep", gamma=0.5, stepvalue=[2, 3, 3])
    step, seen = 0, []
    for iteration in range(6):
        rate, step = policies["multistep"].rate(chosen, iteration, step)
        seen.append((rate, step))
    # The third stepvalue is reached at iteration 3 too, and waits for iteration 4.
    assert seen == [(0.5, 0), (0.5, 0), (0.25, 1), (0.125, 2), (0.0625, 3), (0.0625, 3)]


def test_step_leaves_its_number_of_drops_and_others_leave_the_step_alone() -> None:
    stepping = settings(lr_policy="step", gamma=0.5, stepsize=10)
    assert policies["step"].rate(stepping, 35, 0).step == 3
    assert policies["fixed"].rate(settings(), 35, 7).step == 7


def test_there_are_the_original_s_seven_one_of_a_fork_and_two_of_our_own() -> None:
    seven = ["exp", "fixed", "inv", "multistep", "poly", "sigmoid", "step"]
    assert policies.names() == sorted([*seven, "cosine", "multifixed", "plateau"])


# -- beyond the original -------------------------------------------------------------------------------------------

END = 200
TIMES = np.arange(END + 1)
WATCHING = {"plateau": {"output": "acc", "mode": "MAX"}, "test_iter": [1], "test_interval": 1}


def curve(step: int = 0, **fields: object) -> np.ndarray:
    """The rates of all iterations up to END, as the solver asks for them."""
    chosen = settings(**{"max_iter": END} | fields)
    rates = []
    for iteration in TIMES.tolist():
        rate, step = learning_rate(chosen, iteration, step)
        rates.append(rate)
    return np.array(rates)


def test_cosine() -> None:
    wave = 0.02 + (0.5 - 0.02) * (1 + np.cos(np.pi * TIMES / END)) / 2
    assert curve(lr_policy="cosine", min_lr=0.02) == pytest.approx(wave, rel=1e-6)
    assert curve(lr_policy="cosine") == pytest.approx(0.25 * (1 + np.cos(np.pi * TIMES / END)), rel=1e-6, abs=1e-9)
    assert rates([END, END + 1, 3 * END], lr_policy="cosine", max_iter=END, base_lr=0.5) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("step", [0, 1, 4])
def test_plateau(step: int) -> None:
    got = curve(step, lr_policy="plateau", gamma=0.3, **WATCHING)
    assert got == pytest.approx(np.full(END + 1, 0.5 * 0.3**step), rel=1e-6)


def test_poly_ends_at_min_lr() -> None:
    above = (0.5 - 0.01) * (1 - TIMES / END) ** 1.5
    assert curve(lr_policy="poly", power=1.5, min_lr=0.01) == pytest.approx(above + 0.01, rel=1e-5)
    assert curve(lr_policy="poly", power=1.5, min_lr=0.01)[-1] == single(0.01)


@pytest.mark.parametrize(
    ("fields", "formula"),
    [
        ({"lr_policy": "fixed"}, lambda t: np.full(len(t), 0.5)),
        ({"lr_policy": "step", "gamma": 0.5, "stepsize": 20}, lambda t: 0.5 * 0.5 ** (t // 20)),
        ({"lr_policy": "exp", "gamma": 0.98}, lambda t: 0.5 * 0.98**t),
        ({"lr_policy": "inv", "gamma": 0.1, "power": 0.75}, lambda t: 0.5 * (1 + 0.1 * t) ** -0.75),
        (
            {"lr_policy": "multistep", "gamma": 0.1, "stepvalue": [50, 90]},
            lambda t: 0.5 * 0.1 ** (1 * (t >= 50) + (t >= 90)),
        ),
        ({"lr_policy": "sigmoid", "gamma": 0.1, "stepsize": 100}, lambda t: 0.5 / (1 + np.exp(-0.1 * (t - 100)))),
        ({"lr_policy": "plateau", "gamma": 0.1, **WATCHING}, lambda t: np.full(len(t), 0.5)),
    ],
)
def test_no_rate_is_below_min_lr(fields: dict[str, object], formula: Callable[[np.ndarray], np.ndarray]) -> None:
    assert curve(**fields, min_lr=0.03) == pytest.approx(np.maximum(formula(TIMES), 0.03), rel=1e-5)
    assert curve(**fields) == pytest.approx(formula(TIMES), rel=1e-5)
    assert curve(**fields, min_lr=0.0).tolist() == curve(**fields).tolist()


@pytest.mark.parametrize(("start", "least"), [(0.0, 0.0), (0.1, 0.0), (0.9, 0.0), (0.0, 0.2)])
def test_the_rate_rises_with_the_square_of_time_and_is_then_the_policy_s(start: float, least: float) -> None:
    fields = {"lr_policy": "exp", "gamma": 0.98, "min_lr": least}
    got = curve(**fields, rampup_interval=30, rampup_lr=start)
    rise = start + (0.5 - start) * (TIMES[:30] / 30) ** 2
    assert got[:30] == pytest.approx(np.maximum(rise, least), rel=1e-6)
    assert got[30:].tolist() == curve(**fields)[30:].tolist()


def test_while_the_rate_rises_the_policy_is_not_asked() -> None:
    chosen = settings(lr_policy="multistep", gamma=0.5, stepvalue=[1, 2, 6], rampup_interval=5, max_iter=9)
    step, seen = 0, []
    for iteration in range(8):
        step = learning_rate(chosen, iteration, step).step
        seen.append(step)
    # Steps that were due before are made up for, one an iteration.
    assert seen == [0, 0, 0, 0, 0, 1, 2, 3]


def test_a_rate_below_zero_stays_one_without_min_lr() -> None:
    assert learning_rate(settings(lr_policy="poly", power=1, max_iter=10), 12, 0).rate == pytest.approx(-0.1)
    assert learning_rate(settings(base_lr=-0.5), 12, 0).rate == -0.5


def test_min_lr_hides_no_rate_that_is_undefined() -> None:
    chosen = settings(lr_policy="poly", power=0.5, max_iter=10, min_lr=0.1)
    assert math.isnan(learning_rate(chosen, 11, 0).rate)


def test_multifixed_holds_each_rate_up_to_its_last_iteration() -> None:
    """`iter <= stageiter` picks the stage, and the last stays (sgd_solver.cpp of intel/caffe)."""
    fields = {"lr_policy": "multifixed", "stagelr": [0.1, 0.01, 0.001], "stageiter": [2, 4, 6]}
    assert rates([0, 2, 3, 4, 5, 6, 7, 99], **fields) == pytest.approx([0.1] * 2 + [0.01] * 2 + [0.001] * 4)


def test_warm_up_is_a_straight_line_before_the_policy() -> None:
    """(iter · base_lr + (warmup_iter − iter) · warmup_start_lr) / warmup_iter (GetWarmUpLR of intel/caffe)."""
    fields = {"lr_policy": "step", "stepsize": 6, "gamma": 0.1, "base_lr": 1.0}
    chosen = settings(**fields, warmup_iter=4, warmup_start_lr=0.2)
    got = [learning_rate(chosen, iteration, 0).rate for iteration in (0, 1, 2, 3, 4, 5, 6)]
    assert got == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.1])


def test_momentum_rises_as_a_polynomial() -> None:
    """momentum + (max_momentum − momentum) · (iter / max_iter) ^ momentum_power (GetMomentum of NVIDIA/caffe)."""
    chosen = settings(momentum=0.5, momentum_policy="poly", max_momentum=0.9, momentum_power=2)
    assert [momentum(chosen, iteration) for iteration in (0, 5, 10)] == pytest.approx([0.5, 0.6, 0.9])
    assert momentum(settings(momentum=0.5), 5) == 0.5
