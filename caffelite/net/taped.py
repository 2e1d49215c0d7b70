"""Layers whose gradients are autograd's: a tape for each, and for one pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from ..layerkit.kernels import Kernel, Tensors
from .steps import is_of_its_forward, reading

if TYPE_CHECKING:
    from ..graph import Node
    from ..layerkit import Run


class TapedKernel(Kernel):
    """`Layer.forward` on a tape that ends at the layer's bottoms."""

    own_tops = own_gradients = False

    def __init__(self, node: Node, wants: Sequence[bool], learns: Sequence[bool]) -> None:
        super().__init__(wants, learns)
        self.layer = node.layer
        self.capturable = node.layer.capturable and is_of_its_forward(node.layer, "capturable")
        self._kept: tuple[list[torch.Tensor], list[torch.Tensor | None]] | None = None

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor], keep: bool
    ) -> Tensors:
        if not keep:
            tops: Tensors = self.layer.forward(run, bottoms, weights)
            return tops
        leaves = [
            bottom.detach().requires_grad_() if wanted else bottom
            for bottom, wanted in zip(bottoms, self.wants, strict=True)
        ]
        learned = [
            weight.detach().requires_grad_() if learns else weight.detach()
            for weight, learns in zip(weights, self.learns, strict=True)
        ]
        with torch.enable_grad(), reading(self._seen) if self.rereads else nullcontext():
            tops = self.layer.forward(run, leaves, learned)
        wanted = [leaf for leaf, wants in zip(leaves, self.wants, strict=True) if wants]
        wanted += [weight for weight, learns in zip(learned, self.learns, strict=True) if learns]
        self._kept = wanted, list(tops)
        return [top if top is None else top.detach() for top in tops]

    def _seen(self) -> torch.Tensor:
        assert self.seen is not None
        return self.seen

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        assert self._kept is not None
        wanted, tops = self._kept
        self._kept = None
        live = [
            (top, gradient.reshape(top.shape))
            for top, gradient in zip(tops, above, strict=True)
            if top is not None and top.requires_grad and gradient is not None
        ]
        found: Tensors = [None] * len(wanted)
        if live and wanted:
            with torch.enable_grad():
                found = torch.autograd.grad(
                    [top for top, _ in live], wanted, [gradient for _, gradient in live], allow_unused=True
                )
        self.seen = None
        each = iter(found)
        below = [next(each) if wants else None for wants in self.wants]
        return below, [next(each) if learns else None for learns in self.learns]

    def forget(self) -> None:
        self._kept = self.seen = None
