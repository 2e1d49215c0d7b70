"""NormalizationL2: samples brought to length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


_EPS = 1e-10


@layer("NormalizationL2")
class NormalizationL2(Neuron):
    """y = x / √(Σx² + 10⁻¹⁰), the sum being over everything but the first axis: N×… → the same.

    Source: `src/caffe/layers/normalization_l2_layer.cu` of liu-xb/GGL (whose backward leaves the 10⁻¹⁰ out).

    May work in place.
    """

    fork: ClassVar[str] = "liu-xb/GGL"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 16 dim: 128 } } }
    layer { name: "unit" type: "NormalizationL2" bottom: "x" top: "y" }
    """

    def shapes(self, bottoms: Sequence[Shape]) -> Sequence[Shape]:
        self.expect(len(bottoms[0]) > 0, "needs a bottom of at least 1 axis", "bottom[0]")
        return [bottoms[0]]

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        x = bottoms[0].reshape(len(bottoms[0]), -1)
        return ((x / x.square().sum(1, keepdim=True).add(_EPS).sqrt()).reshape(bottoms[0].shape),)
