"""Convolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import ops
from ..layerkit.base import Layer, Shape, at_least, layer
from ..layerkit.weights import filled
from ..layerkit.windows import convolution_window, convolved

if TYPE_CHECKING:
    import torch

    from ..layerkit import Run


@layer("Convolution")
class Convolution(Layer):
    """Filters moved over every spatial axis; several bottoms of one shape share them.

    …×C×spatial → …×num_output×spatial′: … are the axes before `axis` (the batch), C is `axis` itself, and
    spatial′ = (spatial + 2·pad − dilation·(kernel − 1) − 1) / stride + 1, rounded down.  Weights:
    num_output×(C/group)×kernel, and num_output for the bias.  The kernel is not mirrored (cross-correlation).  Any
    number of spatial axes; `engine` and `force_nd_im2col` make no difference.

    Source: src/caffe/layers/base_conv_layer.cpp, conv_layer.cpp.
    """

    bottoms, tops = at_least(1), at_least(1)
    same_count = True

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("convolution_param")
        shape = bottoms[0]
        self.channel_axis = self.axis(settings.axis, len(shape), "convolution_param.axis")
        self.channels, spatial = shape[self.channel_axis], len(shape) - self.channel_axis - 1
        self.outputs, self.group = settings.num_output, settings.group
        self.require(self.outputs > 0, "convolution_param.num_output", "must be positive")
        if self.require(self.group > 0, "convolution_param.group", "must be positive"):
            self._check_groups()
        self.window = convolution_window(self, spatial)
        self.weights = [
            filled(
                self,
                (self.outputs, self.channels // self.group, *self.window.kernel),
                "convolution_param.weight_filler",
            )
        ]
        if settings.bias_term:
            self.weights.append(filled(self, (self.outputs,), "convolution_param.bias_filler"))
        # Without a spatial axis it is computed over one of a single position.
        self.lone: Shape = () if spatial else (1,)
        self.moves = (
            self.window.stride + self.lone,
            self.window.pad + (0,) * len(self.lone),
            self.window.dilation + self.lone,
        )
        self.plain = self.channel_axis == 1 and spatial > 0

    def _check_groups(self) -> None:
        for what, count in (("input channels", self.channels), ("num_output", self.outputs)):
            message = f"{what} must be a multiple of group, got {count} with group: {self.group}"
            self.expect(count % self.group == 0, message, "convolution_param.group")

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        first, at = bottoms[0], self.channel_axis
        axes = at + 1 + len(self.window.kernel)
        self.expect(
            len(first) == axes and first[at] == self.channels,
            f"the filters are for {axes} axes with {self.channels} channels on axis {at}, the bottom is now {first}",
        )
        self.expect(
            all(other == first for other in bottoms),
            f"its bottoms must all have one shape, got shapes {' and '.join(map(str, bottoms))}",
        )
        self.raise_faults()
        sizes = convolved(first[at + 1 :], self.window)
        for size, reach, pad, result in zip(first[at + 1 :], self.window.reach, self.window.pad, sizes, strict=True):
            self.expect(
                result > 0,
                f"the kernel spans {reach}, more than the input of {size} with pad {pad} on both sides",
                "convolution_param",
            )
        return [(*first[:at], self.outputs, *sizes)] * len(bottoms)

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        weight, bias = weights[0], weights[1] if len(weights) > 1 else None
        if self.plain:
            return tuple(ops.convolution.convolve(x, weight, bias, *self.moves, self.group) for x in bottoms)
        return tuple(self._folded(x, weight, bias) for x in bottoms)

    def _folded(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """With the axes before the channels folded into one, and a spatial axis where there is none."""
        lead, rest = x.shape[: self.channel_axis], x.shape[self.channel_axis :]
        x = x.reshape(math.prod(lead), *rest, *self.lone)
        weight = weight.reshape(*weight.shape, *self.lone)
        y = ops.convolution.convolve(x, weight, bias, *self.moves, self.group)
        return y.reshape(*lead, *y.shape[1 : y.dim() - len(self.lone)])

    def multiply_adds(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        taps = self.channels // self.group * math.prod(self.window.kernel)
        return sum(math.prod(top) for top in tops) * taps
