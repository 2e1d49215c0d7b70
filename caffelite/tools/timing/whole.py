"""Whole iterations, as a run goes through a net."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ...net import Net
from .machine import now


class Whole(NamedTuple):
    """Milliseconds of an iteration on average, and the most bytes that it took at once on a GPU (elsewhere None)."""

    ms: float
    device_peak: int | None


def whole_iterations(net: Net, iterations: int, training: bool) -> Whole:
    """Time iterations through the plan that keeps only losses and outputs, which the net is left with.

    Args:
        training: forward and backward, as `train` does but for the update; else forward only, as `test` does.
    """
    device = net.run.device
    net.observe(False)
    net.debug_info = False
    iterate(net, training)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = now(device)
    for _ in range(iterations):
        iterate(net, training)
    spent = now(device) - start
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Whole(spent / iterations, peak)


def iterate(net: Net, training: bool) -> None:
    """Forward, and in training backward into fresh gradients."""
    if training:
        net.clear_gradients()
        net.forward_backward()
    else:
        net.forward()
