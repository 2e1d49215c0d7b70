"""AdaGrad: rates that fall with the gradients seen so far (Duchi et al., 2011)."""

from __future__ import annotations

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, divide_by_root, update


@update("AdaGrad")
class AdaGrad(Update):
    """The rate of a weight falls with all the gradients it has seen:

        h ← h + g²;  update = rate · g / (√h + delta)

    Takes no momentum.  This is torch.optim.Adagrad with eps = delta, and without lr_decay and a first accumulator.

    Source: `src/caffe/solvers/adagrad_solver.cpp`; Duchi, Hazan and Singer, JMLR 12, 2011.
    """

    reads = frozenset({"delta"})
    example = """
    type: "AdaGrad" base_lr: 0.01 lr_policy: "fixed"
    delta: 1e-8 weight_decay: 0.0005
    """

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.not_negative("delta")

    def advance(self, group: Group) -> None:
        (squares,) = group.history
        torch._foreach_addcmul_(squares, group.gradients, group.gradients)
        divide_by_root(group.gradients, squares, self.settings.delta, group.rate)
