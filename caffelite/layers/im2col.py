"""Im2col: the windows of a convolution laid out as columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import Layer, Shape, layer
from ..layerkit.windows import convolution_window, convolved, fitting

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run


@layer("Im2col")
class Im2col(Layer):
    """What a Convolution multiplies its weights with: every window of the image as a column.

    …×C×spatial → …×(C·kernel)×spatial′: … are the axes before `axis`, C is `axis` itself, and spatial′ counts the
    windows, (spatial + 2·pad − dilation·(kernel − 1) − 1) / stride + 1, rounded down.  Row c·kernel + k of a column
    holds channel c at position k of the window, k counted in row-major order; beyond the image lie zeros.  The gradient
    of a value is the sum over all windows it lies in.  Settings are a Convolution's; those for weights have no effect.

    Source: `src/caffe/layers/im2col_layer.cpp`, `src/caffe/util/im2col.cpp`.
    """

    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
    layer {
      name: "columns" type: "Im2col" bottom: "x" top: "y"  # 2×27×8×8
      convolution_param { kernel_size: 3 pad: 1 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        shape = bottoms[0]
        self.channel_axis = self.axis(self.settings("convolution_param").axis, len(shape), "convolution_param.axis")
        spatial = len(shape) - self.channel_axis - 1
        self.expect(
            spatial > 0,
            f"needs an axis behind the channels, on axis {self.channel_axis}, to move a window over, got {shape}",
            "convolution_param.axis",
        )
        self.window = convolution_window(self, spatial)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, at = bottoms[0], self.channel_axis
        axes = at + 1 + len(self.window.kernel)
        if not self.expect(len(shape) == axes, f"the windows are for {axes} axes, the bottom is now {shape}"):
            self.raise_faults()
        sizes = shape[at + 1 :]
        counts = fitting(self, sizes, self.window, convolved(sizes, self.window), "convolution_param")
        return [(*shape[:at], shape[at] * math.prod(self.window.kernel), *counts)]

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        x, window = bottoms[0], self.window
        lead, rest = x.shape[: self.channel_axis], x.shape[self.channel_axis :]
        folded = x.reshape(math.prod(lead), *rest)
        columns = ops.convolution.columns(folded, window.kernel, window.stride, window.pad, window.dilation)
        return (columns.reshape(*lead, *columns.shape[1:]),)
