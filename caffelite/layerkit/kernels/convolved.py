"""Convolution over images: torch's kernels, and where they are slow a matrix product in their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ... import ops
from ..base import torch
from .base import Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ...ops.convolution import Moves
    from ..run import Run


class ConvolutionKernel(Kernel):
    """One bottom, N×C×H×W, and filters, O×(C/group)×kernel; `moves` are stride, pad and dilation."""

    reads_tops = False
    capturable = True

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool], moves: Moves, group: int) -> None:
        super().__init__(wants, learns)
        self.moves, self.group = moves, group
        self._kept: tuple[Tensor, Tensor] | None = None

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        x, weight = bottoms[0], weights[0]
        if keep:
            self._kept = x, weight
        bias = weights[1] if len(weights) > 1 else None
        return (torch.conv2d(x, weight, bias, *self.moves, self.group),)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        gradient = above[0]
        assert self._kept is not None
        assert gradient is not None
        x, weight = self._kept
        self._kept = None
        biased = len(self.learns) > 1 and self.learns[1]
        wanted = (self.wants[0], self.learns[0], biased)
        below, *learned = ops.convolution.gradients(gradient, x, weight, self.moves, self.group, wanted)
        return (below,), learned[: len(self.learns)]

    def forget(self) -> None:
        self._kept = None
