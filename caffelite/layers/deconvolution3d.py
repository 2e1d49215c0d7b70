"""Deconvolution3D: a convolution over clips run backwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit.base import Shape, layer
from ..layerkit.volumes import ClipFilters
from ..layerkit.windows import deconvolved

if TYPE_CHECKING:
    import torch


@layer("Deconvolution3D")
class Deconvolution3D(ClipFilters):
    """Every value of the clip times the filter, added up where the filters overlap.

    N×C×L×H×W → N×num_output×L′×H′×W′, where L′ = temporal_stride·(L − 1) + kernel_depth − 2·temporal_pad, and H′ and W′
    follow likewise from stride, kernel_size and pad.  Weights: C×num_output×kernel_depth×kernel_size², and
    1×1×1×1×num_output for the bias.  Otherwise as Deconvolution, and its settings are Convolution3D's.

    Source: `src/caffe/layers/deconvolution3d_layer.cpp` of facebook/C3D, v1.0 and v1.1.  (In v1.1 `bias_term` is read
    from convolution_param by mistake; here it is where the other settings are.)
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 6 dim: 6 } } }
    layer {
      name: "twice" type: "Deconvolution3D" bottom: "x" top: "y"  # 1×2×8×12×12
      convolution3d_param { num_output: 2 kernel_size: 4 kernel_depth: 4 pad: 1 temporal_pad: 1
        stride: 2 temporal_stride: 2 weight_filler { type: "xavier" } }
    }
    """

    fork: ClassVar[str] = "facebook/C3D"

    def weight_head(self) -> Shape:
        return self.channels, self.outputs

    def moved(self, sizes: Shape) -> Shape:
        moved = deconvolved(sizes, self.window)
        for size, pad, result in zip(sizes, self.window.pad, moved, strict=True):
            nothing = f"pad {pad} cuts off {2 * pad} of the {result + 2 * pad} positions that {size} are spread over"
            self.expect(result > 0, nothing, self.holder)
        return moved

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        y: torch.Tensor = ops.convolution.deconvolve(x, weight, bias, *self.moves, 1)
        return y

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(bottoms[0]) * math.prod(self.weights[0].shape[1:])
