"""Transpose: axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("Transpose")
class Transpose(Layer):
    """Axis i of the top is axis `dim[i]` of the bottom; `dim` names every axis once.  Cannot work in place.

    `dim: 3 dim: 0 dim: 2 dim: 1` makes W×N×H×C of N×C×H×W.

    Source: `caffe/src/caffe/layers/transpose_layer.cpp` of tianzhi0549/CTPN.
    """

    fork: ClassVar[str] = "tianzhi0549/CTPN"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 24 dim: 5 dim: 4 } } }
    layer {
      name: "transpose" type: "Transpose" bottom: "x" top: "y"  # 4×2×5×24
      transpose_param { dim: 3 dim: 0 dim: 2 dim: 1 }
    }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        shape, self.order = bottoms[0], list(self.settings("transpose_param").dim)
        rule = f"must name each axis of its bottom of shape {shape} once"
        self.require(sorted(self.order) == list(range(len(shape))), "transpose_param.dim", rule)
        self.raise_faults()
        return [tuple(shape[axis] for axis in self.order)]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].permute(self.order).contiguous(),)
