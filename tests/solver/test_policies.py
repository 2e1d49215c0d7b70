"""Rates against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from caffelite.solver.policies import policies

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


def test_the_original_has_seven() -> None:
    assert policies.names() == ["exp", "fixed", "inv", "multistep", "poly", "sigmoid", "step"]
