"""ShuffleChannel: the channels of groups mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.base import torch
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("ShuffleChannel")
class ShuffleChannel(Layer):
    """Channels that come in `group` groups of n, in the order that takes one of each group in turn: channel i·n + j of
    the bottom is channel j·group + i of the top.  N×C×H×W → the same.  Cannot work in place.

    A convolution with as many groups behind it then sees channels of all of them.  A bottom with fewer axes is taken
    for one with axes of 1 behind, and the top has these.

    Source: `shuffle_channel_layer.cpp` of farmingyard/ShuffleNet; Zhang, Zhou, Lin and Sun, "ShuffleNet", 2018.
    """

    fork: ClassVar[str] = "farmingyard/ShuffleNet"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 6 dim: 4 dim: 4 } } }
    layer {
      name: "shuffle" type: "ShuffleChannel" bottom: "x" top: "y"  # 2×6×4×4
      shuffle_channel_param { group: 3 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.group = self.settings("shuffle_channel_param").group
        self.require(self.group > 0, "shuffle_channel_param.group", "must be positive")
        refuse_in_place(self)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottoms[0]
        axes = f"needs a bottom of 2 to 4 axes (num, channels, height, width), got {shape}"
        if self.expect(2 <= len(shape) <= 4, axes, "bottom"):
            rule = f"must divide the {shape[1]} channels of its bottom of shape {shape}"
            self.require(shape[1] % self.group == 0, "shuffle_channel_param.group", rule)
        return [(*shape, *[1] * (4 - len(shape)))]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0]
        x = x.reshape(*x.shape, *[1] * (4 - x.dim()))
        return (torch.nn.functional.channel_shuffle(x, self.group),)
