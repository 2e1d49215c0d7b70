"""When something is due, and what somebody outside the loop may ask of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Every:
    """Due at every iteration that `period` divides, from `first` on; with an `offset`, at those so many behind them.  A
    period of 0 is never due.

    It depends on nothing but the iteration, so a resumed run has the triggers of the run it goes on with.

    >>> [iteration for iteration in range(7) if Every(3, first=1)(iteration)]
    [3, 6]
    """

    period: int
    first: int = 0
    offset: int = 0

    def __call__(self, iteration: int) -> bool:
        return self.period > 0 and iteration >= self.first and (iteration - self.offset) % self.period == 0

    def next(self, iteration: int) -> float:
        """The first iteration from this one on at which it is due; infinity if there is none.

        >>> [Every(3, first=1, offset=1).next(iteration) for iteration in range(6)]
        [1, 1, 4, 4, 4, 7]
        """
        if self.period <= 0:
            return math.inf
        start = max(iteration, self.first)
        return start + (self.offset - start) % self.period


class Action(Enum):
    """What the loop is asked to do after the current iteration (`SolverAction` in `include/caffe/solver.hpp`).

    STOP leaves whether a last snapshot is written to `snapshot_after_train`; SNAPSHOT_AND_STOP writes one anyway.
    """

    NONE = "none"
    SNAPSHOT = "snapshot"
    STOP = "stop"
    SNAPSHOT_AND_STOP = "snapshot and stop"

    @property
    def snapshots(self) -> bool:
        """Whether this asks for a snapshot at once."""
        return self in (Action.SNAPSHOT, Action.SNAPSHOT_AND_STOP)

    @property
    def stops(self) -> bool:
        """Whether this asks for the end of training."""
        return self in (Action.STOP, Action.SNAPSHOT_AND_STOP)


Request = Callable[[], Action]
"""Asked once per iteration and once per test batch; an action is given out once, then NONE until the next one."""


def nothing_asked() -> Action:
    """The :data:`Request` of a loop that nobody interrupts."""
    return Action.NONE
