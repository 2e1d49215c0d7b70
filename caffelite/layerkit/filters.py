"""What Convolution and Deconvolution share: filters over any number of spatial axes.

Source: src/caffe/layers/base_conv_layer.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import Fault
from .base import Layer, Shape, at_least
from .weights import filled
from .windows import convolution_window

if TYPE_CHECKING:
    import torch

    from .run import Run


class Filters(Layer):
    """Base of types with learned filters, …×C×spatial → …×num_output×spatial′, … being the axes before `axis`.

    A type says how its weight is shaped (`weight_head`), how many positions a spatial axis gets (`moved`), and
    computes (`apply`).

    Attributes:
        moves: stride, pad and dilation, over at least one axis.
        spatial: sizes of the spatial axes of its bottoms, as `shapes` was told last.
    """

    bottoms, tops = at_least(1), at_least(1)
    same_count = True

    def weight_head(self) -> Shape:
        """The first two axes of the weight; those of the kernel follow."""
        raise NotImplementedError

    def moved(self, sizes: Shape) -> Shape:
        """The spatial axes of the top, for those of the bottom; notes a fault where one is not positive."""
        raise NotImplementedError

    def apply(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The top of one bottom, N×C×spatial with at least one spatial axis."""
        raise NotImplementedError

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
            filled(self, (*self.weight_head(), *self.window.kernel), "convolution_param.weight_filler"),
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

    def warnings(self) -> list[Fault]:
        names = ("kernel_depth", "temporal_stride", "temporal_pad", "filter_group")
        why = "it belongs to the layer types Convolution3D and Deconvolution3D"
        return [fault for name in names for fault in self.without_effect(f"convolution_param.{name}", why)]

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
        self.spatial = first[at + 1 :]
        return [(*first[:at], self.outputs, *self.moved(self.spatial))] * len(bottoms)

    def forward(
        self, run: Run, bottoms: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> Sequence[torch.Tensor]:
        weight, bias = weights[0], weights[1] if len(weights) > 1 else None
        compute = self.apply if self.plain else self._folded
        return tuple(compute(x, weight, bias) for x in bottoms)

    def _folded(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """With the axes before the channels folded into one, and a spatial axis where there is none."""
        lead, rest = x.shape[: self.channel_axis], x.shape[self.channel_axis :]
        x = x.reshape(math.prod(lead), *rest, *self.lone)
        y = self.apply(x, weight.reshape(*weight.shape, *self.lone), bias)
        return y.reshape(*lead, *y.shape[1 : y.dim() - len(self.lone)])
