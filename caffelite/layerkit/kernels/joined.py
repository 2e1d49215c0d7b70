"""Concat and sums: gradients are parts of, or are, what comes from above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base import torch
from .base import Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run


class ConcatKernel(Kernel):
    """Bottoms one behind the other along `axis`, at least two; their gradients are views."""

    reads_tops = False
    capturable = True
    own_gradients = False

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool], axis: int) -> None:
        super().__init__(wants, learns)
        self.axis = axis
        self._sizes: list[int] = []

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        self._sizes = [bottom.shape[self.axis] for bottom in bottoms]
        return (torch.cat(list(bottoms), self.axis),)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        gradient = above[0]
        assert gradient is not None
        parts = gradient.split(self._sizes, self.axis)
        return [part if wanted else None for part, wanted in zip(parts, self.wants, strict=True)], ()


class SumKernel(Kernel):
    """The sum of bottoms of one shape, each counted once; all get the same gradient, in one memory."""

    reads_tops = False
    capturable = True
    own_gradients = False

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        total = bottoms[0] + bottoms[1]
        for bottom in bottoms[2:]:
            total += bottom
        return (total,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        return [above[0] if wanted else None for wanted in self.wants], ()
