"""Nonlinear conjugate gradients (Polak and Ribière, 1969)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import line_search
from ..line_search import Trial
from ..objective import Objective
from ..search import Search, number, numbers, vectors
from ..settings import Settings
from ..update import Memory, update

if TYPE_CHECKING:
    from torch import Tensor

DESCENT = 0.01
"""A direction of which the gradient has less than this share of its own length² is given up."""

LONGER = 10.0
"""The first trial is at most so many times as long as the step before."""


@dataclass(slots=True)
class _Last:
    """What an iteration leaves to the next: its direction and gradient, the step along that, the slope it began with,
    and how many iterations ago a direction was the gradient itself."""

    direction: Tensor
    gradient: Tensor
    step: float
    slope: float
    age: int


@update("ConjugateGradient")
class ConjugateGradient(Search):
    """Steps that do not undo each other, after Polak and Ribière.  For batches that are all of the data, as LBFGS,
    which mostly needs fewer evaluations; this one remembers only twice the memory of the weights.

        beta = max(0, g·(g - g') / g'·g'),  where g' is the g of the iteration before;  d ← beta · d - g
        update = -t · d,  so that  f(w + t · d) ≤ f(w) + 0.0001 · t · g·d
                              and  |f'(w + t · d) · d| ≤ 0.1 · |g·d|

    f is the loss with decay/2 · w², and g its gradient.  d is -g to begin with, where it would go down too little,
    after as many iterations as there are weights, and after one that found nothing lower.

    To find t, f and its gradient are computed again, up to max_evaluations times in an iteration with its first, of the
    same batches and with the same choices of chance.  The first t is that of the iteration before, times the ratio of
    their slopes, g·d.  In the first iteration it is rate · min(1, 1 / Σ|g|), and a tenth of that after one that found
    nothing lower; other rates have no effect, but at 0 nothing moves.

    lr_mult, what is refused, and the empty history are as with LBFGS.

    torch.optim has no such method.

    Source: Nocedal and Wright, Numerical Optimization, 2nd edition, section 5.2 (PR+) and algorithms 3.5 and 3.6.
    """

    reads = frozenset({"max_evaluations"})
    example = """
    type: "ConjugateGradient" base_lr: 1 lr_policy: "fixed"
    max_evaluations: 20 weight_decay: 0.0005
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._last: _Last | None = None

    def search(self, objective: Objective, rate: float) -> Tensor:
        value, gradient = objective.start
        direction, age = self._direction(gradient)
        start = Trial(0.0, value, float(gradient.dot(direction)))

        def line(step: float) -> Trial:
            value, there = objective(direction * step)
            return Trial(step, value, float(there.dot(direction)))

        step = 0.0
        if start.slope < 0:
            first = self._first_step(gradient, start.slope, rate)
            step = line_search.search(line, start, first, self.settings.max_evaluations - 1).step
        self._last = _Last(direction, gradient, step, start.slope, age)
        return direction * step

    def _direction(self, gradient: Tensor) -> tuple[Tensor, int]:
        """Where to go, and its age."""
        last = self._last
        if last is not None and last.age + 1 < gradient.numel():
            beta = float(gradient.dot(gradient - last.gradient) / last.gradient.dot(last.gradient))
            direction = last.direction * max(0.0, beta) - gradient
            if float(gradient.dot(direction)) <= -DESCENT * float(gradient.dot(gradient)):
                return direction, last.age + 1 if beta > 0 else 0
        return -gradient, 0

    def _first_step(self, gradient: Tensor, slope: float, rate: float) -> float:
        if self._last is None:
            return rate * min(1.0, 1 / float(gradient.abs().sum()))
        return self._last.step * min(LONGER, self._last.slope / slope)

    def learned(self) -> Memory:
        last = self._last
        if last is None:
            return {}
        return {
            "direction": [last.direction],
            "gradient": [last.gradient],
            "step": [last.step],
            "slope": [last.slope],
            "age": last.age,
        }

    def learn(self, memory: Memory, size: int) -> None:
        last = None
        if memory:
            (direction,), (gradient,) = (vectors(memory, name, 1, size) for name in ("direction", "gradient"))
            (step,), (slope,) = numbers(memory, "step", 1), numbers(memory, "slope", 1)
            last = _Last(direction, gradient, step, slope, number(memory, "age"))
        self._last = last
