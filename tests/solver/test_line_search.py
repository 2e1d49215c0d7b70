"""The line search: it fulfils what it promises, on lines worked out by hand and on unkind ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from caffelite.solver.line_search import DECREASE, FARTHER, FLATTER, Trial, search

Function = Callable[[float], tuple[float, float]]


def found(function: Function, step: float, trials: int = 20) -> tuple[Trial, list[float]]:
    """What is found from 0 on, and the steps that were tried."""
    tried: list[float] = []

    def line(step: float) -> Trial:
        tried.append(step)
        return Trial(step, *function(step))

    return search(line, Trial(0.0, *function(0.0)), step, trials), tried


def parabola(t: float) -> tuple[float, float]:
    """Lowest at 3."""
    return (t - 3) ** 2, 2 * (t - 3)


LINES: dict[str, Function] = {
    "parabola": parabola,
    "quartic": lambda t: ((t - 2) ** 4, 4 * (t - 2) ** 3),
    "waves": lambda t: (math.sin(3 * t) - 5 * t + t * t, 3 * math.cos(3 * t) - 5 + 2 * t),
    "steep wall": lambda t: (math.exp(min(20 * t, 700)) - 100 * t, 20 * math.exp(min(20 * t, 700)) - 100),
    "edge": lambda t: (-math.log(1 - t) - 3 * t, 1 / (1 - t) - 3) if t < 1 else (math.inf, math.nan),
}


@pytest.mark.parametrize("step", [1e-4, 0.3, 1.0, 40.0, 1e5])
@pytest.mark.parametrize("name", LINES)
def test_both_conditions_hold(name: str, step: float) -> None:
    value, slope = LINES[name](0.0)
    got, tried = found(LINES[name], step, trials=40)
    assert len(tried) <= 40
    assert got.step in tried
    assert got.value <= value + DECREASE * got.step * slope
    assert abs(got.slope) <= FLATTER * abs(slope)


@pytest.mark.parametrize("step", [0.5, 2.0, 10.0])
def test_a_parabola_is_solved_by_its_second_trial(step: float) -> None:
    got, tried = found(parabola, step)
    assert len(tried) == 2
    assert got.step == pytest.approx(3, rel=1e-12)


def test_what_is_good_enough_at_once_is_taken() -> None:
    got, tried = found(parabola, 2.75)
    assert (got.step, tried) == (2.75, [2.75])


def test_downhill_without_end_it_goes_farther_each_time_but_not_too_far() -> None:
    got, tried = found(lambda t: (-t, -1.0), 1.0, trials=5)
    assert tried == [FARTHER**k for k in range(5)]
    assert got.step == tried[-1]


def test_the_lowest_is_returned_when_trials_end() -> None:
    got, tried = found(lambda t: ((t - 3) ** 4, 4 * (t - 3) ** 3), 0.01, trials=2)
    assert len(tried) == 2
    assert got.step == max(tried) == 0.1


def test_where_all_is_higher_it_stays() -> None:
    got, tried = found(lambda t: (t, 1.0) if t else (0.0, -1.0), 1.0, trials=9)
    assert got == Trial(0.0, 0.0, -1.0)
    assert len(tried) == 9
    assert tried == sorted(tried, reverse=True)


def test_where_there_is_no_value_it_takes_the_middle() -> None:
    _, tried = found(lambda t: (0.0, -1.0) if not t else (math.inf, math.nan), 8.0, trials=4)
    assert tried == [8.0, 4.0, 2.0, 1.0]
