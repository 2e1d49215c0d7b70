"""InnerProduct: three matrix products."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
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

_WORTH_ONEDNN = 1 << 21
"""Multiply-adds of a product from which on oneDNN may be quicker than torch's own way; a call takes some 15 µs more."""


@cache
def _onednn() -> tuple[bool, bool]:
    """Whether torch can have products computed by oneDNN, and whether the processor has AVX-512.

    Measured on AMD's processors, where MKL uses kernels without AVX-512 (docs/benchmarks.md).
    """
    there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return there, there and torch.backends.cpu.get_cpu_capability() == "AVX512"


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x·weightᵀ + bias, however they lie in memory."""
    bias = bias if bias is None else bias.contiguous()  # torch takes the values in its memory one behind the other
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], None)
    return y


def _product(x: Tensor, weight: Tensor, bias: Tensor | None, *, onednn: bool, columns: bool) -> Tensor:
    """x·weightᵀ + bias: by oneDNN, with the samples in `columns`, or as torch does it."""
    if onednn:
        return _by_onednn(x, weight, bias)
    if columns:
        y = weight @ x.t() if bias is None else torch.addmm(bias.unsqueeze(1), weight, x.t())
        return y.t()
    return torch.nn.functional.linear(x, weight, bias)


class InnerProductKernel(Kernel):
    """y = x·Wᵀ + b, x: …×K flattened behind `first` axes; W: O×K, or K×O if `transpose`.

    On a CPU what has many samples is computed with these in columns, and lies so in memory; some products are oneDNN's;
    and the gradient of a large W, which is as large, lies in the same memory in each iteration (elsewhere torch sees to
    that).

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
        self._on_cpu, self._count = on_cpu, count
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
        onednn, columns = self._suits_onednn(x, back=False), self._suits_columns(x.shape)
        return (_product(x, weight.t() if self.transpose else weight, bias, onednn=onednn, columns=columns),)

    def _suits_columns(self, shape: Sequence[int]) -> bool:
        """Whether products with a bottom of this shape are quicker with its samples in columns."""
        return self._turns and self.first == 1 and len(shape) == 2 and shape[0] >= _MANY

    def _suits_onednn(self, x: Tensor, *, back: bool) -> bool:
        """Whether oneDNN is the quicker one for products with x, or `back` with the gradient above: where few samples
        meet a large W; for gradients of many, too, where it uses AVX-512 and MKL may not."""
        there, avx512 = _onednn() if self._on_cpu else (False, False)
        samples = x.numel() // max(1, x.shape[-1])
        suits = there if samples < _MANY else back and avx512
        return suits and samples * self._count >= _WORTH_ONEDNN and x.dtype == torch.float32

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        gradient = above[0]
        assert self._kept is not None
        assert gradient is not None
        x, weight, shape = self._kept
        self._kept = None
        if self.first != 1:
            x, gradient = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
        bottom, onednn = None, self._suits_onednn(x, back=True)
        if self.wants[0]:
            back, columns = weight if self.transpose else weight.t(), self._suits_columns(shape)
            bottom = _product(gradient, back, None, onednn=onednn, columns=columns)
            bottom = bottom if bottom.shape == shape else bottom.view(shape)
        learned: list[Tensor | None] = [None] * len(self.learns)
        if self.learns[0]:
            left, right = (x, gradient) if self.transpose else (gradient, x)
            if onednn and not self._reuses:
                learned[0] = _by_onednn(left.t(), right.t())
            else:
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
