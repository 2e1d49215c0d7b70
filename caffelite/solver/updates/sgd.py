"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, update

_CONSTANT = {"dampening": 0.0, "nesterov": False, "maximize": False, "is_first_step": False}


@cache
def _fused(device: torch.device, dtype: torch.dtype) -> Callable[..., object] | None:
    """torch's one-pass kernel for such tensors, if it has one: asked by trying, once.

    It is what torch.optim.SGD calls; the function around it takes three times as long as a small layer's update.
    """
    try:
        one = torch.ones(1, device=device, dtype=dtype)
        kernel: Callable[..., object] = torch._fused_sgd_
        kernel([one], [one.clone()], [one.clone()], weight_decay=0.0, momentum=0.5, lr=1.0, **_CONSTANT)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return None
    return kernel


@update("SGD")
class SGD(Update):
    """The last update goes on, less and less, while gradients are added to it:

        h ← momentum · h + rate · g;  update = h

    The history contains the rate, so that a change of rate acts on new gradients only.  In torch.optim.SGD it acts on
    the old ones, too; at a constant rate the two are the same.  (It is torch's rule at lr 1 with dampening 1 - rate,
    which lets its fused kernel do all in one pass over memory.)

    Source: `src/caffe/solvers/sgd_solver.cpp`.
    """

    reads = frozenset({"momentum"})
    example = """
    type: "SGD" base_lr: 0.01 lr_policy: "inv" gamma: 0.0001 power: 0.75
    momentum: 0.9 weight_decay: 0.0005
    """
    gated = adds_decay = keeps_update = True

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.fraction("momentum")

    def advance(self, group: Group) -> None:
        """Advance the history, which is the update; the gradients get the weight decay added."""
        if group.decay:
            torch._foreach_add_(group.gradients, group.weights, alpha=group.decay)
        torch._foreach_mul_(group.history[0], group.momentum)
        torch._foreach_add_(group.history[0], group.gradients, alpha=group.rate)

    def apply(self, group: Group) -> None:
        numbers = self.numbers(group)
        if numbers is not None:
            self.apply_with(group, numbers)
        else:
            self.advance(group)
            torch._foreach_sub_(group.weights, group.history[0])

    def numbers(self, group: Group) -> Sequence[float] | None:
        fused = group.momentum and _fused(group.weights[0].device, group.weights[0].dtype)
        return (group.momentum, 1.0 - group.rate) if fused else None

    def apply_with(self, group: Group, numbers: Sequence[float]) -> None:
        kernel = _fused(group.weights[0].device, group.weights[0].dtype)
        assert kernel is not None
        momentum, dampening = numbers
        # The kernel runs over memory, not over indices: all three tensors must be laid out alike.
        gradients = [
            gradient if gradient.stride() == weight.stride() else torch.empty_like(weight).copy_(gradient)
            for gradient, weight in zip(group.gradients, group.weights, strict=True)
        ]
        kernel(
            group.weights,
            gradients,
            group.history[0],
            weight_decay=group.decay,
            momentum=momentum,
            lr=1.0,
            **{**_CONSTANT, "dampening": dampening},
        )
