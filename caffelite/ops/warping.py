"""Images whose pixels are fetched from elsewhere, between pixels by bilinear interpolation."""

from __future__ import annotations

import torch
from torch import Tensor


def _corners(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x[n, :, rows, columns]: N×C×H×W and two N×… of whole numbers → N×C×…"""
    flat = (rows * x.shape[3] + columns).flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, flat).reshape(*x.shape[:2], *rows.shape[1:])


def by_flow(x: Tensor, flow: Tensor, outside: float) -> Tensor:
    """x(h + v, w + u) for each pixel, N×C×H×W, by a flow N×2×H×W of u and v; `outside` where that is not in
    [0, H) × [0, W).  Past the middle of the last row or column, that one counts.

    Source: `flow_warp_layer.cpp` of lmb-freiburg/flownet2.
    """
    height, width = x.shape[2:]
    column = torch.arange(width, device=x.device, dtype=x.dtype) + flow[:, 0]
    row = torch.arange(height, device=x.device, dtype=x.dtype).unsqueeze(1) + flow[:, 1]
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    column, row = torch.where(inside, column, 0), torch.where(inside, row, 0)
    left, top = column.detach().long(), row.detach().long()
    right, below = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    across, down = (column - left).unsqueeze(1), (row - top).unsqueeze(1)
    upper = (1 - across) * _corners(x, top, left) + across * _corners(x, top, right)
    lower = (1 - across) * _corners(x, below, left) + across * _corners(x, below, right)
    return torch.where(inside.unsqueeze(1), (1 - down) * upper + down * lower, outside)
