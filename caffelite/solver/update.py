"""What a solver type is: how a gradient becomes the update that is subtracted from the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

from ..errors import SnapshotError
from ..layerkit.base import torch
from ..registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from .checks import Checks
    from .settings import Settings

Memory = Mapping[str, "int | list[float] | list[Tensor] | None"]
"""What a method remembers besides its history, by name.  None is no list at all or an empty one."""


@dataclass(slots=True)
class Group:
    """Parameters that one update treats alike.

    Attributes:
        weights, gradients: one tensor a parameter, of equal shape and memory format.
        history: for each slot, one tensor a parameter.
        rate: the iteration's rate times lr_mult; without lr_mult, where larc or local_lr_auto scaled the gradients.
        decay: weight decay (times decay_mult) still to be added; for `apply` and `advance` L2, and 0 but for types
            that add it themselves.
        iteration: how many updates came before this one.
        momentum: of this iteration, for types whose momentum may change.
    """

    weights: list[Tensor]
    gradients: list[Tensor]
    history: list[list[Tensor]]
    rate: float
    decay: float
    iteration: int
    momentum: float


class Update:
    """Base of all solver types: one class in one file of `caffelite/solver/updates/`.

    Attributes:
        slots: history tensors per parameter.
        reads: which of the settings in :data:`FIELDS` it uses, and whether momentum.
        gated: at a rate of 0 the gradient leaves no trace in the history.
        adds_decay: it adds L2 weight decay itself (`Group.decay`), at a rate of 0 without a trace in the history.
        keeps_update: the first history slot holds the update that was applied; for others the gradients do.
        example: the lines of a solver's prototxt that choose it, for docs/solvers.md.
    """

    type: ClassVar[str]
    slots: ClassVar[int] = 1
    reads: ClassVar[frozenset[str]] = frozenset()
    gated: ClassVar[bool] = False
    adds_decay: ClassVar[bool] = False
    keeps_update: ClassVar[bool] = False
    example: ClassVar[str] = ""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @classmethod
    def check(cls, checks: Checks) -> None:
        """Note what is wrong with the settings it reads."""

    def advance(self, group: Group) -> None:
        """Advance the history and turn `group.gradients` into updates, both in place."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it updates")

    def apply(self, group: Group) -> None:
        """Advance, and subtract the updates from the weights."""
        self.advance(group)
        torch._foreach_sub_(group.weights, group.gradients)

    def numbers(self, group: Group) -> Sequence[float] | None:
        """What is other in `apply` from iteration to iteration, where that is only numbers which operators of torch are
        given: then `apply_with` does the same.  None where it is more, or nobody has written that down."""
        return None

    def apply_with(self, group: Group, numbers: Sequence[float]) -> None:
        """`apply` with these `numbers`, whatever rate, iteration and momentum of the group are."""
        raise NotImplementedError(f"{type(self).__name__} does not say what numbers it updates with")

    def remembered(self) -> Memory:
        """What the next iteration depends on besides weights, history and iteration.  It stays as it is."""
        return {}

    def remember(self, memory: Memory, size: int) -> None:
        """Go on from what another of this type `remembered`.

        Args:
            memory: it; empty to begin anew.
            size: how many weights may move.

        Raises:
            SnapshotError: it is of another type or net.  Nothing is changed then.
        """
        if memory:
            names = ", ".join(memory)
            raise SnapshotError(f"type {self.type} remembers nothing besides its history, and here is more: {names}")


FIELDS = ("momentum2", "rms_decay", "delta", "history_size", "max_evaluations")
"""The settings that exist for solver types only.  (Types without momentum refuse one that is not 0.)"""

updates: Registry[type[Update]] = Registry("solver type", "caffelite.solver.updates")

U = TypeVar("U", bound=type[Update])


def update(name: str) -> Callable[[U], U]:
    """Class decorator: the solver type called `name` in a prototxt."""

    def enter(cls: U) -> U:
        cls.type = name
        updates.register(name)(cls)
        return cls

    return enter


def divide_by_root(gradients: list[Tensor], squares: list[Tensor], delta: float, rate: float) -> None:
    """gradient ← rate · gradient / (√square + delta), in place."""
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, delta)
    torch._foreach_div_(gradients, roots)
    torch._foreach_mul_(gradients, rate)
