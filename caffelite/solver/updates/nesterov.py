"""Nesterov's accelerated gradient."""

from __future__ import annotations

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, update


@update("Nesterov")
class Nesterov(Update):
    """SGD that looks ahead: the update goes as far as the next one would, if the gradient stayed.

        h' = momentum · h + rate · g;  update = (1 + momentum) · h' - momentum · h;  h ← h'

    The history contains the rate.  At a constant rate this is torch.optim.SGD with nesterov, where a change of rate
    acts on old gradients, too.

    Source: `src/caffe/solvers/nesterov_solver.cpp`.
    """

    reads = frozenset({"momentum"})
    example = """
    type: "Nesterov" base_lr: 0.01 lr_policy: "step" gamma: 0.1 stepsize: 5000
    momentum: 0.95 weight_decay: 0.0005
    """
    gated = True

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.fraction("momentum")

    def advance(self, group: Group) -> None:
        momentum, (history,) = group.momentum, group.history
        step_back = torch._foreach_mul(history, -momentum)
        torch._foreach_mul_(history, momentum)
        torch._foreach_add_(history, group.gradients, alpha=group.rate)
        torch._foreach_copy_(group.gradients, history)
        torch._foreach_mul_(group.gradients, 1 + momentum)
        torch._foreach_add_(group.gradients, step_back)
