"""ConvolutionDepthwise: a filter for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..errors import Fault
from ..layerkit.base import Shape, layer
from ..layerkit.convolved import Convolved


@layer("ConvolutionDepthwise")
class ConvolutionDepthwise(Convolved):
    """Each channel convolved with a filter of its own: N×C×H×W → N×C×H′×W′, as a Convolution with `group` C.

    Settings are a Convolution's (`convolution_param`), but that `num_output` and `group` are not read; other ones than
    C are told.  Weights: C×1×kernel, and C for the bias.

    Source: `src/caffe/layers/conv_dw_layer.cpp` of farmingyard/ShuffleNet, as luoyetx/mini-caffe has it.
    """

    fork: ClassVar[str] = "farmingyard/ShuffleNet, soeaver/caffe-model"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 16 dim: 16 } } }
    layer {
      name: "dw" type: "ConvolutionDepthwise" bottom: "x" top: "y"  # 2×8×8×8
      convolution_param { kernel_size: 3 pad: 1 stride: 2 weight_filler { type: "msra" } }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings, shape = self.settings("convolution_param"), bottoms[0]
        channels = shape[self.axis(settings.axis, len(shape), "convolution_param.axis")]
        self.odd: list[Fault] = []
        for name, others in (("num_output", {channels}), ("group", {channels, 1})):
            if settings.HasField(name) and getattr(settings, name) not in others:
                why = f"there is a filter for each of the {channels} channels of its bottom of shape {shape}"
                help = "leave it out, or write a Convolution, which may have any"
                self.odd += self.without_effect(f"convolution_param.{name}", why, help)
        settings.num_output = settings.group = channels
        super().setup(bottoms)

    def warnings(self) -> list[Fault]:
        return [*super().warnings(), *self.odd]
