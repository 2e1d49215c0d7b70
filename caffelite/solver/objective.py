"""What a method that searches makes smaller: loss and weight decay, as a function of how far the weights move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

    from .settings import Settings


class Again(Protocol):
    """Computes an iteration's loss and gradients again, at the weights as they are when it is called."""

    @property
    def loss(self) -> Tensor | float:
        """What it was the first time; the parameters' gradients are those of it."""

    def __call__(self) -> Tensor | float: ...


Point = tuple[float, "Tensor"]
"""The value somewhere, and the gradient; where either is not finite, inf and nan: so a line search sees that the value
is too large there, and that nothing can be read off the slope."""


class Objective:
    """f(u) = loss(w + s·u) + Σ decay/2 · |w + s·u|², where w are the weights as they are now, s = √lr_mult and u one
    vector for all of them; loss and gradient are means over iter_size batches.

    s gives lr_mult its meaning: a step along the gradient of f is lr_mult times as long as one along that of the loss.
    Everything is computed at the precision of the weights, and waits for the device.

    Args:
        parameters: those that may move, at least one; their gradients are those at u = 0.
        settings: weight_decay and iter_size are read.
        again: computes loss and gradients, without weight decay.

    Attributes:
        start: f(0) and its gradient.
        before: the weights w, one tensor a parameter.
    """

    def __init__(self, parameters: Sequence[Any], settings: Settings, again: Again) -> None:
        self.parameters = parameters
        self._share = 1 / settings.iter_size
        self._decay = settings.weight_decay
        self._again = again
        self.before = [parameter.tensor.detach().clone() for parameter in parameters]
        self._sizes = [weight.numel() for weight in self.before]
        self.start = self._seen(again.loss)

    def __call__(self, move: Tensor) -> Point:
        """f(move) and its gradient; the weights stay there."""
        if not move.any():
            return self.start
        self.put(move)
        return self._seen(self._again())

    def put(self, move: Tensor | None = None) -> None:
        """Let the weights stand at `move`, or where they began."""
        parts = [None] * len(self.before) if move is None else move.split(self._sizes)
        with torch.no_grad():
            for parameter, weight, part in zip(self.parameters, self.before, parts, strict=True):
                parameter.tensor.copy_(weight)
                if part is not None:
                    parameter.tensor.add_(part.view_as(weight), alpha=math.sqrt(parameter.lr_mult))

    def _seen(self, loss: Tensor | float) -> Point:
        value, gradients = loss.item() if isinstance(loss, torch.Tensor) else float(loss), []
        for parameter in self.parameters:
            weight, decay = parameter.tensor.detach(), self._decay * parameter.decay_mult
            gradient = torch.zeros_like(weight) if parameter.grad is None else parameter.grad * self._share
            if decay:
                gradient.add_(weight, alpha=decay)
                value += decay / 2 * float(torch.linalg.vector_norm(weight).square())
            gradients.append(gradient.mul_(math.sqrt(parameter.lr_mult)).reshape(-1))
        whole = torch.cat(gradients)
        if math.isfinite(value) and whole.isfinite().all():
            return value, whole
        return math.inf, whole.fill_(math.nan)
