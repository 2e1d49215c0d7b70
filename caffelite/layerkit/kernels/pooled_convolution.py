"""Convolution, ReLU and the maxima of windows in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .base import Kernel, Tensors
from .convolved import ConvolutionKernel
from .rectified import ReLUKernel

if TYPE_CHECKING:
    from torch import Tensor

    from ..run import Run
    from .windows import MaxPoolKernel


class PooledConvolutionKernel(Kernel):
    """The maxima of windows of a convolution, perhaps rectified, in place of the kernels of two or three layers.

    Maxima are rectified instead of everything that they are the maxima of, which is the same.  As each gradient of a
    maximum goes to one position, that of the bias is the sum of those of the maxima.
    """

    capturable = True

    def __init__(self, convolution: ConvolutionKernel, pool: MaxPoolKernel, *, rectified: bool) -> None:
        super().__init__(convolution.wants, convolution.learns)
        self.reads_tops = self.rectified = rectified
        without_bias = [*self.learns[:1], *(False for _ in self.learns[1:])]
        self._convolution = ConvolutionKernel(self.wants, without_bias, convolution.moves, convolution.group)
        self._pool, self._relu = pool, ReLUKernel([True], [])
        self._relu.overwrites = True

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor], keep: bool) -> Tensors:
        between = self._convolution.forward(run, bottoms, weights, keep)
        maxima = self._pool.forward(run, between, (), keep)  # type: ignore[arg-type]
        return self._relu.forward(run, maxima, (), keep) if self.rectified else maxima  # type: ignore[arg-type]

    def backward(self, above: Tensors, owned: bool) -> tuple[Tensors, Tensors]:
        if self.rectified:
            above, _ = self._relu.backward(above, owned)
        gradient = above[0]
        assert gradient is not None
        between, _ = self._pool.backward(above, False)
        below, learned = self._convolution.backward(between, True)
        biases = [gradient.sum((0, 2, 3)) if learns else None for learns in self.learns[1:]]
        return below, [*learned[:1], *biases]

    def forget(self) -> None:
        for kernel in (self._convolution, self._pool, self._relu):
            kernel.forget()
