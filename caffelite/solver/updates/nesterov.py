"""Nesterov's accelerated gradient."""

from __future__ import annotations

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, update


@update("Nesterov")
class Nesterov(Update):
    """h' = momentum · h + rate · g;  the update is (1 + momentum) · h' - momentum · h.

    Source: `src/caffe/solvers/nesterov_solver.cpp`.
    """

    gated = True

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.fraction("momentum")

    def advance(self, group: Group) -> None:
        momentum, (history,) = self.settings.momentum, group.history
        step_back = torch._foreach_mul(history, -momentum)
        torch._foreach_mul_(history, momentum)
        torch._foreach_add_(history, group.gradients, alpha=group.rate)
        torch._foreach_copy_(group.gradients, history)
        torch._foreach_mul_(group.gradients, 1 + momentum)
        torch._foreach_add_(group.gradients, step_back)
