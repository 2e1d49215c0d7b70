"""Kernels between layers that compute in different types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..base import torch
from .base import Kernel, Tensors

if TYPE_CHECKING:
    from torch import Tensor, dtype

    from ..run import Run


class RoundedKernel(Kernel):
    """Another kernel, with its floating-point bottoms and weights in one type, and tops and gradients as they follow.

    The gradient of a bottom has that bottom's type again; those of weights are in single precision.

    Args:
        kernel: the kernel.
        kind: the type it computes in.

    Attributes:
        kind: that.
    """

    own_tops = own_gradients = False

    def __init__(self, kernel: Kernel, kind: dtype) -> None:
        super().__init__(kernel.wants, kernel.learns)
        self._kernel, self.kind = kernel, kind
        self.reads_tops, self.rereads, self.capturable = kernel.reads_tops, kernel.rereads, kernel.capturable
        self._below: list[dtype] = []
        self._tops: list[dtype | None] = []

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        self._below = [bottom.dtype for bottom in bottoms]
        tops = self._kernel.forward(run, self._cast(bottoms), self._cast(weights), keep)
        self._tops = [None if top is None else top.dtype for top in tops]
        return tops

    def _cast(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [one.to(self.kind) if one.is_floating_point() else one for one in tensors]

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        if self.rereads and self.seen is not None:
            self._kernel.seen, self.seen = self.seen.to(self.kind), None
        given = [
            gradient if gradient is None or kind is None else gradient.to(kind)
            for gradient, kind in zip(above, self._tops, strict=True)
        ]
        owned = owned or given[0] is not above[0]
        below, learned = self._kernel.backward(given, owned)
        cast = [
            gradient if gradient is None else gradient.to(kind)
            for gradient, kind in zip(below, self._below, strict=True)
        ]
        return cast, [gradient if gradient is None else gradient.to(torch.float32) for gradient in learned]

    def forget(self) -> None:
        self.seen = None
        self._kernel.forget()
