"""Pooling: maxima and averages of windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..base import torch
from .base import Joined, Kernel, Tensors
from .convolved import ConvolutionKernel
from .pooled_convolution import PooledConvolutionKernel
from .rectified import ReLUKernel

if TYPE_CHECKING:
    from torch import Tensor

    from ...ops.pooling import Grid
    from ..run import Run

_ONCE = (1, 1)
_Layout = tuple[Sequence[int], Sequence[int]]
"""Shape and strides."""


_untouched: dict[torch.dtype, Tensor] = {}
_MANY = 1 << 17
_LEAST = 16 << 20
"""Values: so much memory the C library asks the system for, and the system gives it when it is touched."""


def lying(shape: Sequence[int], stride: Sequence[int], like: Any) -> Tensor:
    """Memory that nobody reads: the backwards of torch's pooling ask for the bottom, and look only at how it lies.

    On the processor it is always the same, for there memory costs nothing until it is touched.
    """
    if like.device.type != "cpu":
        return torch.empty_strided(shape, stride, dtype=like.dtype, device=like.device)
    count, there = math.prod(shape), _untouched.get(like.dtype)
    if there is None or there.numel() < count:
        there = _untouched[like.dtype] = torch.empty(max(count, _LEAST), dtype=like.dtype)
    return there.as_strided(shape, stride)


def _shorter(at: Tensor, positions: int) -> Tensor:
    """Where maxima came from, 8 bytes each, in 2 where there are many and that is enough."""
    return at.to(torch.int16) if at.numel() >= _MANY and positions < 1 << 15 else at


class _Windows(Kernel):
    """Base: `grid` says where the windows of an image lie.  What was in the bottom need not be kept."""

    reads_tops = False
    capturable = True

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool], grid: Callable[[Sequence[int]], Grid]) -> None:
        super().__init__(wants, learns)
        self.grid = grid
        self._kept: tuple[_Layout, Tensor | None, Grid] | None = None

    def forget(self) -> None:
        self._kept = None


def _in_pairs(x: Tensor, grid: Grid) -> bool:
    """Whether windows are all pairs of rows and columns, on the processor."""
    two, whole = (2, 2), x.shape[2] % 2 == 0 and x.shape[3] % 2 == 0
    pairs = tuple(grid.kernel) == two and tuple(grid.stride) == two and tuple(grid.pad) == (0, 0)
    return pairs and whole and x.device.type == "cpu"


class MaxPoolKernel(_Windows):
    """The maximum of every window; it remembers where each came from, if a backward follows."""

    def joined(self, before: Sequence[Kernel]) -> Joined | None:
        """With the convolution before it, and perhaps a ReLU between them."""
        rectified = bool(before) and isinstance(before[-1], ReLUKernel)
        count = 2 if rectified else 1
        parts = before[len(before) - count :] if len(before) >= count else ()
        if not parts or any(kernel.rereads for kernel in (*parts, self)):
            return None
        first = parts[0]
        if not isinstance(first, ConvolutionKernel):
            return None
        return Joined(count, PooledConvolutionKernel(first, self, rectified=rectified))

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        x = bottoms[0]
        grid = self.grid(x.shape[2:])
        if not keep and _in_pairs(x, grid):  # torch's operator would find out where maxima are
            rows = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
            return (torch.maximum(rows[..., ::2], rows[..., 1::2]),)
        y, at = torch.ops.aten.max_pool2d_with_indices(x, grid.kernel, grid.stride, grid.pad, _ONCE, grid.ceil)
        if keep:
            self._kept = (x.shape, x.stride()), _shorter(at, x.shape[2] * x.shape[3]), grid
        return (y,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        assert self._kept is not None
        layout, at, grid = self._kept
        assert at is not None
        self._kept = None
        below = torch.ops.aten.max_pool2d_with_indices_backward(
            above[0], lying(*layout, above[0]), grid.kernel, grid.stride, grid.pad, _ONCE, grid.ceil, at.long()
        )
        return (below,), ()


class AveragePoolKernel(_Windows):
    """The average of every window, padding counted."""

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        x = bottoms[0]
        grid = self.grid(x.shape[2:])
        if keep:
            self._kept = (x.shape, x.stride()), None, grid
        return (torch.ops.aten.avg_pool2d(x, grid.kernel, grid.stride, grid.pad, grid.ceil, True, None),)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        assert self._kept is not None
        layout, _, grid = self._kept
        self._kept = None
        below = torch.ops.aten.avg_pool2d_backward(
            above[0], lying(*layout, above[0]), grid.kernel, grid.stride, grid.pad, grid.ceil, True, None
        )
        return (below,), ()
