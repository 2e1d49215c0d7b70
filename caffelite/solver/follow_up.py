"""What a round of tests leads to: a drop of the rate (plateau), weights kept as the best, the end (early_stop)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..logs.records import Note, emit
from .best import Best
from .tracker import Seen, Tracker, Watched

if TYPE_CHECKING:
    from .solver import Solver
    from .testing import Average


class FollowUp:
    """Takes in whole rounds of tests for a solver.

    Attributes:
        early_stop, plateau: the trackers of what settings of that name watch, or None.
        best: keeps the best weights; None without early_stop.
    """

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self.early_stop = _tracker(solver.settings.early_stop)
        self.plateau = _tracker(solver.settings.plateau)
        self.best = Best(solver, self.early_stop) if self.early_stop else None

    def __call__(self, means: Sequence[Average]) -> None:
        """Heed the means of all test nets.

        Raises:
            SnapshotError, DivergedError: as `Best.keep` does.
        """
        iteration = self.solver.iter
        if self.plateau is not None:
            self.plateau.see(_value(self.plateau, means), iteration)
            if self.plateau.exhausted:
                self._drop(self.plateau)
        if self.early_stop is not None and self.best is not None:
            value = _value(self.early_stop, means)
            if self.early_stop.see(value, iteration):
                self.best.keep(value)

    def _drop(self, plateau: Tracker) -> None:
        solver = self.solver
        solver.current_step += 1
        text = f"Plateau Status: Iteration {solver.iter}, step = {solver.current_step}: {plateau.told()}"
        emit(solver.sinks, Note(text))
        plateau.tests = 0

    def put_best_back(self) -> None:
        """At the end of training: let the net have the best weights again, if they were kept.

        Raises:
            SnapshotError: they do not fit the net any more.
        """
        if self.best is not None:
            self.best.put_back()

    @property
    def has_best_back(self) -> bool:
        """Whether the net has the best weights, and not those of the last update."""
        return self.best is not None and self.best.loaded_at == self.solver.iter

    def seen(self) -> Seen:
        """Where everything stands."""
        states = (tracker.state() if tracker else None for tracker in (self.early_stop, self.plateau))
        return Seen(self.solver.current_step, *states)

    def restore(self, seen: Seen) -> None:
        """Stand where `seen` was taken, with the weights of then."""
        self.go_back(seen)
        if self.best is not None:
            self.best.loaded_at = None

    def go_back(self, seen: Seen) -> None:
        """Stand where `seen` was taken."""
        self.solver.current_step = seen.current_step
        for tracker, state in ((self.early_stop, seen.early_stop), (self.plateau, seen.plateau)):
            if tracker is not None:
                tracker.restore(state)


def _tracker(watched: Watched | None) -> Tracker | None:
    return None if watched is None else Tracker(watched)


def _value(tracker: Tracker, means: Sequence[Average]) -> float:
    outputs = means[tracker.watched.test_net].outputs
    return next(output.value for output in outputs if output.name == tracker.output)
