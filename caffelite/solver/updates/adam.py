"""Adam: running means of the gradient and its square (Kingma and Ba, 2015)."""

from __future__ import annotations

import math

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, update


@update("Adam")
class Adam(Update):
    """The mean gradient of late in units of its size.  With beta1 = momentum, beta2 = momentum2, t counted from 1:

        m ← beta1 · m + (1 - beta1) · g;  v ← beta2 · v + (1 - beta2) · g²
        update = rate · √(1 - beta2^t) / (1 - beta1^t) · m / (√v + delta)

    Weight decay goes through the means like any gradient; AdamW keeps it apart.  The history holds all m, then all v.

    In torch.optim.Adam eps is added after the correction for the start: there, delta would be eps · √(1 - beta2^t).

    Source: `src/caffe/solvers/adam_solver.cpp`; Kingma and Ba, 2015.
    """

    slots = 2
    reads = frozenset({"momentum", "momentum2", "delta"})
    example = """
    type: "Adam" base_lr: 0.001 lr_policy: "fixed"
    momentum: 0.9 momentum2: 0.999 delta: 1e-8
    """

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.fraction("momentum")
        checks.fraction("momentum2")
        checks.not_negative("delta")

    def advance(self, group: Group) -> None:
        (means, squares), time = group.history, group.iteration + 1
        beta1, beta2 = self.settings.momentum, self.settings.momentum2
        torch._foreach_mul_(means, beta1)
        torch._foreach_add_(means, group.gradients, alpha=1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, group.gradients, group.gradients, value=1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, self.settings.delta)
        torch._foreach_copy_(group.gradients, means)
        torch._foreach_div_(group.gradients, roots)
        torch._foreach_mul_(group.gradients, group.rate * math.sqrt(1 - beta2**time) / (1 - beta1**time))
