"""Reverse: an axis turned round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Layer, Run, Shape, layer
from ..layerkit.neuron import refuse_in_place

if TYPE_CHECKING:
    from torch import Tensor


@layer("Reverse")
class Reverse(Layer):
    """The bottom with the order along `axis` turned round, the shape as it was.  Two of these and two Lstm layers are
    a bidirectional one.  Cannot work in place.

    Source: `caffe/src/caffe/layers/reverse_layer.cpp` of tianzhi0549/CTPN.
    """

    fork: ClassVar[str] = "tianzhi0549/CTPN"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 10 dim: 4 dim: 6 } } }
    layer { name: "reverse" type: "Reverse" bottom: "x" top: "y" reverse_param { axis: 0 } }
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        refuse_in_place(self)

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.along = self.axis(self.settings("reverse_param").axis, len(bottoms[0]), "reverse_param.axis")
        return [bottoms[0]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (bottoms[0].flip(self.along),)
