"""Iterations between two that somebody sees: passes and updates with nothing around them.

Small nets spend more time in what surrounds an iteration (arrays that people might hold, gradients that somebody might
read, blobs that show the losses) than in the iteration.  Where nobody can look before the next display, test or
snapshot, all this is done once for many iterations; weights, history and losses are the same to the bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..layerkit.base import torch
from ..net.moment import Moment
from .events import Action
from .policies import learning_rate

if TYPE_CHECKING:
    from torch import Tensor

    from ..net.captured import Captured, Seen
    from .solver import Solver

_LONGEST = 64
"""Iterations; Python and torch keep the losses of as many, and rates are computed for as many."""
_LEAST = 2


class Stretch:
    """Makes iterations of a solver that nobody sees.

    Args:
        solver: the solver.
        possible: whether its settings allow it.
    """

    def __init__(self, solver: Solver, possible: bool) -> None:
        self.solver = solver
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
        return self._make(passes, places, self._rates(int(count)))

    def _rates(self, count: int) -> list[tuple[float, int]]:
        """The rates of the next iterations, as far as they are finite."""
        solver, step, rates = self.solver, self.solver.current_step, list[tuple[float, int]]()
        for iteration in range(solver.iter, solver.iter + count):
            rate, step = learning_rate(solver.settings, iteration, step)
            if not math.isfinite(rate):
                break
            rates.append((rate, step))
        return rates

    def _make(self, passes: Captured, places: list[int], rates: list[tuple[float, int]]) -> Action | None:
        solver, action = self.solver, Action.NONE
        seen: Seen | None = None
        losses: list[Tensor] = []
        solver.net.follow_inputs()
        solver.watch.before(Moment(solver.net))
        try:
            with torch.no_grad():
                for rate, step in rates:
                    seen = passes.forward_backward()
                    losses.append(seen.loss)
                    solver.rule.follow([seen.gradients[place] for place in places], rate, solver.iter)
                    solver.current_step = step
                    solver.iter += 1
                    action = solver.request()
                    if action is not Action.NONE:
                        break
        finally:
            if seen is not None:
                self._show(passes, seen, losses)
        return action if rates else None

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
