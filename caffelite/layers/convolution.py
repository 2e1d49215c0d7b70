"""Convolution."""

from __future__ import annotations

from ..layerkit.base import layer
from ..layerkit.convolved import Convolved


@layer("Convolution")
class Convolution(Convolved):
    """Filters moved over every spatial axis; several bottoms of one shape share them.

    …×C×spatial → …×num_output×spatial′: … are the axes before `axis` (the batch), C is `axis` itself, and
    spatial′ = (spatial + 2·pad − dilation·(kernel − 1) − 1) / stride + 1, rounded down.  Weights:
    num_output×(C/group)×kernel, and num_output for the bias.  The kernel is not mirrored (cross-correlation).  Any
    number of spatial axes; `engine` and `force_nd_im2col` make no difference.

    Source: `src/caffe/layers/base_conv_layer.cpp`, `conv_layer.cpp`.
    """

    example = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 32 dim: 32 } } }
    layer {
      name: "conv1" type: "Convolution" bottom: "data" top: "conv1"  # 4×16×32×32
      param { lr_mult: 1 }  # the filters
      param { lr_mult: 2 }  # the bias
      convolution_param { num_output: 16 kernel_size: 5 pad: 2 weight_filler { type: "msra" } }
    }
    """
