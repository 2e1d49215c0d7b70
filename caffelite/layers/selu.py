"""SeLu: the scaled exponential linear unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .. import ops
from ..layerkit import Run, Shape, layer
from ..layerkit.neuron import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@layer("SeLu")
class SeLu(Neuron):
    """y = λ·x where x > 0, else λ·alpha·(eˣ − 1), λ being the setting `lambda`; the gradient at 0 is λ·alpha.  With the
    values that λ and alpha have unless told otherwise it keeps mean 0 and variance 1.

    May work in place; the fork's backward then takes the result for x, so that the gradient below 0 is λ·alpha·e^y,
    and not λ·alpha·eˣ.

    Source: `src/caffe/layers/selu_layer.cpp` of fireae/caffe_latte; Klambauer, Unterthiner, Mayr and Hochreiter,
    "Self-normalizing neural networks", 2017.
    """

    fork: ClassVar[str] = "soeaver/caffe-model, fireae/caffe_latte"
    example = """
    layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 64 dim: 10 } } }
    layer { name: "selu" type: "SeLu" bottom: "x" top: "y" }
    """

    rereads = "bottom"

    def setup(self, bottoms: Sequence[Shape]) -> None:
        settings = self.settings("selu_param")
        self.alpha, self.scale = float(settings.alpha), float(getattr(settings, "lambda"))

    def forward(self, run: Run, bottoms: Sequence[Tensor], weights: Sequence[Tensor]) -> Sequence[Tensor]:
        return (ops.elementwise.selu(bottoms[0], self.alpha, self.scale, self.in_place),)
