"""InnerProduct: three matrix products."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base import torch
from .base import Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run

_HELD_HERE = 3
"""References to a tensor that an attribute, a variable and a question for their number hold."""

_LARGE = 1 << 20
"""Weights of a layer from which on their gradient has a memory of its own."""

_MANY = 32
"""Samples from which on (W·xᵀ)ᵀ is the quicker way to x·Wᵀ on a CPU; for 10 it takes twice as long."""


class InnerProductKernel(Kernel):
    """y = x·Wᵀ + b, x: …×K flattened behind `first` axes; W: O×K, or K×O if `transpose`.

    On a CPU what has many samples is computed with these in columns, and lies so in memory; and the gradient of a large
    W, which is as large, lies in the same memory in each iteration (elsewhere torch sees to that).

    Args:
        count: the elements of W.
        on_cpu: that is where it computes.
    """

    reads_tops = False

    def __init__(
        self,
        wants: Sequence[bool],
        learns: Sequence[bool],
        first: int,
        transpose: bool,
        count: int,
        *,
        on_cpu: bool,
    ) -> None:
        super().__init__(wants, learns)
        self.first, self.transpose = first, transpose
        self._turns = on_cpu and not transpose
        self._reuses = on_cpu and learns[0] and count >= _LARGE
        self.capturable = not self._reuses
        self._spare: Tensor | None = None
        self._kept: tuple[Tensor, Tensor, tuple[int, ...]] | None = None

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        bottom, weight = bottoms[0], weights[0]
        x = bottom if bottom.dim() == self.first + 1 else bottom.flatten(self.first)
        if keep:
            self._kept = x, weight, bottom.shape
        bias = weights[1] if len(weights) > 1 else None
        if self._turns and x.dim() == 2 and len(x) >= _MANY:
            y = weight @ x.t() if bias is None else torch.addmm(bias.unsqueeze(1), weight, x.t())
            return (y.t(),)
        return (torch.nn.functional.linear(x, weight.t() if self.transpose else weight, bias),)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        gradient = above[0]
        assert self._kept is not None
        assert gradient is not None
        x, weight, shape = self._kept
        self._kept = None
        if self.first != 1:
            x, gradient = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        bottom = None
        if self.wants[0]:
            if self._turns and len(shape) == 2 and len(x) >= _MANY:
                bottom = (weight.t() @ gradient.t()).t()
            else:
                bottom = (gradient @ (weight.t() if self.transpose else weight)).view(shape)
        learned: list[Tensor | None] = [None] * len(self.learns)
        if self.learns[0]:
            left, right = (x, gradient) if self.transpose else (gradient, x)
            learned[0] = torch.mm(left.t(), right, out=self._memory(weight) if self._reuses else None)
        if len(learned) > 1 and self.learns[1]:
            learned[1] = gradient.sum(0)
        return (bottom,), learned

    def _memory(self, weight: Tensor) -> Tensor:
        """Memory for the gradient: that of the last one, unless somebody still has it."""
        spare = self._spare
        again = weight.requires_grad and weight.grad is None  # the parameter itself, and the first gradient it gets
        if spare is None or not again or sys.getrefcount(spare) > _HELD_HERE:
            spare = torch.empty_like(weight, requires_grad=False)
            self._spare = spare if again else None
        return spare

    def forget(self) -> None:
        self._kept = None
