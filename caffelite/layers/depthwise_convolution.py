"""DepthwiseConvolution: a Convolution with a group for each channel, under a name of its own."""

from __future__ import annotations

from typing import ClassVar

from ..layerkit.base import layer
from ..layerkit.convolved import Convolved


@layer("DepthwiseConvolution")
class DepthwiseConvolution(Convolved):
    """What Convolution computes, with the same settings (`convolution_param`) and weights: it is a faster code for a
    `group` that is the number of channels.

    N×C×spatial → N×num_output×spatial′.  Weights: num_output×(C/group)×kernel, and num_output for the bias; with
    `group` left out that is a full convolution, as in the fork.
    (The fork's GPU code takes no notice of `dilation`; its CPU code does.)

    Source: `src/caffe/layers/depthwise_conv_layer.cpp` of eric612/MobileNet-YOLO.
    """

    fork: ClassVar[str] = "yonghenglh6/DepthwiseConvolution, eric612/MobileNet-YOLO"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 16 dim: 16 } } }
    layer {
      name: "dw" type: "DepthwiseConvolution" bottom: "x" top: "y"  # 2×8×16×16
      convolution_param { num_output: 8 group: 8 kernel_size: 3 pad: 1 weight_filler { type: "msra" } }
    }
    """
