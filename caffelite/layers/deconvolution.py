"""Deconvolution: a convolution run backwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import Shape, layer
from ..layerkit.filters import Filters
from ..layerkit.windows import deconvolved

if TYPE_CHECKING:
    import torch


@layer("Deconvolution")
class Deconvolution(Filters):
    """Every value of the bottom times the filter, added up where the filters overlap; several bottoms share them.

    …×C×spatial → …×num_output×spatial′: … are the axes before `axis` (the batch), C is `axis` itself, and
    spatial′ = stride·(spatial − 1) + dilation·(kernel − 1) + 1 − 2·pad, `pad` cutting the edges off.  Weights:
    C×(num_output/group)×kernel, and num_output for the bias.  It computes what the backward pass of a Convolution
    with these settings does, and a filler takes the fans from the weight's shape, so fan-in is what one would call
    fan-out.  Any number of spatial axes; `engine` and `force_nd_im2col` make no difference.

    To enlarge images by bilinear interpolation: `kernel_size: 4 stride: 2 pad: 1` (f: 2f − f % 2, f, ⌈(f − 1)/2⌉),
    num_output and group C, `weight_filler { type: "bilinear" }`, `bias_term: false`, and lr_mult 0.

    Source: `src/caffe/layers/base_conv_layer.cpp`, `deconv_layer.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 5 dim: 16 dim: 16 } } }
    layer {
      name: "twice" type: "Deconvolution" bottom: "x" top: "y"  # 1×5×32×32, bilinear
      param { lr_mult: 0 }
      convolution_param {
        num_output: 5 group: 5 kernel_size: 4 stride: 2 pad: 1 bias_term: false
        weight_filler { type: "bilinear" }
      }
    }
    """

    rounding = "rounds"

    def weight_head(self) -> Shape:
        return self.channels, self.outputs // self.group

    def moved(self, sizes: Shape) -> Shape:
        moved = deconvolved(sizes, self.window)
        for size, pad, result in zip(sizes, self.window.pad, moved, strict=True):
            nothing = f"pad {pad} cuts off {2 * pad} of the {result + 2 * pad} positions that {size} are spread over"
            self.expect(result > 0, nothing, "convolution_param")
        return moved

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        y: torch.Tensor = ops.convolution.deconvolve(x, weight, bias, *self.moves, self.group)
        return y

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return sum(math.prod(bottom) for bottom in bottoms) * math.prod(self.weights[0].shape[1:])
