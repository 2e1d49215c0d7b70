"""Scale: multiplied with a learned blob, or with a second bottom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..layerkit import Layer, Run, Shape, between, exactly, layer
from ..layerkit.broadcast import aligned, covered
from ..layerkit.kernels.normalized import ScaledKernel
from ..layerkit.weights import filled
from ..proto import FillerParameter

if TYPE_CHECKING:
    from torch import Tensor

    from ..layerkit.kernels import Kernel


@layer("Scale")
class Scale(Layer):
    """y = x·s, or x·s + b with `bias_term`, s and b lined up with axis `axis` of x and repeated along the others.

    s is the second bottom, of any number of axes, or a weight over `num_axes` axes (-1: all; 0: a single factor) that
    starts as 1.  b has the shape of s and is learned; with two bottoms it is the only weight.  A scalar s fits
    everywhere, whatever `axis` says (though with `bias_term` it must be an axis).  May work in place.

    Gradients of a learned s add up over iter_size; the original kept only the last where the axes before `axis` hold
    one element (a batch of 1, say) and s holds several.

    Source: `src/caffe/layers/scale_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "scale" type: "Scale" bottom: "x" top: "y"  # a factor and an offset for each of the 8 channels
      scale_param { bias_term: true }
    }
    """

    bottoms, tops = between(1, 2), exactly(1)
    capturable = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, learned = self.settings("scale_param"), len(bottoms) == 1
        shape = covered(self, bottoms[0], "scale_param") if learned else bottoms[1]
        if learned:
            ones = FillerParameter(type="constant", value=1)
            self.weights.append(filled(self, shape, "scale_param.filler", default=ones))
        if settings.bias_term:
            self.axis(settings.axis, len(bottoms[0]), "scale_param.axis")
            self.weights.append(filled(self, shape, "scale_param.bias_filler"))

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.aligned = aligned(self, bottoms, "scale_param")
        learned = len(bottoms) == 1 and len(self.weights[0].shape) == 1
        self.by_channel = learned and len(self.aligned) == len(bottoms[0]) - 1
        return [bottoms[0]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        factor, *offset = (*bottoms[1:], *weights)
        y = bottoms[0] * factor.reshape(self.aligned)
        return (y.add_(offset[0].reshape(self.aligned)) if offset else y,)

    def make_kernel(self, run: Run, wants: Sequence[bool], learns: Sequence[bool]) -> Kernel | None:
        return ScaledKernel(wants, learns) if self.by_channel else None

    def scratch(self, bottoms: Sequence[Tensor], gradient: Tensor) -> Tensor | None:
        factor = bottoms[1].shape if len(bottoms) > 1 else self.weights[0].shape
        learning = len(bottoms) == 1 or bottoms[1].requires_grad
        separate = math.prod(factor) != bottoms[0].numel() and self.param.top[0] != self.param.bottom[0]
        return gradient * bottoms[0].detach() if learning and separate else None
