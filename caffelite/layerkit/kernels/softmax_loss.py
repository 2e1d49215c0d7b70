"""SoftmaxWithLoss over scores whose classes lie on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ... import ops
from ..base import torch
from .base import Kernel, Tensors
from .by_function import Kept

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run
    from ..softmax_loss import SoftmaxLoss


class SoftmaxLossKernel(Kernel):
    """−Σ w·log p[label] / normaliser; the layer knows labels, weights and normaliser.

    Args:
        on_cpu: that is where it computes, so that labels are looked at.
    """

    reads_tops = False

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool], layer: SoftmaxLoss, *, on_cpu: bool) -> None:
        super().__init__(wants, learns)
        self.layer = layer
        self.capturable = not on_cpu
        self._kept: Kept | None = None

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        layer, scores = self.layer, bottoms[0]
        indices, counted, by = layer.weighed_labels(bottoms[1], layer.label_shape, layer.divisor)
        kept, terms = Kept(), ops.losses.softmax_terms(indices, counted, layer.index, by)
        loss = ops.losses.SoftmaxLoss.forward(kept, scores, *terms)
        self._kept = kept if keep else None
        return (loss,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        below = ops.losses.SoftmaxLoss.backward(self._kept, above[0])[0]
        self._kept = None
        return (below, None), ()

    def forget(self) -> None:
        self._kept = None


class PlainSoftmaxLossKernel(SoftmaxLossKernel):
    """The same where every label counts as one, on the CPU: whether labels are classes shows when their p is taken.

    N×C scores whose samples lie in columns are computed with so, which takes torch's softmax a third of the time.
    """

    def __init__(self, wants: Sequence[bool], learns: Sequence[bool], layer: SoftmaxLoss, divisor: float) -> None:
        super().__init__(wants, learns, layer, on_cpu=True)
        self.capturable = True
        shape, self._axis, self._divisor = layer.label_shape, layer.index, divisor
        self._shape = (*shape[: self._axis], 1, *shape[self._axis :])
        self._two_axes = len(shape) == self._axis == 1
        self._by = torch.tensor(-divisor)  # a tensor is quicker to divide by than a number
        self._scale: tuple[Tensor, Tensor] | None = None
        self._less_one: Tensor | None = None
        self._prob: tuple[Tensor, Tensor, int] | None = None

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        scores, shape, axis = bottoms[0], self._shape, self._axis
        if self._two_axes and not scores.is_contiguous() and scores.t().is_contiguous():
            scores, shape, axis = scores.t(), shape[::-1], 0
        indices = bottoms[1].reshape(shape).long()
        prob = torch.softmax(scores, axis)
        try:
            picked = prob.gather(axis, indices)
        except RuntimeError:  # a label is no class
            return super().forward(run, bottoms, weights, keep)
        self._prob = (prob, indices, axis) if keep else None
        return (picked.clamp_(min=ops.losses.SMALLEST).log_().sum() / self._by,)

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        slope = above[0]
        if self._prob is None or slope is None:
            return super().backward(above, owned)
        prob, indices, axis = self._prob
        self._prob = None
        if self._less_one is None or (self._less_one.dtype, self._less_one.shape) != (prob.dtype, indices.shape):
            self._less_one = prob.new_full(indices.shape, -1.0)
        prob.scatter_add_(axis, indices, self._less_one)
        if self._scale is None or self._scale[0] is not slope:
            self._scale = slope, slope / self._divisor
        prob.mul_(self._scale[1])
        return (prob if axis == self._axis else prob.t(), None), ()

    def forget(self) -> None:
        super().forget()
        self._prob = None
