"""AdaDelta: steps in the units of earlier steps (Zeiler, 2012)."""

from __future__ import annotations

from ...layerkit.base import torch
from ..checks import Checks
from ..update import Group, Update, update


@update("AdaDelta")
class AdaDelta(Update):
    """Steps in units of earlier steps.  With m the setting `momentum`:

        h ← m · h + (1 - m) · g²
        s = √((d + delta) / (h + delta)) · g;  d ← m · d + (1 - m) · s²
        update = rate · s

    The history holds all h, then all d.  The paper has no rate: base_lr 1 is its rule.  It begins slowly, with steps of
    about √(delta / (1 - m)) in every weight; a larger delta, such as 1e-6, makes them longer.

    This is torch.optim.Adadelta with rho = momentum and eps = delta.

    Source: `src/caffe/solvers/adadelta_solver.cpp`; Zeiler, "ADADELTA", 2012.
    """

    slots = 2
    reads = frozenset({"momentum", "delta"})
    example = """
    type: "AdaDelta" base_lr: 1 lr_policy: "fixed"
    momentum: 0.95 delta: 1e-6 weight_decay: 0.0005
    """

    @classmethod
    def check(cls, checks: Checks) -> None:
        checks.fraction("momentum")
        checks.not_negative("delta")
        message = "AdaDelta takes momentum as its decay rate, and it is not set (0)"
        checks.warn_unless_set("momentum", message, code="CL510")

    def advance(self, group: Group) -> None:
        (squares, steps), momentum = group.history, self.settings.momentum
        torch._foreach_mul_(squares, momentum)
        torch._foreach_addcmul_(squares, group.gradients, group.gradients, value=1 - momentum)
        ratio = torch._foreach_add(steps, self.settings.delta)
        torch._foreach_div_(ratio, torch._foreach_add(squares, self.settings.delta))
        torch._foreach_sqrt_(ratio)
        torch._foreach_mul_(group.gradients, ratio)
        torch._foreach_mul_(steps, momentum)
        torch._foreach_addcmul_(steps, group.gradients, group.gradients, value=1 - momentum)
        torch._foreach_mul_(group.gradients, group.rate)
