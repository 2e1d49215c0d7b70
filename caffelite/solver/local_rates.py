"""A rate for each parameter, from how long it and its gradient are: larc and local_lr_auto.

Both compute it from the gradient without weight decay (You, Gitman and Ginsburg, 2017), and scale the gradient with
weight decay by it; where |w| or |g| is 0 it is 1.  As SGD's and Nesterov's updates are linear in the gradient, scaling
that is scaling the rate.

Source: `SGDSolver::GetLocalRate` of `src/caffe/solvers/sgd_solver.cpp`; for larc in NVIDIA/caffe (as it computes on
GPUs; on the CPU its gradient has the weight decay in it), for local_lr_auto in intel/caffe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..layerkit.base import torch

if TYPE_CHECKING:
    from torch import Tensor

    from .settings import Settings
    from .update import Group


def local_factors(settings: Settings, group: Group) -> list[Tensor]:
    """What the gradient of each parameter is to be multiplied by; numbers on its device.

    larc: larc_eta · (1 − momentum) · |w| / |g|, with larc_policy "clip" at most the rate and in place of it.
    local_lr_auto: local_gw_ratio · |w| / (|g| + weight_decay · |w|), times the rate.
    """
    weight = torch.stack(torch._foreach_norm(group.weights))
    gradient = torch.stack(torch._foreach_norm(group.gradients))
    if settings.larc:
        local = settings.larc_eta * (1 - group.momentum) * weight / gradient
    else:
        local = settings.local_gw_ratio * weight / (gradient + settings.weight_decay * weight)
    local = torch.where((weight > 0) & (gradient > 0), local, 1.0)
    if settings.larc and settings.larc_policy == "clip":
        local = torch.clamp(local / group.rate, max=1.0) if group.rate > 0 else torch.ones_like(local)
    return list(local.unbind())
