"""What Convolution and the types of forks that compute the same share.

Source: src/caffe/layers/conv_layer.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from .base import Shape
from .filters import Filters
from .kernels.convolved import ConvolutionKernel
from .windows import convolved, fitting

if TYPE_CHECKING:
    import torch

    from .kernels import Kernel
    from .run import Run


class Convolved(Filters):
    """Base of types that move filters over every spatial axis, …×C×spatial → …×num_output×spatial′, with weights of
    num_output×(C/group)×kernel."""

    rounding = "rounds"

    def weight_head(self) -> Shape:
        return self.outputs, self.channels // self.group

    def moved(self, sizes: Shape) -> Shape:
        return fitting(self, sizes, self.window, convolved(sizes, self.window), "convolution_param")

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        y: torch.Tensor = ops.convolution.convolve(x, weight, bias, *self.moves, self.group)
        return y

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        fits = all(n + 2 * p >= r for n, p, r in zip(self.spatial, self.window.pad, self.window.reach, strict=True))
        if not (self.plain and fits and len(wants) == 1 and len(self.window.kernel) == 2):
            return None
        return ConvolutionKernel(wants, learns, self.moves, self.group)

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return sum(math.prod(top) for top in tops) * math.prod(self.weights[0].shape[1:])
