"""ReLU, over the memory of its bottom where nobody else needs that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base import torch
from .base import Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run


class ReLUKernel(Kernel):
    """y = max(x, 0); the gradient passes where y > 0."""

    can_overwrite = True
    capturable = True

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool]) -> None:
        super().__init__(wants, learns)
        self._kept: Tensor | None = None

    @property
    def reads_tops(self) -> bool:  # type: ignore[override]
        return not self.rereads

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        y = bottoms[0].relu_() if self.overwrites else bottoms[0].relu()
        if keep and not self.rereads:
            self._kept = y
        return (y,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        y, gradient = self.seen if self.rereads else self._kept, above[0]
        assert y is not None
        assert gradient is not None
        self._kept = self.seen = None
        y = y.reshape(gradient.shape)
        out = gradient if owned else torch.empty_like(y)
        return (torch.ops.aten.threshold_backward.grad_input(gradient, y, 0, grad_input=out),), ()

    def forget(self) -> None:
        self._kept = self.seen = None
