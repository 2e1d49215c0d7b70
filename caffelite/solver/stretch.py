"""Iterations between two that somebody sees: passes and updates with nothing around them.

Small nets spend more time in what surrounds an iteration (arrays that people might hold, gradients that somebody might
read, blobs that show the losses) than in the iteration.  Where nobody can look before the next display, test or
snapshot, all this is done once for many iterations; weights, history and losses are the same to the bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from ..layerkit.base import torch
from ..net.moment import Moment
from .events import Action
from .policies import learning_rate

if TYPE_CHECKING:
    from torch import Tensor

    from ..net.captured import Captured, Iterations, Seen
    from .solver import Solver

_LONGEST = 64
"""Iterations; Python and torch keep the losses of as many, and rates are computed for as many."""
_LEAST = 2


class _Due(NamedTuple):
    """An iteration that is to be made: its rate, the current step after it, and the numbers of its update, if that is
    made with such alone."""

    rate: float
    step: int
    numbers: list[float] | None


class Stretch:
    """Makes iterations of a solver that nobody sees.

    Args:
        solver: the solver.
        possible: whether its settings allow it.
    """

    def __init__(self, solver: Solver, possible: bool) -> None:
        self.solver = solver
        self._whole: tuple[Captured, Iterations | None] | None = None
        self._possible = possible and solver.rule.follows and solver.settings.lr_policy != "multistep"

    def __call__(self, least: float) -> Action | None:
        """Make iterations before number `least`, at which somebody looks.

        Returns:
            What was asked for after the last one; None where none was made, as each has to be made by itself.

        Raises:
            DataError, LayerError, DivergedError: as an iteration does.
        """
        solver = self.solver
        if not self._possible or solver.shows:
            return None
        count = min(least - solver.iter, solver.watch.patience, _LONGEST)
        passes = solver.net.unseen() if count >= _LEAST else None
        places = passes.places() if passes is not None else None
        if passes is None or places is None:
            return None
        return self._make(passes, places, self._due(int(count)))

    def _due(self, count: int) -> list[_Due]:
        """What the next iterations are to be made with, as far as their rates are finite."""
        solver, step, due = self.solver, self.solver.current_step, list[_Due]()
        for iteration in range(solver.iter, solver.iter + count):
            rate, step = learning_rate(solver.settings, iteration, step)
            if not math.isfinite(rate):
                break
            due.append(_Due(rate, step, solver.rule.numbers(rate, iteration)))
        return due

    def _iterations(self, passes: Captured, seen: Seen | None, places: list[int]) -> Iterations | None:
        """What makes passes and updates in one; None where there is no such thing, or not before one pass was seen."""
        if self._whole is None or self._whole[0] is not passes:
            if seen is None:
                return None
            updates = self.solver.rule.following([seen.gradients[place] for place in places])
            self._whole = passes, None if updates is None else passes.with_updates(updates)
        return self._whole[1]

    def _make(self, passes: Captured, places: list[int], due: list[_Due]) -> Action | None:
        solver, action = self.solver, Action.NONE
        seen: Seen | None = None
        losses: list[Tensor] = []
        solver.net.follow_inputs()
        solver.watch.before(Moment(solver.net))
        try:
            with torch.no_grad(), solver.net.arithmetic():
                for rate, step, numbers in due:
                    iterations = self._iterations(passes, seen, places)
                    if iterations is not None and numbers is not None:
                        seen = iterations(numbers)
                    else:
                        seen = passes.forward_backward()
                        solver.rule.follow([seen.gradients[place] for place in places], rate, solver.iter)
                    losses.append(seen.loss)
                    solver.current_step = step
                    solver.iter += 1
                    action = solver.request()
                    if action is not Action.NONE:
                        break
        finally:
            if seen is not None:
                self._show(passes, seen, losses)
        return action if due else None

    def _show(self, passes: Captured, seen: Seen, losses: list[Tensor]) -> None:
        """Let net and solver show what was made."""
        solver = self.solver
        solver.net.clear_gradients()
        passes.show(seen)
        solver.rule.noted()
        for loss in losses:
            if solver.settings.display:
                solver.smoothed.add(loss)
            solver.watch.after(loss)
