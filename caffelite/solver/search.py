"""Methods that compute loss and gradients several times in an iteration, to see how far to go."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import SnapshotError
from .checks import Checks
from .objective import Objective
from .settings import Settings
from .update import Memory, Update

if TYPE_CHECKING:
    from torch import Tensor


CAUTION, MOST_CAUTION = 0.1, 1e-9
"""After a search that found nothing the rate counts for so much of itself, and after many for no less than so much."""


class Search(Update):
    """Base of the solver types that search along a line; a type says in `search` how far to move.

    A search that finds nothing lower makes the method forget what it learned, and the next one begin nearer.
    """

    slots: ClassVar[int] = 0

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._caution = 1.0

    @classmethod
    def check(cls, checks: Checks) -> None:
        kind, message = cls.type, checks.message
        checks.require(message.base_lr >= 0, "base_lr", f"must be at least 0 with {kind}")
        help = "leave it out: no step is taken that does not make the loss smaller"
        rule = f"cannot be used with {kind}"
        checks.require(message.clip_gradients < 0, "clip_gradients", rule, help, code="CL519")
        checks.no_l1(kind, "L1 has no slope at 0, and a search needs one everywhere")
        help = "the first evaluation is where the weights stand"
        checks.require(message.max_evaluations >= 2, "max_evaluations", "must be at least 2", help)

    def search(self, objective: Objective, rate: float) -> Tensor:
        """How far to move from where the weights stand, by at most `max_evaluations` - 1 calls of `objective`.

        Called where the objective is finite and the rate above 0.  Zeros: it was seen to be smaller nowhere.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it searches")

    def learned(self) -> Memory:
        """What searches showed, for the next one; it stays as it is."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it learns")

    def learn(self, memory: Memory, size: int) -> None:
        """Go on from what another `learned`, or begin anew where that is empty; see `remember`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it learns")

    def move(self, objective: Objective, rate: float) -> None:
        """Search, and move the weights there.  At an error they stand where they began, and nothing was learned."""
        value, gradient = objective.start
        if rate <= 0 or math.isinf(value):
            return
        memory, size = self.remembered(), gradient.numel()
        try:
            move = self.search(objective, rate * self._caution)
            objective.put(move)
        except BaseException:
            objective.put()
            self.remember(memory, size)
            raise
        if move.any():
            self._caution = 1.0
        else:
            self._caution = max(self._caution * CAUTION, MOST_CAUTION)
            self.learn({}, size)

    def remembered(self) -> Memory:
        return {**self.learned(), "caution": [self._caution]}

    def remember(self, memory: Memory, size: int) -> None:
        caution = numbers(memory, "caution", 1)[0] if memory else 1.0
        if not 0 < caution <= 1:
            raise SnapshotError(f"what the method remembers as its caution must be from 0 to 1, got {caution:g}")
        self.learn({name: value for name, value in memory.items() if name != "caution"}, size)
        self._caution = caution


def number(memory: Memory, name: str) -> int:
    """The whole number under a name.

    Raises:
        SnapshotError: there is none.
    """
    value = memory.get(name)
    if not isinstance(value, int):
        raise SnapshotError(f'what the method remembers as "{name}" is not a whole number')
    return value


def numbers(memory: Memory, name: str, count: int) -> list[float]:
    """So many numbers under a name.

    Raises:
        SnapshotError: they are not there.
    """
    found: list[float] = _entries(memory, name, count, float, "numbers")
    if not all(map(math.isfinite, found)):
        raise SnapshotError(f'what the method remembers as "{name}" is not finite')
    return found


def vectors(memory: Memory, name: str, count: int, size: int) -> list[Tensor]:
    """So many vectors under a name, each with an element for each weight.

    Raises:
        SnapshotError: they are not there, or are of another net.
    """
    from torch import Tensor

    found: list[Tensor] = _entries(memory, name, count, Tensor, "arrays")
    for vector in found:
        if vector.dim() != 1 or not vector.is_floating_point():
            raise SnapshotError(f'what the method remembers as "{name}" is no vector')
        if vector.numel() != size:
            raise SnapshotError(
                f'what the method remembers as "{name}" has {vector.numel()} values, and {size} weights of this net '
                "may move",
                help="the state was written by a net with other weights, or with another lr_mult of 0",
            )
    return found


def _entries(memory: Memory, name: str, count: int, kind: type, what: str) -> list[Any]:
    value = memory.get(name) or []
    if not isinstance(value, list) or len(value) != count or not all(isinstance(one, kind) for one in value):
        raise SnapshotError(f'what the method remembers as "{name}" should be {count} {what}')
    return value
