"""RMSProp: rates divided by a running root mean square of the gradient (Tieleman and Hinton, 2012)."""

from __future__ import annotations

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, divide_by_root, update


@update("RMSProp")
class RMSProp(Update):
    """Gradients in units of their own size, as it was of late:

        h ← rms_decay · h + (1 - rms_decay) · g²;  update = rate · g / (√h + delta)

    Takes no momentum.  This is torch.optim.RMSprop with alpha = rms_decay and eps = delta, neither centred nor with
    momentum.

    Source: `src/caffe/solvers/rmsprop_solver.cpp`; Tieleman and Hinton, lecture 6.5 of "Neural networks for machine
    learning", 2012.
    """

    reads = frozenset({"rms_decay", "delta"})
    example = """
    type: "RMSProp" base_lr: 0.001 lr_policy: "fixed"
    rms_decay: 0.98 delta: 1e-8
    """

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.fraction("rms_decay")
        checks.not_negative("delta")

    def advance(self, group: Group) -> None:
        (squares,), decay = group.history, self.settings.rms_decay
        torch._foreach_mul_(squares, decay)
        torch._foreach_addcmul_(squares, group.gradients, group.gradients, value=1 - decay)
        divide_by_root(group.gradients, squares, self.settings.delta, group.rate)
