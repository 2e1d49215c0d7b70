"""From summed gradients to new weights: clip, average, decay, update, in the original's order.

Source: `SGDSolver::ApplyUpdate` in `src/caffe/solvers/sgd_solver.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Fault, SettingsError, UsageError
from ..layerkit.base import torch
from ..net.captured import Following
from ..net.recording import Recorder, Row
from .local_rates import local_factors
from .objective import Again, Objective
from .policies import momentum, single
from .search import Search
from .update import Group, Memory, Update, updates

if TYPE_CHECKING:
    from torch import Tensor

    from .settings import Settings


@dataclass(frozen=True, slots=True)
class Clipping:
    """What clipping found, still on the device: the global L2 norm of the gradient, and the factor it was scaled by."""

    norm: Tensor
    scale: Tensor


@dataclass(slots=True)
class _Alike:
    """Parameters whose rate and decay are multiplied by the same numbers.

    Attributes:
        members: their numbers.
        decay: the weight decay, multiplied.
        history: for each slot one tensor a parameter.
        readers: for each parameter, what gives a copy of its first slot.
    """

    lr_mult: float
    decay: float
    members: list[int]
    parameters: list[Any]
    history: list[list[Tensor]]
    readers: list[Callable[[], Tensor]]


class Rule:
    """A solver type applied to a net's parameters.

    One that searches gets the objective of those whose lr_mult is not 0; the others stay, and have no decay.

    The rule keeps to the parameters' memory format, waits for no device unless it searches, and leaves each parameter's
    `diff` holding the update that was applied (through `parameter.update`, where that would cost a copy nobody asked
    for).

    Args:
        settings: the solver's.
        parameters: the net's learnable parameters, in the original's order.

    Attributes:
        history: the state, in the order of a solverstate: the first slot of every parameter, then the second.

    Raises:
        SettingsError: the type searches, and a parameter has an lr_mult below 0.
    """

    def __init__(self, settings: Settings, parameters: Sequence[Any]) -> None:
        self.settings = settings
        self.parameters = list(parameters)
        self.update = updates[settings.type](settings)
        self.history: list[Tensor] = [
            torch.zeros_like(parameter.tensor, requires_grad=False)
            for _ in range(self.update.slots)
            for parameter in self.parameters
        ]
        self._all = self._alike(range(len(self.parameters)))
        self._idle: set[int] = set()
        self.history_changed()
        if self.searches:
            self._refuse_to_climb()

    @property
    def searches(self) -> bool:
        """Whether loss and gradients are computed several times in an iteration."""
        return isinstance(self.update, Search)

    def _refuse_to_climb(self) -> None:
        why = f"type {self.update.type} makes one loss smaller by all weights; lr_mult must be at least 0"
        help = "a type that does not search, such as SGD, can go up the gradient"
        climbing = [one for one in self.parameters if one.lr_mult < 0]
        if climbing:
            raise SettingsError([Fault(f"{why}, got {one.lr_mult:g} for {one.name}", help=help) for one in climbing])

    # -- state ----------------------------------------------------------------------------------------------------

    def remembered(self) -> Memory:
        """What the next update depends on besides weights, history and iteration."""
        return self.update.remembered()

    def check_memory(self, memory: Memory) -> None:
        """Whether `remember` can be told this.

        Raises:
            SnapshotError: it is of another solver type, or of a net with other weights.
        """
        updates[self.settings.type](self.settings).remember(memory, self._movable())

    def remember(self, memory: Memory) -> None:
        """Go on from what another rule `remembered`, its arrays on this net's device.

        Raises:
            SnapshotError: as `check_memory` does.  Nothing is changed then.
        """
        self.update.remember(memory, self._movable())

    def _movable(self) -> int:
        return sum(parameter.tensor.numel() for parameter in self.parameters if parameter.lr_mult)

    def history_changed(self) -> None:
        """To be called after somebody else wrote `history` (a restored snapshot)."""
        self._idle = {index for index in range(len(self.parameters)) if self._can_idle(index)}

    # -- updates --------------------------------------------------------------------------------------------------

    def apply(self, rate: float, iteration: int, again: Again | None = None) -> Clipping | None:
        """One update of all parameters.

        Args:
            rate: of this iteration, before any lr_mult.
            iteration: how many updates came before.
            again: for a type that searches.

        Returns:
            What clipping did, where clip_gradients asks for it.

        Raises:
            UsageError: the type searches, and there is no `again`.
        """
        if isinstance(self.update, Search):
            self._search(self.update, rate, again)
            return None
        with torch.no_grad():
            active = self._with_gradients()
            clipping = None
            if self.settings.clip_gradients >= 0 or self.settings.iter_size > 1:
                gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
                clipping = self._clip(gradients)
                if self.settings.iter_size > 1 and gradients:
                    torch._foreach_mul_(gradients, 1 / self.settings.iter_size)
            for alike in active:
                self._apply(alike, [parameter.tensor.grad for parameter in alike.parameters], rate, iteration)
            self._note_updates(active)
        return clipping

    @property
    def follows(self) -> bool:
        """Whether an update needs nothing but gradients and a rate, so that `follow` makes it."""
        settings = self.settings
        clips, local = settings.clip_gradients >= 0, settings.larc or settings.local_lr_auto
        return not (self.searches or clips or local or settings.iter_size > 1)

    def follow(self, gradients: Sequence[Tensor], rate: float, iteration: int) -> None:
        """`apply`, with gradients of all parameters, in their order, which are written over, instead of those that the
        parameters hold; these do not show it before `noted`."""
        for alike in self._all:
            self._apply(alike, [gradients[index] for index in alike.members], rate, iteration)

    def numbers(self, rate: float, iteration: int) -> list[float] | None:
        """The numbers of an update, for `following`; None where it is not made with numbers alone."""
        numbers: list[float] = []
        for alike in self._all:
            some = self.update.numbers(self._group(alike, [], rate, iteration))
            if some is None:
                return None
            numbers += some
        return numbers

    def following(self, gradients: Sequence[Tensor]) -> list[Following] | None:
        """How each parameter follows from its gradient, by operators and `numbers`; None where that is not all.

        Args:
            gradients: some of them, to see how they lie in memory.
        """
        found: dict[int, Following] = {}
        first = 0
        for alike in self._all:
            numbers = self.update.numbers(self._group(alike, [], 0.5, 0))
            if numbers is None:
                return None
            for place, index in enumerate(alike.members):
                history = [slot[place] for slot in alike.history]
                row = self._row(alike, [self.parameters[index].tensor, gradients[index], *history], len(numbers))
                if row is None:
                    return None
                found[index] = Following(row, history, first, len(numbers))
            first += len(numbers)
        return [found[index] for index in range(len(self.parameters))]

    def _row(self, alike: _Alike, tensors: Sequence[Tensor], count: int) -> Row | None:
        """The operators of the update of one parameter, taken down with tensors and numbers of no meaning; None where
        these are not all that it is made of."""
        rows: list[Row | None] = []
        for begin in _UNLIKELY:
            numbers = [begin * (place + 1) for place in range(count)]
            weight, gradient, *history = (torch.zeros_like(one, requires_grad=False) for one in tensors)
            group = self._group(alike, [gradient], begin, 0)
            group.weights, group.history = [weight], [[slot] for slot in history]
            with torch.no_grad(), Recorder([weight, gradient, *history], numbers) as recorder:
                decay_and_apply(self.update, group, numbers)
            rows.append(recorder.row(()))
        return rows[0] if rows[0] == rows[1] else None

    def noted(self) -> None:
        """Let parameters, which have been given the gradients of the last `follow` now, show its update."""
        self._note_updates(self._all)

    def _alike(self, members: Iterable[int]) -> list[_Alike]:
        """Parameters, those together that one update can treat alike."""
        together: dict[tuple[float, float], list[int]] = {}
        for index in members:
            parameter = self.parameters[index]
            together.setdefault((parameter.lr_mult, parameter.decay_mult), []).append(index)
        return [
            _Alike(
                lr_mult,
                single(self._decay(decay_mult)),
                members=alike,
                parameters=[self.parameters[index] for index in alike],
                history=[
                    [self.history[slot * len(self.parameters) + index] for index in alike]
                    for slot in range(self.update.slots)
                ],
                readers=[self._reader(index) for index in alike],
            )
            for (lr_mult, decay_mult), alike in together.items()
        ]

    def _decay(self, decay_mult: float) -> float:
        return self.settings.weight_decay * decay_mult

    def _slots(self, index: int) -> list[Tensor]:
        return self.history[index :: len(self.parameters)]

    def _can_idle(self, index: int) -> bool:
        """Whether a parameter without a gradient neither moves nor changes its history, as most frozen ones."""
        parameter = self.parameters[index]
        still = self.update.gated or self.update.adds_decay or not self._decay(parameter.decay_mult)
        return parameter.lr_mult == 0 and still and not any(slot.any() for slot in self._slots(index))

    def _with_gradients(self) -> list[_Alike]:
        """The parameters to update.  One without a gradient counts as having one of zeros, unless it can idle."""
        still = False
        for index, parameter in enumerate(self.parameters):
            if parameter.tensor.grad is None:
                if index in self._idle:
                    still = True
                else:
                    parameter.grad = torch.zeros_like(parameter.tensor, requires_grad=False)
            elif self._idle and not self.update.gated:
                self._idle.discard(index)
        if not still:
            return self._all
        return self._alike(index for index, one in enumerate(self.parameters) if one.grad is not None)

    def _clip(self, gradients: list[Tensor]) -> Clipping | None:
        limit = self.settings.clip_gradients
        if limit < 0 or not gradients:
            return None
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
        scale = torch.where(norm > limit, limit / norm, torch.ones_like(norm))
        torch._foreach_mul_(gradients, scale)
        return Clipping(norm, scale)

    def _group(self, alike: _Alike, gradients: list[Tensor], rate: float, iteration: int) -> Group:
        return Group(
            weights=[parameter.tensor for parameter in alike.parameters],
            gradients=gradients,
            history=alike.history,
            rate=rate if self._is_local(alike) else single(rate * alike.lr_mult),
            decay=alike.decay,
            iteration=iteration,
            momentum=momentum(self.settings, iteration),
        )

    def _is_local(self, alike: _Alike) -> bool:
        return alike.lr_mult > 0 and (self.settings.larc or self.settings.local_lr_auto)

    def _apply(self, alike: _Alike, gradients: list[Tensor], rate: float, iteration: int) -> None:
        group = self._group(alike, gradients, rate, iteration)
        if self._is_local(alike):
            factors = local_factors(self.settings, group)
            add_decay(self.update, group)
            torch._foreach_mul_(group.gradients, factors)
        decay_and_apply(self.update, group)

    def _note_updates(self, parts: Sequence[_Alike]) -> None:
        for alike in parts:
            for parameter, reader in zip(alike.parameters, alike.readers, strict=True):
                parameter.update = reader if self.update.keeps_update else None

    def _search(self, update: Search, rate: float, again: Again | None) -> None:
        """Move the parameters that may move.  The `diff` of each shows by how much, downwards."""
        if again is None:
            why = f"type {update.type} computes loss and gradients several times in an iteration"
            raise UsageError(f"{why}; gradients alone are no update", help="call step, which does all of it")
        movable = [parameter for parameter in self.parameters if parameter.lr_mult]
        before: list[Tensor] = []
        if movable:
            objective = Objective(movable, self.settings, again)
            update.move(objective, rate)
            before = objective.before
        for parameter in self.parameters:
            parameter.grad = None
        for parameter, weight in zip(movable, before, strict=True):
            parameter.grad = weight.sub_(parameter.tensor.detach())

    def _reader(self, index: int) -> Callable[[], Tensor]:
        return lambda: self.history[index].clone()


_UNLIKELY = (0.0123456789, 0.0318309886)
"""Numbers that are no setting of anybody's."""


def decay_and_apply(update: Update, group: Group, numbers: Sequence[float] | None = None) -> None:
    """An update with the weight decay that `group.decay` still asks for; with `numbers` by `Update.apply_with`."""
    if not update.adds_decay or update.settings.regularization_type == "L1":
        add_decay(update, group)
    if numbers is None:
        update.apply(group)
    else:
        update.apply_with(group, numbers)


def add_decay(update: Update, group: Group) -> None:
    """Add to the gradients the weight decay that `group.decay` asks for, which is 0 then."""
    if group.decay and update.settings.regularization_type == "L1":
        torch._foreach_add_(group.gradients, torch._foreach_sign(group.weights), alpha=group.decay)
    elif group.decay:
        torch._foreach_add_(group.gradients, group.weights, alpha=group.decay)
    group.decay = 0.0
