"""Kernels of layers whose arithmetic is an autograd Function: its forward and backward, called as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .base import Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run


class Kept:
    """What a Function's forward leaves for its backward, in place of autograd's context.

    Attributes:
        owned: backward may write over the gradient that it is given.
    """

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.owned = False

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep them."""
        self.saved_tensors = tensors


class FunctionKernel(Kernel):
    """One bottom, one top, no weights: `function.forward(ctx, x, *settings)` and its `backward`, which reads no top.
    Neither looks at values.

    Args:
        function: an `autograd.Function`.
        settings: what follows x.
    """

    reads_tops = False
    capturable = True

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool], function: Any, settings: Sequence[Any]) -> None:
        super().__init__(wants, learns)
        self._function, self._settings = function, settings
        self._kept: Kept | None = None

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        kept, x = Kept(), bottoms[0]
        y = self._function.forward(kept, x, *self._settings)
        self._kept = kept if keep else None
        return (y,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        assert self._kept is not None
        self._kept.owned = owned
        gradients = self._function.backward(self._kept, above[0])
        self._kept = None
        return gradients[:1], ()

    def forget(self) -> None:
        self._kept = None
