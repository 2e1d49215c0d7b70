"""Images resized between their pixels, corners on corners (`src/caffe/util/interp.cpp` of hszhao/PSPNet)."""

from __future__ import annotations

import torch
from torch import Tensor


def _taps(size: int, wanted: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `wanted` places along an axis of `size` pixels the pixel before it, the one after, and how near the
    latter is, worked out in float32."""
    ratio = torch.tensor(float(size - 1), dtype=torch.float32) / (wanted - 1) if wanted > 1 else torch.tensor(0.0)
    at = ratio * torch.arange(wanted, dtype=torch.float32, device=x.device)
    before = at.long()
    return before, (before + 1).clamp(max=size - 1), (at - before).to(x.dtype)


def _along(x: Tensor, axis: int, wanted: int) -> Tensor:
    before, after, nearer = _taps(x.shape[axis], wanted, x)
    nearer = nearer.reshape(-1, *[1] * (x.dim() - 1 - axis))
    return x.index_select(axis, before) * (1 - nearer) + x.index_select(axis, after) * nearer


def resized(x: Tensor, height: int, width: int) -> Tensor:
    """N×C×H×W → N×C×height×width: row h lies at h·(H − 1)/(height − 1) of x (0 where height is 1), columns likewise; a
    value is the mean of the four around it, weighted by nearness."""
    if x.shape[2:] == (height, width):
        return x.clone()
    return _along(_along(x, 3, width), 2, height)
