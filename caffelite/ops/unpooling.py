"""Values spread over windows of a larger image (`src/caffe/layers/unpooling_layer.cpp` of HyeonwooNoh/caffe).

Window i of an axis covers [i·stride, i·stride + kernel), cut at the image.  As windows are rectangles, rows and columns
are spread one after the other, each by a matrix.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

Pair = tuple[int, ...]


def _cover(count: int, kernel: int, stride: int, size: int, x: Tensor) -> Tensor:
    """size×count: 1 where a window covers a position."""
    positions = torch.arange(size, device=x.device).unsqueeze(1)
    begin = torch.arange(count, device=x.device) * stride
    return ((positions >= begin) & (positions < begin + kernel)).to(x.dtype)


def _covers(x: Tensor, kernel: Pair, stride: Pair, size: Pair) -> tuple[Tensor, Tensor]:
    rows, columns = (
        _cover(count, k, s, n, x) for count, k, s, n in zip(x.shape[2:], kernel, stride, size, strict=True)
    )
    return rows, columns


def _shared_out(cover: Tensor) -> Tensor:
    """A cover whose windows sum to 1."""
    return cover / cover.sum(0).clamp(min=1)


def averaged(x: Tensor, kernel: Pair, stride: Pair, size: Pair) -> Tensor:
    """Every value divided by the positions of its window, and added to each of them."""
    rows, columns = map(_shared_out, _covers(x, kernel, stride, size))
    return rows @ x @ columns.T


class _Tiled(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        ctx.save_for_backward(rows, columns)
        return rows @ x @ columns.T

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        rows, columns = map(_shared_out, ctx.saved_tensors)
        return rows.T @ dy @ columns, None, None


def tiled(x: Tensor, kernel: Pair, stride: Pair, size: Pair) -> Tensor:
    """Every value added to each position of its window.  As in the fork a value's gradient is the mean, not the sum,
    over its window."""
    y: Tensor = _Tiled.apply(x, *_covers(x, kernel, stride, size))
    return y
