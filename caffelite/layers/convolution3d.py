"""Convolution3D: Convolution over clips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit.base import Shape, layer
from ..layerkit.volumes import ClipFilters
from ..layerkit.windows import convolved, fitting

if TYPE_CHECKING:
    import torch


@layer("Convolution3D")
class Convolution3D(ClipFilters):
    """Filters moved over the length, height and width of clips.

    N×C×L×H×W → N×num_output×L′×H′×W′, where L′ = (L + 2·temporal_pad − kernel_depth) / temporal_stride + 1, rounded
    down, and H′ and W′ follow likewise from kernel_size, stride and pad.  Weights:
    num_output×C×kernel_depth×kernel_size², and 1×1×1×1×num_output for the bias.  Otherwise as Convolution, which has
    this, too (`kernel_size`, `stride` and `pad` once for each axis).  `filter_group` divides the work, not the
    channels, and changes nothing.

    The settings are convolution3d_param's (C3D v1.1) or, in convolution_param, those of C3D v1.0.

    Source: `src/caffe/layers/convolution3d_layer.cpp` of facebook/C3D, v1.0 and v1.1.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 12 dim: 12 } } }
    layer {
      name: "conv" type: "Convolution3D" bottom: "x" top: "y"  # 2×4×8×12×12
      convolution3d_param { num_output: 4 kernel_size: 3 kernel_depth: 3 pad: 1 temporal_pad: 1
        weight_filler { type: "xavier" } }
    }
    """

    fork: ClassVar[str] = "facebook/C3D"

    def weight_head(self) -> Shape:
        return self.outputs, self.channels

    def moved(self, sizes: Shape) -> Shape:
        return fitting(self, sizes, self.window, convolved(sizes, self.window), self.holder)

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        y: torch.Tensor = ops.convolution.convolve(x, weight, bias, *self.moves, 1)
        return y

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * math.prod(self.weights[0].shape[1:])
