"""How far to go along a line: a step that makes the value enough smaller and the slope enough flatter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

DECREASE, FLATTER = 1e-4, 0.1
"""Of the decrease that the first slope promises, this share at least; of the first slope, this share at most."""

FARTHER, INSIDE = 10.0, 0.1
"""A trial goes at most so many times as far as the last one, and into a bracket at least so much of its width."""


class Trial(NamedTuple):
    """A point of the line: how far it is, the value there (inf where there is none), and the slope."""

    step: float
    value: float
    slope: float


def search(line: Callable[[float], Trial], start: Trial, step: float, trials: int) -> Trial:
    """A point that fulfils the strong Wolfe conditions,

        value ≤ start.value + DECREASE · step · start.slope  and  |slope| ≤ FLATTER · |start.slope|

    or, after that many `trials`, the lowest seen that fulfils the first of them; `start` itself where there was none.

    Source: Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 3.5 and 3.6, in one loop.

    Args:
        line: the point at a step.
        start: the point at step 0; its slope is negative.
        step: the first trial.
    """
    low, last, high = start, start, None
    for _ in range(trials):
        new = line(step)
        enough = new.value <= start.value + DECREASE * new.step * start.slope
        if not enough or (low is not start and new.value >= low.value):
            high = new
        elif abs(new.slope) <= FLATTER * -start.slope:
            return new
        else:
            if new.slope * ((math.inf if high is None else high.step) - low.step) >= 0:
                high = low
            last, low = low, new
        step = _farther(last, low) if high is None else _between(low, high)
        if step in (low.step, new.step):
            break
    return low


def _farther(last: Trial, low: Trial) -> float:
    """Beyond `low`, where the value still falls."""
    most = FARTHER * low.step
    least = low.step + INSIDE * (low.step - last.step)
    step = _lowest(last, low)
    return most if step is None or step <= low.step else min(max(step, least), most)


def _between(low: Trial, high: Trial) -> float:
    """Between two points that have a fulfilling one between them."""
    left, right = min(low.step, high.step), max(low.step, high.step)
    margin = INSIDE * (right - left)
    step = _lowest(low, high)
    return (left + right) / 2 if step is None else min(max(step, left + margin), right - margin)


def _lowest(a: Trial, b: Trial) -> float | None:
    """Where the cubic with these values and slopes is lowest, or None where it is so nowhere.

    Source: Nocedal and Wright, equation 3.59.
    """
    width = b.step - a.step
    bend = a.slope + b.slope - 3 * (b.value - a.value) / width
    square = bend * bend - a.slope * b.slope
    if not 0 <= square < math.inf:
        return None
    root = math.copysign(math.sqrt(square), width)
    divisor = b.slope - a.slope + 2 * root
    return b.step - width * (b.slope + root - bend) / divisor if divisor else None
