"""AdamW: Adam whose weight decay is apart from the gradient (Loshchilov and Hutter, 2019)."""

from __future__ import annotations

import math

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, update


@update("AdamW")
class AdamW(Update):
    """Adam with weight decay apart from the means.  With beta1 = momentum, beta2 = momentum2, t counted from 1:

        m ← beta1 · m + (1 - beta1) · g;  v ← beta2 · v + (1 - beta2) · g²
        update = rate · m / (1 - beta1^t) / (√(v / (1 - beta2^t)) + delta) + rate · decay · w

    So all weights shrink by the same share, however large their gradients are.  The decay falls with the rate, and
    lr_mult, which is in the rate, counts for both terms.  L2 only.  The history holds all m, then all v.

    This is torch.optim.AdamW with eps = delta, which is added after the correction for the start, unlike in Adam here.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
    """

    slots = 2
    reads = frozenset({"momentum", "momentum2", "delta"})
    adds_decay = True
    example = """
    type: "AdamW" base_lr: 0.001 lr_policy: "fixed"
    momentum: 0.9 momentum2: 0.999 weight_decay: 0.01
    """

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.fraction("momentum")
        checks.fraction("momentum2")
        checks.not_negative("delta")
        checks.no_l1(cls.type, "use type Adam, where decay is a part of the gradient")

    def advance(self, group: Group) -> None:
        (means, squares), time = group.history, group.iteration + 1
        beta1, beta2 = self.settings.momentum, self.settings.momentum2
        torch._foreach_lerp_(means, group.gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, group.gradients, group.gradients, value=1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, math.sqrt(1 - beta2**time))
        torch._foreach_add_(roots, self.settings.delta)
        torch._foreach_copy_(group.gradients, means)
        torch._foreach_div_(group.gradients, roots)
        torch._foreach_mul_(group.gradients, group.rate / (1 - beta1**time))
        if group.decay:
            torch._foreach_add_(group.gradients, group.weights, alpha=group.rate * group.decay)
