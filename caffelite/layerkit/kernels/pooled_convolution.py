"""Convolution, ReLU and the maxima of windows in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ... import ops
from ..base import torch
from .base import Kernel, Tensors
from .windows import lying

if TYPE_CHECKING:
    from torch import Tensor

    from ...ops.pooling import Grid
    from ..run import Run
    from .convolved import ConvolutionKernel
    from .windows import MaxPoolKernel

_ONCE = (1, 1)


class _Kept(NamedTuple):
    """What backward needs; of what lay between, only how it lay, and where the maxima were in it."""

    x: Tensor
    weight: Tensor
    shape: Sequence[int]
    stride: Sequence[int]
    at: Tensor
    grid: Grid
    y: Tensor


class PooledConvolutionKernel(Kernel):
    """The maxima of windows of a convolution, perhaps rectified, in place of the kernels of two or three layers.

    Maxima are rectified instead of everything that they are the maxima of, which is the same.  As each gradient of a
    maximum goes to one position, that of the bias is the sum of those of the maxima.
    """

    def __init__(self, convolution: ConvolutionKernel, pool: MaxPoolKernel, *, rectified: bool) -> None:
        super().__init__(convolution.wants, convolution.learns)
        self.moves, self.group, self.grid = convolution.moves, convolution.group, pool.grid
        self.reads_tops = self.rectified = rectified
        self._kept: _Kept | None = None

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        x, weight = bottoms[0], weights[0]
        between = torch.conv2d(x, weight, weights[1] if len(weights) > 1 else None, *self.moves, self.group)
        grid = self.grid(between.shape[2:])
        y, at = torch.ops.aten.max_pool2d_with_indices(between, grid.kernel, grid.stride, grid.pad, _ONCE, grid.ceil)
        if self.rectified:
            y.relu_()
        if keep:
            self._kept = _Kept(x, weight, between.shape, between.stride(), at, grid, y)
        return (y,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        gradient, kept = above[0], self._kept
        assert kept is not None
        assert gradient is not None
        self._kept = None
        if self.rectified:
            out = gradient if owned else torch.empty_like(kept.y)
            gradient = torch.ops.aten.threshold_backward.grad_input(gradient, kept.y, 0, grad_input=out)
        bias = gradient.sum((0, 2, 3)) if self.learns[1:] == (True,) else None
        grid = kept.grid
        between = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, lying(kept.shape, kept.stride, gradient), grid.kernel, grid.stride, grid.pad, _ONCE, grid.ceil,
            kept.at,
        )  # fmt: skip
        wanted = (self.wants[0], self.learns[0], False)
        below, learned, _ = ops.convolution.gradients(between, kept.x, kept.weight, self.moves, self.group, wanted)
        return (below,), (learned, bias)[: len(self.learns)]

    def forget(self) -> None:
        self._kept = None
