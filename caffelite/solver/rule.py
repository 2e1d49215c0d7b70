"""From summed gradients to new weights: clip, average, decay, update, in the original's order.

Source: `SGDSolver::ApplyUpdate` in `src/caffe/solvers/sgd_solver.cpp`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..layerkit.base import torch
from .policies import single
from .update import Group, updates

if TYPE_CHECKING:
    from torch import Tensor

    from .settings import Settings


@dataclass(frozen=True, slots=True)
class Clipping:
    """What clipping found, still on the device: the global L2 norm of the gradient, and the factor it was scaled by."""

    norm: Tensor
    scale: Tensor


class Rule:
    """A solver type applied to a net's parameters.

    The rule keeps to the parameters' memory format, waits for no device, and leaves each parameter's `diff` holding
    the update that was applied (through `parameter.update`, where that would cost a copy nobody asked for).

    Args:
        settings: the solver's.
        parameters: the net's learnable parameters, in the original's order.

    Attributes:
        history: the state, in the order of a solverstate: the first slot of every parameter, then the second.
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
        self._readers = [self._reader(index) for index in range(len(self.parameters))]
        self._alike: dict[tuple[float, float], list[int]] = {}
        for index, parameter in enumerate(self.parameters):
            self._alike.setdefault((parameter.lr_mult, parameter.decay_mult), []).append(index)
        self._idle: set[int] = set()
        self.history_changed()

    def history_changed(self) -> None:
        """To be called after somebody else wrote `history` (a restored snapshot)."""
        self._idle = {index for index in range(len(self.parameters)) if self._can_idle(index)}

    def apply(self, rate: float, iteration: int) -> Clipping | None:
        """One update of all parameters.

        Args:
            rate: of this iteration, before any lr_mult.
            iteration: how many updates came before.

        Returns:
            What clipping did, where clip_gradients asks for it.
        """
        with torch.no_grad():
            active = self._with_gradients()
            gradients = [self.parameters[index].grad for index in active]
            clipping = self._clip(gradients)
            if self.settings.iter_size > 1 and gradients:
                torch._foreach_mul_(gradients, 1 / self.settings.iter_size)
            for (lr_mult, decay_mult), alike in self._alike.items():
                members = [index for index in alike if index in active]
                if members:
                    self._apply(members, single(rate * lr_mult), single(self._decay(decay_mult)), iteration)
        return clipping

    def _decay(self, decay_mult: float) -> float:
        return self.settings.weight_decay * decay_mult

    def _slots(self, index: int) -> list[Tensor]:
        return self.history[index :: len(self.parameters)]

    def _can_idle(self, index: int) -> bool:
        """Whether a parameter without a gradient neither moves nor changes its history, as most frozen ones."""
        parameter = self.parameters[index]
        still = self.update.gated or not self._decay(parameter.decay_mult)
        return parameter.lr_mult == 0 and still and not any(slot.any() for slot in self._slots(index))

    def _with_gradients(self) -> dict[int, None]:
        """The parameters to update.  One without a gradient counts as having one of zeros, unless it can idle."""
        active: dict[int, None] = {}
        for index, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                if index in self._idle:
                    continue
                parameter.grad = torch.zeros_like(parameter.tensor, requires_grad=False)
            elif not self.update.gated:
                self._idle.discard(index)
            active[index] = None
        return active

    def _clip(self, gradients: list[Tensor]) -> Clipping | None:
        limit = self.settings.clip_gradients
        if limit < 0 or not gradients:
            return None
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
        scale = torch.where(norm > limit, limit / norm, torch.ones_like(norm))
        torch._foreach_mul_(gradients, scale)
        return Clipping(norm, scale)

    def _apply(self, members: list[int], rate: float, decay: float, iteration: int) -> None:
        group = Group(
            weights=[self.parameters[index].tensor for index in members],
            gradients=[self.parameters[index].grad for index in members],
            history=[
                [self.history[slot * len(self.parameters) + index] for index in members]
                for slot in range(self.update.slots)
            ],
            rate=rate,
            decay=0.0,
            iteration=iteration,
        )
        if decay and self.settings.regularization_type == "L1":
            torch._foreach_add_(group.gradients, torch._foreach_sign(group.weights), alpha=decay)
        elif decay and self.update.adds_decay:
            group.decay = decay
        elif decay:
            torch._foreach_add_(group.gradients, group.weights, alpha=decay)
        self.update.apply(group)
        for index in members:
            self.parameters[index].update = self._readers[index] if self.update.keeps_update else None

    def _reader(self, index: int) -> Callable[[], Tensor]:
        return lambda: self.history[index].clone()
