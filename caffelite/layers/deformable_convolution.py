"""DeformableConvolution: a convolution whose windows are bent by a second bottom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit.base import Layer, Shape, exactly, layer
from ..layerkit.weights import filled
from ..layerkit.windows import convolution_window, convolved, fitting

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run


@layer("DeformableConvolution")
class DeformableConvolution(Layer):
    """A Convolution that reads every tap of its windows elsewhere: by how far, down and to the right in pixels, a
    second bottom tells, for each position of the top, each tap, and each of `deformable_group` groups of channels.

    Bottoms: x, N×C×H×W, and N×(2·deformable_group·taps)×H′×W′: group by group, tap by tap (row by row), down and then
    right.  Top: N×num_output×H′×W′, sizes as of a Convolution.  Between pixels x is interpolated from the four around;
    outside of it are zeros, but between the last pixel and the edge behind it the last pixel counts.  Weights:
    num_output×(C/group)×kernel, and num_output for the bias.  Gradients reach both bottoms.

    The fork asks for a second bottom of H×W, which it reads as if it were H′×W′: the same where these are equal.

    Sources: `caffe-fpn/src/caffe/layers/deformable_conv_layer.cpp`, `caffe-fpn/src/caffe/util/deformable_im2col.cu` of
    unsky/FPN; Dai et al., "Deformable convolutional networks", 2017.
    """

    fork: ClassVar[str] = "unsky/FPN"
    example = """
    layer {
      name: "in" type: "Input" top: "x" top: "moves"
      input_param { shape { dim: 2 dim: 8 dim: 7 dim: 7 } shape { dim: 2 dim: 36 dim: 7 dim: 7 } }
    }
    layer {
      name: "conv" type: "DeformableConvolution" bottom: "x" bottom: "moves" top: "y"  # 2×4×7×7
      deformable_convolution_param { num_output: 4 kernel_size: 3 pad: 1 deformable_group: 2
                                     weight_filler { type: "msra" } }
    }
    """

    bottoms = exactly(2)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        field, shape = "deformable_convolution_param", bottoms[0]
        settings = self.settings(field)
        self.outputs, self.group, self.bent = settings.num_output, settings.group, settings.deformable_group
        axes = f"needs a bottom of 4 axes (num, channels, height, width), got {shape}"
        if not self.expect(len(shape) == 4, axes, "bottom"):
            self.raise_faults()
        self.require(self.axis(settings.axis, 4, f"{field}.axis") == 1, f"{field}.axis", "must be 1")
        self.require(self.outputs > 0, f"{field}.num_output", "must be positive")
        self.channels = shape[1]
        for name in ("group", "deformable_group"):
            count = getattr(settings, name)
            divides = count > 0 and self.channels % count == 0
            self.require(divides, f"{field}.{name}", f"must divide the {self.channels} channels of {shape}")
        self.raise_faults()
        self.require(self.outputs % self.group == 0, f"{field}.group", f"must divide num_output, {self.outputs}")
        self.window = convolution_window(self, 2, field)
        head = (self.outputs, self.channels // self.group)
        self.weights = [filled(self, (*head, *self.window.kernel), f"{field}.weight_filler")]
        if settings.bias_term:
            self.weights.append(filled(self, (self.outputs,), f"{field}.bias_filler"))

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        x, moves = bottoms
        fits = len(x) == 4 and x[1] == self.channels
        if not self.expect(fits, f"the filters are for {self.channels} channels, the bottom is {x}", "bottom[0]"):
            self.raise_faults()
        sizes = fitting(self, x[2:], self.window, convolved(x[2:], self.window), "deformable_convolution_param")
        needed = (x[0], 2 * self.bent * math.prod(self.window.kernel), *sizes)
        told = f"needs two numbers for each group of channels, tap and position, {needed}, got {moves}"
        self.expect(moves == needed, told, "bottom[1]")
        return [(x[0], self.outputs, *sizes)]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        columns = ops.deformation.bent_columns(*bottoms, self.window, self.bent)
        return (ops.deformation.filtered(columns, *weights, group=self.group),)

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        return math.prod(tops[0]) * math.prod(self.weights[0].shape[1:])
