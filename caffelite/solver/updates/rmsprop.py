"""RMSProp: rates divided by a running root mean square of the gradient (Tieleman and Hinton, 2012)."""

from __future__ import annotations

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, divide_by_root, update


@update("RMSProp")
class RMSProp(Update):
    """h ← rms_decay · h + (1 - rms_decay) · g²;  the update is rate · g / (√h + delta).  Takes no momentum.

    Source: `src/caffe/solvers/rmsprop_solver.cpp`.
    """

    reads = frozenset({"rms_decay", "delta"})

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.no_momentum(cls.type)
        checks.fraction("rms_decay")
        checks.not_negative("delta")

    def advance(self, group: Group) -> None:
        (squares,), decay = group.history, self.settings.rms_decay
        torch._foreach_mul_(squares, decay)
        torch._foreach_addcmul_(squares, group.gradients, group.gradients, value=1 - decay)
        divide_by_root(group.gradients, squares, self.settings.delta, group.rate)
