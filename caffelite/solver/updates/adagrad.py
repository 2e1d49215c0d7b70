"""AdaGrad: rates that fall with the gradients seen so far (Duchi et al., 2011)."""

from __future__ import annotations

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, divide_by_root, update


@update("AdaGrad")
class AdaGrad(Update):
    """h ← h + g²;  the update is rate · g / (√h + delta).  Takes no momentum.

    Source: `src/caffe/solvers/adagrad_solver.cpp`.
    """

    reads = frozenset({"delta"})

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.no_momentum(cls.type)
        checks.not_negative("delta")

    def advance(self, group: Group) -> None:
        (squares,) = group.history
        torch._foreach_addcmul_(squares, group.gradients, group.gradients)
        divide_by_root(group.gradients, squares, self.settings.delta, group.rate)
