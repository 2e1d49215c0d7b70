"""Dropout in training, over the memory of its bottom where nobody else needs that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .base import Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run


class DropoutKernel(Kernel):
    """y = x · mask, `draws(run)` being the mask."""

    reads_tops = False
    can_overwrite = True
    capturable = True

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool], draws: Callable[[Run], Tensor]) -> None:
        super().__init__(wants, learns)
        self.draws = draws
        self._mask: Tensor | None = None

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        x = bottoms[0]
        assert self.drawn is not None
        mask, self.drawn = self.drawn.to(x.dtype), None
        self._mask = mask if keep else None
        return (x.mul_(mask) if self.overwrites else x * mask,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        gradient, mask = above[0], self._mask
        assert gradient is not None
        assert mask is not None
        self._mask = None
        return (gradient.mul_(mask) if owned else gradient * mask,), ()

    def forget(self) -> None:
        self._mask = self.drawn = None
