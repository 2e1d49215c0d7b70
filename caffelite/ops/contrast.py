"""Local contrast normalisation (Jarrett, Kavukcuoglu, Ranzato and LeCun, 2009)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

Mean = Callable[[torch.Tensor], torch.Tensor]
"""N×C×H×W → the weighted mean around every position, N×C×H×W or, over all channels, N×1×H×W."""


def gaussian(size: int, sigma: float) -> torch.Tensor:
    """exp(−d² / 2σ²) at the distances d of `size` (odd) positions from the middle one; float64."""
    distance = torch.arange(size, dtype=torch.double) - size // 2
    return torch.exp(distance.square() / (-2 * sigma**2))


def uniform(size: int) -> torch.Tensor:
    """Ones at `size` positions; float64."""
    return torch.ones(size, dtype=torch.double)


def mean_around(window: torch.Tensor, across: bool) -> Mean:
    """Means over squares, position (i, j) of a square weighing window[i]·window[j].

    The weights of the positions inside the image add up to 1, all channels weighing the same where the mean is
    `across` them.
    """

    def mean(x: torch.Tensor) -> torch.Tensor:
        around, here = x.mean(1, keepdim=True) if across else x, window.to(x)
        return _along(_along(around, here, 2), here, 3)

    return mean


def _along(x: torch.Tensor, window: torch.Tensor, axis: int) -> torch.Tensor:
    """The weighted mean around every position along one axis, over what of the window lies inside."""
    length = x.shape[axis]
    at = torch.arange(length, device=x.device)
    offset = at - at.unsqueeze(1) + len(window) // 2
    inside = (offset >= 0) & (offset < len(window))
    weights = window[offset.clamp(0, len(window) - 1)] * inside
    weights = weights / weights.sum(1, keepdim=True)
    return F.linear(x.movedim(axis, -1), weights).movedim(-1, axis)


def subtract_mean(x: torch.Tensor, mean: Mean) -> torch.Tensor:
    """v = x − mean x."""
    return x - mean(x)


def divide_by_deviation(v: torch.Tensor, mean: Mean, threshold: float, mean_floor: bool) -> torch.Tensor:
    """v / max(σ, c), σ = max(√(mean v²), threshold); c is the mean of σ over each image (`mean_floor`), or 0."""
    sigma = mean(v.square()).clamp_min(threshold**2).sqrt()
    if mean_floor:
        sigma = torch.maximum(sigma, sigma.mean((2, 3), keepdim=True))
    return v / sigma
