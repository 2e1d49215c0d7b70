"""Permute: axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, layer

if TYPE_CHECKING:
    from torch import Tensor


@layer("Permute")
class Permute(Layer):
    """Axis i of the top is axis `order[i]` of the bottom; axes that `order` leaves out follow in their order.

    `order: 0 order: 2 order: 3 order: 1` makes N×H×W×C of N×C×H×W.

    Source: `src/caffe/layers/permute_layer.cpp` of weiliu89/caffe, branch ssd.
    """

    fork: ClassVar[str] = "weiliu89/caffe, branch ssd"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 24 dim: 5 dim: 4 } } }
    layer {
      name: "permute" type: "Permute" bottom: "x" top: "y"  # 2×5×4×24
      permute_param { order: 0 order: 2 order: 3 order: 1 }
    }
    """

    capturable = True

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, order = bottoms[0], list(self.settings("permute_param").order)
        for position, axis in enumerate(order):
            field = f"permute_param.order[{position}]"
            self.expect(axis < len(shape), f"order must be axes of its bottom of shape {shape}, got {axis}", field)
            self.expect(axis not in order[:position], f"order names axis {axis} twice", field)
        self.raise_faults()
        self.order = [*order, *(axis for axis in range(len(shape)) if axis not in order)]
        return [tuple(shape[axis] for axis in self.order)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].permute(self.order).contiguous(),)
