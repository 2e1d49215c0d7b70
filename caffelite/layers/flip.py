"""Flip: images mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("Flip")
class Flip(Layer):
    """N×C×H×W → the same, mirrored: left and right exchanged unless `flip_width: false`, top and bottom with
    `flip_height: true`.  Cannot work in place.

    Source: `src/caffe/layers/flip_layer.cpp` of happynear/caffe-windows.
    """

    fork: ClassVar[str] = "happynear/caffe-windows"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } } }
    layer { name: "flip" type: "Flip" bottom: "x" top: "y" flip_param { flip_width: true flip_height: false } }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("flip_param")
        self.axes = [axis for axis, flipped in ((2, settings.flip_height), (3, settings.flip_width)) if flipped]
        refuse_in_place(self)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape = bottoms[0]
        self.expect(len(shape) == 4, f"needs a bottom of 4 axes (num, channels, height, width), got {shape}", "bottom")
        return [shape]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].flip(self.axes),)
